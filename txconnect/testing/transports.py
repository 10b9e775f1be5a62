"""
Transports on sockets of memory.

They are Twisted's own TCP transports, so that buffers, producers, half-close
and every trap of theirs are the real ones, of the Twisted that is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    INegotiated,
    IProducer,
    IProtocol,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.testing.reactor import MemoryReactor
from txconnect.testing.sockets import MemorySocket

if TYPE_CHECKING:
    from OpenSSL.crypto import X509


def buildAddress(address: Any) -> IPv4Address | IPv6Address:
    """What Twisted calls the address that a socket gives."""
    kind = IPv4Address if len(address) == 2 else IPv6Address
    return kind("TCP", *address)


class MemoryServer(tcp.Server):
    """An accepted connection."""


class MemoryClient(tcp.Client):
    """A connection that was dialled."""

    def __init__(
        self,
        host: str,
        port: int,
        bindAddress: Any,
        connector: MemoryConnector,
        reactor: Any,
    ) -> None:
        # createInternetSocket needs it before tcp.Client sets it.
        self._network: MemoryReactor = reactor
        super().__init__(  # type: ignore[no-untyped-call]
            host, port, bindAddress, connector, reactor
        )

    def createInternetSocket(self) -> MemorySocket:
        """Open a socket of the network's."""
        return self._network.kernel.socket(self.addressFamily)


class MemoryConnector(tcp.Connector):
    """One attempt to connect, and another after each C{connect()}."""

    def _makeTransport(self) -> MemoryClient:
        return MemoryClient(self.host, self.port, self.bindAddress, self, self.reactor)


class MemoryPort(tcp.Port):
    """
    A listening port.

    @ivar outside: it is a test's own peer that listens.
    """

    reactor: Any
    transport = MemoryServer
    outside = False

    def createInternetSocket(self) -> Any:
        """Open a socket of the network's."""
        return self.reactor.kernel.socket(self.addressFamily, self.outside)

    def doRead(self) -> None:
        """
        Accept all who wait.

        It is not inherited, because older ones set flags on the descriptor.
        As there, what a factory or protocol raises does not stop the port.
        """
        listening: Any = self.socket
        while listening.waiting:
            self.reactor.guarded(self._accept, *listening.accept())

    def _accept(self, accepted: Any, address: Any) -> None:
        protocol = None
        try:
            protocol = self.factory.buildProtocol(buildAddress(address))  # type: ignore[union-attr]
        finally:
            if protocol is None:
                accepted.close()
        if protocol is not None:
            self.sessionno += 1
            made = self.transport(
                accepted, protocol, address, self, self.sessionno, self.reactor
            )
            protocol.makeConnection(made)


class OutsidePort(MemoryPort):
    """A listening port of a test's own peer."""

    outside = True


class PeerTransport(tcp.Connection):
    """The connection of a test's own peer, made from a connected socket."""

    def __init__(
        self, connected: MemorySocket, protocol: IProtocol, reactor: MemoryReactor
    ) -> None:
        super().__init__(connected, protocol, reactor)  # type: ignore[arg-type]
        self.connected = 1
        self._host = buildAddress(connected.getsockname())
        self._peer = buildAddress(connected.getpeername())
        self.startReading()  # type: ignore[no-untyped-call]

    def getHost(self) -> IAddress:
        """This end."""
        return self._host

    def getPeer(self) -> IAddress:
        """The other end."""
        return self._peer


@implementer(INegotiated, IHalfCloseableProtocol)
class TLSLike(ProtocolWrapper):
    """
    A transport with the manners of L{twisted.protocols.tls} and no cipher.

    A FIN stands for C{close_notify}.  There is no half-close: the end of
    input closes, after flushing.  L{loseConnection} says so to the peer and
    then waits for the peer's own end; with a producer registered it waits for
    that to be unregistered first.  Without the peer's FIN, and so after
    L{abortConnection} too, the protocol is told C{ConnectionLost}.  As with the real one, C{__getattr__}
    passes what is not here to the TCP transport below, so that
    C{loseWriteConnection} is there, and wrong to call.
    """

    transport: Any
    factory: TLSLikeFactory
    negotiatedProtocol = None
    _producer: IProducer | None = None
    _ended = False

    def getPeerCertificate(self) -> X509 | None:
        """The certificate that the network was told for this port."""
        return self.factory.certificate

    def write(self, data: bytes) -> None:
        """Write, unless the connection is being closed."""
        if self._ended or (self.disconnecting and self._producer is None):
            return
        self.transport.write(data)

    def writeSequence(self, data: Any) -> None:
        """Write all of them."""
        self.write(b"".join(data))

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Register with the TCP transport, and remember."""
        if self._ended:
            producer.stopProducing()
            return
        self.transport.registerProducer(producer, streaming)
        self._producer = producer

    def unregisterProducer(self) -> None:
        """Forget the producer, and close if that waited for it."""
        if self._producer is None:
            return
        self._producer = None
        self.transport.unregisterProducer()
        if self.disconnecting:
            self.transport.loseWriteConnection()

    def loseConnection(self) -> None:
        """Tell the peer, who has to end the connection too."""
        if self.disconnecting or not self.connected:
            return
        self.disconnecting = True
        if self._producer is None:
            self.transport.loseWriteConnection()

    def abortConnection(self) -> None:
        """Break off."""
        self.disconnecting = True
        self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        """The peer has ended: close what is left."""
        self._ended = True
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """The peer has been told; it is his turn."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone: in order only when the peer has ended it."""
        if not self._ended:
            # What OpenSSL calls an unexpected end, after one's own abort too.
            reason = Failure(ConnectionLost())
        self._ended = True
        self.connected = 0
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class TLSLikeFactory(WrappingFactory):
    """
    Makes the connections of another factory TLS-like.

    @ivar certificate: what C{getPeerCertificate} gives.
    """

    protocol = TLSLike

    def __init__(self, wrapped: Any, certificate: X509 | None) -> None:
        super().__init__(wrapped)  # type: ignore[no-untyped-call]
        self.certificate = certificate
