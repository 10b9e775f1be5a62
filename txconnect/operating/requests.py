"""
The requests that signals stand for, and the proxy of one process, which answers
them.

SIGHUP asks most programs to read their configuration again.  This one cannot:
it says so each time, and opens its logs again, which the other half of those who
send it want.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger

from txconnect.operating.signals import Action, SignalHandlers

_log = Logger()


class Operated(Protocol):
    """
    The part of a program that answers its operator: the proxy of this process,
    or the parent of workers.
    """

    def reopenLogs(self) -> str:
        """Open all log files again; returns what has been done, for the log."""


class OperatedProxy:
    """
    The proxy of one process, as L{Operated}.
    """

    def __init__(self, proxy: Any) -> None:
        """
        @param proxy: a L{ConnectProxy<txconnect.service.ConnectProxy>}.
        """
        self._proxy = proxy

    def reopenLogs(self) -> str:
        names = self._proxy.reopenLogs()
        if not names:
            return "there is no log file to open again"
        return f"opened the log files again ({', '.join(names)})"


def signalHandlers(
    reactor: Any, operated: Operated, program: Callable[[], int]
) -> SignalHandlers:
    """
    Make the handlers of one process.

    @param program: returns the process that SIGTERM ends the program by; asked
        when a signal has come, as twistd forks.
    """

    def hungUp(name: str) -> None:
        _log.info(
            "{signal}: {done}; nothing was reloaded: a changed configuration needs a "
            "restart",
            signal=name,
            done=operated.reopenLogs(),
        )

    def reopen(name: str) -> None:
        _log.info("{signal}: {done}", signal=name, done=operated.reopenLogs())

    def ignored(name: str) -> None:
        _log.info(
            "{signal} has no meaning here and is ignored; SIGTERM to process {program} "
            "ends the program",
            signal=name,
            program=program(),
        )

    actions: dict[int, Action] = {signal.SIGHUP: hungUp, signal.SIGUSR1: reopen}
    return SignalHandlers(reactor, actions, ignored)
