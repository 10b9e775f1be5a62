"""
What every relay promises: bytes, ends, back-pressure, deadlines.

These tests name no relay.  The fixture C{makeRig} says which one serves: on
the memory network the transport relay (C{tests/relay}), on real sockets the
kernel relay (C{tests/live}).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from rig import body, connect
from zope.interface import directlyProvides

from txconnect.interfaces import ITunnelFields
from txconnect.testing import CHUNKS
from txconnect.values import Closed, Direction

MakeRig = Callable[..., Any]
everyChunk = pytest.mark.parametrize("chunk", CHUNKS)


def relayOf(rig: Any) -> Any:
    """The relay of the one tunnel."""
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    return tunnel.relay


def sip(reader: Any, size: int) -> None:
    """Have a paused reader read just this much, or what is there."""
    handle = reader.transport.getHandle()
    while size > 0:
        try:
            size -= len(handle.recv(size))
        except BlockingIOError:
            return


@cache
def noise(size: int) -> bytes:
    """Octets without a pattern, the same for each size."""
    return random.Random(size).randbytes(size)


@everyChunk
def test_bytesPassUnchangedBothWays(makeRig: MakeRig, chunk: object) -> None:
    """[TU-01] Any octet, any split, both ways at once."""
    size = 3000 if chunk == 1 else 300_000
    rig = makeRig(chunk=chunk)
    client, destination = rig.tunnel()
    up, down = noise(size), noise(size + 1)
    client.send(up)
    destination.send(down)
    rig.flush()
    assert destination.received == up
    assert body(client) == down
    client.end()
    destination.end()
    rig.assertOver()
    assert rig.events.closed[0].up == len(up)
    assert rig.events.closed[0].down == len(down)


@everyChunk
def test_earlyDataFirst(makeRig: MakeRig, chunk: object) -> None:
    """[T1] [H1-17] [TU-07] What comes with the head reaches the destination first."""
    rig = makeRig(chunk=chunk)
    client, destination = rig.tunnel(early=b"\x16\x03\x01 hello")
    client.send(b" and more")
    rig.flush()
    assert destination.received == b"\x16\x03\x01 hello and more"
    client.abort()
    rig.assertOver()
    assert rig.events.closed[0].up == len(b"\x16\x03\x01 hello and more")


@everyChunk
def test_destinationSpeaksFirst(makeRig: MakeRig, chunk: object) -> None:
    """[H1-31] The first byte behind the blank line is the destination's."""
    rig = makeRig(chunk=chunk)
    client, _ = rig.tunnel(banner=b"SSH-2.0-x\r\n")
    assert body(client) == b"SSH-2.0-x\r\n"


class _AddsTwo:
    """Adds fields to the 200."""

    def tunnelFields(self, tunnel: Any) -> Any:
        yield "X-Request-Id", tunnel.request.id
        yield b"X-Long", b"x" * 2000


@everyChunk
def test_fieldsOfThe200(makeRig: MakeRig, chunk: object) -> None:
    """[F60] [H1-31] Added fields are in the head of the 200, in front of the
    destination's first byte."""
    adds = _AddsTwo()
    directlyProvides(adds, ITunnelFields)
    rig = makeRig(chunk=chunk, tunnelFields=[adds])
    rig.serve(banner=b"SSH-2.0-x\r\n")
    client = rig.client(connect() + b"hello")
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    rig.flush()
    assert client.received == (
        b"HTTP/1.1 200 Connection established\r\nX-Request-Id: %b\r\nX-Long: %b\r\n\r\n"
        b"SSH-2.0-x\r\n" % (tunnel.info.request.id.encode(), b"x" * 2000)
    )


@everyChunk
def test_destinationSpeaksAndCloses(makeRig: MakeRig, chunk: object) -> None:
    """[T3] [TU-02] It answers and closes at once: the client has 200 and all data."""
    rig = makeRig(chunk=chunk)
    size = 2000 if chunk == 1 else 500_000
    data = noise(size)

    def speakAndClose(peer: object) -> None:
        peer.send(data)  # type: ignore[attr-defined]
        peer.close()  # type: ignore[attr-defined]

    client, _ = rig.tunnel(accepted=speakAndClose)
    assert body(client) == data
    assert client.ended
    assert not client.reset
    client.end()
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.DESTINATION


@everyChunk
def test_clientEndsFirst(makeRig: MakeRig, chunk: object) -> None:
    """[TU-03] [T11] FIN goes on to the destination, which still answers."""
    rig = makeRig(chunk=chunk)
    client, destination = rig.tunnel()
    client.send(b"question")
    client.end()
    rig.flush()
    assert destination.received == b"question"
    assert destination.ended
    assert not client.ended
    destination.send(b"answer")
    destination.end()
    rig.flush()
    assert body(client) == b"answer"
    assert client.ended
    assert client.closed
    rig.assertOver()
    closed = rig.events.closed[0]
    assert (closed.reason, closed.up, closed.down) == (Closed.CLIENT, 8, 6)


@everyChunk
def test_destinationEndsFirst(makeRig: MakeRig, chunk: object) -> None:
    """[TU-03] [T11] FIN goes on to the client, which still sends."""
    rig = makeRig(chunk=chunk)
    client, destination = rig.tunnel()
    destination.send(b"bye")
    destination.end()
    rig.flush()
    assert body(client) == b"bye"
    assert client.ended
    client.send(b"one more")
    rig.flush()
    assert destination.received == b"one more"
    client.end()
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.DESTINATION


def test_slowReaderGetsAllBeforeTheEnd(makeRig: MakeRig) -> None:
    """[TU-02] The destination sends much and closes; a reader that pauses gets all."""
    rig = makeRig()
    client, destination = rig.tunnel()
    client.pause()
    data = noise(5_000_000)
    destination.send(data)
    destination.close()
    rig.flush()
    for _ in range(4):
        client.resume()
        rig.flush()
        client.pause()
    client.resume()
    rig.flush()
    assert body(client) == data
    assert client.ended
    client.end()
    rig.assertOver()


def test_bytesToAClosedDestinationDoNotCutItsAnswer(makeRig: MakeRig) -> None:
    """[TU-02] A reset by a destination that has ended already loses none of its bytes."""
    rig = makeRig()
    client, destination = rig.tunnel()
    client.pause()
    # Less than makes the relay pause the destination: its FIN is seen.
    data = noise(100_000)
    destination.send(data)
    destination.close()
    rig.flush()
    # What the destination no longer takes makes it reset; its answer stands.
    client.send(b"never read")
    rig.flush()
    client.send(b"and noticed now")
    rig.flush()
    client.resume()
    rig.flush()
    assert body(client) == data
    assert client.ended
    client.end()
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.DESTINATION


@everyChunk
def test_destinationResets(makeRig: MakeRig, chunk: object) -> None:
    """[TU-04] [T11] A reset by the destination resets the client."""
    rig = makeRig(chunk=chunk)
    client, destination = rig.tunnel()
    destination.abort()
    rig.flush()
    assert client.reset
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.DESTINATION_RESET


@everyChunk
def test_clientResets(makeRig: MakeRig, chunk: object) -> None:
    """[TU-04] [T11] A reset by the client resets the destination."""
    rig = makeRig(chunk=chunk)
    client, destination = rig.tunnel()
    client.abort()
    rig.flush()
    assert destination.reset
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.CLIENT_RESET


def test_resetBehindAPauseIsSeenAtTheLatestWhenItIdles(makeRig: MakeRig) -> None:
    """
    [K9] A leg that is paused for back-pressure shows its reset late in the
    transport relay: at the next read, or at the idle deadline, and never not.
    """
    rig = makeRig(settings={"idleTimeout": 60.0})
    client, destination = rig.tunnel()
    destination.pause()
    client.send(noise(1_000_000))
    rig.flush()
    client.abort()
    rig.network.advance(62)
    assert destination.reset
    rig.assertOver()
    assert rig.events.closed[0].reason in (Closed.CLIENT_RESET, Closed.IDLE)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_readerThatDoesNotReadStopsTheWriter(makeRig: MakeRig, direction: str) -> None:
    """[TU-06] [T10] Bytes in flight are bounded, and none is lost."""
    rig = makeRig()
    client, destination = rig.tunnel()
    reader, writer = (
        (destination, client) if direction == "up" else (client, destination)
    )
    reader.pause()
    data = noise(rig.flood)
    writer.send(data)
    rig.flush()
    relay = relayOf(rig)
    taken = relay.up if direction == "up" else relay.down
    assert taken <= rig.inFlight < len(data)
    reader.resume()
    rig.flush()
    received = reader.received if direction == "up" else body(reader)
    assert received == data


def test_bothDirectionsStuckAtOnce(makeRig: MakeRig) -> None:
    """[TU-06] [T10] Both sides write without reading; nothing dead-locks."""
    rig = makeRig()
    client, destination = rig.tunnel()
    client.pause()
    destination.pause()
    up, down = noise(1_000_000), noise(1_000_001)
    client.send(up)
    destination.send(down)
    rig.flush()
    client.resume()
    destination.resume()
    rig.flush()
    assert destination.received == up
    assert body(client) == down


def test_halfCloseBehindAFullBuffer(makeRig: MakeRig) -> None:
    """[TU-03] FIN goes on although the leg it goes to was just full."""
    rig = makeRig()
    client, destination = rig.tunnel()
    destination.pause()
    data = noise(400_000)
    client.send(data)
    client.end()
    rig.flush()
    destination.resume()
    rig.flush()
    assert destination.received == data
    assert destination.ended
    destination.end()
    rig.assertOver()


def test_closeBoth(makeRig: MakeRig) -> None:
    """[TU-03] C{halfClose="close-both"}: the end of one direction ends both (RFC 9110)."""
    rig = makeRig(settings={"halfClose": "close-both"})
    client, destination = rig.tunnel()
    client.send(b"last words")
    client.end()
    rig.flush()
    assert destination.received == b"last words"
    assert destination.ended
    assert client.ended
    destination.end()
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.CLIENT


def test_idleCountsBothDirections(makeRig: MakeRig) -> None:
    """[TU-08] [T12] Activity of either direction keeps a tunnel; its absence ends it."""
    rig = makeRig(settings={"idleTimeout": 10.0})
    client, destination = rig.tunnel()
    for _ in range(5):
        rig.network.advance(8)
        client.send(b"u")
        rig.network.advance(8)
        destination.send(b"d")
    rig.network.advance(8)
    assert not client.closed
    rig.network.advance(4)
    assert client.reset
    assert destination.reset
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.IDLE


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_aSlowReaderIsNotIdle(makeRig: MakeRig, up: bool) -> None:
    """
    [F03] Bytes that reach it count as those that are read: it keeps its tunnel
    for as long as it takes some, and no longer.
    """
    rig = makeRig(settings={"idleTimeout": 5.0})
    client, destination = rig.tunnel()
    writer, reader = (client, destination) if up else (destination, client)
    rig.narrow(reader)
    reader.pause()
    writer.send(noise(rig.flood))
    rig.flush()
    relay = relayOf(rig)
    taken = [relay.up + relay.down]
    for _ in range(16):
        rig.network.advance(2)
        taken.append(relay.up + relay.down)
        sip(reader, rig.sip)
    rig.network.advance(2)
    assert not reader.reset
    # For longer than the deadline nothing was read.
    assert any(one == after for one, after in zip(taken, taken[3:], strict=False))
    rig.network.advance(13)
    assert reader.reset
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.IDLE


def test_whatNobodyTakesIsIdle(makeRig: MakeRig) -> None:
    """[F03] Bytes that wait, and never leave, keep no tunnel."""
    rig = makeRig(settings={"idleTimeout": 10.0})
    client, destination = rig.tunnel()
    client.pause()
    destination.send(noise(rig.flood))
    # Twice: a real system may still deliver a little in the first.
    rig.network.advance(23)
    assert client.reset
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.IDLE


@pytest.mark.parametrize("direction", Direction)
def test_aPausedDirectionIsReadWithTheLastRelease(
    makeRig: MakeRig, direction: Direction
) -> None:
    """[F51] Each pause is one party's; the other direction goes on."""
    rig = makeRig()
    client, destination = rig.tunnel()
    isUp = direction is Direction.UP
    writer, reader = (client, destination) if isUp else (destination, client)
    pauses = [relayOf(rig).pause(direction) for _ in range(2)]
    before = reader.received
    writer.send(b"paused")
    reader.send(b"not paused")
    rig.flush()
    assert writer.received.endswith(b"not paused")
    pauses[0].release()
    # A second time is none of the other's.
    pauses[0].release()
    rig.flush()
    assert reader.received == before
    pauses[1].release()
    rig.flush()
    assert reader.received == before + b"paused"


@pytest.mark.parametrize("first", ["pause", "reader"])
def test_aPauseAndAFullLegDoNotUndoEachOther(makeRig: MakeRig, first: str) -> None:
    """[F51] [TU-06] Whichever goes first, the other still holds the direction."""
    rig = makeRig()
    client, destination = rig.tunnel()
    relay = relayOf(rig)
    client.pause()
    data = noise(rig.flood)
    destination.send(data)
    rig.flush()
    pause = relay.pause(Direction.DOWN)
    taken = relay.down
    if first == "pause":
        pause.release()
        rig.flush()
        assert relay.down == taken
        client.resume()
    else:
        client.resume()
        rig.flush()
        assert relay.down == taken
        assert len(body(client)) == taken
        pause.release()
    rig.flush()
    assert body(client) == data


def test_aPauseOutlivesItsTunnel(makeRig: MakeRig) -> None:
    """[F51] Whoever holds one need not know that the tunnel is over."""
    rig = makeRig()
    client, _ = rig.tunnel()
    relay = relayOf(rig)
    pauses = [relay.pause(each) for each in Direction]
    client.abort()
    # The transport relay reads nothing of a reset while it is paused.
    pauses[0].release()
    rig.assertOver()
    for pause in (*pauses, relay.pause(Direction.UP)):
        pause.release()
    rig.assertOver()


def test_theEndWaitsForTheRelease(makeRig: MakeRig) -> None:
    """[F51] [TU-03] What a paused direction has left, and its FIN, come behind."""
    rig = makeRig()
    client, destination = rig.tunnel()
    pause = relayOf(rig).pause(Direction.UP)
    client.send(b"late")
    client.end()
    rig.flush()
    assert (destination.received, destination.ended) == (b"", False)
    pause.release()
    rig.flush()
    assert (destination.received, destination.ended) == (b"late", True)
    # One more after the end reads nothing twice.
    relayOf(rig).pause(Direction.UP).release()
    rig.flush()
    destination.end()
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.CLIENT


def test_halfClosedHasItsOwnDeadline(makeRig: MakeRig) -> None:
    """[TU-03] [T11] A tunnel of which one direction has ended idles less long."""
    rig = makeRig(settings={"idleTimeout": 1000.0, "halfClosedTimeout": 20.0})
    client, destination = rig.tunnel()
    client.end()
    rig.network.advance(18)
    assert not destination.closed
    destination.send(b"still here")
    rig.network.advance(18)
    assert body(client) == b"still here"
    assert not destination.reset
    rig.network.advance(6)
    assert destination.reset
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.IDLE


def test_lastFlushIsNotWaitedForForEver(makeRig: MakeRig) -> None:
    """[T11] Both have ended, but one reads nothing of what is left: a deadline ends it."""
    rig = makeRig(settings={"halfClosedTimeout": 30.0})
    client, destination = rig.tunnel()
    client.pause()
    destination.send(noise(rig.unread))
    destination.end()
    client.end()
    rig.flush()
    # Twice: a real system may still deliver a little in the first.
    rig.network.advance(63)
    assert client.reset
    rig.assertOver()


def test_maxLifetime(makeRig: MakeRig) -> None:
    """[TU-08] A tunnel with a lifetime ends with it, busy or not."""
    rig = makeRig(settings={"maxLifetime": 30.0, "idleTimeout": 0.0})
    client, destination = rig.tunnel()
    for _ in range(10):
        rig.network.advance(3)
        client.send(b"busy")
    rig.network.advance(2)
    assert destination.reset
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.LIFETIME


def test_withoutDeadlinesATunnelStays(makeRig: MakeRig) -> None:
    """[TU-08] Nought means for ever."""
    rig = makeRig(settings={"idleTimeout": 0.0})
    client, destination = rig.tunnel()
    rig.network.advance(3000)
    client.send(b"hello")
    rig.flush()
    assert destination.received == b"hello"


def test_manyTunnelsLeaveNothing(makeRig: MakeRig) -> None:
    """[T11] Tunnels that end in every way leave no transport, timer or member behind."""
    rig = makeRig()
    server = rig.serve()
    for number in range(200):
        client = rig.client(connect())
        destination = server.peers[-1]
        first, second = (client, destination) if number % 2 else (destination, client)
        if number % 3:
            first.end()
            second.end()
        else:
            first.abort()
    rig.assertOver()
    assert len(rig.events.closed) == 200
    assert rig.events.closed[0].tunnel.address is not None


@pytest.mark.parametrize("leaves", ["client", "destination"])
def test_lastFlushOutlivesTheOtherLeg(makeRig: MakeRig, leaves: str) -> None:
    """[TU-02] Both have ended; one resets before it has read all; the other gets all."""
    rig = makeRig()
    client, destination = rig.tunnel()
    client.pause()
    destination.pause()
    up, down = noise(100_000), noise(100_001)
    client.send(up)
    client.end()
    rig.flush()
    destination.send(down)
    destination.end()
    rig.flush()
    gone, stays = (client, destination) if leaves == "client" else (destination, client)
    gone.abort()
    rig.flush()
    stays.resume()
    rig.flush()
    received = destination.received if leaves == "client" else body(client)
    assert received == (up if leaves == "client" else down)
    assert stays.ended
    assert not stays.reset
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.CLIENT
