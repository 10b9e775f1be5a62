"""
The operator's requests that signals carry, and the proxy of one process, which
carries them out.

SIGHUP makes most programs read their configuration again.  This one cannot: it
reports so each time, and opens its logs again, which is the other common reason
to send it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import Logger

from txconnect.operating.listing import ListedProxy, Listing
from txconnect.operating.signals import Action, SignalHandlers

_log = Logger()


class Operated(Protocol):
    """
    The part of a program that serves its operator: the proxy of this process, or
    the parent of workers.
    """

    def reopenLogs(self) -> str:
        """Open all log files again; return a report for the log."""

    def listTunnels(self) -> None:
        """List the open tunnels in the log."""

    def tellStop(self, why: str = "") -> None:
        """
        Say in the log what the stop that begins will end.

        @param why: the name of the signal, or empty.
        """


class ReopeningProxy(ListedProxy, Protocol):
    """The part of a L{ConnectProxy<txconnect.proxy.ConnectProxy>} that is needed."""

    def reopenLogs(self) -> list[str]:
        """Open the files of all plugins again; return the plugins' names."""


class OperatedProxy:
    """
    The proxy of one process, as L{Operated}.
    """

    def __init__(self, clock: IReactorTime, proxy: ReopeningProxy) -> None:
        """
        @param clock: the time of the list's pauses.
        @param proxy: the proxy of this process.
        """
        self._proxy = proxy
        self._listing = Listing(clock, proxy)

    def reopenLogs(self) -> str:
        """Open the files of all plugins again; return a report in words."""
        names = self._proxy.reopenLogs()
        if not names:
            return "no log file was opened again"
        return f"opened the log files again ({', '.join(names)})"

    def listTunnels(self) -> None:
        """Begin to list the open tunnels in the log."""
        self._listing.beginList()

    def tellStop(self, why: str = "") -> None:
        """Say in the log how much the stop that begins will end."""
        _log.info(
            "{why}stopping; open tunnels: {tunnels}; connections of clients: {connections}",
            why=why and f"{why}: ",
            tunnels=len(self._proxy.resources.tunnels.live()),
            connections=self._proxy.connections,
        )


def signalHandlers(
    reactor: IReactorFromThreads, operated: Operated, program: Callable[[], int]
) -> SignalHandlers:
    """
    Make the handlers of one process.

    @param program: returns the id of the process to which SIGTERM must be sent to
        end the program; called when a signal has come, because twistd forks.
    """

    def reopenOnHangup(name: str) -> None:
        _log.info(
            "{signal}: {done}; nothing was reloaded: a changed configuration needs a "
            "restart",
            signal=name,
            done=operated.reopenLogs(),
        )

    def reopenFiles(name: str) -> None:
        _log.info("{signal}: {done}", signal=name, done=operated.reopenLogs())

    def reportIgnored(name: str) -> None:
        _log.info(
            "{signal} has no meaning here and is ignored; SIGTERM to process {program} "
            "ends the program",
            signal=name,
            program=program(),
        )

    # All three are free in Twisted; twistd takes SIGUSR1 for its own log, and its
    # handler is called too (see signals).
    actions: dict[int, Action] = {
        signal.SIGHUP: reopenOnHangup,
        signal.SIGUSR1: reopenFiles,
        signal.SIGUSR2: lambda name: operated.listTunnels(),
    }
    return SignalHandlers(reactor, actions, reportIgnored)
