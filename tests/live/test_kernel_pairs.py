"""
Which relay serves real connections, and pairs that the kernel relay serves.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kernelrig import KernelRig, RealPeer
from relaypromises import noise
from rig import ESTABLISHED, body, connect, logging
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer, ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txconnect.interfaces import IPairFactory, ITrafficTap
from txconnect.proxy import ConnectProxyFactory
from txconnect.tunnel.kernel import flow as room
from txconnect.tunnel.kernel.paired import PairedRelay
from txconnect.tunnel.kernel.relay import KernelRelay
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.tunnel.transport.relay import TransportRelay
from txconnect.values import Closed, TunnelInfo

MakeRig = Callable[..., KernelRig]


@pytest.fixture(params=["transports", "bare"])
def makeRig(request: pytest.FixtureRequest) -> Iterator[MakeRig]:
    """A rig that accepts as an embedded proxy does, or as the command does."""
    made: list[KernelRig] = []

    def make(**arguments: Any) -> KernelRig:
        made.append(KernelRig(accepts=request.param, **arguments))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


class Told:
    """A half that sees no bytes; keeps what it is told, and by which name."""

    kernelRelay = True
    transport: Any
    peer: Any

    def __init__(self) -> None:
        self.told: list[str] = []
        self.reason: Failure | None = None

    def connectionMade(self) -> None:
        self.told.append("made")

    def dataReceived(self, data: bytes) -> None:
        raise AssertionError("it sees no bytes")

    def readConnectionLost(self) -> None:
        self.told.append("read")

    def writeConnectionLost(self) -> None:
        self.told.append("write")

    def connectionLost(self, reason: Any = None) -> None:
        self.told.append("lost")
        self.reason = reason


class ToldServer(Told, ProxyServer):
    kernelRelay = True


class ToldClient(Told, ProxyClient):
    kernelRelay = True


@implementer(IPairFactory)
class Pairs:
    """Hands out the pairs of two classes, and keeps them."""

    def __init__(self, server: type = ToldServer, client: type = ToldClient) -> None:
        self._classes = server, client
        self.pairs: list[Any] = []

    def buildPair(self, tunnel: TunnelInfo) -> Any:
        server, client = self._classes
        self.pairs.append((server(), client()))
        return self.pairs[-1]


@implementer(ITrafficTap)
class Taps:
    """Taps, or leaves alone."""

    def __init__(self, tap: Any) -> None:
        self._tap = tap

    def tap(self, tunnel: TunnelInfo) -> Any:
        return self._tap


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({}, KernelRelay),
        ({"taps": [Taps(None)]}, KernelRelay),
        ({"taps": [Taps(lambda direction, data: None)]}, KernelRelay),
        ({"pairFactory": Pairs(ProxyServer, ProxyClient)}, PairedRelay),
        ({"pairFactory": Pairs()}, PairedRelay),
        (
            {"pairFactory": Pairs(type("Heir", (ToldServer,), {}), ProxyClient)},
            TransportRelay,
        ),
    ],
    ids=["plain", "no tap", "tap", "stock pair", "says so", "inherits it"],
)
def test_whichRelayServesATcpListener(
    makeRig: MakeRig, arguments: Any, kind: type
) -> None:
    """The rule, as real connections have it."""
    rig = makeRig(**arguments)
    rig.tunnel()
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    assert type(tunnel.relay) is kind


def test_theSettingHasTheTransportRelayServe(makeRig: MakeRig) -> None:
    """C{relay="transport"}: no kernel relay, and no socket that one would take over."""
    rig = makeRig(settings={"relay": "transport"})
    assert rig.proxy.kernel is None


def test_aUnixListenersClientsAreTheTransportRelays(
    makeRig: MakeRig, tmp_path: Any
) -> None:
    """A C{unix.Server} is a C{tcp.Server} by inheritance, and is not meant."""
    rig = makeRig()
    rig.serve(echo=True)
    path = str(tmp_path / "proxy")
    rig.servers.append(
        rig.reactor.listenUNIX(path, ConnectProxyFactory(rig.reactor, rig.proxy))
    )
    # The destination's port is looked up at the last server.
    rig.servers.reverse()
    peer = RealPeer()
    rig.peers.append(peer)
    factory = Factory()
    factory.noisy = False
    factory.buildProtocol = lambda addr: peer  # type: ignore[method-assign]
    skt = socket.socket(socket.AF_UNIX)
    skt.connect(path)
    skt.setblocking(False)
    rig.reactor.adoptStreamConnection(skt.fileno(), socket.AF_UNIX, factory)
    skt.close()
    peer.send(connect() + b"hello")
    rig.flush()
    assert body(peer) == b"hello"
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    assert type(tunnel.relay) is TransportRelay


def paired(makeRig: MakeRig, **served: Any) -> tuple[KernelRig, Any, Any, Any, Any]:
    """A tunnel with a pair that keeps what it is told."""
    pairs = Pairs()
    rig = makeRig(pairFactory=pairs)
    client, destination = rig.tunnel(**served)
    server, other = pairs.pairs[0]
    return rig, client, destination, server, other


def test_aPairIsToldOfTheEnds(makeRig: MakeRig) -> None:
    """Connected once, told of each end, lost once; no bytes."""
    rig, client, destination, server, other = paired(makeRig)
    assert (server.peer, other.peer) == (other, server)
    client.send(b"question")
    client.end()
    rig.flush()
    assert server.told == ["made", "read"]
    assert other.told == ["made", "write"]
    destination.send(b"answer")
    destination.end()
    rig.assertOver()
    assert (destination.received, body(client)) == (b"question", b"answer")
    assert server.told == ["made", "read", "lost"]
    assert other.told == ["made", "write", "read", "lost"]
    assert server.reason.check(ConnectionDone)
    assert (rig.events.closed[0].up, rig.events.closed[0].down) == (8, 6)


def test_aPairIsToldOfAReset(makeRig: MakeRig) -> None:
    """[TU-04] Both halves are, each once."""
    rig, client, destination, server, other = paired(makeRig)
    client.abort()
    rig.assertOver()
    assert destination.reset
    for half in (server, other):
        assert half.told == ["made", "lost"]
        assert half.reason.check(ConnectionLost)
    assert rig.events.closed[0].reason is Closed.CLIENT_RESET


def test_theSmallTransport(makeRig: MakeRig) -> None:
    """It provides what it says, and knows both ends of its leg."""
    rig, client, destination, server, other = paired(makeRig)
    for half, far in ((server, client), (other, destination)):
        verifyObject(ITransport, half.transport)
        verifyObject(IPushProducer, half.transport)
        assert half.transport.getPeer() == far.host
        assert half.transport.getHost() == far.peer
    assert not server.transport.disconnecting


@pytest.mark.parametrize("chunk", [None, 1])
def test_whatAHalfWritesWhenItIsConnected(
    makeRig: MakeRig, chunk: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[K8] [T1] Behind the 200 on one leg, ahead of the early data on the other."""

    class Greets(ToldServer):
        kernelRelay = True

        def connectionMade(self) -> None:
            self.transport.write(b"welcome ")

    class Introduces(ToldClient):
        kernelRelay = True

        def connectionMade(self) -> None:
            self.transport.writeSequence([b"for ", b"you: "])

    if chunk:
        monkeypatch.setattr(room, "READ", chunk)
    rig = makeRig(pairFactory=Pairs(Greets, Introduces))
    client, destination = rig.tunnel(early=b"early", banner=b"banner")
    client.send(b" late")
    rig.flush()
    assert client.received == ESTABLISHED + b"welcome banner"
    assert destination.received == b"for you: early late"
    # What a pair adds is not what the tunnel has carried.
    relay = rig.relay()
    assert (relay.up, relay.down) == (10, 6)


def test_aHalfPausesItsLeg(makeRig: MakeRig) -> None:
    """Twice paused is paused, once resumed is resumed."""
    rig, client, destination, server, _ = paired(makeRig)
    server.transport.resumeProducing()
    server.transport.pauseProducing()
    server.transport.pauseProducing()
    client.send(b"up")
    destination.send(b"down")
    rig.flush()
    assert (destination.received, body(client)) == (b"", b"down")
    server.transport.resumeProducing()
    rig.flush()
    assert destination.received == b"up"


@pytest.mark.parametrize("call", ["loseConnection", "stopProducing"])
def test_aHalfClosesItsLeg(makeRig: MakeRig, call: str) -> None:
    """Behind what is to be written; the other leg follows."""
    rig, client, destination, server, other = paired(makeRig)
    client.pause()
    server.transport.write(noise(5_000_000))
    getattr(server.transport, call)()
    assert server.transport.disconnecting
    server.transport.write(b"not any more")
    rig.flush()
    assert not destination.ended
    client.resume()
    rig.flush()
    assert body(client) == noise(5_000_000)
    assert client.ended
    assert destination.ended
    rig.assertOver()
    assert (server.told[-1], other.told[-1]) == ("lost", "lost")
    assert rig.events.closed[0].reason is Closed.CLIENT


def test_aHalfResetsItsLeg(makeRig: MakeRig) -> None:
    """[TU-04] The other leg is reset as well; a second time does nothing."""
    rig, client, destination, _, other = paired(makeRig)
    other.transport.abortConnection()
    other.transport.abortConnection()
    other.transport.loseConnection()
    rig.flush()
    assert client.reset
    assert destination.reset
    rig.assertOver()
    assert [each.reason for each in rig.events.closed] == [Closed.DESTINATION_RESET]
    assert other.told == ["made", "lost"]


def test_lastWordsBehindTheEndOfInput(makeRig: MakeRig) -> None:
    """[TU-03] What is written in C{readConnectionLost} goes out ahead of the FIN."""

    class LastWord(ToldServer):
        kernelRelay = True

        def readConnectionLost(self) -> None:
            self.peer.transport.write(b" OVER")

    rig = makeRig(pairFactory=Pairs(LastWord))
    client, destination = rig.tunnel()
    client.send(b"hello")
    client.end()
    rig.flush()
    assert destination.received == b"hello OVER"
    assert destination.ended


def test_aHalfThatClosesAtTheEndOfInput(makeRig: MakeRig) -> None:
    """Reset from within the call: ended once."""

    class Leaves(ToldServer):
        kernelRelay = True

        def readConnectionLost(self) -> None:
            self.transport.abortConnection()

    rig = makeRig(pairFactory=Pairs(Leaves))
    client, _ = rig.tunnel()
    client.end()
    rig.assertOver()
    assert [each.reason for each in rig.events.closed] == [Closed.CLIENT_RESET]


def test_aHalfWritesBehindWhatIsInThePipe(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[K5] What the relay has taken comes first, wherever it is kept."""
    monkeypatch.setattr(room, "READ", 1000)
    monkeypatch.setattr(room, "BULK", 1)
    rig, client, destination, server, _ = paired(makeRig)
    client.pause()
    relay, sent = rig.relay(), b""
    while (waits := relay._down._backlog) is None or waits._pipe is None:
        destination.send(noise(65536))
        sent += noise(65536)
        rig.flush()
    taken = relay.down
    server.transport.write(b"between")
    server.transport.write(b" and more")
    client.resume()
    rig.flush()
    assert body(client) == sent[:taken] + b"between and more" + sent[taken:]
    client.abort()
    rig.assertOver()


@pytest.mark.parametrize(
    "when",
    ["connectionMade", "readConnectionLost", "writeConnectionLost", "connectionLost"],
)
@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_aHalfThatFailsEndsItsTunnel(
    makeRig: MakeRig, when: str, error: type[BaseException]
) -> None:
    """[K1] Logged, cut, accounted for; the other tunnels go on."""

    def fail(self: Any, *arguments: Any) -> None:
        raise error("a bug")

    failing = type("Failing", (ToldClient,), {when: fail, "kernelRelay": True})
    pairs = Pairs(ToldServer, failing)
    rig = makeRig(pairFactory=pairs)
    server = rig.serve()
    with logging() as logged:
        client = rig.client(connect())
        for peer in (client, server.peers[0]):
            if not peer.closed:
                peer.end()
        rig.assertOver()
    assert len(logged.errors) == 1
    assert "a pair failed" in logged.errors[0]
    reason = Closed.CLIENT if when == "connectionLost" else Closed.PAIR_FAILED
    assert [each.reason for each in rig.events.closed] == [reason]


def test_aPairWithoutHalfClose(makeRig: MakeRig) -> None:
    """A half that does not know of ends of input is told of its loss alone."""

    class Bare(Protocol):
        kernelRelay = True
        told = 0

        def connectionLost(self, reason: Any = None) -> None:
            type(self).told += 1

    rig = makeRig(pairFactory=Pairs(Bare, Bare))
    client, destination = rig.tunnel()
    client.end()
    destination.end()
    rig.assertOver()
    assert Bare.told == 2
    assert rig.events.closed[0].reason is Closed.CLIENT
