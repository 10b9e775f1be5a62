"""
The other ends of a memory network's connections: clients and destinations
that a test scripts, byte by byte, and that keep all they receive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.testing.sockets import MemorySocket


@implementer(IHalfCloseableProtocol)
class Peer(Protocol):
    """
    One end of a connection, controlled by a test.

    Octets leave and arrive when the network is driven.  A peer closes without
    a call when both directions have ended.

    @ivar ended: true when the other end's FIN has been read.
    @ivar closed: true when the connection is gone.
    @ivar reason: the reason why it is gone.
    """

    # Twisted's TCP transport: its ITransport has neither pause nor reset.
    transport: Any
    _socket: MemorySocket
    _host: IPv4Address | IPv6Address
    _peer: IPv4Address | IPv6Address
    ended = False
    closed = False
    reason: Failure | None = None

    def __init__(self, banner: bytes = b"", echo: bool = False) -> None:
        self._banner = banner
        self._echo = echo
        self._sentEnd = False
        self._received = bytearray()

    @property
    def received(self) -> bytes:
        """Return all octets that have been read so far."""
        return bytes(self._received)

    @property
    def reset(self) -> bool:
        """Tell whether a RST has arrived, even one that was not read yet."""
        # Of the socket: a paused transport learns of it only when it resumes.
        return self._socket.resetReceived

    @property
    def host(self) -> IPv4Address | IPv6Address:
        """Return the address of this end."""
        return self._host

    @property
    def peer(self) -> IPv4Address | IPv6Address:
        """Return the address of the other end, as this end sees it."""
        return self._peer

    # Methods that a test calls.

    def send(self, data: bytes) -> None:
        """Send octets, after all those sent before."""
        self.transport.write(data)

    def end(self) -> None:
        """Send a FIN after all data; go on reading."""
        self._sentEnd = True
        self.transport.loseWriteConnection()

    def close(self) -> None:
        """Close in order; bytes left unread make it a RST."""
        self.transport.loseConnection()

    def abort(self) -> None:
        """Send a RST; data not sent yet is dropped."""
        self.transport.abortConnection()

    def pause(self) -> None:
        """Stop reading: no data, no FIN, no RST is noticed."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read again."""
        self.transport.resumeProducing()

    def take(self) -> bytes:
        """Return the octets read since the last call, or since the start."""
        taken = self.received
        self._received.clear()
        return taken

    # Methods that the transport calls.

    def connectionMade(self) -> None:
        """Keep the socket and the addresses, and send the banner."""
        # A transport drops its socket with the connection; a test asks later.
        self._socket = self.transport.getHandle()
        self._host = self.transport.getHost()
        self._peer = self.transport.getPeer()
        if self._banner:
            self.send(self._banner)

    def dataReceived(self, data: bytes) -> None:
        """Keep the octets, and send them back where C{echo} is true."""
        self._received += data
        if self._echo:
            self.send(data)

    def readConnectionLost(self) -> None:
        """Note the other end's FIN, and answer it where this end is done."""
        self.ended = True
        if self._sentEnd:
            self.transport.loseConnection()
        elif self._echo:
            self.end()

    def writeConnectionLost(self) -> None:
        """Close, if the other end has sent its FIN."""
        if self.ended:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note the end of the connection."""
        self.closed = True
        self.reason = reason


class Destination(Factory):
    """
    A server controlled by a test.

    @ivar peers: the connections that it has accepted, oldest first.
    @ivar port: the port on which it listens.
    """

    noisy = False
    port: IListeningPort

    def __init__(
        self,
        banner: bytes = b"",
        echo: bool = False,
        accepted: Callable[[Peer], object] | None = None,
    ) -> None:
        self.peers: list[Peer] = []
        self._banner = banner
        self._echo = echo
        self._accepted = accepted

    @property
    def peer(self) -> Peer:
        """Return the one connection that it has accepted."""
        if len(self.peers) != 1:
            raise AssertionError(
                f"this destination has accepted {len(self.peers)} connections, not one"
            )
        return self.peers[0]

    def buildProtocol(self, addr: IAddress | None) -> _AcceptedPeer:
        """Accept a connection."""
        return _AcceptedPeer(self)

    def stop(self) -> None:
        """Stop listening: new connections are refused."""
        self.port.stopListening()


class _AcceptedPeer(Peer):
    """A peer on a connection that a destination has accepted."""

    def __init__(self, destination: Destination) -> None:
        super().__init__(destination._banner, destination._echo)
        self._destination = destination

    def connectionMade(self) -> None:
        self._destination.peers.append(self)
        super().connectionMade()
        if self._destination._accepted is not None:
            self._destination._accepted(self)
