"""
A watch for clients that leave while their transport is paused.

A paused Twisted transport sees neither FIN nor reset, because the reactor no
longer watches it.  Here its descriptor is watched for C{EPOLLRDHUP} alone, by
one epoll of our own whose descriptor is one reader to the reactor.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

BATCH = 64
"""The most descriptors that are served in one turn of the reactor."""


@implementer(IReadDescriptor)
class LeaveWatch:
    """
    Tells when the other end of a plain TCP connection has ended or reset it.

    @param reactor: watched through when it provides C{IReactorFDSet}; with
        any other, and on systems without epoll, nothing is ever told.
    """

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        able = IReactorFDSet.providedBy(reactor) and hasattr(select, "epoll")
        self._able = able
        self._epoll: Any = None
        self._watched: dict[int, Callable[[], None]] = {}

    def watch(self, transport: Any, left: Callable[[], None]) -> None:
        """
        Call C{left} once when the peer of C{transport} has left.

        Only for exactly a C{tcp.Server}: a wrapper's descriptor is not its
        own to watch.
        """
        if not self._able or type(transport) is not tcp.Server:
            return
        if self._epoll is None:
            self._epoll = select.epoll()
            self._reactor.addReader(self)
        descriptor = transport.fileno()
        self._watched[descriptor] = left
        self._epoll.register(descriptor, select.EPOLLRDHUP)

    def unwatch(self, transport: Any) -> None:
        """Watch it no more; must be called before it is closed."""
        descriptor = transport.fileno() if type(transport) is tcp.Server else -1
        if descriptor in self._watched:
            self._forget(descriptor)

    def stop(self) -> None:
        """Give the epoll's descriptor back."""
        self._watched.clear()
        if self._epoll is not None:
            self._reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None

    def fileno(self) -> int:
        """See C{IFileDescriptor}."""
        return self._epoll.fileno() if self._epoll is not None else -1

    def logPrefix(self) -> str:
        """See C{ILoggingContext}."""
        return "txconnect"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops, or has dropped this reader."""
        self.stop()

    def doRead(self) -> None:
        """Tell who has left."""
        for descriptor, _ in self._epoll.poll(0, BATCH):
            left = self._watched.get(descriptor)
            if left is None:
                continue
            self._forget(descriptor)
            try:
                left()
            except Exception:
                # An exception that leaves doRead makes the reactor drop the
                # one reader, and with it every watch.
                self._log.failure("a client that left could not be let go")

    def _forget(self, descriptor: int) -> None:
        del self._watched[descriptor]
        self._epoll.unregister(descriptor)
