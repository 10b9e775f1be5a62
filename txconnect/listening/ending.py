"""
The end of a program that cannot listen: a line and an exit status in the
foreground, an exception for the parent of a daemon.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

import attrs
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger

_log = Logger()


class CannotStart(Exception):
    """
    The proxy cannot listen as its configuration says.

    @ivar short: the same in a few words, the address and the reason first,
        because C{twistd} shows about 98 octets of a daemon's exception.
    """

    def __init__(self, line: str, short: str) -> None:
        super().__init__(line)
        self.short = short


@attrs.frozen
class Exit:
    """
    The end of this program when it cannot listen.

    @ivar foreground: true when a caller waits for the exit status: it gets one
        line and status 1.
    @ivar failed: of a daemon: called with the line, which it brings to the process
        that was called.  Where there is none, a daemon raises L{CannotStart}, which
        is how C{twistd} reports to its parent; C{SystemExit} there would leave the
        parent waiting.
    @ivar program: the name at the beginning of the line.
    @ivar pidfile: the file that C{twistd} wrote and, when the program ends
        here, does not remove; or empty.
    """

    reactor: IReactorCore
    foreground: bool
    program: str = "txconnect"
    pidfile: str = ""
    failed: Callable[[str], object] | None = None

    def endStartup(self, reason: CannotStart) -> NoReturn:
        """End the start-up that is under way."""
        if self.foreground:
            self._writeLine(reason)
        elif self.failed is not None:
            _log.error("{reason}", reason=str(reason))
            self.failed(f"{self.program}: {reason}\n")
        else:
            raise CannotStart(reason.short, reason.short) from None
        self._removePidfile()
        raise SystemExit(1)

    def endRunning(self, reason: CannotStart) -> None:
        """Stop the reactor, which runs already; the exit status is 1."""
        if self.foreground:
            self._writeLine(reason)
        else:
            _log.error("{reason}", reason=str(reason))
        self.reactor.addSystemEventTrigger("after", "shutdown", self._exitProcess)
        self.reactor.stop()

    def _writeLine(self, reason: CannotStart) -> None:
        # sys.stderr is the log by now: the line would not reach the caller.
        stream = sys.__stderr__ or sys.stderr
        stream.write(f"{self.program}: {reason}\n")
        stream.flush()

    def _exitProcess(self) -> None:
        # twistd ends with status 0 whatever its services did, and the reactor
        # only logs a SystemExit that a trigger raises.
        self._removePidfile()
        sys.stdout.flush()
        os._exit(1)

    def _removePidfile(self) -> None:
        if self.pidfile and os.path.exists(self.pidfile):
            os.unlink(self.pidfile)
