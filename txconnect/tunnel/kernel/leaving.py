"""
A watch for clients that leave while their transport is not read.

The reactor no longer watches a transport that is paused, or whose input has ended, so
it sees no reset of it.  Here its descriptor is watched, in the nested epoll, for what
Linux reports with an empty mask: C{EPOLLERR} and C{EPOLLHUP}.  A FIN alone is neither,
because the connection can still be written to.  Where a FIN is leaving, too
(C{--half-close close-both}), C{EPOLLRDHUP} is in the mask.

Only a client that has filled the bound of early data, or has sent FIN, is watched so.
Rejected: to watch every client from its head to its 200; reading on notices its
leaving for less.
"""

from __future__ import annotations

import select
from collections.abc import Callable

from twisted.internet import tcp, unix

from txconnect.tunnel.kernel.clientsocket import ClientSocket
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.values import Closed

_ACCEPTED = (tcp.Server, unix.Server)


class _Leaving:
    """A client that is watched."""

    def __init__(self, forget: Callable[[], None], left: Callable[[], None]) -> None:
        self._stopWatching = forget
        self._left = left

    def eventsReady(self, events: int) -> None:
        """Report, once, that it has left."""
        self._stopWatching()
        self._left()

    def watchLost(self, reason: Closed) -> None:
        """Watch it no more; the owner learns of the end elsewhere."""
        self._stopWatching()


class LeaveWatch:
    """
    Tells when the other end of a plain connection has reset it, or has ended it.

    @param nested: the epoll that watches; with L{None} C{left} is never called.
    """

    def __init__(self, nested: NestedEpoll | None) -> None:
        self._nested = nested
        self._watched: dict[int, NestedEpoll] = {}

    def watch(
        self, transport: object, left: Callable[[], None], ends: bool = False
    ) -> None:
        """
        Call C{left} once when the peer of C{transport} has left.

        Only for exactly a C{tcp.Server} or a C{unix.Server}: a wrapper's
        descriptor is not its own to watch.

        @param ends: whether a FIN is leaving, too.
        """
        nested = self._nested
        if isinstance(transport, ClientSocket):
            transport = transport.asTransport()
        if nested is None or type(transport) not in _ACCEPTED:
            return
        descriptor = transport.fileno()  # type: ignore[attr-defined]
        leaving = _Leaving(lambda: self._stopWatching(descriptor), left)
        try:
            nested.watch(descriptor, select.EPOLLRDHUP if ends else 0, leaving)
        except OSError:
            # No more can be watched: it leaves unseen until a deadline, as where
            # there is no epoll.
            return
        self._watched[descriptor] = nested

    def unwatch(self, transport: object) -> None:
        """Watch it no more; must be called before it is closed."""
        if isinstance(transport, ClientSocket):
            transport = transport.asTransport()
        if type(transport) not in _ACCEPTED:
            return
        descriptor = transport.fileno()  # type: ignore[attr-defined]
        if descriptor in self._watched:
            self._stopWatching(descriptor)

    def _stopWatching(self, descriptor: int) -> None:
        self._watched.pop(descriptor).unwatch(descriptor)
