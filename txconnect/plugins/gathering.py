"""
Gathering the plugins of one proxy: texts and objects in, named objects by kind out.

The command line, a configuration and a program that embeds the proxy all come by
here; they differ in how a message names the place of a mistake: C{--policy ports:x}
or C{policies 'ports:x'}.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from txconnect.admission.assembling import listed
from txconnect.errors import ConfigurationError
from txconnect.plugins.catalogue import Catalogue
from txconnect.plugins.checkers import loadChecker
from txconnect.plugins.kinds import (
    AUTH_SCHEME,
    CHECKER,
    KINDS,
    OBSERVER,
    PAIR,
    PLUGIN,
    POLICY,
    ROUTER,
    TAP,
    Kind,
)
from txconnect.plugins.loading import labelOf, loadPlugin, rolesOf, verifyRoles
from txconnect.values import Named

__all__ = ["Gathered", "PluginLoader", "gatherPlugins"]


class PluginLoader:
    """
    A loader of plugins of every kind, which looks once for those installed.
    """

    def __init__(self, embedded: bool = False) -> None:
        """
        @param embedded: whether messages name arguments of Python and not options
            of the command line.
        """
        self.catalogue = Catalogue()
        self._embedded = embedded

    def load(self, kind: Kind, given: object) -> Named:
        """
        Return a plugin with its name.

        @param given: an object, a description, or a L{Named} one of either.
        @raise ConfigurationError: a description's plugin cannot be loaded.
        """
        named = Named.of(given)
        text = named.plugin
        if not isinstance(text, str):
            return named
        label = self.label(kind, text)
        if kind is CHECKER:
            found = loadChecker(text, self.catalogue, label)
        else:
            found = loadPlugin(kind, text, self.catalogue, label)
        # Named("staff", "hosts:*.example") has the name that it says.
        return attrs.evolve(found, name=named.name) if named is given else found

    def loadAll(self, kind: Kind, given: object) -> list[Named]:
        """
        Return the plugins of one argument.

        @raise ConfigurationError: it is no list, or one cannot be loaded.
        """
        return [self.load(kind, each) for each in listed(kind.keyword, given)]

    def label(self, kind: Kind, text: str) -> str:
        """Return the start of a message about a description."""
        shown = labelOf(kind, text)
        return (
            f"{kind.keyword} {shown!r}" if self._embedded else f"{kind.option} {shown}"
        )

    def loadRoles(self, given: object) -> dict[str, list[Named]]:
        """
        Load plugins in all the roles that each has.

        @return: for the noun of each kind, the plugins that have its roles.
        @raise ConfigurationError: one cannot be loaded, or has no role.
        """
        found: dict[str, list[Named]] = {}
        for each in self.loadAll(PLUGIN, given):
            try:
                verifyRoles(PLUGIN, each.plugin)
            except ConfigurationError as error:
                label = self.label(PLUGIN, each.name)
                raise ConfigurationError(f"{label}: {error}") from error
            for kind in (*KINDS, CHECKER):
                if rolesOf(kind, each.plugin):
                    found.setdefault(kind.noun, []).append(each)
        return found


@attrs.frozen(kw_only=True)
class Gathered:
    """
    The plugins of one proxy by their kinds, those of C{plugins} among them.

    @ivar policies: without the defaults.
    @ivar pairFactory: L{None} for the stock pair.
    """

    policies: tuple[Named, ...] = ()
    routers: tuple[Named, ...] = ()
    observers: tuple[Named, ...] = ()
    taps: tuple[Named, ...] = ()
    pairFactory: Named | None = None
    schemes: tuple[Named, ...] = ()
    checkers: tuple[Named, ...] = ()


def gatherPlugins(
    loader: PluginLoader,
    *,
    policies: Iterable[object] = (),
    routers: Iterable[object] = (),
    observers: Iterable[object] = (),
    taps: Iterable[object] = (),
    pairFactory: object = None,
    schemes: Iterable[object] = (),
    checkers: Iterable[object] = (),
    plugins: Iterable[object] = (),
) -> Gathered:
    """
    Load what is text, name what is not, and put each where it serves.

    @param plugins: in all their roles, each after those that were given for one.
    @raise ConfigurationError: one cannot be loaded, has no role, or is a second
        pair factory.
    """
    single = [
        (CHECKER, checkers),
        (POLICY, policies),
        (OBSERVER, observers),
        (TAP, taps),
        (ROUTER, routers),
        (AUTH_SCHEME, schemes),
        (PAIR, () if pairFactory is None else (pairFactory,)),
    ]
    found = {kind.noun: loader.loadAll(kind, given) for kind, given in single}
    for noun, several in loader.loadRoles(plugins).items():
        found[noun] += several
    return Gathered(
        policies=tuple(found[POLICY.noun]),
        routers=tuple(found[ROUTER.noun]),
        observers=tuple(found[OBSERVER.noun]),
        taps=tuple(found[TAP.noun]),
        pairFactory=_onlyPair(found[PAIR.noun]),
        schemes=tuple(found[AUTH_SCHEME.noun]),
        checkers=tuple(found[CHECKER.noun]),
    )


def _onlyPair(pairs: list[Named]) -> Named | None:
    if len(pairs) > 1:
        names = " and ".join(repr(each.name) for each in pairs)
        raise ConfigurationError(
            f"{names} are pair factories both: a tunnel has one pair"
        )
    return pairs[0] if pairs else None
