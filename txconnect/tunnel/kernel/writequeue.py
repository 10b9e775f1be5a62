"""
The octets that a leg has still to take, in order.

They are kept as they came, and written many at a time: what waits is never
copied again for what is added behind it, which would be quadratic (F07).
Small pieces are gathered first, so that a writer of single octets costs no
object each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TypeAlias

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

    def write(self, sendMany: Callable[[list[Buffer]], int]) -> int:
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
        self._forget(self._offset + sent)
        return sent

    def _forget(self, octets: int) -> None:
        """Drop so many octets, counted from the first buffer's beginning."""
        buffers = self._buffers
        while buffers and octets >= len(buffers[0]):
            octets -= len(buffers.popleft())
        self._offset = octets
