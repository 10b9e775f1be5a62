"""
What taps may count on, whichever relay serves: verdicts, holds and their bounds, ends.

As in L{relaypromises}, the fixture C{makeRig} says which relay serves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from relaypromises import MakeRig, everyChunk, noise, relayOf
from rig import body, connect, logging
from twisted.internet.defer import Deferred
from zope.interface import implementer

from txconnect.errors import EndTunnel
from txconnect.interfaces import ITrafficTap
from txconnect.values import Cause, Closed, Direction, Named, TapVerdict, TunnelInfo

UP, DOWN = Direction.UP, Direction.DOWN
HOLD, PASS, LET_GO = TapVerdict.HOLD, TapVerdict.PASS, TapVerdict.LET_GO


@implementer(ITrafficTap)
class Taps:
    """A tap of one callable, which a test gives it."""

    def __init__(self, see: Callable[[Direction, bytes], object]) -> None:
        self._see = see

    def tap(self, tunnel: TunnelInfo) -> Any:
        return self._see


class Waits:
    """
    Holds one direction until so many octets have come, then answers C{then}.

    @ivar seen: all that it was shown.
    """

    def __init__(
        self,
        size: int,
        then: object = LET_GO,
        direction: Direction = UP,
        atEnd: object = HOLD,
    ) -> None:
        self.seen = {UP: b"", DOWN: b""}
        self.ends: list[Direction] = []
        self._size, self._then, self._direction = size, then, direction
        self._atEnd = atEnd

    def __call__(self, direction: Direction, data: bytes) -> object:
        self.seen[direction] += data
        answer: object = None
        if not data:
            self.ends.append(direction)
            answer = self._atEnd
        elif direction is self._direction:
            answer = HOLD if len(self.seen[direction]) < self._size else self._then
        if isinstance(answer, BaseException):
            raise answer
        return answer


def tapped(name: str, see: Callable[[Direction, bytes], object]) -> Named:
    return Named(name, Taps(see))


def onlyEnd(rig: Any) -> tuple[Closed, str, str]:
    """How the one tunnel has ended."""
    (closed,) = rig.events.closed
    return closed.reason, closed.rule, closed.detail


def peers(direction: Direction, client: Any, destination: Any) -> tuple[Any, Any]:
    """The one that sends in a direction, and the one that gets it."""
    return (client, destination) if direction is UP else (destination, client)


def got(direction: Direction, reader: Any) -> bytes:
    return bytes(reader.received) if direction is UP else body(reader)


@everyChunk
@pytest.mark.parametrize("early", [b"", b"early "], ids=["late", "early"])
def test_endTunnelIsAPolicysDoing(
    makeRig: MakeRig, chunk: object, early: bytes
) -> None:
    """[F54] Both legs are reset; rule and reason in the event; no traceback."""

    def see(direction: Direction, data: bytes) -> None:
        raise EndTunnel("not here")

    rig = makeRig(chunk=chunk, taps=[tapped("guard", see)])
    with logging() as logged:
        destination = rig.serve()
        client = rig.client(connect() + early)
        if not early:
            client.send(b"x")
            rig.flush()
        assert client.reset
        assert destination.peers[-1].received == b""
        rig.assertOver()
    assert logged.errors == []
    assert onlyEnd(rig) == (Closed.POLICY, "guard", "not here")
    assert len(rig.events.established) == 1


def test_endTunnelNeedsNoReason(makeRig: MakeRig) -> None:
    """[F54] The log has words all the same."""

    def see(direction: Direction, data: bytes) -> None:
        raise EndTunnel

    rig = makeRig(taps=[tapped("guard", see)])
    client, _ = rig.tunnel()
    client.send(b"x")
    rig.assertOver()
    assert onlyEnd(rig)[2] == "the tap has ended the tunnel"


def test_endTunnelBeforeThe200Refuses(makeRig: MakeRig) -> None:
    """[F54] Raised over the tunnel itself, it is a policy's refusal."""

    @implementer(ITrafficTap)
    class Refuses:
        def tap(self, tunnel: TunnelInfo) -> None:
            raise EndTunnel("no such tunnels")

    rig = makeRig(taps=[Named("guard", Refuses())])
    rig.serve()
    with logging() as logged:
        client = rig.client(connect())
        assert client.received.startswith(b"HTTP/1.1 403 ")
        client.end()
        rig.network.advance(10)
    assert logged.errors == []
    (refused,) = rig.events.refused
    assert (refused.cause, refused.rule) == (Cause.POLICY, "guard")
    assert refused.reason == "no such tunnels"


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_aFailedTapHasANameAndAnId(makeRig: MakeRig, error: type) -> None:
    """[F54] In the program's log and in the event."""

    def see(direction: Direction, data: bytes) -> None:
        raise error("the disk is full")

    rig = makeRig(taps=[tapped("copy", see)])
    with logging() as logged:
        client, destination = rig.tunnel()
        client.send(b"x")
        rig.flush()
    assert destination.received == b""
    (told,) = logged.errors
    id = rig.events.established[0].tunnel.request.id
    assert f"{id}: the tap copy failed" in told
    rig.assertOver()
    detail = f"{error.__name__}: the disk is full"
    assert onlyEnd(rig) == (Closed.TAP_FAILED, "copy", detail)


@pytest.mark.parametrize("kind", ["coroutine", "Deferred"])
def test_aVerdictIsNotWaitedFor(makeRig: MakeRig, kind: str) -> None:
    """[F54] A tap that waits enforces nothing: it has failed, and nothing passes."""

    async def waiting() -> TapVerdict:
        return PASS

    def slow(direction: Direction, data: bytes) -> object:
        return waiting()

    def later(direction: Direction, data: bytes) -> object:
        return Deferred()

    rig = makeRig(taps=[tapped("slow", slow if kind == "coroutine" else later)])
    with logging():
        client, destination = rig.tunnel()
        client.send(b"x")
        rig.flush()
    assert destination.received == b""
    rig.assertOver()
    assert onlyEnd(rig)[:2] == (Closed.TAP_FAILED, "slow")


def test_otherAnswersPass(makeRig: MakeRig) -> None:
    """A tap that answers with what its last call returned is none that holds."""
    rig = makeRig(taps=[Taps(lambda direction, data: len(data))])
    client, destination = rig.tunnel()
    client.send(b"x")
    rig.flush()
    assert destination.received == b"x"


@everyChunk
@pytest.mark.parametrize("then", [PASS, None, LET_GO], ids=["pass", "none", "let go"])
@pytest.mark.parametrize("direction", Direction)
def test_nothingPassesBeforeTheVerdict(
    makeRig: MakeRig, chunk: object, then: object, direction: Direction
) -> None:
    """[F54] Held, then passed on in order; the other direction goes on meanwhile."""
    waits = Waits(6, then, direction)
    rig = makeRig(chunk=chunk, taps=[Taps(waits)])
    client, destination = rig.tunnel()
    sender, reader = peers(direction, client, destination)
    sender.send(b"abc")
    reader.send(b"other")
    rig.flush()
    sender.send(b"de")
    rig.flush()
    assert got(direction, reader) == b""
    assert sender.received.endswith(b"other")
    relay = relayOf(rig)
    assert (relay.up if direction is UP else relay.down) == 5
    sender.send(b"fgh")
    rig.flush()
    sender.send(b"ijk")
    rig.flush()
    assert got(direction, reader) == b"abcdefghijk"
    seen = waits.seen[direction]
    # Each octet once, until it lets go.
    assert b"abcdefghijk".startswith(seen)
    assert len(seen) >= 6
    if then is not LET_GO:
        assert seen == b"abcdefghijk"
    client.end()
    destination.end()
    rig.assertOver()
    closed = rig.events.closed[0]
    sizes = (11, 5) if direction is UP else (5, 11)
    assert (closed.up, closed.down) == sizes
    assert closed.rule == closed.detail == ""


@everyChunk
def test_earlyDataIsHeld(makeRig: MakeRig, chunk: object) -> None:
    """[F54] [T1] The octets ahead of the 200 are the first that a tap is shown."""
    waits = Waits(10)
    rig = makeRig(chunk=chunk, taps=[Taps(waits)])
    client, destination = rig.tunnel(early=b"early")
    assert destination.received == b""
    client.send(b" late")
    rig.flush()
    assert destination.received == b"early late"
    assert waits.seen[UP] == b"early late"


@everyChunk
def test_aHeldTunnelThatIsEnded(makeRig: MakeRig, chunk: object) -> None:
    """[F54] Of what was held the destination has had nothing."""
    rig = makeRig(chunk=chunk, taps=[tapped("guard", Waits(6, EndTunnel("bad")))])
    client, destination = rig.tunnel()
    client.send(b"abcdefgh")
    rig.flush()
    assert (destination.received, destination.reset) == (b"", True)
    assert client.reset
    rig.assertOver()
    assert onlyEnd(rig) == (Closed.POLICY, "guard", "bad")


@everyChunk
def test_afterAllHaveLetGoNobodyIsAsked(makeRig: MakeRig, chunk: object) -> None:
    """[F54] Bytes, ends and counts as without a tap."""
    size = 3000 if chunk == 1 else 3_000_000
    waits = Waits(5)
    rig = makeRig(chunk=chunk, taps=[Taps(waits)])
    client, destination = rig.tunnel()
    up, down = noise(size), noise(size + 1)
    client.send(up)
    destination.send(down)
    rig.flush()
    assert (destination.received, body(client)) == (up, down)
    before = {each: len(seen) for each, seen in waits.seen.items()}
    client.send(b"more")
    client.end()
    rig.flush()
    assert destination.received == up + b"more"
    assert destination.ended
    assert {each: len(seen) for each, seen in waits.seen.items()} == before
    destination.end()
    rig.assertOver()
    closed = rig.events.closed[0]
    assert (closed.reason, closed.up, closed.down) == (
        Closed.CLIENT,
        size + 4,
        size + 1,
    )


def test_theDirectionIsHeldWhileAnyHoldsIt(makeRig: MakeRig) -> None:
    """[F54] Each tap's verdict is its own, and each octet is shown to each once."""
    first, second, third = Waits(3), Waits(6), Waits(1, PASS)
    rig = makeRig(taps=[Taps(each) for each in (first, second, third)])
    client, destination = rig.tunnel()
    for data in (b"ab", b"cd"):
        client.send(data)
        rig.flush()
    assert first.seen[UP] == b"abcd"
    client.send(b"e")
    rig.flush()
    assert (first.seen[UP], destination.received) == (b"abcd", b"")
    client.send(b"fg")
    rig.flush()
    assert destination.received == b"abcdefg"
    client.send(b"h")
    rig.flush()
    assert destination.received == b"abcdefgh"
    assert (second.seen[UP], third.seen[UP]) == (b"abcdefg", b"abcdefgh")


def test_lettingGoIsOfBothDirections(makeRig: MakeRig) -> None:
    """[F54] A tap may hold the answer until it has seen the question."""

    def see(direction: Direction, data: bytes) -> TapVerdict:
        return HOLD if direction is DOWN else LET_GO

    rig = makeRig(taps=[Taps(see)])
    client, destination = rig.tunnel(banner=b"220 ready")
    assert body(client) == b""
    client.send(b"question")
    rig.flush()
    assert (body(client), destination.received) == (b"220 ready", b"question")


@everyChunk
@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("atEnd", [PASS, None, LET_GO])
def test_atTheEndATapMayLetPass(
    makeRig: MakeRig, chunk: object, direction: Direction, atEnd: object
) -> None:
    """[F54] It is called with no octets; what it held goes ahead of the FIN."""
    waits = Waits(9, LET_GO, direction, atEnd)
    rig = makeRig(chunk=chunk, taps=[Taps(waits)])
    client, destination = rig.tunnel()
    sender, reader = peers(direction, client, destination)
    sender.send(b"short")
    sender.end()
    rig.flush()
    assert waits.ends == [direction]
    assert got(direction, reader) == b"short"
    assert reader.ended
    assert not reader.reset
    reader.send(b"answer")
    reader.end()
    rig.flush()
    assert sender.received.endswith(b"answer")
    rig.assertOver()
    assert rig.events.closed[0].reason is (
        Closed.CLIENT if direction is UP else Closed.DESTINATION
    )


@everyChunk
@pytest.mark.parametrize("direction", Direction)
def test_anEndWithoutAVerdict(
    makeRig: MakeRig, chunk: object, direction: Direction
) -> None:
    """[F54] Held to the end: the tunnel ends as a policy's doing."""
    rig = makeRig(chunk=chunk, taps=[tapped("guard", Waits(9, LET_GO, direction))])
    client, destination = rig.tunnel()
    sender, reader = peers(direction, client, destination)
    sender.send(b"short")
    sender.end()
    rig.flush()
    assert got(direction, reader) == b""
    assert reader.reset
    rig.assertOver()
    who = "client" if direction is UP else "destination"
    detail = f"the {who} sends no more, and there is no verdict"
    assert onlyEnd(rig) == (Closed.POLICY, "guard", detail)


def test_atTheEndATapMayEndTheTunnel(makeRig: MakeRig) -> None:
    """[F54] In its own words."""
    waits = Waits(9, atEnd=EndTunnel("cut short"))
    rig = makeRig(taps=[tapped("guard", waits)])
    client, destination = rig.tunnel()
    client.send(b"short")
    client.end()
    rig.flush()
    assert (destination.received, destination.reset) == (b"", True)
    rig.assertOver()
    assert onlyEnd(rig) == (Closed.POLICY, "guard", "cut short")


def test_anEndThatIsNotHeldIsNotTold(makeRig: MakeRig) -> None:
    """A tap that never holds is never called with no octets."""
    waits = Waits(1, PASS)
    rig = makeRig(taps=[Taps(waits)])
    client, destination = rig.tunnel()
    client.send(b"x")
    client.end()
    rig.flush()
    destination.end()
    rig.assertOver()
    assert waits.ends == []
    assert rig.events.closed[0].reason is Closed.CLIENT


@pytest.mark.parametrize("direction", Direction)
def test_aResetDropsWhatIsHeld(makeRig: MakeRig, direction: Direction) -> None:
    """[F54] [TU-04] What was cut short never passes; the reset does."""
    waits = Waits(9, LET_GO, direction, PASS)
    rig = makeRig(taps=[Taps(waits)])
    client, destination = rig.tunnel()
    sender, reader = peers(direction, client, destination)
    sender.send(b"short")
    rig.flush()
    sender.abort()
    rig.flush()
    assert waits.ends == []
    assert got(direction, reader) == b""
    assert reader.reset
    rig.assertOver()
    assert rig.events.closed[0].reason is (
        Closed.CLIENT_RESET if direction is UP else Closed.DESTINATION_RESET
    )


def test_theOtherEndDoesNotFreeWhatIsHeld(makeRig: MakeRig) -> None:
    """[F54] [TU-03] The destination's FIN goes on; the client's octets stay held."""
    rig = makeRig(taps=[Taps(Waits(6))])
    client, destination = rig.tunnel()
    client.send(b"abc")
    destination.send(b"bye")
    destination.end()
    rig.flush()
    assert (body(client), client.ended) == (b"bye", True)
    assert destination.received == b""
    client.send(b"def")
    client.end()
    rig.assertOver()
    assert destination.received == b"abcdef"
    assert rig.events.closed[0].reason is Closed.DESTINATION


def test_aHoldHasABoundOfOctets(makeRig: MakeRig) -> None:
    """[F54] The tunnel ends as a policy's doing, with the number in the reason."""
    rig = makeRig(
        taps=[tapped("guard", Waits(1 << 30))], settings={"tapHoldLimit": 1000}
    )
    client, destination = rig.tunnel()
    client.send(bytes(1000))
    rig.flush()
    assert not client.reset
    client.send(b"x")
    rig.flush()
    assert client.reset
    assert destination.received == b""
    rig.assertOver()
    assert onlyEnd(rig) == (Closed.POLICY, "guard", "no verdict after 1001 octets")


def test_whatIsDecidedAtOnceHasNoBound(makeRig: MakeRig) -> None:
    """[F54] A read above the bound is no hold."""
    rig = makeRig(taps=[Taps(Waits(1))], settings={"tapHoldLimit": 10})
    client, destination = rig.tunnel(early=noise(5000))
    assert destination.received == noise(5000)


def test_aHoldHasABoundOfTime(makeRig: MakeRig) -> None:
    """[F54] From its first octet, whatever dribbles in meanwhile."""
    rig = makeRig(
        taps=[tapped("guard", Waits(1 << 30))], settings={"tapHoldTimeout": 7.0}
    )
    client, destination = rig.tunnel()
    # None yet: nothing is held.
    rig.network.advance(20)
    assert not client.reset
    for _ in range(3):
        client.send(b"x")
        rig.network.advance(2)
    assert not client.reset
    client.send(b"x")
    rig.network.advance(2)
    assert client.reset
    assert destination.received == b""
    rig.assertOver()
    assert onlyEnd(rig) == (Closed.POLICY, "guard", "no verdict within 7 seconds")


def test_eachHoldHasItsOwnTime(makeRig: MakeRig) -> None:
    """[F54] What was released is not counted for the next."""

    def see(direction: Direction, data: bytes) -> TapVerdict:
        return PASS if data == b"." else HOLD

    rig = makeRig(taps=[Taps(see)], settings={"tapHoldTimeout": 7.0})
    client, destination = rig.tunnel()
    for _ in range(3):
        client.send(b"x")
        rig.network.advance(5)
        client.send(b".")
        rig.network.advance(5)
    assert destination.received == b"x." * 3
    assert not client.reset


def test_theLastFlushOutlivesAHold(makeRig: MakeRig) -> None:
    """[F54] [TU-02] The destination closes; the client reads all, however slowly."""
    rig = makeRig(
        taps=[Taps(Waits(9))],
        settings={"tapHoldTimeout": 2.0, "halfClose": "close-both"},
    )
    client, destination = rig.tunnel()
    client.send(b"held")
    rig.flush()
    client.pause()
    data = noise(100_000)
    destination.send(data)
    destination.end()
    rig.network.advance(6)
    client.resume()
    rig.flush()
    assert body(client) == data
    assert not client.reset
    client.end()
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.DESTINATION


@pytest.mark.parametrize("data", [b"x", b"y"], ids=["raises", "passes"])
def test_aTapThatCutsItsTunnelItself(makeRig: MakeRig, data: bytes) -> None:
    """Whatever it answers or raises then, the first reason stands."""

    def see(direction: Direction, data: bytes) -> TapVerdict:
        (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
        tunnel.cut(Closed.OPERATOR)
        if data == b"x":
            raise EndTunnel("too late")
        return PASS

    rig = makeRig(taps=[Taps(see), Taps(Waits(1, EndTunnel("not asked")))])
    client, destination = rig.tunnel()
    client.send(data)
    rig.flush()
    assert (destination.received, client.reset) == (b"", True)
    rig.assertOver()
    assert onlyEnd(rig) == (Closed.OPERATOR, "", "")


@everyChunk
def test_lettingGoInTheMiddleOfBulk(makeRig: MakeRig, chunk: object) -> None:
    """[F54] Both directions full, a reader that pauses: no octet lost or reordered."""
    size = 3000 if chunk == 1 else 1_000_000
    waits = Waits(size // 3, PASS, DOWN)
    seen = 0

    def later(direction: Direction, data: bytes) -> TapVerdict:
        nonlocal seen
        seen += len(data)
        return LET_GO if seen > size else PASS

    rig = makeRig(
        chunk=chunk,
        taps=[Taps(waits), Taps(later)],
        settings={"tapHoldLimit": 1_000_000},
    )
    client, destination = rig.tunnel()
    client.pause()
    up, down = noise(size), noise(size + 7)
    destination.send(down)
    client.send(up)
    rig.flush()
    client.resume()
    client.end()
    destination.end()
    rig.flush()
    assert (destination.received, body(client)) == (up, down)
    rig.assertOver()
    closed = rig.events.closed[0]
    assert (closed.up, closed.down) == (size, size + 7)
