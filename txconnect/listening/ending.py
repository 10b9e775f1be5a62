"""
How the program ends when it cannot listen: a line and a status for whoever
waits, an exception for the parent of a daemon.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import attrs
from twisted.logger import Logger

_log = Logger()


class CannotStart(Exception):
    """
    The proxy cannot listen as it was told to.

    @ivar short: the same in a few words, the address and the reason first: of
        a daemon's exception C{twistd} shows about 98 octets.
    """

    def __init__(self, line: str, short: str) -> None:
        super().__init__(line)
        self.short = short


@attrs.frozen
class Exit:
    """
    How the program ends when it cannot listen.

    @ivar foreground: whether somebody waits for the exit status: one line and
        status 1.  A daemon must raise instead, so that its parent hears of it;
        C{SystemExit} there leaves the parent waiting.
    @ivar program: what the line begins with.
    @ivar pidfile: the file that C{twistd} wrote and, on these ways out, does
        not remove; or empty.
    """

    reactor: Any
    foreground: bool
    program: str = "txconnect"
    pidfile: str = ""

    def now(self, reason: CannotStart) -> NoReturn:
        """End the start-up that is under way."""
        if not self.foreground:
            raise CannotStart(reason.short, reason.short) from None
        self._say(reason)
        self._removePidfile()
        raise SystemExit(1)

    def later(self, reason: CannotStart) -> None:
        """Stop the running reactor; the exit status is 1."""
        if self.foreground:
            self._say(reason)
        else:
            _log.error("{reason}", reason=str(reason))
        self.reactor.addSystemEventTrigger("after", "shutdown", self._leave)
        self.reactor.stop()

    def _say(self, reason: CannotStart) -> None:
        # sys.stderr is the log by now.
        stream = sys.__stderr__ or sys.stderr
        stream.write(f"{self.program}: {reason}\n")
        stream.flush()

    def _leave(self) -> None:
        # twistd ends with status 0 whatever its services did.
        self._removePidfile()
        sys.stdout.flush()
        os._exit(1)

    def _removePidfile(self) -> None:
        if self.pidfile and os.path.exists(self.pidfile):
            os.unlink(self.pidfile)
