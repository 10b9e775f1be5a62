"""
The octets that a leg has still to take, in order.

They are kept as they came, and written many at a time: waiting octets are never
copied again for those that are added after them, which would be quadratic (F07).
Small pieces are gathered first, so that a writer of single octets costs no object
each.

Bulk waits in its pipe (L{txconnect.tunnel.kernel.pipes}), until other octets are
written too: then it moves to a queue, in front.
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
    The buffers that wait.

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
        Give the first buffers to C{sendMany}, and drop the octets that it took.

        @param sendMany: as C{socket.sendmsg}; its exceptions are raised on.
        @return: the number of octets that it has taken.
        """
        buffers = list(islice(self._buffers, MOST_BUFFERS))
        if self._offset:
            buffers[0] = memoryview(buffers[0])[self._offset :]
        sent = sendMany(buffers)
        self.size -= sent
        self._dropWritten(self._offset + sent)
        return sent

    def _dropWritten(self, octets: int) -> None:
        """Drop a number of octets, counted from the first buffer's beginning."""
        buffers = self._buffers
        while buffers and octets >= len(buffers[0]):
            octets -= len(buffers.popleft())
        self._offset = octets


class Backlog:
    """
    All that waits for one leg.

    @param data: the octets to be written.
    @param pipe: a pipe whose octets come first.
    @param pipes: the lender of that pipe.
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
        """Return the number of octets that wait."""
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
        Write as many octets as the leg takes, from the pipe or from the queue.

        @return: their number.
        @raise OSError: as C{socket.sendmsg}.
        """
        if self._pipe is not None:
            return self._pipe.drainInto(descriptor)
        return self._queue.writeSome(sendMany)

    def dropPipe(self) -> None:
        """Return the pipe, if there is one, with any octets in it."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None and self._pipes is not None:
            self._pipes.returnPipe(pipe)
