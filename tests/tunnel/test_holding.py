"""
What waits for a half that has paused, with the transport relay: bytes, ends and the
bound.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from rig import Rig, body
from zope.interface import implementer

from txconnect.interfaces import IPairFactory
from txconnect.testing import CHUNKS
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.tunnel.relay import Pause
from txconnect.tunnel.transport.holding import HELD, Holding
from txconnect.values import Closed

everyChunk = pytest.mark.parametrize("chunk", CHUNKS)


class Side:
    """A side of a relay that writes down what it is told, and may answer by a call."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.reads = True
        self.within: dict[bytes, Callable[[], object]] = {}

    def passToHalf(self, data: bytes) -> None:
        self.told.append(data)
        self.within.get(data, lambda: None)()

    def pauseReading(self) -> Pause:
        self.reads = False
        return Pause(self)

    def unpause(self) -> None:
        self.reads = True

    def tell(self, what: str) -> Callable[[], None]:
        return lambda: self.told.append(what)


def held(*chunks: bytes) -> tuple[Side, Holding, Pause]:
    side = Side()
    holding = Holding(side)
    pause = holding.pause()
    for chunk in chunks:
        assert holding.takeData(chunk)
    return side, holding, pause


def test_nothingIsHeldFromWhoHasNotPaused() -> None:
    """[F51] The side calls the half itself then."""
    holding = Holding(Side())
    assert not holding.takeData(b"a")
    holding.pause().release()
    assert not holding.takeData(b"a")


def test_allIsPassedOnInOrder() -> None:
    """[F51] Bytes, the end, the loss."""
    side, holding, pause = held(b"a", b"b")
    holding.loseWith(side.tell("lost"))
    holding.endWith(side.tell("end"), side.tell("passed on"))
    assert side.told == []
    pause.release()
    assert side.told == [b"ab", "end", "passed on", "lost"]
    pause.release()
    assert not holding.takeData(b"c")


def test_aHalfThatPausesAgainWithinItsCall() -> None:
    """[F51] What comes then waits for the next time; and so within an end's step."""
    side, holding, pause = held(b"a", b"b")
    pauses: list[Pause] = []
    side.within[b"ab"] = lambda: pauses.append(holding.pause())
    holding.endWith(lambda: pauses.append(holding.pause()), side.tell("passed on"))
    pause.release()
    assert side.told == [b"ab"]
    assert holding.takeData(b"c")
    pauses.pop().release()
    assert side.told == [b"ab", b"c"]
    pauses.pop().release()
    assert side.told == [b"ab", b"c", "passed on"]


def test_aHalfThatPausesAndResumesWithinItsCall() -> None:
    """[F51] No recursion, however often bytes come meanwhile, and none stays behind."""
    many = [b"%d" % n for n in range(5000)]
    side, holding, pause = held(many[0])

    def more(following: bytes) -> None:
        again = holding.pause()
        assert holding.takeData(following)
        again.release()

    for each, following in zip(many, many[1:], strict=False):
        side.within[each] = partial(more, following)
    pause.release()
    assert side.told == many


def test_theLegIsReadOnUpToABound() -> None:
    """[F51] [TU-06] Then it is paused, until all that waits is passed on."""
    side, holding, pause = held(b"x" * (HELD - 1))
    assert side.reads
    holding.takeData(b"y")
    assert not side.reads
    holding.takeData(b"z")
    second = holding.pause()
    pause.release()
    assert not side.reads
    second.release()
    assert side.reads
    assert side.told == [b"x" * (HELD - 1) + b"yz"]


def test_whatIsDroppedIsNotPassedOn() -> None:
    """[F51] But a loss is told at once, and once."""
    side, holding, pause = held(b"a")
    holding.endWith(side.tell("end"))
    holding.loseWith(side.tell("lost"))
    holding.drop()
    assert side.told == ["lost"]
    pause.release()
    holding.drop()
    assert side.told == ["lost"]


class PausedServer(ProxyServer):
    """Has its leg wait from the start."""

    lost = 0

    def connectionMade(self) -> None:
        self.transport.pauseProducing()

    def connectionLost(self, reason: object = None) -> None:
        self.lost += 1


@implementer(IPairFactory)
class Paused:
    """Hands out such a half, and keeps it."""

    def buildPair(self, tunnel: Any) -> Any:
        self.half = PausedServer()
        return self.half, ProxyClient()


@everyChunk
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_earlyDataAndTheEndWait(chunk: Any, tls: bool) -> None:
    """[F51] [T1] Although they are read before the half can pause anything."""
    pair = Paused()
    rig = Rig(chunk, pairFactory=pair, tlsClient=tls)
    client, destination = rig.tunnel(early=b"early", banner=b"banner")
    client.send(b" late")
    client.end()
    rig.flush()
    assert (destination.received, destination.ended) == (b"", False)
    assert body(client) == b"banner"
    assert pair.half.lost == 0
    pair.half.transport.resumeProducing()
    rig.flush()
    assert (destination.received, destination.ended) == (b"early late", True)
    destination.end()
    rig.assertOver()
    assert pair.half.lost == 1


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("how", ["cut", "destination resets", "destination ends"])
def test_aTunnelThatEndsWhileItsHalfHasPaused(how: str, tls: bool) -> None:
    """[F51] [T16] Nothing is left of it, although the half never resumes."""
    pair = Paused()
    rig = Rig(pairFactory=pair, tlsClient=tls, settings={"halfClosedTimeout": 5.0})
    client, destination = rig.tunnel(early=b"early")
    client.end()
    rig.flush()
    if how == "cut":
        (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
        tunnel.cut(Closed.OPERATOR)
    elif how == "destination resets":
        destination.abort()
    else:
        destination.end()
        rig.network.advance(20)
    rig.assertOver()
    assert pair.half.lost == 1
    assert destination.received == b""
    assert len(rig.events.closed) == 1
