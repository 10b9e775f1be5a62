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

from txconnect.configuration.checkers import loadChecker
from txconnect.configuration.configuration import Configuration
from txconnect.errors import ConfigurationError
from txconnect.listening import Listener
from txconnect.observers.console import ConsoleLog
from txconnect.plugins import (
    AUTH_SCHEME,
    OBSERVER,
    PAIR,
    POLICY,
    ROUTER,
    TAP,
    Catalogue,
    Kind,
    loadPlugin,
)
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
        judges = [rule.pattern for rule in self.routes]
        judges += [policy.plugin for policy in self.policies]
        listed = any(isinstance(judge, UsersPolicy) for judge in judges)
        certified = any(listener.certified for listener in listeners)
        if listed and not (self.checkers or certified):
            raise ConfigurationError("users: needs --auth or a proxytls: listener")


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
    loader = _PluginLoader()
    return PluginSet(
        configuration=configuration,
        checkers=tuple(map(loadChecker, configuration.checkers)),
        policies=loader.loadPlugins(POLICY, configuration.policies),
        observers=_withWriter(
            loader.loadPlugins(OBSERVER, configuration.observers), write
        ),
        taps=loader.loadPlugins(TAP, configuration.taps),
        routers=loader.loadPlugins(ROUTER, configuration.routers),
        routes=loader.loadRoutes(configuration.routes),
        pairFactory=loader.loadPairFactory(configuration.pair),
        schemes=loader.loadPlugins(AUTH_SCHEME, _schemesOf(configuration)),
    )


class _PluginLoader:
    """A loader of plugins of every kind, which looks once for those installed."""

    def __init__(self) -> None:
        self._catalogue = Catalogue()

    def loadPlugins(self, kind: Kind, texts: Iterable[str]) -> tuple[Named, ...]:
        return tuple(loadPlugin(kind, text, self._catalogue) for text in texts)

    def loadPairFactory(self, text: str | None) -> Named | None:
        return None if text is None else loadPlugin(PAIR, text, self._catalogue)

    def loadRoutes(self, texts: Sequence[str]) -> tuple[Rule, ...]:
        if not texts:
            return ()
        # This import is a good part of the time of a start, and most proxies
        # have no parents.
        from txconnect.routing.rules import parseRoute

        return tuple(parseRoute(text, self._catalogue) for text in texts)


def _withWriter(
    observers: tuple[Named, ...], write: Callable[[str], object]
) -> tuple[Named, ...]:
    """Have the lines for people, the only observer by default, go where C{write} does."""
    if not observers:
        return (Named("console", ConsoleLog(write)),)
    for each in observers:
        if isinstance(each.plugin, ConsoleLog):
            each.plugin.useWriter(write)
    return observers


def _schemesOf(configuration: Configuration) -> Sequence[str]:
    if configuration.checkers:
        return configuration.schemes or ["basic"]
    if configuration.schemes:
        raise ConfigurationError(
            "--auth-scheme says how clients send who they are; also give --auth, "
            "which says who may pass"
        )
    return ()
