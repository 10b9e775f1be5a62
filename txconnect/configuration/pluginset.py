"""
The replaceable part of a proxy: every object that the operator's rules name.

Nothing in it owns a port, a thread, a timer or a tunnel, so a second one can be
built while the first serves, and dropped when it cannot be built.

These are not yet the L{Rules<txconnect.admission.rules.Rules>}: the proxy makes
those from these objects, the default policies and the authenticator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from txconnect.configuration.configuration import Configuration
from txconnect.errors import ConfigurationError
from txconnect.listening import Listener
from txconnect.observers.console import ConsoleLog
from txconnect.plugins import AUTH_SCHEME, Catalogue
from txconnect.plugins.gathering import Gathered, PluginLoader, gatherPlugins
from txconnect.policy.users import UsersPolicy
from txconnect.settings import Settings
from txconnect.values import Named

if TYPE_CHECKING:
    from txconnect.routing.rules import Rule


@attrs.frozen(kw_only=True)
class PluginSet:
    """
    The objects that decide and observe, made from one configuration.

    @ivar configuration: the one from which they were made.
    @ivar policies: without the defaults, which the proxy adds.
    @ivar schemes: empty where there are no checkers.
    @ivar pairFactory: L{None}: the stock pair.
    """

    configuration: Configuration
    policies: tuple[Named, ...]
    routers: tuple[Named, ...]
    routes: tuple[Rule, ...]
    observers: tuple[Named, ...]
    taps: tuple[Named, ...]
    pairFactory: Named | None
    checkers: tuple[Named, ...]
    schemes: tuple[Named, ...]

    @property
    def settings(self) -> Settings:
        """The settings of the configuration."""
        return self.configuration.settings

    @property
    def guarded(self) -> bool:
        """True when a listener within reach of others is intended."""
        return bool(self.checkers) or self.configuration.openProxy

    def checkListeners(self, listeners: Iterable[Listener]) -> None:
        """
        Check that these rules work with the clients of these listeners.

        @raise ConfigurationError: users are listed, and no client is asked for a
            user: everyone would be refused.
        """
        # Found here, before the start: at run time it would look like a policy
        # that works.
        if self.checkers or any(listener.certified for listener in listeners):
            return
        judges = [("--policy", policy.plugin) for policy in self.policies]
        judges += [("--route", rule.pattern) for rule in self.routes]
        for option, judge in judges:
            if isinstance(judge, UsersPolicy):
                raise ConfigurationError(
                    f"{option} users: needs --auth or a proxytls: listener"
                )


def buildPluginSet(
    configuration: Configuration, write: Callable[[str], object]
) -> PluginSet:
    """
    Make all plugin objects that a configuration names.

    @param write: takes one line for people; used by the observer C{console}, which
        there is where the configuration names no other.
    @raise ConfigurationError: with the first object that cannot be made, in one
        line that names its option.
    """
    loader = PluginLoader()
    given = gatherPlugins(
        loader,
        policies=configuration.policies,
        routers=configuration.routers,
        observers=configuration.observers,
        taps=configuration.taps,
        pairFactory=configuration.pair,
        schemes=configuration.schemes,
        checkers=configuration.checkers,
        plugins=configuration.plugins,
    )
    return PluginSet(
        configuration=configuration,
        checkers=given.checkers,
        policies=given.policies,
        observers=_observersOf(configuration, given, write),
        taps=given.taps,
        routers=given.routers,
        routes=_loadRoutes(configuration.routes, loader.catalogue),
        pairFactory=given.pairFactory,
        schemes=_schemesOf(given, loader),
    )


def _loadRoutes(texts: Sequence[str], catalogue: Catalogue) -> tuple[Rule, ...]:
    if not texts:
        return ()
    # This import is a good part of the time of a start, and most proxies have no
    # parents.
    from txconnect.routing.rules import parseRoute

    try:
        return tuple(parseRoute(text, catalogue) for text in texts)
    except ConfigurationError as error:
        raise ConfigurationError(f"--route: {error}") from error


def _observersOf(
    configuration: Configuration, given: Gathered, write: Callable[[str], object]
) -> tuple[Named, ...]:
    """Have the lines for people, the only observer by default, go where C{write} does."""
    for each in given.observers:
        if isinstance(each.plugin, ConsoleLog):
            each.plugin.useWriter(write)
    # Asked for by name alone: who loads a quota that also observes still wants to
    # see lines.
    if configuration.observers:
        return given.observers
    return (Named("console", ConsoleLog(write)), *given.observers)


def _schemesOf(given: Gathered, loader: PluginLoader) -> tuple[Named, ...]:
    if given.checkers:
        return given.schemes or (loader.load(AUTH_SCHEME, "basic"),)
    if given.schemes:
        raise ConfigurationError(
            "--auth-scheme says how clients send who they are; also give --auth, "
            "which says who may pass"
        )
    return ()
