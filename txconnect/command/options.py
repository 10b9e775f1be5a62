"""
The options of C{twistd connectproxy}.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.copyright import version as twistedVersion
from twisted.python import usage

from txconnect.command.help import optionName, usageText
from txconnect.command.pluginoptions import PluginOptions
from txconnect.command.settingoptions import settingParameters, settingsFrom
from txconnect.command.terminallog import LOG_OBSERVER
from txconnect.errors import ConfigurationError
from txconnect.listening import (
    DEFAULT_LISTEN,
    Exit,
    Listener,
    parseListener,
)
from txconnect.naming import VERSION
from txconnect.observers.terminal import lineWriter
from txconnect.plugins import (
    OBSERVER,
    POLICY,
    ROUTER,
    TAP,
)
from txconnect.policy.users import UsersPolicy
from txconnect.settings import Settings
from txconnect.values import Named

_DEFAULT_POLICIES = {"ports": "ports:443", "networks": "networks:public"}


class Options(PluginOptions):
    """
    The command line of C{twistd connectproxy}.

    After parsing: C{["listeners"]} (L{Listener}s), C{["checkers"]},
    C{["schemes"]}, C{["policies"]}, C{["observers"]}, C{["taps"]},
    C{["routers"]} (L{Named} each), C{["routes"]}
    (L{Rule<txconnect.routing.rules.Rule>}s), C{["pairFactory"]}, C{["settings"]}, and
    C{["proxy"]}, made of them and not started.

    @ivar isConsole: whether this is C{txconnect}, not C{twistd}.
    @ivar failed: whether parsing ended in an error.
    """

    synopsis = "[options]"
    optFlags = [
        ["open-proxy", None, "let everyone through who can reach a listener"],
    ]
    optParameters = settingParameters()

    def __init__(self) -> None:
        super().__init__()
        self.failed = False
        self.isConsole = False
        self["workers"] = 1

    def opt_listen(self, endpoint: str) -> None:
        """
        where to listen: an endpoint string, or 3128 (this machine only),
        HOST:3128, [::1]:3128; repeatable [default: tcp:3128:interface=127.0.0.1]
        """
        self._add("listen", endpoint)

    opt_l = opt_listen

    def opt_workers(self, number: str) -> None:
        """
        processes that share the listeners; with 1, there is but this one
        [default: 1]
        """
        if not (re.fullmatch("[0-9]{1,4}", number) and 1 <= int(number) <= 1024):
            raise usage.UsageError(f"--workers: {number!r} is not 1 to 1024")
        self["workers"] = int(number)

    def opt_help(self) -> None:
        """
        show this and exit
        """
        usage.Options.opt_help(self)

    def opt_version(self) -> None:
        """
        show the versions and exit
        """
        sys.stdout.write(f"txconnect {VERSION}\nTwisted {twistedVersion}\n")
        raise SystemExit(0)

    def parseArgs(self, *rest: str) -> None:
        """Everything is said by options."""
        if rest:
            raise usage.UsageError(
                f"{rest[0]!r} is no option (is it a value that lacks its option?)"
            )

    def parseOptions(self, options: Any = None) -> None:
        """
        As of C{usage.Options}; but below C{twistd}, which would write it on
        standard output behind other lines, an error is one line on standard
        error and status 1.
        """
        # Asked now: later it is the observer itself that stands there.
        self.isConsole = self._parentOption("logger") == LOG_OBSERVER
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            self.failed = True
            if not self._belowTwistd():
                raise
            sys.stderr.write(f"{self._program()}: {error}\n")
            raise SystemExit(1) from None

    def postOptions(self) -> None:
        """
        Make all that was asked for.

        @raise usage.UsageError: with what cannot be made, in one line.
        """
        if self["workers"] > 1 and self._parentOption("chroot"):
            raise usage.UsageError(
                "--workers: there is no program to start behind twistd --chroot"
            )
        try:
            self["settings"] = settingsFrom(self)
            self["listeners"] = self._listeners()
            for kind, key in (
                (POLICY, "policies"),
                (OBSERVER, "observers"),
                (TAP, "taps"),
                (ROUTER, "routers"),
            ):
                self[key] = self._plugins(kind)
            self["routes"] = self._routes()
            self._checkUsers()
            self["pairFactory"] = self._pairFactory()
            self["schemes"] = self._schemes()
            self["proxy"] = self._proxy()
        except ConfigurationError as error:
            raise usage.UsageError(str(error)) from error

    @property
    def foreground(self) -> bool:
        """Whether C{twistd} stays where it is, so that somebody sees its output."""
        return bool(self._parentOption("nodaemon") or self._parentOption("debug"))

    def exit(self, reactor: Any) -> Exit:
        """How this program ends when it cannot start."""
        parent = self.parent
        # twist never leaves the foreground.
        waits = parent is not None and (self.foreground or not self._belowTwistd())
        pidfile = self._parentOption("pidfile") or ""
        return Exit(reactor, waits, self._program(), pidfile)

    def standing(self) -> list[str]:
        """The policies that stand, as an operator would write them."""
        given = {named.name for named in self["policies"]}
        defaults = [d for name, d in _DEFAULT_POLICIES.items() if name not in given]
        return defaults + self._given.get(POLICY.noun, [])

    def listenTexts(self) -> list[str]:
        """Where to listen, as the operator wrote it."""
        return self._given.get("listen", [DEFAULT_LISTEN])

    def endpoints(self) -> Sequence[tuple[Any, str]]:
        """Each endpoint to listen on: who is asked to listen, and its string."""
        from twisted.internet import reactor

        texts = self.listenTexts()
        if self["workers"] == 1:
            return [(reactor, text) for text in texts]
        from txconnect.workers.sockets import HeldSockets

        self["held"] = [HeldSockets(reactor) for _ in texts]
        return list(zip(self["held"], texts, strict=True))

    def restated(self) -> list[str]:
        """This command line for a worker: C{--name} or C{--name=value} each."""
        given = {**self._given, "auth": self.auths}
        names = [optionName(field.name) for field in attrs.fields(Settings)]
        return [
            *(f"--{name}={text}" for name, texts in given.items() for text in texts),
            *(f"--{name}={self[name]}" for name in names if self[name] is not None),
            *(["--open-proxy"] if self["open-proxy"] else []),
        ]

    def getSynopsis(self) -> str:
        """The first line of the help."""
        if self.isConsole:
            return "Usage: txconnect [options]\n       txconnect passwd FILE USER"
        return super().getSynopsis()

    def getUsage(self, width: int | None = None) -> str:
        """The options in groups; one line to look there when parsing failed."""
        if self.failed:
            return "See --help for the options."
        width = width or int(os.environ.get("COLUMNS", "80"))
        return usageText(self, width, self.isConsole)

    def write(self) -> Callable[[str], object]:
        """Where lines for people go: the terminal, or a daemon's log."""
        return lineWriter(self.foreground)

    def _belowTwistd(self) -> bool:
        # twist does not know the option.
        return self.parent is not None and "nodaemon" in self.parent

    def _program(self) -> str:
        if self.isConsole:
            return "txconnect"
        return "twistd connectproxy" if self._belowTwistd() else "connectproxy"

    def _parentOption(self, name: str) -> Any:
        return None if self.parent is None else self.parent.get(name)

    def _listeners(self) -> list[Listener]:
        return [parseListener(reactor, text) for reactor, text in self.endpoints()]

    def _checkUsers(self) -> None:
        patterns = [rule.pattern for rule in self["routes"]]
        judges = [*patterns, *(policy.plugin for policy in self["policies"])]
        listed = any(isinstance(judge, UsersPolicy) for judge in judges)
        certified = any(listener.certified for listener in self["listeners"])
        if listed and not (self["checkers"] or certified):
            raise ConfigurationError("users: needs --auth or a proxytls: listener")

    def _proxy(self) -> Any:
        from twisted.internet import reactor

        from txconnect.proxy import ConnectProxy

        try:
            return ConnectProxy(
                reactor,
                policies=self["policies"],
                routers=self["routers"],
                routes=self["routes"],
                observers=self["observers"] or [self._console()],
                taps=self["taps"],
                pairFactory=self["pairFactory"],
                schemes=self["schemes"],
                checkers=self["checkers"],
                settings=self["settings"],
            )
        except ConfigurationError as error:
            # zope's sentences come on several lines.
            raise ConfigurationError(" ".join(str(error).split())) from error

    def _console(self) -> Named:
        from txconnect.observers.console import ConsoleLog

        return Named("console", ConsoleLog(self.write()))
