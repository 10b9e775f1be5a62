"""
The destination's leg as a bare socket, and how the nested epoll opens one.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Closed, IPAddress
from txconnect.wire.authority import addressText

OUT = select.EPOLLOUT
BROKEN = select.EPOLLERR | select.EPOLLHUP

_BIND_ADDRESS_NO_PORT = 24
"""C{IP_BIND_ADDRESS_NO_PORT} of Linux, for IPv6 too; Python has it from 3.12."""


class _Adopting(Factory):
    """Makes one protocol: the leg that was made already."""

    noisy = False

    def __init__(self, leg: Leg) -> None:
        self._leg = leg

    def buildProtocol(self, addr: Any) -> Leg:
        return self._leg


class SocketLeg:
    """
    A connected socket that the nested epoll watches for OUT, and that a relay
    has still to take over.

    @ivar socket: the socket; does not block.
    @ivar peer: the address and the port that it leads to.
    @ivar held: what has been read already; nothing.
    """

    __slots__ = ("_mask", "_nested", "_watched", "peer", "socket")

    held: Sequence[bytes] = ()

    def __init__(
        self, nested: NestedEpoll, skt: socket.socket, peer: tuple[IPAddress, int]
    ) -> None:
        self._nested = nested
        self.socket = skt
        self.peer = peer
        self._watched = True
        self._mask = OUT

    @property
    def mask(self) -> int | None:
        """What the descriptor is watched for; L{None} when it is not."""
        return self._mask if self._watched else None

    def handOver(self, late: Callable[[bytes], object]) -> None:
        """
        A kernel relay has it from now on, and has it watched.

        @param late: not called: nobody has read from it.
        """
        self._watched = False

    def lose(self, reset: bool, ended: bool) -> None:
        """
        Close it; nobody watches it any more.

        @param reset: it is set to reset the connection when it is closed.
        @param ended: a FIN has left already.
        """
        if not reset and not ended:
            # Closing alone would not send one while a child has a copy.
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                # The other end has closed it first.
                pass
        self.socket.close()

    def abort(self) -> None:
        """Nobody wants it: reset it."""
        # Also where a relay has begun to take it over, and could not.
        self._nested.unwatch(self.socket.fileno())
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._nested.later(self.socket.close)

    def asTransport(self) -> Leg:
        """
        Make a transport of it, for the transport relay.

        C{adoptStreamConnection} duplicates the descriptor; the original leaves
        the epoll and is closed before any event of the copy.

        @raise OSError: there is no descriptor left, or it is gone already.
        """
        self._unwatch()
        # Twisted asks this of the copy, and would leave that open.
        self.socket.getpeername()
        leg = Leg()
        self._nested.reactor.adoptStreamConnection(
            self.socket.fileno(), self.socket.family, _Adopting(leg)
        )
        self._nested.later(self.socket.close)
        return leg

    def park(self) -> None:
        """Nobody has taken it over yet: watch for nothing but its end."""
        if self._watched:
            self._mask = 0
            self._nested.change(self.socket.fileno(), 0, self)

    def ready(self, events: int) -> None:
        """It has ended; whoever takes it over will see that."""
        self._unwatch()

    def ended(self, reason: Closed) -> None:
        """The reactor stops."""
        self.abort()

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._nested.unwatch(self.socket.fileno())


class _Connecting:
    """A socket that is being connected."""

    def __init__(
        self, nested: NestedEpoll, skt: socket.socket, peer: tuple[IPAddress, int]
    ) -> None:
        self._nested = nested
        self._socket = skt
        self._peer = peer
        self.opened: Deferred[SocketLeg] = Deferred(self._givenUp)

    def ready(self, events: int) -> None:
        """It is up, or it has failed."""
        # A connection that has failed, or has been reset since, says ERR.
        if events & BROKEN:
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._close()
                self.opened.errback(OSError(number, os.strerror(number)))
                return
        leg = SocketLeg(self._nested, self._socket, self._peer)
        self.opened.callback(leg)
        leg.park()

    def ended(self, reason: Closed) -> None:
        """The reactor stops."""
        self._close()
        self.opened.errback(OSError(errno.ECONNABORTED, "the proxy stops"))

    def _givenUp(self, _: Deferred[SocketLeg]) -> None:
        self._close()

    def _close(self) -> None:
        self._nested.unwatch(self._socket.fileno())
        self._nested.later(self._socket.close)


def openSocket(
    nested: NestedEpoll, address: IPAddress, port: int, source: str | None = None
) -> Deferred[SocketLeg]:
    """
    Connect to one address; see L{txconnect.dialing.dialer.Open}.

    @param source: the address to connect from; L{None}: the system's choice.
    @raise OSError: at once, when that fails at once.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    skt = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        skt.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # As at the client's; see txconnect.fronts.ports.
        skt.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        if source is not None:
            # The port is chosen with the connection: there are many then.
            skt.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            skt.bind((source, 0))
        number = skt.connect_ex((addressText(address), port))
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, os.strerror(number))
        connecting = _Connecting(nested, skt, (address, port))
        nested.watch(skt.fileno(), OUT, connecting)
    except BaseException:
        skt.close()
        raise
    return connecting.opened
