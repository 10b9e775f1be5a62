"""
The options that name plugins: what was given to them, and what they load.
"""

from __future__ import annotations

import sys
from typing import Any

from txconnect.command.checkers import CheckerOptions
from txconnect.errors import ConfigurationError
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
from txconnect.plugins.listing import listed
from txconnect.values import Named

_ROUTE = "route"


class PluginOptions(CheckerOptions):
    """
    The options for plugins of each kind, and for routes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._catalogue = Catalogue()
        self._given: dict[str, list[str]] = {}

    def opt_auth_scheme(self, scheme: str) -> None:
        """
        how clients send who they are; repeatable [default: basic]
        """
        self._add(AUTH_SCHEME.noun, scheme)

    def opt_policy(self, policy: str) -> None:
        """
        allow only what this allows, too: NAME[:ARGUMENT], ./file.py:NAME or
        package.module:NAME; repeatable; ports:443 and networks:public stand
        until one of the same name is given; see --help-policy
        """
        self._add(POLICY.noun, policy)

    def opt_observer(self, observer: str) -> None:
        """
        tell this of every tunnel and refusal, written as a policy is;
        repeatable [default: lines on the terminal, or in the log of a daemon];
        see --help-observer
        """
        self._add(OBSERVER.noun, observer)

    def opt_tap(self, tap: str) -> None:
        """
        show this the bytes of the tunnels that it picks; repeatable
        """
        self._add(TAP.noun, tap)

    def opt_router(self, router: str) -> None:
        """
        ask this how a tunnel leaves; the first answer counts; repeatable
        """
        self._add(ROUTER.noun, router)

    def opt_route(self, route: str) -> None:
        """
        how tunnels leave: [PATTERN=]TARGET[|TARGET...]; PATTERN is a policy,
        such as hosts:*.corp.example, and what it allows takes this route;
        TARGET is http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT,
        direct or bind:ADDRESS; behind it ,credentials=FILE or
        ,credentials=env:NAME, and ,ca=FILE ,cert=FILE ,key=FILE for https;
        several parents stand in for each other; repeatable, the first that
        matches counts, behind every --router; none: direct
        """
        self._add(_ROUTE, route)

    def opt_pair(self, pair: str) -> None:
        """
        build the protocols of each tunnel with this
        """
        self._add(PAIR.noun, pair)

    def opt_help_policy(self) -> None:
        """
        list the installed policies and exit
        """
        self._list(POLICY)

    def opt_help_observer(self) -> None:
        """
        list the installed observers and exit
        """
        self._list(OBSERVER)

    def _add(self, option: str, value: str) -> None:
        self._given.setdefault(option, []).append(value)

    def _list(self, kind: Kind) -> None:
        sys.stdout.write(listed(kind))
        raise SystemExit(0)

    def _plugins(self, kind: Kind) -> list[Named]:
        texts = self._given.get(kind.noun, [])
        return [loadPlugin(kind, text, self._catalogue) for text in texts]

    def _routes(self) -> list[Any]:
        texts = self._given.get(_ROUTE, [])
        if not texts:
            return []
        # It costs a good part of a start, for those who have parents.
        from txconnect.routing.rules import parseRoute

        return [parseRoute(text, self._catalogue) for text in texts]

    def _pairFactory(self) -> Named | None:
        if len(self._given.get(PAIR.noun, [])) > 1:
            raise ConfigurationError("--pair is given twice: a tunnel has one pair")
        return next(iter(self._plugins(PAIR)), None)

    def _schemes(self) -> list[Named]:
        if self["checkers"]:
            self._given.setdefault(AUTH_SCHEME.noun, ["basic"])
        elif AUTH_SCHEME.noun in self._given:
            raise ConfigurationError(
                "--auth-scheme says how clients send who they are; also give --auth, "
                "which says who may pass"
            )
        return self._plugins(AUTH_SCHEME)
