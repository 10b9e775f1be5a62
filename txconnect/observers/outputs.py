"""
The outputs of lines: a regular file at once, everything else through a queue.

A line for a regular file is written before the call returns, by one C{write} to a
file opened for append: nothing waits to be flushed, lines of several processes never
mix, and a crash loses none.  (It takes two microseconds.)

A pipe, a FIFO, a terminal and a socket have a reader, and while that does not read, a
C{write} waits.  Nothing may wait in the reactor's thread, so a thread writes the lines
there, which wait in a queue of at most L{ROOM} octets; a line for which there is no
room is lost.  Two other ways were not taken:

  - C{O_NONBLOCK} is a property of the open file description, which the shell and the
    other programs of a terminal or a pipe share: their writes would begin to fail.
  - C{poll} before a write of at most C{PIPE_BUF} octets is right for a pipe with one
    writer.  Workers and threads share theirs: between the two calls another may fill
    it.  A terminal takes less than C{poll} has promised.

The thread is a daemon, so one that waits for ever does not keep the program from
ending.  It is started with the first line, because C{twistd} forks after it has made
all objects.  What waits at the end of the program is still written, for as long as
its reader takes lines (L{drainOutputs}).
"""

from __future__ import annotations

import atexit
import os
import select
import stat
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol, TextIO, Union

import attrs

__all__ = [
    "FileOutput",
    "Output",
    "QueuedOutput",
    "StreamOutput",
    "drainOutputs",
    "outputOf",
]

ROOM = 1 << 20
"""The most octets that wait for a reader."""

STALLED = "its reader does not keep up"
"""The reason for losing a line for which the queue has no room."""

_PATIENCE = 0.25
"""Seconds without a line taken after which the end of the program waits no more."""
_TRIES = 8
"""The most times that the end of the program waits so long."""

_Write = Callable[[int, bytes], int]


class Output(Protocol):
    """
    An output of whole lines, which never blocks.

    @ivar failures: the number of lines and notes that were accepted and lost later.
    @ivar failed: the number of lines that were accepted and lost later.
    @ivar untold: the sum of the counts whose notes were accepted and lost later.
    @ivar broken: true if the last write that was tried later has failed.
    @ivar reason: the reason for that, in words.
    """

    failures: int
    failed: int
    untold: int
    broken: bool
    reason: str

    def write(self, line: bytes, counts: int = 0) -> None:
        """
        Write a line, or accept it for writing.

        @param counts: not 0: the line is a note that tells so many lines lost.
        @raise OSError: it is lost.
        """

    def close(self) -> None:
        """Accept no more lines, and close the descriptor behind the last."""


class FileOutput:
    """A regular file: each line is written at once."""

    failures = 0
    failed = 0
    untold = 0
    broken = False
    reason = ""

    def __init__(
        self, descriptor: int, *, owned: bool = False, write: _Write = os.write
    ) -> None:
        """
        @param owned: true if L{close} closes the descriptor.
        """
        self.descriptor = descriptor
        self._owned = owned
        self._write = write
        self._torn = False

    def write(self, line: bytes, counts: int = 0) -> None:
        """See L{Output.write}."""
        if self._torn:
            # Ends the line of which only a part was written.
            line = b"\n" + line
        written = self._write(self.descriptor, line)
        if written < len(line):
            self._writeRest(line, written)
        if self._torn:
            self._torn = False

    def _writeRest(self, data: bytes, written: int) -> None:
        """Write on behind a part: the next write fails with the reason for it."""
        while written < len(data):
            if written:
                self._torn = data[written - 1] != 0x0A
            count = self._write(self.descriptor, data[written:])
            if not count:
                raise OSError("no octet of a line could be written")
            written += count

    def close(self) -> None:
        """See L{Output.close}."""
        if self._owned:
            os.close(self.descriptor)


class StreamOutput:
    """A stream of text that has no descriptor, as a test or an editor has them."""

    failures = 0
    failed = 0
    untold = 0
    broken = False
    reason = ""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: bytes, counts: int = 0) -> None:
        """See L{Output.write}."""
        try:
            self._stream.write(line.decode("utf-8"))
            self._stream.flush()
        except ValueError as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        """See L{Output.close}."""


@attrs.frozen
class _Line:
    data: bytes
    counts: int


# An event stands for the place in the queue that it is set at, L{None} for the end.
_Item = Union[_Line, threading.Event, None]

_outputs: set[QueuedOutput] = set()


class QueuedOutput:
    """
    A pipe, a FIFO, a terminal or a socket: a thread writes the lines there.

    Called by one thread at a time.
    """

    def __init__(
        self, descriptor: int, *, owned: bool = False, write: _Write = os.write
    ) -> None:
        """
        @param descriptor: may have C{O_NONBLOCK} or not.
        @param owned: true if the descriptor is closed behind the last line.
        @param write: called in the thread.
        """
        self.descriptor = descriptor
        self._owned = owned
        self._write = write
        self._closed = False
        # Each number is changed by one thread alone: that of the callers, or the one
        # that writes.
        self.failures = 0
        self.failed = 0
        self.untold = 0
        self.broken = False
        self.reason = ""
        self._begin()

    def _begin(self) -> None:
        self._accepted = 0
        self._taken = 0
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def write(self, line: bytes, counts: int = 0) -> None:
        """See L{Output.write}."""
        if self._closed:
            raise OSError("it is closed")
        if self._accepted - self._taken + len(line) > ROOM:
            raise OSError(STALLED)
        if self._thread is None:
            self._startThread()
        self._accepted += len(line)
        self._queue.put(_Line(line, counts))

    def close(self) -> None:
        """See L{Output.close}."""
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            self._queue.put(None)
        else:
            self._closeDescriptor()

    def drain(self) -> bool:
        """
        Wait until the lines are written, for as long as the reader takes any, and for
        two seconds at most.

        @return: whether all are.
        """
        passed = threading.Event()
        self._queue.put(passed)
        for _ in range(_TRIES):
            taken = self._taken
            if passed.wait(_PATIENCE):
                return True
            if self._taken == taken:
                break
        return False

    def forked(self) -> None:
        """Begin anew in a child process, which has no thread; the parent has the lines."""
        self._begin()

    def _startThread(self) -> None:
        thread = threading.Thread(
            target=self._writeLines, name="txconnect log", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            # The interpreter ends.
            raise OSError(str(error)) from error
        self._thread = thread
        _outputs.add(self)

    def _writeLines(self) -> None:
        """Write what is in the queue, up to its end; the whole of the thread."""
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            else:
                self._writeLine(item)
        _outputs.discard(self)
        self._closeDescriptor()

    def _writeLine(self, line: _Line) -> None:
        try:
            self._writeOctets(line.data)
        except OSError as error:
            self.reason = error.strerror or str(error)
            self.broken = True
            if line.counts:
                self.untold += line.counts
            else:
                self.failed += 1
            # Last: whoever sees it finds the others.
            self.failures += 1
        else:
            self.broken = False
        self._taken += len(line.data)

    def _writeOctets(self, data: bytes) -> None:
        while data:
            try:
                data = data[self._write(self.descriptor, data) :]
            except BlockingIOError:
                # Another program has set O_NONBLOCK on what it shares with this one.
                room = select.poll()
                room.register(self.descriptor, select.POLLOUT)
                room.poll()

    def _closeDescriptor(self) -> None:
        if self._owned:
            os.close(self.descriptor)


def outputOf(
    descriptor: int, *, owned: bool = False, write: _Write = os.write
) -> FileOutput | QueuedOutput:
    """
    Make the output that fits a descriptor.

    @param owned: true if the output closes it.
    @raise OSError: it is not open.
    """
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return FileOutput(descriptor, owned=owned, write=write)
    return QueuedOutput(descriptor, owned=owned, write=write)


def drainOutputs() -> None:
    """
    Have all readers get what waits for them, as far as they take it.

    Called at the end of the program.  It takes a quarter of a second for a reader that
    does not read.
    """
    for output in list(_outputs):
        output.drain()


def _forked() -> None:
    for output in list(_outputs):
        output.forked()
    _outputs.clear()


atexit.register(drainOutputs)
os.register_at_fork(after_in_child=_forked)
