"""
A CONNECT client on the memory network, and a proxy in the hands of the test.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.client.endpoint import ConnectEndpoint
from txconnect.testing import MemoryNetwork, Peer

PROXY = "192.0.2.9"
ASKED = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Caller(Protocol):
    """
    The caller's protocol: remembers what it hears, in order.

    @ivar heard: words, and the data received between them as one.
    @ivar lost: why the connection is gone.
    """

    transport: Any = None

    def __init__(self) -> None:
        self.heard: list[str | bytes] = []
        self.lost: Failure | None = None

    @property
    def data(self) -> bytes:
        """All data received."""
        return b"".join(each for each in self.heard if isinstance(each, bytes))

    def connectionMade(self) -> None:
        self.heard.append("made")

    def dataReceived(self, data: bytes) -> None:
        if isinstance(self.heard[-1], bytes):
            self.heard[-1] += data
        else:
            self.heard.append(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.heard.append("lost")
        self.lost = reason


@implementer(IHalfCloseableProtocol)
class HalfCaller(Caller):
    """A caller's protocol that knows of half-close."""

    def readConnectionLost(self) -> None:
        self.heard.append("end")

    def writeConnectionLost(self) -> None:
        self.heard.append("ended")


class CountingFactory(Factory):
    """
    A caller's factory.

    @ivar addresses: what C{buildProtocol} was given.
    @ivar starts: C{startFactory} calls; C{stops} likewise.
    """

    noisy = False

    def __init__(self, protocol: Any = Caller) -> None:
        self.protocol = protocol
        self.addresses: list[Any] = []
        self.starts = 0
        self.stops = 0

    def startFactory(self) -> None:
        self.starts += 1

    def stopFactory(self) -> None:
        self.stops += 1

    def buildProtocol(self, addr: Any) -> Any:
        self.addresses.append(addr)
        return self.protocol()


class ClientRig:
    """
    An endpoint, its proxy, and what came of C{connect}.

    @ivar outcome: empty, the protocol, or the Failure.
    """

    def __init__(
        self,
        chunk: Any = None,
        host: Any = "example.com",
        port: int = 443,
        protocol: Any = Caller,
        **arguments: Any,
    ) -> None:
        self.network = MemoryNetwork(chunk=chunk)
        self.proxy = self.network.serve(PROXY, 3128)
        self.factory = CountingFactory(protocol)
        self.outcome: list[Any] = []
        arguments.setdefault("clock", self.network)
        self.endpoint = ConnectEndpoint(self.way(), host, port, **arguments)

    def way(self, port: int = 3128) -> Any:
        """The endpoint of the proxy itself."""
        return TCP4ClientEndpoint(self.network, PROXY, port)

    def connect(self) -> Deferred[Any]:
        """Begin, and let all happen that can."""
        connecting: Deferred[Any] = self.endpoint.connect(self.factory)
        connecting.addBoth(self.outcome.append)
        self.network.flush()
        return connecting

    @property
    def peer(self) -> Peer:
        """The proxy's end of the last connection."""
        return self.proxy.peers[-1]

    def says(self, data: bytes) -> bytes:
        """Let the proxy say something; answers what it is told then."""
        self.peer.send(data)
        self.network.flush()
        return self.peer.take()

    def established(self, answer: bytes = OK) -> Any:
        """Begin, and let the proxy agree."""
        self.connect()
        assert self.peer.take() == ASKED + b"\r\n"
        self.says(answer)
        return self.caller

    @property
    def caller(self) -> Any:
        """The caller's protocol, when there is a tunnel."""
        [caller] = self.outcome
        assert isinstance(caller, Caller), caller
        return caller

    def failed(self, kind: type[BaseException]) -> Any:
        """The error that came of it; all that was there is gone by then."""
        [failure] = self.outcome
        assert isinstance(failure, Failure), failure
        assert type(failure.value) is kind, failure
        self.network.flush()
        assert all(p.closed or p.reset or p.ended for p in self.proxy.peers)
        assert self.factory.starts == self.factory.stops == 1
        assert self.factory.addresses == []
        self.network.assertClean()
        return failure.value
