"""
What stands between the legs: taps that see, pairs that change, and failures
of both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from relaypromises import relayOf
from rig import Rig, body, connect
from twisted.internet.interfaces import ISSLTransport
from zope.interface import implementer

from txconnect.interfaces import IPairFactory, ITrafficTap
from txconnect.testing import CHUNKS
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.values import Closed, Direction, TunnelInfo

everyChunk = pytest.mark.parametrize("chunk", CHUNKS)


@implementer(ITrafficTap)
class Copies:
    """A tap that keeps what it sees."""

    def __init__(self) -> None:
        self.seen = {Direction.UP: b"", Direction.DOWN: b""}

    def tap(self, tunnel: TunnelInfo) -> Callable[[Direction, bytes], object] | None:
        return self._see

    def _see(self, direction: Direction, data: bytes) -> None:
        self.seen[direction] += data


@implementer(ITrafficTap)
class Fails:
    """A tap that raises at the first byte."""

    def tap(self, tunnel: TunnelInfo) -> Callable[[Direction, bytes], object] | None:
        def see(direction: Direction, data: bytes) -> None:
            raise RuntimeError("the disk is full")

        return see


class Shouting(ProxyServer):
    """Changes what the client says, and adds a last word."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data.upper())

    def readConnectionLost(self) -> None:
        super().dataReceived(b" OVER")


class Greeting(ProxyClient):
    """Says something when it is connected."""

    lost = 0

    def connectionMade(self) -> None:
        self.peer.transport.write(b"welcome: ")

    def connectionLost(self, reason: object = None) -> None:
        type(self).lost += 1


@implementer(IPairFactory)
class Pairs:
    """Hands out two classes."""

    def __init__(self, server: type, client: type) -> None:
        self._classes = server, client

    def buildPair(self, tunnel: TunnelInfo) -> tuple[ProxyServer, ProxyClient]:
        server, client = self._classes
        return server(), client()


@everyChunk
def test_tapSeesAllAndChangesNothing(chunk: object) -> None:
    """[TU-01] Early data and both directions, as they arrive."""
    tap = Copies()
    rig = Rig(chunk=chunk, taps=[tap])
    client, destination = rig.tunnel(early=b"early ")
    client.send(b"up")
    destination.send(b"down")
    rig.flush()
    assert tap.seen == {Direction.UP: b"early up", Direction.DOWN: b"down"}
    assert (destination.received, body(client)) == (b"early up", b"down")
    client.abort()
    rig.assertOver()


def test_failingTapEndsItsTunnelAlone() -> None:
    """[T16] Cut, visibly: both legs are reset, the reason is told, nobody else feels it."""
    rig = Rig(taps=[Fails()])
    client, destination = rig.tunnel()
    other, _ = rig.client(), None
    client.send(b"x")
    rig.flush()
    assert client.reset
    assert destination.reset
    assert destination.received == b""
    assert not other.closed
    other.abort()
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.TAP_FAILED


def test_tapFailingOnEarlyData() -> None:
    """[T1] Early data that a tap does not stand: cut, and no byte gets through."""
    rig = Rig(taps=[Fails()])
    destination = rig.serve()
    client = rig.client(connect() + b"early")
    assert client.reset
    assert destination.peer.received == b""
    rig.assertOver()
    assert [each.reason for each in rig.events.closed] == [Closed.TAP_FAILED]
    assert len(rig.events.established) == 1


@everyChunk
def test_pairThatChangesBytes(chunk: object) -> None:
    """[TU-01] A subclassed pair changes bytes, and may speak behind the 200 and at the end."""
    rig = Rig(chunk=chunk, pairFactory=Pairs(Shouting, Greeting))
    client, destination = rig.tunnel(early=b"hello")
    client.send(b" you")
    client.end()
    rig.flush()
    assert destination.received == b"HELLO YOU OVER"
    assert destination.ended
    destination.send(b"bye")
    destination.end()
    rig.flush()
    assert body(client) == b"welcome: bye"
    rig.assertOver()
    # What was taken from the legs is counted, not what a pair made of it.
    assert (rig.events.closed[0].up, rig.events.closed[0].down) == (9, 3)


@pytest.mark.parametrize(
    "method",
    ["dataReceived", "readConnectionLost", "connectionLost"],
)
def test_failingPair(method: str) -> None:
    """A half that raises, wherever, ends its tunnel alone; all is given back."""

    def fail(*arguments: object) -> None:
        raise RuntimeError("no")

    rig = Rig(
        pairFactory=Pairs(type("Bad", (ProxyServer,), {method: fail}), ProxyClient)
    )
    client, destination = rig.tunnel()
    client.send(b"x")
    rig.flush()
    for peer in (client, destination):
        if not peer.closed:
            peer.end()
            rig.flush()
    assert client.closed
    rig.assertOver()
    assert len(rig.events.closed) == 1
    if method != "connectionLost":
        assert rig.events.closed[0].reason is Closed.PAIR_FAILED
        assert destination.reset


def test_pairThatFailsWhenItIsConnected() -> None:
    """It comes after the 200, and so cannot be a 500: the tunnel is cut."""

    class Bad(ProxyClient):
        def connectionMade(self) -> None:
            raise RuntimeError("no")

    rig = Rig(pairFactory=Pairs(ProxyServer, Bad))
    destination = rig.serve()
    client = rig.client(connect() + b"early")
    assert client.reset
    assert destination.peer.reset
    assert destination.peer.received == b""
    rig.assertOver()
    assert [each.reason for each in rig.events.closed] == [Closed.PAIR_FAILED]


@pytest.mark.parametrize("leg", ["client", "destination"])
def test_pairThatClosesItsLeg(leg: str) -> None:
    """[TU-02] A half may close its own transport; what is written before goes out."""

    class Closes(ProxyServer if leg == "client" else ProxyClient):  # type: ignore[misc]
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.loseConnection()

    pair = (Closes, ProxyClient) if leg == "client" else (ProxyServer, Closes)
    rig = Rig(pairFactory=Pairs(*pair))
    client, destination = rig.tunnel()
    first, second = (client, destination) if leg == "client" else (destination, client)
    first.send(b"once")
    rig.flush()
    assert second.received.endswith(b"once")
    assert client.ended
    assert destination.ended
    client.end()
    destination.end()
    rig.assertOver()
    assert rig.events.closed[0].reason is (
        Closed.CLIENT if leg == "client" else Closed.DESTINATION
    )


class Looking(ProxyServer):
    """Asks its transport for what that of its leg has."""

    seen: list[object] = []

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.seen.append(transport.getPeerCertificate())
        self.seen.append(ISSLTransport.providedBy(transport))
        self.seen.append(hasattr(transport, "noSuchThing"))


def test_aHalfsTransportHasWhatItsLegHas() -> None:
    """[F51] Its methods and interfaces: a half of a TLS leg may ask for the certificate."""
    rig = Rig(tlsClient=True, pairFactory=Pairs(Looking, ProxyClient))
    client, _ = rig.tunnel()
    leg = relayOf(rig)._client.transport
    assert Looking.seen == [None, ISSLTransport.providedBy(leg), False]
    client.abort()
    rig.assertOver()


def test_aHalfThatClosesTwice() -> None:
    """[TU-02] The second time does nothing; what is written then is dropped."""

    class Closes(ProxyServer):
        def dataReceived(self, data: bytes) -> None:
            transport: Any = self.transport
            transport.write(b"bye")
            transport.loseConnection()
            transport.loseConnection()
            transport.write(b" more")
            assert transport.disconnecting

    rig = Rig(pairFactory=Pairs(Closes, ProxyClient))
    client, destination = rig.tunnel()
    client.send(b"x")
    rig.flush()
    assert body(client) == b"bye"
    assert client.ended
    assert destination.ended
    client.end()
    destination.end()
    rig.assertOver()
