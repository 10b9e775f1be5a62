"""
A watch for clients that leave while their transport is not read.

The reactor no longer watches a transport that is paused, or whose input has ended, so
it sees no reset of it.  Here its descriptor is watched, in the nested epoll, for what
Linux reports with an empty mask: C{EPOLLERR} and C{EPOLLHUP}.  A FIN alone is neither,
because the connection can still be written to.  With C{EPOLLRDHUP} in the mask it is
reported as well, behind any number of octets that nobody has read: a stranger must not
hide by them that it has closed its socket.

Only a client that has filled the bound of early data, or has sent FIN, is watched so.
Rejected: to watch every client from its head to its 200; reading on notices its
leaving for less.
"""

from __future__ import annotations

import select
from collections.abc import Callable

from twisted.internet import tcp, unix

from txconnect.tunnel.kernel.clientsocket import ClientSocket
from txconnect.tunnel.kernel.nested import BROKEN, NestedEpoll
from txconnect.values import Closed

_ACCEPTED = (tcp.Server, unix.Server)


class _Leaving:
    """A client that is watched."""

    def __init__(
        self,
        forget: Callable[[], None],
        left: Callable[[], None],
        ended: Callable[[], None] | None,
    ) -> None:
        self._forget: Callable[[], None] | None = forget
        self._left = left
        self._ended = ended

    def eventsReady(self, events: int) -> None:
        """Report, once, that it has left or has ended."""
        self._stopWatching()
        if events & BROKEN or self._ended is None:
            self._left()
        else:
            self._ended()

    def watchLost(self, reason: Closed) -> None:
        """Watch it no more; the owner learns of the end elsewhere."""
        self._stopWatching()

    def _stopWatching(self) -> None:
        # Once: what is told may have it watched anew, and then raise.
        forget, self._forget = self._forget, None
        if forget is not None:
            forget()


class LeaveWatch:
    """
    Tells when the other end of a plain connection has reset it, or has ended it.

    @param nested: the epoll that watches; with L{None} nothing is ever told.
    """

    def __init__(self, nested: NestedEpoll | None) -> None:
        self._nested = nested
        self._watched: dict[int, NestedEpoll] = {}

    def watch(
        self,
        transport: object,
        left: Callable[[], None],
        ended: Callable[[], None] | None = None,
    ) -> None:
        """
        Call C{left} when the peer of C{transport} has reset it, or C{ended} when it has
        sent FIN.  Either is called once, and the watch is over with it.

        Only for exactly a C{tcp.Server} or a C{unix.Server}: a wrapper's
        descriptor is not its own to watch.

        @param ended: L{None} where a FIN is of no interest.
        """
        nested = self._nested
        if isinstance(transport, ClientSocket):
            transport = transport.asTransport()
        if nested is None or type(transport) not in _ACCEPTED:
            return
        descriptor = transport.fileno()  # type: ignore[attr-defined]
        leaving = _Leaving(lambda: self._stopWatching(descriptor), left, ended)
        mask = 0 if ended is None else select.EPOLLRDHUP
        try:
            nested.watch(descriptor, mask, leaving)
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
