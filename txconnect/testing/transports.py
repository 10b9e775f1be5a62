"""
Transports on sockets of memory.

They are Twisted's own TCP transports, so that buffers, producers, half-close
and all their traps are the real ones, of the Twisted that is installed.  One
trap: a transport with a paused producer resumes it when the buffer is empty,
and then forgets a half-close that it still owes.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    IProtocolFactory,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.testing.addressing import SocketAddress
from txconnect.testing.reactor import MemoryReactor
from txconnect.testing.sockets import MemorySocket

if TYPE_CHECKING:
    from OpenSSL.crypto import X509


def buildAddress(address: SocketAddress) -> IPv4Address | IPv6Address:
    """Make Twisted's object for an address of a socket."""
    if len(address) == 2:
        return IPv4Address("TCP", *address)
    return IPv6Address("TCP", *address)


class MemoryServer(tcp.Server):
    """The connection of the code under test that it has accepted."""


class MemoryClientTransport(tcp.Client):
    """The connection of the code under test that it has dialled."""

    def __init__(
        self,
        host: str,
        port: int,
        bindAddress: object,
        connector: MemoryConnector,
        reactor: Any,
    ) -> None:
        # createInternetSocket needs it before tcp.Client sets it.
        self._network: MemoryReactor = reactor
        super().__init__(  # type: ignore[no-untyped-call]
            host, port, bindAddress, connector, reactor
        )

    def createInternetSocket(self) -> MemorySocket:
        """Open a socket in memory."""
        return self._network.kernel.socket(self.addressFamily)


class MemoryConnector(tcp.Connector):
    """A connector, whose C{connect()} makes another attempt."""

    def _makeTransport(self) -> MemoryClientTransport:
        return MemoryClientTransport(
            self.host, self.port, self.bindAddress, self, self.reactor
        )


class MemoryPort(tcp.Port):
    """
    A listening port.

    @ivar outside: true when a test's own peer listens on it.
    """

    reactor: Any
    transport = MemoryServer
    outside = False

    def createInternetSocket(self) -> Any:
        """Open a socket in memory."""
        return self.reactor.kernel.socket(self.addressFamily, self.outside)

    def doRead(self) -> None:
        """
        Accept all connections that wait.

        Not inherited, because older Twisteds set flags on the descriptor.  As
        in Twisted, an exception of a factory or protocol does not stop the
        port.
        """
        listening: Any = self.socket
        while listening.pendingCount:
            self.reactor.callGuarded(self._acceptSocket, *listening.accept())

    def _acceptSocket(self, accepted: Any, address: SocketAddress) -> None:
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
        """Return the address of this end."""
        return self._host

    def getPeer(self) -> IAddress:
        """Return the address of the other end."""
        return self._peer


@implementer(INegotiated, IHalfCloseableProtocol)
class TLSLike(ProtocolWrapper):
    """
    A transport that behaves like L{twisted.protocols.tls}, without a cipher.

    A FIN stands for C{close_notify}.  There is no half-close: the end of input
    closes the connection, after flushing.  L{loseConnection} sends a FIN and
    then waits for the peer's own; with a producer registered it waits for that
    to be unregistered first.  Without the peer's FIN, and so after
    L{abortConnection} too, the protocol gets C{ConnectionLost}.  As in
    Twisted, C{__getattr__} passes other names to the TCP transport below, so
    that C{loseWriteConnection} exists, and is wrong to call.
    """

    transport: Any
    factory: TLSLikeFactory
    negotiatedProtocol = None
    _producer: IProducer | None = None
    _ended = False

    def getPeerCertificate(self) -> X509 | None:
        """Return the certificate that C{MemoryNetwork.tlsLike} was given."""
        return self.factory.certificate

    def write(self, data: bytes) -> None:
        """Write, unless the connection is being closed."""
        # While a producer is registered, loseConnection still lets it write.
        if self._ended or (self.disconnecting and self._producer is None):
            return
        self.transport.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write all chunks."""
        self.write(b"".join(data))

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Register with the TCP transport, and keep the producer."""
        if self._ended:
            # As in Twisted: after the end nothing would ever resume it.
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
        """Send a FIN to the peer, which has to end the connection too."""
        if self.disconnecting or not self.connected:
            return
        self.disconnecting = True
        # A producer has more to write: unregisterProducer sends the FIN then.
        if self._producer is None:
            self.transport.loseWriteConnection()

    def abortConnection(self) -> None:
        """Reset the connection."""
        self.disconnecting = True
        self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        """Close the connection: the peer has sent its FIN."""
        self._ended = True
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: the peer's FIN ends the connection."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the protocol's connection: in order only after the peer's FIN."""
        if not self._ended:
            # OpenSSL calls it an unexpected end, after an abort of one's own too.
            reason = Failure(ConnectionLost())
        self._ended = True
        self.connected = 0
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class TLSLikeFactory(WrappingFactory):
    """
    A factory that makes the connections of another one TLS-like.

    @ivar certificate: the result of C{getPeerCertificate}.
    """

    protocol = TLSLike

    def __init__(self, wrapped: IProtocolFactory, certificate: X509 | None) -> None:
        super().__init__(wrapped)  # type: ignore[no-untyped-call]
        self.certificate = certificate
