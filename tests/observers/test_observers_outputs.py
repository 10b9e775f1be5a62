"""
[F22] The outputs of lines: a file at once, everything else by a thread, so that no
reader holds the caller up.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from txconnect.observers import outputs
from txconnect.observers.outputs import (
    ROOM,
    STALLED,
    FileOutput,
    QueuedOutput,
    StreamOutput,
    drainOutputs,
    outputOf,
)

LINE = b"x" * 99 + b"\n"


class Slow:
    """
    A C{write} which waits until it may go on.

    @ivar error: what it raises then.
    """

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.goOn = threading.Event()
        self.taken: list[bytes] = []
        self.error: OSError | None = None

    def write(self, descriptor: int, data: bytes) -> int:
        self.entered.set()
        assert self.goOn.wait(60)
        if self.error is not None:
            raise self.error
        self.taken.append(data)
        return len(data)


@pytest.fixture
def slow() -> Iterator[Slow]:
    """A reader that stalls, and is let go at the end."""
    made = Slow()
    yield made
    made.goOn.set()


def filled(output: QueuedOutput) -> int:
    """How many lines it takes until it has no room."""
    for count in range(ROOM):
        try:
            output.write(LINE)
        except OSError as error:
            assert str(error) == STALLED
            return count
    raise AssertionError("it takes anything")


def test_aRegularFileIsWrittenAtOnce(tmp_path: Path) -> None:
    """[F22] Nothing waits: a crash after the call loses no line."""
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    output = outputOf(descriptor, owned=True)
    assert isinstance(output, FileOutput)
    output.write(LINE)
    assert (tmp_path / "log").read_bytes() == LINE
    output.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_aFileTellsWhyAPartIsMissing(tmp_path: Path) -> None:
    """[F28] A disk that fills within a line is "No space left", not "only a part"."""
    room = 10

    def write(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = os.write(descriptor, data[:room])
        room -= count
        return count

    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    output = outputOf(descriptor, owned=True, write=write)
    with pytest.raises(OSError, match="No space left on device"):
        output.write(LINE)
    room = 1000
    output.write(LINE)
    output.close()
    assert (tmp_path / "log").read_bytes() == b"x" * 10 + b"\n" + LINE


def test_aFileThatTakesNothing(tmp_path: Path) -> None:
    """A write of no octets ends in an error, and not in a loop."""
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    output = outputOf(descriptor, owned=True, write=lambda number, data: 0)
    with pytest.raises(OSError, match="no octet"):
        output.write(LINE)
    output.close()


def test_aStalledReaderHoldsNothing(slow: Slow) -> None:
    """[F22] While a write waits, lines are taken up to a bound, and then lost."""
    output = QueuedOutput(1, write=slow.write)
    count = filled(output)
    assert count == ROOM // len(LINE)
    assert slow.entered.wait(60)
    assert slow.taken == []
    slow.goOn.set()
    assert output.drain()
    output.write(LINE)
    assert output.drain()
    assert slow.taken == [LINE] * (count + 1)


def test_theEndOfTheProgramDoesNotWaitForAStalledReader(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[F22] A stop is held no longer than the patience is."""
    monkeypatch.setattr(outputs, "_PATIENCE", 0)
    output = QueuedOutput(1, write=slow.write)
    output.write(LINE)
    assert slow.entered.wait(60)
    drainOutputs()
    assert not output.drain()


def test_aReaderThatReadsGetsAllAtTheEnd() -> None:
    """What waits at the end of the program is written, as far as it is taken."""
    reading, writing = os.pipe()
    output = outputOf(writing, owned=True)
    assert isinstance(output, QueuedOutput)
    for _ in range(100):
        output.write(LINE)
    drainOutputs()
    assert os.read(reading, 65536) == LINE * 100
    output.close()
    assert os.read(reading, 1) == b"", "the writing end is closed"
    os.close(reading)
    with pytest.raises(OSError, match="closed"):
        output.write(LINE)


def test_closingNeverWaits(slow: Slow) -> None:
    """[F22] The thread closes the descriptor, behind the lines that wait."""
    reading, writing = os.pipe()
    output = QueuedOutput(writing, owned=True, write=slow.write)
    output.write(LINE)
    assert slow.entered.wait(60)
    output.close()
    output.close()
    os.fstat(writing)
    slow.goOn.set()
    assert os.read(reading, 1) == b""
    assert slow.taken == [LINE]
    os.close(reading)


def test_closingBeforeTheFirstLine() -> None:
    """Without a line there is no thread, and closing closes."""
    threads = threading.active_count()
    reading, writing = os.pipe()
    output = outputOf(writing, owned=True)
    assert threading.active_count() == threads
    output.close()
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_whatIsLostInTheThreadIsCounted(slow: Slow) -> None:
    """A reader that goes away: lines and the counts of notes are told apart."""
    output = QueuedOutput(1, write=slow.write)
    slow.error = BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    slow.goOn.set()
    output.write(LINE)
    output.write(LINE, 7)
    assert output.drain()
    assert (output.failures, output.failed, output.untold) == (2, 1, 7)
    assert (output.broken, output.reason) == (True, "Broken pipe")
    slow.error = None
    output.write(LINE)
    assert output.drain()
    assert not output.broken


def test_nonblockingDescriptorOfAnother() -> None:
    """[F22] C{O_NONBLOCK} that another program has set loses no line."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    output = outputOf(writing, owned=True)
    for _ in range(2000):
        output.write(LINE)
    output.close()
    got = b""
    while piece := os.read(reading, 65536):
        got += piece
    assert got == LINE * 2000
    os.close(reading)


def test_descriptorsAreLeftAsTheyAre() -> None:
    """[F22] The shell and other programs share it: no flag of it is changed."""
    reading, writing = os.pipe()
    output = outputOf(writing, owned=True)
    output.write(LINE)
    assert os.get_blocking(writing)
    output.close()
    os.close(reading)


def test_aForkHasAThreadOfItsOwn(slow: Slow) -> None:
    """twistd forks: the child's lines go out, the parent's do not go out twice."""
    output = QueuedOutput(1, write=slow.write)
    output.write(LINE)
    assert slow.entered.wait(60)
    after = QueuedOutput(1, write=lambda descriptor, data: slow.taken.append(data) or 9)
    after.write(b"before it\n"[:9])
    assert after.drain()
    # What the child does, without one.
    after.forked()
    after.write(b"behind it"[:9])
    assert after.drain()
    assert slow.taken == [b"before it", b"behind it"]


def test_noThreadAtTheInterpretersEnd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that comes too late is lost, and is no traceback."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OSError, match="at interpreter shutdown"):
        QueuedOutput(1).write(LINE)


@pytest.mark.parametrize("make", [io.StringIO])
def test_aStreamWithoutADescriptor(make: Callable[[], io.StringIO]) -> None:
    """An editor's or a test's stream gets lines; a closed one loses them."""
    stream = make()
    output = StreamOutput(stream)
    output.write(b"one\n")
    assert stream.getvalue() == "one\n"
    stream.close()
    with pytest.raises(OSError, match="closed file"):
        output.write(b"two\n")
    output.close()


def test_kinds(tmp_path: Path) -> None:
    """All that is no regular file may have a reader that stalls."""
    os.mkfifo(tmp_path / "fifo")
    descriptor = os.open(tmp_path / "fifo", os.O_RDWR)
    assert stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    assert isinstance(outputOf(descriptor), QueuedOutput)
    os.close(descriptor)
    with open(os.devnull, "wb") as null:
        assert isinstance(outputOf(null.fileno()), QueuedOutput)
