"""
The options of C{twistd connectproxy}: arguments in, a L{Configuration} out.

Parsing also builds everything that the configuration describes, so that a
mistake is one line and not a traceback.

The docstring of each C{opt_} method is the option's text in C{--help}.
"""

from __future__ import annotations

import getopt
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.cred import strcred
from twisted.cred.credentials import IUsernamePassword
from twisted.python import usage

from txconnect.command.daemonstart import requireFile
from txconnect.command.help import usageText
from txconnect.command.helpoptions import HelpOptions
from txconnect.command.settingoptions import settingParameters, settingsFrom
from txconnect.errors import ConfigurationError

# The rest is imported where it is used: the help needs no proxy.
if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorCore

    from txconnect.configuration import BuiltProxy, Configuration
    from txconnect.listening import Exit
    from txconnect.workers.sockets import HeldSockets

LOG_OBSERVER = "txconnect.command.terminallog.logObserver"
"""The argument of C{twistd --logger} in C{txconnect}."""


class Options(HelpOptions, usage.Options, strcred.AuthOptionMixin):
    """
    The command line of C{twistd connectproxy}.

    After parsing: C{["configuration"]}; C{["built"]}, the L{BuiltProxy} made
    from it and not started; and C{["held"]}, where there are workers, the
    L{HeldSockets<txconnect.workers.sockets.HeldSockets>} of each listener.

    @ivar isConsole: true when the program is C{txconnect}, not C{twistd}.
    @ivar failed: true when parsing has ended in an error.
    """

    synopsis = "[options]"
    optFlags = [
        [
            "open-proxy",
            None,
            "allow everyone who can reach a listener to use the proxy",
        ],
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
        listen on this endpoint: an endpoint string, or 3128 (this machine only),
        HOST:3128, [::1]:3128; repeatable [default: tcp:3128:interface=127.0.0.1]
        """
        self._addText("listeners", endpoint)

    opt_l = opt_listen

    def opt_auth(self, checker: str) -> None:
        """
        require a password, and check it with this checker: htpasswd:PATH,
        file:PATH, ./file.py:NAME or package.module:NAME; repeatable; see
        --help-auth
        """
        self._addText("checkers", checker)

    def opt_auth_scheme(self, scheme: str) -> None:
        """
        accept credentials in this scheme; repeatable [default: basic]; see
        --help-auth-scheme
        """
        self._addText("schemes", scheme)

    def opt_policy(self, policy: str) -> None:
        """
        allow only requests that this policy allows too: NAME[:ARGUMENT],
        ./file.py:NAME or package.module:NAME; repeatable; ports:443 and
        networks:public apply unless a policy of the same name is given; two
        lists of one name, as hosts:, are one list; see --help-policy
        """
        self._addText("policies", policy)

    def opt_observer(self, observer: str) -> None:
        """
        send every event to this observer, written as a policy is; repeatable
        [default: console, lines for people on the terminal or in a daemon's log];
        see --help-observer
        """
        self._addText("observers", observer)

    def opt_tap(self, tap: str) -> None:
        """
        show the bytes of tunnels to this tap, which selects them; repeatable; see
        --help-tap
        """
        self._addText("taps", tap)

    def opt_router(self, router: str) -> None:
        """
        ask this router for a request's route; repeatable, the first answer
        counts; see --help-router
        """
        self._addText("routers", router)

    def opt_route(self, route: str) -> None:
        """
        connect by this route: [PATTERN=]TARGET[|TARGET...]; PATTERN is a policy,
        such as hosts:*.corp.example, and requests that it allows take this route;
        TARGET is http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT,
        direct or bind:ADDRESS; it may be followed by ,credentials=FILE
        or ,credentials=env:NAME, and for https by ,ca=FILE ,cert=FILE ,key=FILE;
        several parents replace each other when one fails; repeatable, the first
        route that matches counts, after every --router [default: direct]
        """
        self._addText("routes", route)

    def opt_pair(self, pair: str) -> None:
        """
        make the protocols of each tunnel with this pair factory; see --help-pair
        """
        self._addText("pair", pair)

    def opt_plugin(self, plugin: str) -> None:
        """
        load this object once, written as a policy is, in every role that it has:
        policy, observer, tap, router, pair factory, scheme and checker;
        repeatable; see --help-plugin
        """
        self._addText("plugins", plugin)

    def opt_workers(self, number: str) -> None:
        """
        the number of processes that share the listeners; 1 means no workers, only
        this process [default: 1]
        """
        from txconnect.configuration.configuration import MOST_WORKERS

        if not re.fullmatch("[0-9]{1,4}", number) or not (
            1 <= int(number) <= MOST_WORKERS
        ):
            raise usage.UsageError(f"--workers: {number!r} is not 1 to {MOST_WORKERS}")
        self._workers = int(number)

    def parseArgs(self, *rest: str) -> None:
        """Refuse arguments that are not options."""
        if rest:
            from txconnect.command.mistakes import explainArgument

            raise usage.UsageError(explainArgument(rest[0]))

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse as C{usage.Options} does; but an error below C{twistd} is one line
        on standard error and status 1.  C{twistd} would write it on standard
        output, after other lines.
        """
        # Now, as twistd will put the observer in the place of its name.
        self.isConsole = self._parentOption("logger") == LOG_OBSERVER
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            self.failed = True
            text = str(error)
            if isinstance(error.__context__, getopt.GetoptError):
                from txconnect.command.mistakes import explainMistake

                text = explainMistake(self, error.__context__)
            if not self._belowTwistd():
                raise usage.UsageError(text) from error
            sys.stderr.write(f"{self._programName()}: {text}\n")
            raise SystemExit(1) from None

    def postOptions(self) -> None:
        """
        Make the configuration, and build the proxy from it.

        @raise usage.UsageError: with the first mistake, in one line.
        """
        if self._workers > 1 and self._parentOption("chroot"):
            raise usage.UsageError(
                "--workers: there is no program to start behind twistd --chroot"
            )
        try:
            self._requireFiles()
            self["configuration"] = self._makeConfiguration()
            self["built"] = self._buildProxy(self["configuration"])
        except ConfigurationError as error:
            raise usage.UsageError(str(error)) from error

    @property
    def foreground(self) -> bool:
        """True when C{twistd} does not become a daemon, so that its output is seen."""
        return bool(self._parentOption("nodaemon") or self._parentOption("debug"))

    @property
    def becomesDaemon(self) -> bool:
        """True when C{twistd} will fork, and its caller will wait for the start."""
        return self._belowTwistd() and not self.foreground

    def exit(
        self, reactor: IReactorCore, failed: Callable[[str], object] | None = None
    ) -> Exit:
        """
        Return the way in which this program ends when it cannot start.

        @param failed: of a daemon: brings a line to the process that was called.
        """
        from txconnect.listening import Exit

        parent = self.parent
        # twist never leaves the foreground.
        waits = parent is not None and (self.foreground or not self._belowTwistd())
        pidfile = str(self._parentOption("pidfile") or "")
        return Exit(reactor, waits, self._programName(), pidfile, failed)

    def getSynopsis(self) -> str:
        """Return the first line of the help."""
        if self.isConsole:
            return "Usage: txconnect [options]\n       txconnect passwd FILE USER"
        return super().getSynopsis()

    def getUsage(self, width: int | None = None) -> str:
        """Return the options in groups, or after a mistake one line that points there."""
        # twist prints the usage after each error: the error would scroll away.
        if self.failed:
            return "See --help for the options."
        width = width or int(os.environ.get("COLUMNS", "80"))
        return usageText(self, width, self.isConsole)

    def write(self) -> Callable[[str], object]:
        """Return the writer of lines for people: to the terminal, or a daemon's log."""
        from txconnect.observers.terminal import lineWriter

        return lineWriter(self.foreground)

    def _requireFiles(self) -> None:
        """Verify the paths of C{twistd}'s log, and of a daemon's pidfile."""
        logfile, pidfile = map(self._parentOption, ("logfile", "pidfile"))
        if logfile and logfile != "-" and not self._parentOption("syslog"):
            requireFile("--logfile", str(logfile))
        # Behind --rundir and --chroot the path may mean another place.
        elsewhere = self._parentOption("chroot") or (
            self._parentOption("rundir") not in (None, ".")
        )
        if pidfile and not elsewhere:
            requireFile("--pidfile", str(pidfile))

    def _addText(self, field: str, text: str) -> None:
        self._texts.setdefault(field, []).append(text)

    def _makeConfiguration(self) -> Configuration:
        from txconnect.configuration import Configuration
        from txconnect.listening import DEFAULT_LISTEN

        texts = {"listeners": [DEFAULT_LISTEN], **self._texts}
        pairs = texts.pop("pair", [])
        # usage.Options would let the last of two win in silence.
        if len(pairs) > 1:
            raise ConfigurationError("--pair is given twice: a tunnel has one pair")
        return Configuration(
            **{field: tuple(given) for field, given in texts.items()},
            pair=next(iter(pairs), None),
            settings=settingsFrom(self),
            openProxy=bool(self["open-proxy"]),
            workers=self._workers,
        )

    def _buildProxy(self, configuration: Configuration) -> BuiltProxy:
        # Late: importing a reactor installs one, and --reactor comes first.
        from twisted.internet import reactor

        from txconnect.configuration import build

        held = self["held"] = self._holdSockets(reactor, configuration)
        return build(reactor, configuration, self.write(), held)

    def _holdSockets(
        self, reactor: object, configuration: Configuration
    ) -> Sequence[HeldSockets] | None:
        """Make the parent's holders of sockets, one for each listener."""
        if configuration.workers == 1:
            return None
        from txconnect.workers.sockets import HeldSockets

        return [HeldSockets(reactor) for _ in configuration.listeners]

    def _belowTwistd(self) -> bool:
        # twist does not know the option.
        return self.parent is not None and "nodaemon" in self.parent

    def _programName(self) -> str:
        if self.isConsole:
            return "txconnect"
        return "twistd connectproxy" if self._belowTwistd() else "connectproxy"

    def _parentOption(self, name: str) -> object:
        return None if self.parent is None else self.parent.get(name)
