"""
The octets that a leg has still to take, in order.

They are kept as they came, and written many at a time: what waits is never
copied again for what is added behind it, which would be quadratic (F07).
Small pieces are gathered first, so that a writer of single octets costs no
object each.

Bulk waits in its pipe (L{txconnect.tunnel.kernel.pipes}), until something is
written beside it: then it moves to a queue, in front.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TypeAlias

from txconnect.tunnel.kernel.pipes import Pipe, Pipes

Buffer: TypeAlias = bytes | bytearray | memoryview

SMALL = 4096
"""Octets under which a piece is gathered with those before it."""

GATHERED = 65536
"""Octets of gathered pieces that make one buffer."""

MOST_BUFFERS = 64
"""Buffers that are written at once; C{IOV_MAX} is 1024 on Linux, 16 at least."""


class WriteQueue:
    """
    Buffers that wait.

    @ivar size: their octets.
    """

    __slots__ = ("_buffers", "_offset", "size")

    def __init__(self) -> None:
        self._buffers: deque[Buffer] = deque()
        # Octets of the first that have been written.
        self._offset = 0
        self.size = 0

    def append(self, data: Buffer) -> None:
        """Add C{data} behind all else."""
        size = len(data)
        self.size += size
        if size >= SMALL:
            self._buffers.append(data)
            return
        last = self._buffers[-1] if self._buffers else b""
        if isinstance(last, bytearray) and len(last) < GATHERED:
            last += data
        elif size:
            self._buffers.append(bytearray(data))

    def writeSome(self, sendMany: Callable[[list[Buffer]], int]) -> int:
        """
        Give the first buffers to C{sendMany}, and forget what it has taken.

        @param sendMany: as C{socket.sendmsg}; what it raises is raised.
        @return: how many octets it has taken.
        """
        buffers = list(islice(self._buffers, MOST_BUFFERS))
        if self._offset:
            buffers[0] = memoryview(buffers[0])[self._offset :]
        sent = sendMany(buffers)
        self.size -= sent
        self._dropWritten(self._offset + sent)
        return sent

    def _dropWritten(self, octets: int) -> None:
        """Drop so many octets, counted from the first buffer's beginning."""
        buffers = self._buffers
        while buffers and octets >= len(buffers[0]):
            octets -= len(buffers.popleft())
        self._offset = octets


class Backlog:
    """
    All that waits for one leg.

    @param data: what is to be written.
    @param pipe: a pipe whose octets come first.
    @param pipes: what has lent it.
    """

    __slots__ = ("_pipe", "_pipes", "_queue")

    def __init__(
        self, data: Buffer, pipe: Pipe | None = None, pipes: Pipes | None = None
    ) -> None:
        self._queue = WriteQueue()
        self._pipe = pipe
        self._pipes = pipes
        self._queue.append(data)

    @property
    def size(self) -> int:
        """The octets that wait."""
        return self._queue.size + (0 if self._pipe is None else self._pipe.held)

    def append(self, data: Buffer) -> None:
        """Add C{data} behind all else."""
        if self._pipe is not None:
            self._queue.append(self._pipe.readAll())
            self.dropPipe()
        self._queue.append(data)

    def writeSome(
        self, descriptor: int, sendMany: Callable[[list[Buffer]], int]
    ) -> int:
        """
        Write what the leg takes, by either way.

        @return: how many octets that were.
        @raise OSError: as C{socket.sendmsg}.
        """
        if self._pipe is not None:
            return self._pipe.drainInto(descriptor)
        return self._queue.writeSome(sendMany)

    def dropPipe(self) -> None:
        """Give a pipe back, whatever is in it."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None and self._pipes is not None:
            self._pipes.returnPipe(pipe)
