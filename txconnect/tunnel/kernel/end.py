"""
One end of a kernel relay: a plain socket, served when it is ready.

C{recv}, then C{send} at once.  What the other socket does not take stays with
it, and until it is gone nothing more is read: so back-pressure needs no buffer
that grows.  A direction whose reads are large is bulk, and goes through a pipe by
C{splice}, without entering Python's heap.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Callable
from functools import partial

from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.kernel.pipes import Pipe, Pipes
from txconnect.tunnel.relay import Told
from txconnect.values import Closed
from txconnect.wire.closing import Happening

IN, OUT = select.EPOLLIN, select.EPOLLOUT
BROKEN = select.EPOLLERR | select.EPOLLHUP

READ = 65536
"""Octets that are read at once."""

BULK = 3
"""
Large reads in a row that make a direction bulk: at least a quarter of what could
be read.  One that is not ends it.
"""

# What splice() says where it is forbidden or missing, as in some sandboxes.
_UNABLE = {errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP}
_RESET = struct.pack("ii", 1, 0)
_SPLICE = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE if hasattr(os, "splice") else 0


class End:
    """
    One leg: its socket, what is still to be written to it, and the direction
    that begins at it.

    @ivar count: bytes taken from it so far.
    """

    __slots__ = (
        "_bulk",
        "_closing",
        "_descriptor",
        "_ended",
        "_ending",
        "_finSent",
        "_happenings",
        "_held",
        "_lose",
        "_lost",
        "_mask",
        "_nested",
        "_pending",
        "_pipe",
        "_pipes",
        "_recv",
        "_send",
        "_socket",
        "_told",
        "count",
        "other",
    )

    other: End

    def __init__(
        self,
        nested: NestedEpoll,
        pipes: Pipes,
        told: Told,
        skt: socket.socket,
        happenings: tuple[Happening, Happening],
        lose: Callable[[bool, bool], object],
    ) -> None:
        self._nested = nested
        self._pipes = pipes
        self._told = told
        self._socket = skt
        self._descriptor = skt.fileno()
        self._recv = skt.recv
        self._send = skt.send
        self._happenings = happenings
        self._lose = lose
        # What the epoll watches for; None: the descriptor is not in it.
        self._mask: int | None = None
        self._pending: memoryview | bytes = b""
        self._pipe: Pipe | None = None
        self._bulk = 0
        self._held = 0
        self._ended = False
        self._ending = False
        self._closing = False
        self._lost = False
        self._finSent = False
        self.count = 0

    # What the relay does with it

    def begin(self, mask: int | None) -> None:
        """
        Be watched from now on.

        @param mask: what its descriptor is watched for, for somebody else;
            L{None} when it is not.
        @raise OSError: no more descriptors can be watched.
        """
        self._mask = mask
        self._ask(IN)

    def leave(self) -> None:
        """Be watched no more, for now or for good."""
        if self._mask is not None:
            self._nested.unwatch(self._descriptor)
            self._mask = None

    def write(self, data: bytes | memoryview) -> None:
        """Send, behind what is still to be sent; what does not fit is kept."""
        if self._lost or self._closing or self._ending:
            return
        if self._pending:
            self._pending = bytes(self._pending) + data
            return
        sent = 0
        try:
            sent = self._send(data)
        except BlockingIOError:
            pass
        except OSError:
            self._broken()
            return
        if sent < len(data):
            self._pending = memoryview(data)[sent:]
            self._watch()
            self.other._watch()

    def hold(self) -> None:
        """Read nothing until as many L{release}s; for rate limits."""
        self._held += 1
        self._watch()

    def release(self) -> None:
        """Take one L{hold} back."""
        self._held -= 1
        self._watch()

    def end(self) -> None:
        """Send FIN behind what is still to be written."""
        if not self._lost and not self._ending:
            self._ending = True
            self._drained()

    def close(self) -> None:
        """Close behind what is still to be written."""
        if not self._lost:
            self._closing = True
            self._drained()

    def abort(self) -> None:
        """Reset."""
        self._finish(reset=True)

    # What the epoll tells

    def ready(self, events: int) -> None:
        """See L{txconnect.tunnel.kernel.nested.Watched}."""
        # What it is watched for, whatever has been read earlier in this batch.
        if events & OUT and (self._mask or 0) & OUT:
            self._flush()
        if self._lost:
            return
        if (self._mask or 0) & IN:
            if events & ~OUT:
                self._read() if self._bulk < BULK else self._splice()
        elif events & BROKEN:
            self._brokenUnread(events)

    def ended(self, reason: Closed) -> None:
        """See L{txconnect.tunnel.kernel.nested.Watched}."""
        self._told.cut(reason)

    @property
    def _blocked(self) -> bool:
        """Whether something is still to be written here."""
        if self._pending:
            return True
        pipe = self.other._pipe
        return pipe is not None and pipe.held > 0

    @property
    def _reading(self) -> bool:
        """Whether it is to be read now."""
        return not (self._ended or self._closing or self._held or self.other._blocked)

    def _watch(self) -> None:
        """Have the epoll watch for what can be done now, and nothing else."""
        if self._lost:
            return
        mask = (IN if self._reading else 0) | (OUT if self._blocked else 0)
        if mask != self._mask:
            self._ask(mask)

    def _ask(self, mask: int) -> None:
        if self._mask is None:
            self._nested.watch(self._descriptor, mask, self)
        else:
            self._nested.change(self._descriptor, mask, self)
        self._mask = mask

    def _read(self) -> None:
        try:
            data = self._recv(READ)
        except BlockingIOError:
            return
        except OSError:
            self._broken()
            return
        if not data:
            self._endOfInput()
            return
        size = len(data)
        self.count += size
        self._bulk = self._bulk + 1 if size * 4 >= READ else 0
        self.other.write(data)

    def _splice(self) -> None:
        """
        Read by a pipe that is lent for this turn, and for as long as something
        is in it: a direction that rests keeps nobody from having one.
        """
        pipe = self._pipes.take()
        if pipe is None:
            self._read()
            return
        self._pipe = pipe
        try:
            size = os.splice(self._descriptor, pipe.entry, pipe.size, flags=_SPLICE)
        except OSError as error:
            if error.errno in _UNABLE:
                self._pipes.forgo()
            elif error.errno != errno.EAGAIN:
                self._unpipe()
                self._broken()
                return
            size = 0
        if not size:
            # Not the end yet: splice() says the same in front of an urgent
            # octet, which recv() steps over.
            self._unpipe()
            self._bulk = 0
            self._read()
            return
        self.count += size
        pipe.held = size
        if size * 4 < READ:
            self._bulk = 0
        if not self.other._drain(pipe):
            return
        if pipe.held:
            self._watch()
            self.other._watch()
        else:
            self._unpipe()

    def _drain(self, pipe: Pipe) -> bool:
        """Write what a pipe holds; whether this leg is still there."""
        while pipe.held:
            try:
                pipe.held -= os.splice(
                    pipe.exit, self._descriptor, pipe.held, flags=_SPLICE
                )
            except BlockingIOError:
                # There is something in the pipe: this socket is full.
                break
            except OSError:
                self._broken()
                return False
        return True

    def _unpipe(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._pipes.giveBack(pipe)

    def _flush(self) -> None:
        if self._pending:
            try:
                sent = self._send(self._pending)
            except BlockingIOError:
                return
            except OSError:
                self._broken()
                return
            self._pending = self._pending[sent:]
        pipe = self.other._pipe
        if not self._pending and pipe is not None:
            if not self._drain(pipe):
                return
            if not pipe.held:
                self.other._unpipe()
        self._drained()

    def _drained(self) -> None:
        """Do what waited for the last byte, if it has left."""
        if not self._blocked:
            if self._closing:
                self._finish(reset=False)
                return
            if self._ending:
                try:
                    self._shut()
                except OSError:
                    self._broken()
                    return
        self._watch()
        self.other._watch()

    def _shut(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)
        self._finSent = True

    def _endOfInput(self) -> None:
        self._ended = True
        self._told.happened(self._happenings[0])
        # Only now, as it may be over.
        self._watch()

    def _brokenUnread(self, events: int) -> None:
        """
        HUP and ERR are told however little is watched for, and again and
        again: a reset is taken note of, else the descriptor leaves the epoll
        until something can be done with it.
        """
        if events & select.EPOLLERR and self._socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_ERROR
        ):
            self._broken()
        elif not self._blocked:
            self.leave()

    def _broken(self) -> None:
        """The other end has reset it, or it does not answer any more."""
        if not self._lost:
            self._lost = True
            self._told.happened(self._happenings[1])
            self._giveUp(reset=True)

    def _finish(self, reset: bool) -> None:
        if not self._lost:
            self._lost = True
            self._giveUp(reset)

    def _giveUp(self, reset: bool) -> None:
        """Give back what it has; the other leg may still flush from its pipe."""
        other = self.other
        self._pending = b""
        if self._pipe is not None and (other._lost or not self._pipe.held):
            self._unpipe()
        if other._lost:
            other._unpipe()
        self.leave()
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._nested.later(partial(self._gone, reset))

    def _gone(self, reset: bool) -> None:
        self._lose(reset, self._finSent)
        self._told.legLost()
        # A circle of references otherwise, which only the collector breaks.
        del self.other, self._told, self._lose
