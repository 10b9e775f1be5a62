"""
The queue of octets that a leg has still to take.
"""

from __future__ import annotations

import random

import pytest

from txconnect.tunnel.kernel import writequeue as room
from txconnect.tunnel.kernel.writequeue import Buffer, WriteQueue


class Sink:
    """Takes so many octets a call, and counts what it is given."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.taken = bytearray()
        self.calls = 0
        self.buffers = 0

    def sendMany(self, buffers: list[Buffer]) -> int:
        self.calls += 1
        self.buffers += len(buffers)
        left = self.takes
        for each in buffers:
            self.taken += each[:left]
            left -= min(left, len(each))
        return self.takes - left


def emptied(queue: WriteQueue, sink: Sink) -> bytes:
    """Write until nothing waits; what has arrived."""
    while queue.size:
        queue.writeSome(sink.sendMany)
    return bytes(sink.taken)


@pytest.mark.parametrize("takes", [1, 7, 5000, 1 << 20])
def test_octetsStayInOrder(takes: int) -> None:
    """[F07] Pieces of all sizes, written in pieces of any other."""
    choose = random.Random(takes)
    queue, sink, written = WriteQueue(), Sink(takes), b""
    for size in (0, 1, 4095, 4096, 4097, 1, 0, 70_000, 3, 3, 9000, 1):
        data = choose.randbytes(size)
        written += data
        queue.append(memoryview(data) if size % 2 else data)
        if size == 4097:
            # Some leave while others still come.
            queue.writeSome(sink.sendMany)
    assert emptied(queue, sink) == written
    assert queue.size == 0


def test_smallPiecesAreGathered() -> None:
    """[F07] Octets one by one cost no object each, and no buffer grows for ever."""
    queue = WriteQueue()
    for _ in range(3 * room.GATHERED):
        queue.append(b"x")
    assert len(queue._buffers) == 3
    assert {len(each) for each in queue._buffers} == {room.GATHERED}


def test_whatIsLargeIsNotCopied() -> None:
    """[F07] It waits as it came."""
    queue, data = WriteQueue(), bytes(room.SMALL)
    queue.append(data)
    queue.append(data)
    assert [each is data for each in queue._buffers] == [True, True]


def test_aBufferThatIsBeingWrittenMayGrow() -> None:
    """[F07] What is added to one of which a part has left comes behind the rest."""
    queue, sink = WriteQueue(), Sink(3)
    queue.append(b"abcde")
    assert queue.writeSome(sink.sendMany) == 3
    queue.append(b"fgh")
    assert queue.size == 5
    assert emptied(queue, sink) == b"abcdefgh"


def test_soManyBuffersAtOnce() -> None:
    """[F07] No more than the system takes, whatever waits."""
    queue, sink = WriteQueue(), Sink(1 << 30)
    for _ in range(3 * room.MOST_BUFFERS):
        queue.append(bytes(room.SMALL))
    assert len(emptied(queue, sink)) == 3 * room.MOST_BUFFERS * room.SMALL
    assert sink.calls == 3


def test_aSinkThatRefuses() -> None:
    """[F07] What it raises goes on, and nothing is lost."""
    queue = WriteQueue()
    queue.append(b"kept")

    def full(buffers: list[Buffer]) -> int:
        raise BlockingIOError

    with pytest.raises(BlockingIOError):
        queue.writeSome(full)
    assert emptied(queue, Sink(10)) == b"kept"
