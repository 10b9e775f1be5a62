"""
The destination's leg as a bare socket, opened in the nested epoll.

It is a channel from the start, and so costs no transport: it becomes one
(C{adoptStreamConnection}) only when the transport relay serves.
"""

from __future__ import annotations

import errno
import os
import socket

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from txconnect.maybeasync import OneResult
from txconnect.tunnel.kernel.nested import BROKEN, OUT, NestedEpoll, SocketChannel
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Closed, IPAddress
from txconnect.wire.authority import addressText

_BIND_ADDRESS_NO_PORT = 24
"""C{IP_BIND_ADDRESS_NO_PORT} of Linux, for IPv6 too; Python has it from 3.12."""


class _Adopting(Factory):
    """A factory of one protocol: the leg that was made already."""

    noisy = False

    def __init__(self, leg: Leg) -> None:
        self._leg = leg

    def buildProtocol(self, addr: IAddress | None) -> Leg:
        return self._leg


class SocketLeg(SocketChannel):
    """
    The destination's socket: the dialler's, then a channel of the relay that
    takes it.

    @ivar peer: the address and the port that it leads to.
    """

    __slots__ = ("peer",)

    def __init__(
        self, nested: NestedEpoll, skt: socket.socket, peer: tuple[IPAddress, int]
    ) -> None:
        super().__init__(nested, skt)
        self.peer = peer
        # The descriptor is still in the epoll, as its connecting left it.
        self._mask = OUT

    def closeChannel(self, reset: bool) -> None:
        """See L{SocketChannel.closeChannel<txconnect.tunnel.kernel.channel.Channel.closeChannel>}."""
        self.closeSocket(reset)

    def getHost(self) -> IAddress:
        """See L{Channel.getHost<txconnect.tunnel.kernel.channel.Channel.getHost>}."""
        return self._asAddress(*self.socket.getsockname()[:2])

    def getPeer(self) -> IAddress:
        """See L{Channel.getPeer<txconnect.tunnel.kernel.channel.Channel.getPeer>}."""
        address, port = self.peer
        return self._asAddress(str(address), port)

    def _asAddress(self, host: str, port: int) -> IAddress:
        made = IPv4Address if self.peer[0].version == 4 else IPv6Address
        return made("TCP", host, port)

    def abort(self) -> None:
        """Reset it: no tunnel will take it.  A second time does nothing."""
        if self.socket.fileno() < 0:
            return
        # Also where a relay has begun to take it over, and could not.
        self._nested.unwatch(self.descriptor)
        self.makeReset()
        self._nested.afterBatch(self.socket.close)

    def asTransport(self) -> Leg:
        """
        Make a transport of it, for the transport relay.

        C{adoptStreamConnection} duplicates the descriptor; the original leaves
        the epoll and is closed before any event of the copy.

        @raise OSError: no descriptor is left, or the connection is gone already.
        """
        self.stopWatching()
        # Twisted calls this on the copy, and would leave that open if it raises.
        self.socket.getpeername()
        leg = Leg()
        self._nested.reactor.adoptStreamConnection(
            self.descriptor, self.socket.family, _Adopting(leg)
        )
        self._nested.afterBatch(self.socket.close)
        return leg


class _Parked:
    """
    A leg that no relay has taken yet, watched for nothing but its end.
    """

    def __init__(self, leg: SocketLeg) -> None:
        self._leg = leg

    def eventsReady(self, events: int) -> None:
        """Watch it no more: it has ended, and a relay that takes it will see that."""
        self._leg.stopWatching()

    def watchLost(self, reason: Closed) -> None:
        """Reset it: the reactor stops."""
        self._leg.abort()


class _Connecting(OneResult):
    """A socket that is being connected: the result is its L{SocketLeg}."""

    __slots__ = ("_nested", "_peer", "_socket")

    def __init__(
        self, nested: NestedEpoll, skt: socket.socket, peer: tuple[IPAddress, int]
    ) -> None:
        super().__init__()
        self._nested = nested
        self._socket = skt
        self._peer = peer

    def eventsReady(self, events: int) -> None:
        """Tell the result: it is connected, or it has failed."""
        # A connection that has failed, or has been reset since, says ERR.
        if events & BROKEN:
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._closeSocket()
                self.fire(Failure(OSError(number, os.strerror(number))))
                return
        descriptor = self._socket.fileno()
        leg = SocketLeg(self._nested, self._socket, self._peer)
        self.fire(leg)
        if self._nested.isWatchedBy(descriptor, self):
            # No relay has taken it, and no caller has reset it.
            self._nested.changeWatch(descriptor, 0, _Parked(leg))

    def watchLost(self, reason: Closed) -> None:
        """Tell that it has failed: the reactor stops."""
        self._closeSocket()
        self.fire(Failure(OSError(errno.ECONNABORTED, "the proxy stops")))

    def cancel(self) -> None:
        """See L{OneResult}."""
        if not self.called:
            self._closeSocket()

    def _closeSocket(self) -> None:
        self._nested.unwatch(self._socket.fileno())
        self._nested.afterBatch(self._socket.close)


def openSocket(
    nested: NestedEpoll, address: IPAddress, port: int, source: str | None = None
) -> OneResult:
    """
    Connect to one address; see L{txconnect.dialing.openers.Open}.

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
            # The port is then chosen at connect(), for the destination: without
            # this, a source address would have its ports once for all of them.
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
    return connecting
