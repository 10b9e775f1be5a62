"""
The replaceable part of a proxy: every object that the operator's rules name.

Nothing in it owns a port, a thread, a timer or a tunnel, so a second one can be
built while the first serves, and dropped when it cannot be built.

It is not yet L{Rules<txconnect.admission.rules.Rules>}: of these objects the
proxy makes them, with the default policies and the authenticator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

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


@attrs.frozen(kw_only=True)
class PluginSet:
    """
    The objects that decide and observe, made of one configuration.

    @ivar configuration: that one.
    @ivar policies: without the defaults, which the proxy adds.
    @ivar routes: L{Rule<txconnect.routing.rules.Rule>}s.
    @ivar schemes: empty where there are no checkers.
    @ivar pairFactory: L{None}: the stock pair.
    """

    configuration: Configuration
    policies: tuple[Named, ...]
    routers: tuple[Named, ...]
    routes: tuple[Any, ...]
    observers: tuple[Named, ...]
    taps: tuple[Named, ...]
    pairFactory: Named | None
    checkers: tuple[Named, ...]
    schemes: tuple[Named, ...]

    @property
    def settings(self) -> Settings:
        return self.configuration.settings

    @property
    def guarded(self) -> bool:
        """Whether a listener within reach of others is meant to be there."""
        return bool(self.checkers) or self.configuration.openProxy

    def checkListeners(self, listeners: Iterable[Listener]) -> None:
        """
        Check that these rules work with the clients of these listeners.

        @raise ConfigurationError: users are listed, and no client says who it
            is: everyone would be refused.
        """
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
    Make all plugin objects of a configuration.

    @param write: takes one line for people; used where the configuration names
        no observer.
    @raise ConfigurationError: with the first that cannot be made, in one line
        that names its option.
    """
    loading = _Loading()
    return PluginSet(
        configuration=configuration,
        checkers=tuple(map(loadChecker, configuration.checkers)),
        policies=loading.plugins(POLICY, configuration.policies),
        observers=loading.plugins(OBSERVER, configuration.observers)
        or (Named("console", ConsoleLog(write)),),
        taps=loading.plugins(TAP, configuration.taps),
        routers=loading.plugins(ROUTER, configuration.routers),
        routes=loading.routes(configuration.routes),
        pairFactory=loading.pairFactory(configuration.pair),
        schemes=loading.plugins(AUTH_SCHEME, _schemes(configuration)),
    )


class _Loading:
    """Loads plugins of every kind, and looks once for those installed."""

    def __init__(self) -> None:
        self._catalogue = Catalogue()

    def plugins(self, kind: Kind, texts: Iterable[str]) -> tuple[Named, ...]:
        return tuple(loadPlugin(kind, text, self._catalogue) for text in texts)

    def pairFactory(self, text: str | None) -> Named | None:
        return None if text is None else loadPlugin(PAIR, text, self._catalogue)

    def routes(self, texts: Sequence[str]) -> tuple[Any, ...]:
        if not texts:
            return ()
        # It costs a good part of a start, for those who have parents.
        from txconnect.routing.rules import parseRoute

        return tuple(parseRoute(text, self._catalogue) for text in texts)


def _schemes(configuration: Configuration) -> Sequence[str]:
    if configuration.checkers:
        return configuration.schemes or ["basic"]
    if configuration.schemes:
        raise ConfigurationError(
            "--auth-scheme says how clients send who they are; also give --auth, "
            "which says who may pass"
        )
    return ()
