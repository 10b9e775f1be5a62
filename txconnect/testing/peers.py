"""
The other ends of a memory network's connections: clients and destinations
that a test scripts, byte by byte, and asks what they have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHalfCloseableProtocol, IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.testing.sockets import MemorySocket


@implementer(IHalfCloseableProtocol)
class Peer(Protocol):
    """
    One end of a connection, in the hands of a test.

    What it sends leaves, and what it is sent arrives, when the network is
    driven.  It closes by itself when both directions have ended.

    @ivar ended: the other end's FIN has been read.
    @ivar closed: the connection is gone.
    @ivar reason: why it is gone.
    """

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
        """All that has been read so far."""
        return bytes(self._received)

    @property
    def reset(self) -> bool:
        """A RST has arrived, even where it could not be noticed yet."""
        return self._socket.resetReceived

    @property
    def host(self) -> IPv4Address | IPv6Address:
        """The address of this end."""
        return self._host

    @property
    def peer(self) -> IPv4Address | IPv6Address:
        """The address of the other end, as it is seen from here."""
        return self._peer

    # What a test does with it.

    def send(self, data: bytes) -> None:
        """Send, after what is sent already."""
        self.transport.write(data)

    def end(self) -> None:
        """Send a FIN behind all data; go on reading."""
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
        """Read on."""
        self.transport.resumeProducing()

    def take(self) -> bytes:
        """What has been read since the last time, or since the start."""
        taken = self.received
        self._received.clear()
        return taken

    # What the transport does with it.

    def connectionMade(self) -> None:
        """Remember what is gone with the transport, and speak first."""
        self._socket = self.transport.getHandle()
        self._host = self.transport.getHost()
        self._peer = self.transport.getPeer()
        if self._banner:
            self.send(self._banner)

    def dataReceived(self, data: bytes) -> None:
        """Keep it, and send it back where that was asked for."""
        self._received += data
        if self._echo:
            self.send(data)

    def readConnectionLost(self) -> None:
        """The other end has sent its FIN."""
        self.ended = True
        if self._sentEnd:
            self.transport.loseConnection()
        elif self._echo:
            self.end()

    def writeConnectionLost(self) -> None:
        """Our FIN has left."""
        if self.ended:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All is over."""
        self.closed = True
        self.reason = reason


class Destination(Factory):
    """
    A server in the hands of a test.

    @ivar peers: the connections that it has accepted, oldest first.
    @ivar port: where it listens.
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
        """The one connection that it has accepted."""
        if len(self.peers) != 1:
            raise AssertionError(
                f"this destination has accepted {len(self.peers)} connections, not one"
            )
        return self.peers[0]

    def buildProtocol(self, addr: Any) -> _Accepted:
        """Accept a connection."""
        return _Accepted(self)

    def stop(self) -> None:
        """Listen no more: who connects from now on is refused."""
        self.port.stopListening()


class _Accepted(Peer):
    def __init__(self, destination: Destination) -> None:
        super().__init__(destination._banner, destination._echo)
        self._destination = destination

    def connectionMade(self) -> None:
        self._destination.peers.append(self)
        super().connectionMade()
        if self._destination._accepted is not None:
            self._destination._accepted(self)
