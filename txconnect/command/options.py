"""
The options of C{twistd connectproxy}: arguments in, a L{Configuration} out.

Parsing also builds everything that the configuration means, so that a mistake
is one line and not a traceback.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.copyright import version as twistedVersion
from twisted.cred import strcred
from twisted.cred.credentials import IUsernamePassword
from twisted.python import usage

from txconnect.command.help import usageText
from txconnect.command.settingoptions import settingParameters, settingsFrom
from txconnect.command.terminallog import LOG_OBSERVER
from txconnect.configuration import BuiltProxy, Configuration, build
from txconnect.configuration.configuration import MOST_WORKERS
from txconnect.errors import ConfigurationError
from txconnect.listening import DEFAULT_LISTEN, Exit
from txconnect.naming import VERSION
from txconnect.observers.terminal import lineWriter
from txconnect.plugins import OBSERVER, POLICY, Kind
from txconnect.plugins.listing import listed


class Options(usage.Options, strcred.AuthOptionMixin):
    """
    The command line of C{twistd connectproxy}.

    After parsing: C{["configuration"]}; C{["built"]}, the L{BuiltProxy} made of
    it and not started; and C{["held"]}, where there are workers, the
    L{HeldSockets<txconnect.workers.sockets.HeldSockets>} of each listener.

    @ivar isConsole: whether this is C{txconnect}, not C{twistd}.
    @ivar failed: whether parsing ended in an error.
    """

    synopsis = "[options]"
    optFlags = [
        ["open-proxy", None, "let everyone through who can reach a listener"],
    ]
    optParameters = settingParameters()
    supportedInterfaces = (IUsernamePassword,)

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.failed = False
        self.isConsole = False
        self._texts: dict[str, list[str]] = {}
        self._workers = 1

    def opt_listen(self, endpoint: str) -> None:
        """
        where to listen: an endpoint string, or 3128 (this machine only),
        HOST:3128, [::1]:3128; repeatable [default: tcp:3128:interface=127.0.0.1]
        """
        self._add("listeners", endpoint)

    opt_l = opt_listen

    def opt_auth(self, checker: str) -> None:
        """
        ask for passwords, and check them with this: htpasswd:PATH, file:PATH;
        repeatable; see --help-auth
        """
        self._add("checkers", checker)

    def opt_auth_scheme(self, scheme: str) -> None:
        """
        how clients send who they are; repeatable [default: basic]
        """
        self._add("schemes", scheme)

    def opt_policy(self, policy: str) -> None:
        """
        allow only what this allows, too: NAME[:ARGUMENT], ./file.py:NAME or
        package.module:NAME; repeatable; ports:443 and networks:public stand
        until one of the same name is given; see --help-policy
        """
        self._add("policies", policy)

    def opt_observer(self, observer: str) -> None:
        """
        tell this of every tunnel and refusal, written as a policy is;
        repeatable [default: lines on the terminal, or in the log of a daemon];
        see --help-observer
        """
        self._add("observers", observer)

    def opt_tap(self, tap: str) -> None:
        """
        show this the bytes of the tunnels that it picks; repeatable
        """
        self._add("taps", tap)

    def opt_router(self, router: str) -> None:
        """
        ask this how a tunnel leaves; the first answer counts; repeatable
        """
        self._add("routers", router)

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
        self._add("routes", route)

    def opt_pair(self, pair: str) -> None:
        """
        build the protocols of each tunnel with this
        """
        self._add("pair", pair)

    def opt_workers(self, number: str) -> None:
        """
        processes that share the listeners; with 1, there is but this one
        [default: 1]
        """
        if not (re.fullmatch("[0-9]{1,4}", number) and 1 <= int(number) <= 1024):
            raise usage.UsageError(f"--workers: {number!r} is not 1 to {MOST_WORKERS}")
        self._workers = int(number)

    def opt_help(self) -> None:
        """
        show this and exit
        """
        usage.Options.opt_help(self)

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

    def opt_help_auth(self) -> None:
        """
        list the installed checkers for --auth and exit
        """
        strcred.AuthOptionMixin.opt_help_auth(self)

    def opt_help_auth_type(self, authType: str) -> None:
        """
        say more about one checker and exit
        """
        strcred.AuthOptionMixin.opt_help_auth_type(self, authType)

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
        Make the configuration, and build it.

        @raise usage.UsageError: with what cannot be made, in one line.
        """
        if self._workers > 1 and self._parentOption("chroot"):
            raise usage.UsageError(
                "--workers: there is no program to start behind twistd --chroot"
            )
        try:
            self["configuration"] = self._configuration()
            self["built"] = self._build(self["configuration"])
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

    def _add(self, field: str, text: str) -> None:
        self._texts.setdefault(field, []).append(text)

    def _list(self, kind: Kind) -> None:
        sys.stdout.write(listed(kind))
        raise SystemExit(0)

    def _configuration(self) -> Configuration:
        texts: dict[str, Any] = {"listeners": [DEFAULT_LISTEN], **self._texts}
        pairs: list[str] = texts.pop("pair", [])
        if len(pairs) > 1:
            raise ConfigurationError("--pair is given twice: a tunnel has one pair")
        return Configuration(
            **{field: tuple(given) for field, given in texts.items()},
            pair=next(iter(pairs), None),
            settings=settingsFrom(self),
            openProxy=bool(self["open-proxy"]),
            workers=self._workers,
        )

    def _build(self, configuration: Configuration) -> BuiltProxy:
        from twisted.internet import reactor

        held = self["held"] = self._held(reactor, configuration)
        return build(reactor, configuration, self.write(), held)

    def _held(self, reactor: Any, configuration: Configuration) -> Sequence[Any] | None:
        """With workers, the parent binds the sockets and hands them on."""
        if configuration.workers == 1:
            return None
        from txconnect.workers.sockets import HeldSockets

        return [HeldSockets(reactor) for _ in configuration.listeners]

    def _belowTwistd(self) -> bool:
        # twist does not know the option.
        return self.parent is not None and "nodaemon" in self.parent

    def _program(self) -> str:
        if self.isConsole:
            return "txconnect"
        return "twistd connectproxy" if self._belowTwistd() else "connectproxy"

    def _parentOption(self, name: str) -> Any:
        return None if self.parent is None else self.parent.get(name)
