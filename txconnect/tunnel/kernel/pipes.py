"""
Pipes for C{splice}: bytes that go through one never enter Python's heap.

A result of C{splice} is never taken for an end of input (F01).  Before TCP's urgent
mark it returns 0, as at the end of input, and EAGAIN where only the mark is in its
way, with octets after it.  The flow calls C{recv} then, which steps over the mark.
EAGAIN with octets in the pipe means that the sink is full (K5).

Rejected: one pipe for each direction, which is two descriptors more a direction, for
each idle tunnel.
"""

from __future__ import annotations

import errno
import fcntl
import os

SIZE = 1 << 20
"""Octets that a pipe should hold; Linux lets every user enlarge some pipes."""

MOST = 256
"""The most pipes at once; a direction that gets none goes on without."""

KEPT = 32
"""The most pipes that are kept for the next user."""

_SPLICE = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE if hasattr(os, "splice") else 0

# The errors of splice() where it is forbidden or missing, as in some sandboxes.
_UNABLE = {errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP}


class Pipe:
    """
    A pipe.

    @ivar held: octets inside.
    """

    __slots__ = ("entry", "exit", "held", "size")

    def __init__(self) -> None:
        self.exit, self.entry = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.held = 0
        try:
            self.size = fcntl.fcntl(self.entry, fcntl.F_SETPIPE_SZ, SIZE)
        except OSError:
            # Over the user's allowance (pipe-user-pages-soft): smaller serves.
            self.size = fcntl.fcntl(self.entry, fcntl.F_GETPIPE_SZ)

    def fillFrom(self, descriptor: int) -> int:
        """
        Move the octets that can be read from a socket into the pipe, which is empty.

        @return: their number.
        @raise OSError: as C{splice}.
        """
        size = self.held = os.splice(descriptor, self.entry, self.size, flags=_SPLICE)
        return size

    def drainInto(self, descriptor: int) -> int:
        """
        Move the octets in the pipe into a socket, as far as there is room.

        @return: their number.
        @raise OSError: the socket is broken.
        """
        before = self.held
        while self.held:
            try:
                self.held -= os.splice(self.exit, descriptor, self.held, flags=_SPLICE)
            except BlockingIOError:
                # The pipe is not empty, so this is the socket's: it is full.
                break
        return before - self.held

    def readAll(self) -> bytes:
        """Read all octets in the pipe."""
        inside = os.read(self.exit, self.held)
        self.held -= len(inside)
        return inside

    def close(self) -> None:
        os.close(self.exit)
        os.close(self.entry)


class Pipes:
    """Lends pipes, and keeps some of those that are returned."""

    def __init__(self, most: int = MOST, kept: int = KEPT) -> None:
        self._most = most
        self._kept = kept
        self._free: list[Pipe] = []
        self._lent = 0

    def takePipe(self) -> Pipe | None:
        """Lend an empty pipe, or L{None} when too many are lent or none can be made."""
        if self._lent >= self._most:
            return None
        try:
            pipe = self._free.pop() if self._free else Pipe()
        except OSError:
            return None
        self._lent += 1
        return pipe

    def lendFilled(self, descriptor: int) -> Pipe | None:
        """
        Lend a pipe, filled with the octets that can be read from a socket.

        @return: the pipe, or L{None} when nothing was spliced: perhaps C{recv} can
            read.
        @raise OSError: the socket is broken.
        """
        pipe = self.takePipe()
        if pipe is None:
            return None
        try:
            if pipe.fillFrom(descriptor):
                return pipe
        except OSError as error:
            self.returnPipe(pipe)
            if error.errno in _UNABLE:
                self.stopLending()
            elif error.errno != errno.EAGAIN:
                raise
            return None
        self.returnPipe(pipe)
        return None

    def returnPipe(self, pipe: Pipe) -> None:
        """
        Take a pipe back.  Only an empty one is lent again: octets left in another
        would reach the wrong tunnel.
        """
        self._lent -= 1
        if pipe.held or len(self._free) >= self._kept:
            pipe.close()
        else:
            self._free.append(pipe)

    def stopLending(self) -> None:
        """Lend none any more: C{splice} does not work here."""
        self._most = 0

    def close(self) -> None:
        """Close the pipes that are not lent."""
        free, self._free = self._free, []
        for pipe in free:
            pipe.close()
