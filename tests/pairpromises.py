"""
What the transport of a half promises, whichever relay serves: pauses of its own,
producers, a bound.

As in L{relaypromises}, the fixture C{makeRig} says which relay serves.  The
halves do without the bytes, so that either can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from relaypromises import MakeRig, noise, relayOf
from rig import body, logging
from twisted.internet.interfaces import (
    IConsumer,
    IPullProducer,
    IPushProducer,
    ITransport,
)
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txconnect.interfaces import IPairFactory
from txconnect.tunnel import halftransport
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.values import Closed, Direction, TunnelInfo

PIECE = noise(50_000)
MANY = 2000
"""More pieces than any leg takes by itself."""


class Server(ProxyServer):
    """The client's half; counts the ends that it is told of."""

    kernelRelay = True
    ends = 0

    def readConnectionLost(self) -> None:
        self.ends += 1


class Client(ProxyClient):
    """The destination's half."""

    kernelRelay = True


class PausedClient(ProxyClient):
    """The destination's half, which has its leg wait from the start."""

    kernelRelay = True

    def connectionMade(self) -> None:
        self.transport.pauseProducing()


@implementer(IPairFactory)
class Halves:
    """Hands out a pair, and keeps it."""

    def __init__(self, client: type = Client) -> None:
        self.server = Server()
        self.client = client()

    def buildPair(self, tunnel: TunnelInfo) -> Any:
        return self.server, self.client


def paired(makeRig: MakeRig, **arguments: Any) -> tuple[Any, Any, Any, Any]:
    """A tunnel, and the transport of the client's half."""
    halves = Halves()
    rig = makeRig(pairFactory=halves, **arguments)
    client, destination = rig.tunnel()
    return rig, client, destination, halves.server.transport


def test_whatAHalfWritesCountsAsActivity(makeRig: MakeRig) -> None:
    """[F03] It keeps its tunnel, where neither side says anything."""
    rig, client, destination, transport = paired(
        makeRig, settings={"idleTimeout": 10.0}
    )
    for _ in range(5):
        rig.network.advance(8)
        transport.write(b"still here ")
    rig.network.advance(8)
    assert body(client) == 5 * b"still here "
    assert not destination.reset
    assert (relayOf(rig).up, relayOf(rig).down) == (0, 0)
    rig.network.advance(4)
    assert destination.reset
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.IDLE


@implementer(IPushProducer)
class Pusher:
    """Writes until it is paused, when a test says so."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.told: list[str] = []
        self.paused = False
        self.written = 0

    def push(self) -> None:
        """Write, but no more than C{MANY} pieces."""
        while not self.paused and self.written < MANY:
            self.written += 1
            self._transport.write(PIECE)

    def fill(self, rig: Any) -> None:
        """Write until the leg is full, and stays so."""
        while not self.paused and self.written < MANY:
            self.push()
            rig.flush()

    def pauseProducing(self) -> None:
        self.told.append("pause")
        self.paused = True

    def resumeProducing(self) -> None:
        self.told.append("resume")
        self.paused = False

    def stopProducing(self) -> None:
        self.told.append("stop")


@implementer(IPullProducer)
class Puller:
    """Writes a piece each time that it is asked, and so many of them."""

    def __init__(self, transport: Any, pieces: int) -> None:
        self._transport = transport
        self.left = pieces
        self.stopped = 0

    def resumeProducing(self) -> None:
        if self.left:
            self.left -= 1
            self._transport.write(PIECE)
        else:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.stopped += 1


def test_aHalfsTransportSaysWhatItIs(makeRig: MakeRig) -> None:
    """[F51] A transport, a producer, a consumer; and it knows both ends."""
    rig, client, destination, transport = paired(makeRig)
    for interface in (ITransport, IPushProducer, IConsumer):
        verifyObject(interface, transport)
    assert (transport.getPeer(), transport.getHost()) == (client.host, client.peer)
    assert not transport.disconnecting
    client.end()
    destination.end()
    rig.assertOver()
    assert transport.disconnecting


def test_aHalfThatReadsOnDoesNotUndoBackPressure(makeRig: MakeRig) -> None:
    """[F51] [TU-06] Its pause is its own, and so is what it takes back."""
    halves = Halves()
    rig = makeRig(pairFactory=halves)
    client, destination = rig.tunnel()
    client.pause()
    data = noise(rig.flood)
    destination.send(data)
    rig.flush()
    taken = relayOf(rig).down
    for _ in range(3):
        halves.client.transport.pauseProducing()
        halves.client.transport.pauseProducing()
        halves.client.transport.resumeProducing()
        halves.client.transport.resumeProducing()
        rig.flush()
    assert relayOf(rig).down == taken <= rig.inFlight
    client.resume()
    rig.flush()
    assert body(client) == data


def test_aHalfsPauseAndTheRelays(makeRig: MakeRig) -> None:
    """[F51] Neither undoes the other."""
    rig, client, destination, transport = paired(makeRig)
    pause = relayOf(rig).pause(Direction.UP)
    transport.pauseProducing()
    client.send(b"up")
    pause.release()
    rig.flush()
    assert destination.received == b""
    pause = relayOf(rig).pause(Direction.UP)
    transport.resumeProducing()
    rig.flush()
    assert destination.received == b""
    pause.release()
    rig.flush()
    assert destination.received == b"up"


def test_aHalfThatPausesFromTheStart(makeRig: MakeRig) -> None:
    """[F51] [T3] Also where its destination has spoken by then."""
    halves = Halves(PausedClient)
    rig = makeRig(pairFactory=halves)
    # Less than is read ahead of a tunnel may be passed on.
    client, destination = rig.tunnel(banner=b"banner")
    destination.send(b"paused")
    rig.flush()
    assert not body(client).endswith(b"paused")
    halves.client.transport.resumeProducing()
    rig.flush()
    assert body(client) == b"bannerpaused"


def test_aHalfThatReadsOnBehindTheEnd(makeRig: MakeRig) -> None:
    """[F51] [TU-03] The end is told once."""
    halves = Halves()
    rig = makeRig(pairFactory=halves)
    client, destination = rig.tunnel()
    client.end()
    rig.flush()
    halves.server.transport.pauseProducing()
    halves.server.transport.resumeProducing()
    rig.flush()
    assert halves.server.ends == 1
    destination.end()
    rig.assertOver()


class Trailing(Server):
    """The client's half, which holds the end that it is told of."""

    kernelRelay = True

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.transport.pauseProducing()


@implementer(IPairFactory)
class Trailers(Halves):
    def __init__(self) -> None:
        self.server = Trailing()
        self.client = Client()


def trailing(makeRig: MakeRig, **arguments: Any) -> tuple[Any, Any, Any, Trailing]:
    """A tunnel whose client has ended, which its half holds."""
    halves = Trailers()
    rig = makeRig(pairFactory=halves, **arguments)
    client, destination = rig.tunnel()
    client.send(b"body ")
    client.end()
    rig.flush()
    assert (destination.received, destination.ended) == (b"body ", False)
    assert halves.server.ends == 1
    return rig, client, destination, halves.server


def test_aHalfMayHoldTheEndUntilItHasWritten(makeRig: MakeRig) -> None:
    """[F51] [TU-03] It is passed on as the half resumes, behind what it wrote."""
    rig, client, destination, half = trailing(makeRig)
    half.peer.transport.write(b"trailer")
    rig.flush()
    assert (destination.received, destination.ended) == (b"body trailer", False)
    half.transport.resumeProducing()
    rig.flush()
    assert (destination.ended, half.ends) == (True, 1)
    destination.send(b"answer")
    destination.end()
    rig.assertOver()
    assert body(client) == b"answer"


def test_anEndThatIsHeldAndADestinationThatEnds(makeRig: MakeRig) -> None:
    """[F51] [TU-03] The other direction is its own; the end comes when it is let go."""
    rig, client, destination, half = trailing(makeRig)
    destination.send(b"answer")
    destination.end()
    rig.flush()
    assert (body(client), client.ended) == (b"answer", True)
    half.peer.transport.write(b"trailer")
    half.transport.resumeProducing()
    rig.assertOver()
    assert destination.received == b"body trailer"


@pytest.mark.parametrize("who", ["client", "destination", "operator"])
def test_anEndThatIsHeldHoldsNoReset(makeRig: MakeRig, who: str) -> None:
    """[F51] [TU-04] Nor an operator's end; what the half does then does nothing."""
    rig, client, destination, half = trailing(makeRig)
    transport = half.transport
    if who == "operator":
        (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
        tunnel.cut(Closed.OPERATOR)
    elif who == "client":
        client.abort()
        # A socket that has given its end is watched for nothing else.
        half.transport.write(b"is anybody there")
        rig.flush()
        half.transport.write(b"and now")
    else:
        destination.abort()
    rig.assertOver()
    assert who == "destination" or destination.reset
    transport.resumeProducing()
    rig.assertOver()
    assert len(rig.events.closed) == 1


def test_aPushProducerIsPausedByAFullLeg(makeRig: MakeRig) -> None:
    """[F07] And goes on when all has left; what it wrote arrives, in order."""
    rig, client, _, transport = paired(makeRig)
    client.pause()
    pusher = Pusher(transport)
    transport.registerProducer(pusher, True)
    pusher.fill(rig)
    assert 0 < pusher.written * len(PIECE) < rig.inFlight
    assert pusher.paused
    client.resume()
    rig.flush()
    assert not pusher.paused
    # Each once: it was not paused again while it was, nor resumed.
    assert pusher.told == ["pause", "resume"] * (len(pusher.told) // 2)
    assert body(client) == pusher.written * PIECE


def test_aPushProducerThatComesToAFullLeg(makeRig: MakeRig) -> None:
    """[F07] It is paused at once."""
    rig, client, _, transport = paired(makeRig)
    client.pause()
    first, second = Pusher(transport), Pusher(transport)
    transport.registerProducer(first, True)
    first.fill(rig)
    transport.unregisterProducer()
    transport.registerProducer(second, True)
    assert second.told == ["pause"]
    client.resume()
    rig.flush()
    assert first.paused
    assert second.told == ["pause", "resume"]


def test_aPullProducerIsAskedAsLongAsTheLegTakesIt(makeRig: MakeRig) -> None:
    """[F07] For all of it where the other end reads, in order."""
    rig, client, _, transport = paired(makeRig)
    puller = Puller(transport, 100)
    transport.registerProducer(puller, False)
    rig.flush()
    assert puller.left == 0
    assert body(client) == 100 * PIECE
    # It has unregistered itself.
    transport.registerProducer(Puller(transport, 0), False)


def test_aPullProducerIsNotAskedForAFullLeg(makeRig: MakeRig) -> None:
    """[F07] What it writes is bounded, and the rest is asked for later."""
    rig, client, _, transport = paired(makeRig)
    client.pause()
    puller = Puller(transport, MANY)
    transport.registerProducer(puller, False)
    rig.flush()
    assert 0 < (MANY - puller.left) * len(PIECE) < rig.inFlight
    client.resume()
    rig.flush()
    assert body(client) == MANY * PIECE


def test_aPullProducerThatHasNothingYet(makeRig: MakeRig) -> None:
    """[F07] It is asked again behind what it writes later, and not before."""
    rig, client, _, transport = paired(makeRig)
    asked: list[str] = []

    @implementer(IPullProducer)
    class Waiting:
        def resumeProducing(self) -> None:
            asked.append("more")

        def stopProducing(self) -> None:
            asked.append("stop")

    transport.registerProducer(Waiting(), False)
    rig.flush()
    assert asked == ["more"]
    transport.write(b"later")
    rig.flush()
    assert asked == ["more", "more"]
    assert body(client) == b"later"


def test_oneProducerAtATime(makeRig: MakeRig) -> None:
    """[F07] As with every transport of Twisted's."""
    _, _, _, transport = paired(makeRig)
    transport.registerProducer(Pusher(transport), True)
    with pytest.raises(RuntimeError, match="never unregistered"):
        transport.registerProducer(Pusher(transport), True)


def clientResets(client: Any, destination: Any, transport: Any) -> None:
    client.abort()


def destinationEnds(client: Any, destination: Any, transport: Any) -> None:
    destination.end()


def halfCloses(client: Any, destination: Any, transport: Any) -> None:
    transport.loseConnection()


def halfResets(client: Any, destination: Any, transport: Any) -> None:
    transport.abortConnection()


@pytest.mark.parametrize("streaming", [True, False], ids=["push", "pull"])
@pytest.mark.parametrize("end", [clientResets, destinationEnds, halfCloses, halfResets])
def test_aProducerIsStoppedWithItsLeg(
    makeRig: MakeRig, end: Callable[..., None], streaming: bool
) -> None:
    """[F07] Once, when the leg is written to no more, whoever ended it."""
    rig, client, destination, transport = paired(makeRig)
    stopped: list[str] = []

    @implementer(IPushProducer)
    class Producer:
        def pauseProducing(self) -> None:
            raise AssertionError("it has written nothing")

        def resumeProducing(self) -> None:
            pass

        def stopProducing(self) -> None:
            stopped.append("stop")

    transport.registerProducer(Producer(), streaming)
    end(client, destination, transport)
    rig.flush()
    assert stopped == ["stop"]
    for peer in (client, destination):
        if not peer.closed:
            peer.end()
    rig.assertOver()
    assert stopped == ["stop"]


@pytest.mark.parametrize("method", ["pauseProducing", "resumeProducing"])
def test_aProducerThatFailsEndsItsTunnel(makeRig: MakeRig, method: str) -> None:
    """[F07] [K1] As the rest of its pair does: logged, reset, accounted for."""
    rig, client, destination, transport = paired(makeRig)
    client.pause()
    pusher = Pusher(transport)

    def fail() -> None:
        pusher.paused = True
        pusher.told.append("failed")
        raise ValueError("a bug")

    setattr(pusher, method, fail)
    transport.registerProducer(pusher, True)
    with logging() as logged:
        pusher.fill(rig)
        if not destination.reset:
            client.resume()
            rig.flush()
    assert "failed" in pusher.told
    assert len(logged.errors) == 1
    assert "a pair failed" in logged.errors[0]
    assert destination.reset
    rig.assertOver()
    assert [each.reason for each in rig.events.closed] == [Closed.PAIR_FAILED]


def test_whoWritesOnAllTheSameIsCutOff(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[F07] The bound is absolute: behind it the tunnel ends, visibly."""
    monkeypatch.setattr(halftransport, "WRITE_LIMIT", 10 * len(PIECE))
    rig, client, destination, transport = paired(makeRig)
    client.pause()
    pusher = Pusher(transport)
    transport.registerProducer(pusher, True)
    pusher.fill(rig)
    with logging() as logged:
        for _ in range(9):
            transport.write(PIECE)
        rig.flush()
        assert not destination.reset
        for _ in range(2):
            transport.write(PIECE)
        rig.flush()
    assert len(logged.errors) == 1, logged.errors
    assert "wrote more than a leg takes" in logged.errors[0]
    assert destination.reset
    assert client.reset
    rig.assertOver()
    assert [each.reason for each in rig.events.closed] == [Closed.PAIR_FAILED]


def test_whoWritesOnIsForgivenWhenItHasLeft(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[F07] The bound is on what waits, not on what was written in all."""
    monkeypatch.setattr(halftransport, "WRITE_LIMIT", 10 * len(PIECE))
    rig, client, destination, transport = paired(makeRig)
    written = 0
    for _ in range(3):
        client.pause()
        pusher = Pusher(transport)
        transport.registerProducer(pusher, True)
        pusher.fill(rig)
        for _ in range(8):
            transport.write(PIECE)
        transport.unregisterProducer()
        written += pusher.written + 8
        client.resume()
        rig.flush()
    assert body(client) == written * PIECE
    assert not destination.closed
