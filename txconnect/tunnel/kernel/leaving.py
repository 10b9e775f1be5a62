"""
A watch for clients that leave while their transport is paused.

A paused Twisted transport sees neither FIN nor reset, because the reactor no
longer watches it.  Here its descriptor is watched for C{EPOLLRDHUP} alone, in
the nested epoll.

Only a client that has filled the bound of early data is watched so.  Rejected: to
watch every client from its head to its 200; reading on notices its leaving for less.
"""

from __future__ import annotations

import select
from collections.abc import Callable

from twisted.internet import tcp

from txconnect.tunnel.kernel.clientsocket import ClientSocket
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.values import Closed


class _Leaving:
    """A client that is watched."""

    def __init__(self, forget: Callable[[], None], left: Callable[[], None]) -> None:
        self._stopWatching = forget
        self._left = left

    def eventsReady(self, events: int) -> None:
        """Report, once, that it has ended or reset its connection."""
        self._stopWatching()
        self._left()

    def watchLost(self, reason: Closed) -> None:
        """Watch it no more; the owner learns of the end elsewhere."""
        self._stopWatching()


class LeaveWatch:
    """
    Tells when the other end of a plain TCP connection has ended or reset it.

    @param nested: the epoll that watches; with L{None} C{left} is never called.
    """

    def __init__(self, nested: NestedEpoll | None) -> None:
        self._nested = nested
        self._watched: dict[int, NestedEpoll] = {}

    def watch(self, transport: object, left: Callable[[], None]) -> None:
        """
        Call C{left} once when the peer of C{transport} has left.

        Only for exactly a C{tcp.Server}: a wrapper's descriptor is not its
        own to watch.
        """
        nested = self._nested
        if isinstance(transport, ClientSocket):
            transport = transport.asTransport()
        if nested is None or type(transport) is not tcp.Server:
            return
        descriptor = transport.fileno()
        leaving = _Leaving(lambda: self._stopWatching(descriptor), left)
        nested.watch(descriptor, select.EPOLLRDHUP, leaving)
        self._watched[descriptor] = nested

    def unwatch(self, transport: object) -> None:
        """Watch it no more; must be called before it is closed."""
        if isinstance(transport, ClientSocket):
            transport = transport.asTransport()
        descriptor = transport.fileno() if type(transport) is tcp.Server else -1
        if descriptor in self._watched:
            self._stopWatching(descriptor)

    def _stopWatching(self, descriptor: int) -> None:
        self._watched.pop(descriptor).unwatch(descriptor)
