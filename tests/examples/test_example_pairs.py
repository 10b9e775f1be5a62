"""
The examples of pairs: one throttles, one waits for an answer; each at its awkward
moments, on the memory network.
"""

from __future__ import annotations

from typing import Any

import pytest
from exampleprograms import plugin, program
from relaypromises import noise
from rig import DESTINATION, ESTABLISHED, Rig, body, connect, logging
from twisted.internet.defer import Deferred
from zope.interface import implementer

from txconnect.interfaces import IPairFactory
from txconnect.plugins import PAIR
from txconnect.testing import CHUNKS, checkPairFactory
from txconnect.tunnel.pair import ProxyClient
from txconnect.values import Closed

everyChunk = pytest.mark.parametrize("chunk", CHUNKS)
bothLegs = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
RATE = 1000
PIECE = RATE // 10 + 1


# throttling_pair.py


def throttled(chunk: Any = None, rate: int = RATE, **arguments: Any) -> Rig:
    pair = plugin(PAIR, f"throttling_pair.py:ThrottlingPair:{rate}")
    rig = Rig(chunk, pairFactory=pair, **arguments)
    pair.clock = rig.network
    return rig


@pytest.mark.parametrize("wrong", ["", "0", "-1", "1e3", "fast", "\u0661"])
def test_aRateThatIsNone(wrong: str) -> None:
    """[F51] The start stops, with a sentence."""
    with pytest.raises(ValueError, match="no number of octets a second"):
        program("throttling_pair").ThrottlingPair(wrong)


def test_throttlingIsAPairFactory() -> None:
    """[F51] It passes its own check."""
    pair = program("throttling_pair").ThrottlingPair("1000")
    pair.clock = Rig().network
    checkPairFactory(pair)


@everyChunk
@bothLegs
def test_itThrottlesEachDirection(chunk: Any, tls: bool) -> None:
    """[F51] So many a second behind the first second's, unchanged and in order."""
    rig = throttled(chunk, tlsClient=tls, tlsDestination=tls)
    client, destination = rig.tunnel()
    up, down = noise(10 * RATE), noise(4 * RATE)
    client.send(up)
    destination.send(down)
    rig.flush()
    for second in range(11):
        allowed = (second + 1) * RATE
        for got, sent in ((destination.received, up), (body(client), down)):
            # A fraction of a piece may be still to come.
            assert min(allowed - PIECE, len(sent)) <= len(got) <= allowed
        rig.network.advance(1)
    assert destination.received == up
    assert body(client) == down
    client.close()
    destination.close()
    rig.assertOver()


def test_tokensOfOneSecondAreSavedUp() -> None:
    """[F51] And no more, however long nobody says anything."""
    rig = throttled()
    client, destination = rig.tunnel()
    rig.network.advance(100)
    client.send(noise(5 * RATE))
    rig.flush()
    assert len(destination.received) == RATE


@everyChunk
def test_theRestLeavesInPieces(chunk: Any) -> None:
    """[F51] Not all at once at the end of each second."""
    rig = throttled(chunk)
    client, destination = rig.tunnel()
    client.send(noise(3 * RATE))
    rig.flush()
    before = len(destination.received)
    rig.network.advance(0.5)
    later = len(destination.received) - before
    assert RATE // 2 - PIECE <= later <= RATE // 2


@everyChunk
@bothLegs
def test_theEndWaitsForTheRest(chunk: Any, tls: bool) -> None:
    """[F51] [TU-03] The client's FIN, and a TLS client's end; then the answer comes."""
    rig = throttled(chunk, tlsClient=tls)
    client, destination = rig.tunnel(early=b"early")
    data = noise(3 * RATE)
    client.send(data)
    client.end()
    rig.network.advance(1)
    assert not destination.ended
    rig.network.advance(0.9)
    assert not destination.ended
    rig.network.advance(1)
    assert destination.received == b"early" + data
    assert destination.ended
    if not tls:
        destination.send(data)
        destination.end()
        rig.network.advance(4)
        assert body(client) == data
        assert client.ended
    destination.close()
    rig.assertOver()


@pytest.mark.parametrize("who", ["client", "destination"])
@pytest.mark.parametrize("pending", ["up", "down"])
def test_aResetDropsTheRest(who: str, pending: str) -> None:
    """[F51] [TU-04] Of either leg, at once, and no timer is left."""
    rig = throttled()
    client, destination = rig.tunnel()
    (client if pending == "up" else destination).send(noise(5 * RATE))
    rig.network.advance(1)
    (client if who == "client" else destination).abort()
    rig.flush()
    assert (destination if who == "client" else client).reset
    rig.assertOver()
    assert rig.events.closed[0].reason.value == f"{who}-reset"


def test_aPausedClientAndAThrottle() -> None:
    """[F51] [TU-06] 5 MB for a client that does not read: bounded, and all arrives."""
    rig = throttled(rate=10_000_000)
    client, destination = rig.tunnel()
    client.pause()
    data = noise(5_000_000)
    destination.send(data)
    rig.network.advance(60)
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    # What the relay has for any pair, and what waits for a half that has paused.
    assert tunnel.relay.down <= rig.inFlight + 2 * 65536
    client.resume()
    rig.network.advance(60)
    assert body(client) == data


def test_whoIsThrottledIsReadNoFaster() -> None:
    """[F51] What waits for tokens is bounded too."""
    rig = throttled()
    client, destination = rig.tunnel()
    client.send(noise(5_000_000))
    rig.network.advance(10)
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    assert tunnel.relay.up <= 11 * RATE + 3 * 65536
    client.abort()
    destination.abort()
    rig.assertOver()


def test_idleIsWhoSendsNothing() -> None:
    """[F51] A tunnel whose octets leave slowly is not idle."""
    rig = throttled(rate=10, settings={"idleTimeout": 10.0})
    client, destination = rig.tunnel()
    client.send(noise(600))
    rig.network.advance(60)
    assert len(destination.received) == 600
    rig.network.advance(15)
    assert rig.events.closed[0].reason is Closed.IDLE
    rig.assertOver()


# rewriting_pair.py


@implementer(IPairFactory)
class Asking:
    """
    The example's half, whose questions a test answers.

    @ivar asked: the bytes of each question.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.cancelled = 0
        self._waiting: list[Deferred[bytes]] = []

    def buildPair(self, tunnel: Any) -> Any:
        return program("rewriting_pair").RewritingServer(self._ask), ProxyClient()

    def _ask(self, data: bytes) -> Deferred[bytes]:
        self.asked.append(data)
        self._waiting.append(Deferred(self._cancel))
        return self._waiting[-1]

    def _cancel(self, _: Deferred[bytes]) -> None:
        self.cancelled += 1
        self._waiting.clear()

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def answer(self, rig: Rig) -> None:
        """Answer the one question there is, with what was asked in capitals."""
        (waiting,) = self._waiting
        self._waiting.clear()
        waiting.callback(self.asked[-1].upper())
        rig.flush()

    def answerAll(self, rig: Rig) -> None:
        while self._waiting:
            self.answer(rig)

    def fail(self, rig: Rig) -> None:
        (waiting,) = self._waiting
        self._waiting.clear()
        waiting.errback(ValueError("the service is down"))
        rig.flush()


def asking(chunk: Any = None, **arguments: Any) -> tuple[Rig, Asking]:
    pair = Asking()
    return Rig(chunk, pairFactory=pair, **arguments), pair


def test_rewritingIsAPairFactory() -> None:
    """[F51] It passes its own check."""
    checkPairFactory(plugin(PAIR, "rewriting_pair.py:rewritingPair"))


def test_theShippedPairUsesAThread(monkeypatch: pytest.MonkeyPatch) -> None:
    """[F51] Here without one."""
    rewriting = program("rewriting_pair")

    def deferToThread(function: Any, *given: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        rig.network.callLater(1, lambda: done.callback(function(*given)))
        return done

    monkeypatch.setattr(rewriting, "deferToThread", deferToThread)
    rig = Rig(pairFactory=rewriting.rewritingPair)
    client, destination = rig.tunnel(banner=b"Hello")
    client.send(b"Hello")
    client.end()
    rig.flush()
    assert (destination.received, destination.ended) == (b"", False)
    rig.network.advance(1)
    assert (destination.received, destination.ended) == (b"hELLO", True)
    assert body(client) == b"Hello"


@everyChunk
@bothLegs
def test_theOrderStays(chunk: Any, tls: bool) -> None:
    """[F51] One question at a time, from the early data to what came behind."""
    rig, pair = asking(chunk, tlsClient=tls, tlsDestination=tls)
    client, destination = rig.tunnel(early=b"early ")
    client.send(b"first ")
    rig.flush()
    client.send(b"second")
    rig.flush()
    assert pair.pending == 1
    assert destination.received == b""
    destination.send(b"down")
    rig.flush()
    assert body(client) == b"down"
    pair.answerAll(rig)
    assert destination.received == b"EARLY FIRST SECOND"
    assert b"".join(pair.asked) == b"early first second"
    client.abort()
    destination.close()
    rig.assertOver()


@everyChunk
@bothLegs
def test_theEndWaitsForTheAnswer(chunk: Any, tls: bool) -> None:
    """
    [F51] [TU-03] A FIN, and the end of a TLS client, whose leg is gone by then: the
    destination gets all of it, and then the end.
    """
    rig, pair = asking(chunk, tlsClient=tls)
    client, destination = rig.tunnel(early=b"early")
    client.send(b" late")
    client.end()
    rig.flush()
    assert pair.pending == 1
    assert (destination.received, destination.ended) == (b"", False)
    pair.answerAll(rig)
    assert (destination.received, destination.ended) == (b"EARLY LATE", True)
    if not tls:
        destination.send(b"answer")
        rig.flush()
        assert body(client) == b"answer"
    destination.end()
    rig.assertOver()
    assert pair.cancelled == 0
    assert rig.events.closed[0].reason is Closed.CLIENT


@everyChunk
@pytest.mark.parametrize("who", ["client", "destination"])
def test_aResetDropsWhatIsPending(chunk: Any, who: str) -> None:
    """[F51] [TU-04] Noticed while it is pending, and its question is given up."""
    rig, pair = asking(chunk)
    client, destination = rig.tunnel()
    client.send(b"something")
    rig.flush()
    (client if who == "client" else destination).abort()
    rig.flush()
    assert (destination if who == "client" else client).reset
    assert destination.received == b""
    assert pair.cancelled == 1
    rig.assertOver()


def test_aResetBehindAnEndDropsWhatIsPending() -> None:
    """[F51] [TU-04] The destination's, when the client has sent all of its own."""
    rig, pair = asking()
    client, destination = rig.tunnel()
    client.send(b"something")
    client.end()
    rig.flush()
    destination.abort()
    rig.flush()
    assert client.reset
    assert pair.cancelled == 1
    rig.assertOver()


@bothLegs
def test_anOperatorsEndDropsWhatIsPending(tls: bool) -> None:
    """[F51] Also where the client's leg is gone and waits to be told of."""
    rig, pair = asking(tlsClient=tls)
    client, destination = rig.tunnel()
    client.send(b"something")
    client.end()
    rig.flush()
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    tunnel.cut(Closed.OPERATOR)
    rig.flush()
    assert destination.reset
    assert pair.cancelled == 1
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.OPERATOR


def test_anAnswerThatNeverComes() -> None:
    """[F51] The tunnel is idle, and ends as such."""
    rig, pair = asking(settings={"idleTimeout": 10.0})
    client, destination = rig.tunnel()
    client.send(b"something")
    client.end()
    rig.network.advance(20)
    assert destination.reset
    assert pair.cancelled == 1
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.IDLE


def test_anAnswerThatFails() -> None:
    """[F51] [TU-04] A reset, and a line in the log."""
    rig, pair = asking()
    client, destination = rig.tunnel()
    client.send(b"something")
    rig.flush()
    with logging() as logged:
        pair.fail(rig)
    assert (client.reset, destination.reset) == (True, True)
    (entry,) = logged.errors
    assert "the service is down" in entry
    rig.assertOver()


def test_whatWaitsForAnAnswerIsBounded() -> None:
    """[F51] [TU-06] A client that sends 5 MB meanwhile is read no further."""
    rig, pair = asking()
    client, destination = rig.tunnel()
    data = noise(5_000_000).lower()
    client.send(data)
    rig.flush()
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    assert tunnel.relay.up <= 4 * 65536
    pair.answerAll(rig)
    assert destination.received == data.upper()


def test_aPausedClientAndAPendingAnswer() -> None:
    """[F51] [TU-06] 5 MB from the destination: bounded, and not read on by an answer."""
    rig, pair = asking()
    client, destination = rig.tunnel()
    client.pause()
    client.send(b"something")
    data = noise(5_000_000)
    destination.send(data)
    rig.flush()
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    taken = tunnel.relay.down
    assert taken <= rig.inFlight
    pair.answerAll(rig)
    assert tunnel.relay.down == taken
    client.resume()
    rig.flush()
    assert body(client) == data
    assert destination.received == b"SOMETHING"


@everyChunk
def test_aDestinationThatEndsBeforeItsTunnel(chunk: Any) -> None:
    """[F51] [T3] A banner and a FIN that were read ahead wait for the half, too."""
    pair = Turned()
    rig = Rig(chunk, pairFactory=pair)
    rig.serve(banner=b"banner", accepted=lambda peer: peer.end())
    client = rig.client(connect())
    assert (client.received, client.ended) == (ESTABLISHED, False)
    pair.answerAll(rig)
    assert (body(client), client.ended) == (b"BANNER", True)
    client.end()
    rig.assertOver()


class Turned(Asking):
    """The same half at the destination's leg."""

    def buildPair(self, tunnel: Any) -> Any:
        there, here = super().buildPair(tunnel)
        return here, there


def test_manySmallQuestions() -> None:
    """[F51] Many questions, one octet each."""
    rig, pair = asking(1)
    client, destination = rig.tunnel(f"{DESTINATION}:443")
    client.send(b"abcdefghij" * 20)
    client.end()
    rig.flush()
    pair.answerAll(rig)
    assert destination.received == b"ABCDEFGHIJ" * 20
    assert destination.ended
    destination.end()
    rig.assertOver()
