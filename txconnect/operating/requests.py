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

from txconnect.operating.listing import Listing
from txconnect.operating.signals import Action, SignalHandlers

_log = Logger()


class Operated(Protocol):
    """
    The part of a program that answers its operator: the proxy of this process,
    or the parent of workers.
    """

    def reopenLogs(self) -> str:
        """Open all log files again; returns what has been done, for the log."""

    def listTunnels(self) -> None:
        """List the open tunnels in the log."""


class OperatedProxy:
    """
    The proxy of one process, as L{Operated}.
    """

    def __init__(self, clock: Any, proxy: Any) -> None:
        """
        @param clock: provides C{IReactorTime}.
        @param proxy: a L{ConnectProxy<txconnect.proxy.ConnectProxy>}.
        """
        self._proxy = proxy
        self._listing = Listing(clock, proxy)

    def reopenLogs(self) -> str:
        """Open the files of all plugins again; returns that in words."""
        names = self._proxy.reopenLogs()
        if not names:
            return "no log file was opened again"
        return f"opened the log files again ({', '.join(names)})"

    def listTunnels(self) -> None:
        """Begin the list."""
        self._listing.begin()


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

    actions: dict[int, Action] = {
        signal.SIGHUP: hungUp,
        signal.SIGUSR1: reopen,
        signal.SIGUSR2: lambda name: operated.listTunnels(),
    }
    return SignalHandlers(reactor, actions, ignored)
