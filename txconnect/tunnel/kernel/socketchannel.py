"""
A channel that is a plain socket, watched by the nested epoll.

Linux reports HUP and ERR however little is watched for, and again and again.
So a reset is taken note of where the socket is not read, and otherwise the
descriptor leaves the epoll until something can be done with it (K2).
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable

from txconnect.transports import countUnacknowledged
from txconnect.tunnel.kernel.channel import Channel
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.kernel.writequeue import Buffer
from txconnect.values import Closed

IN, OUT = select.EPOLLIN, select.EPOLLOUT
BROKEN = select.EPOLLERR | select.EPOLLHUP

RESET = struct.pack("ii", 1, 0)
"""C{SO_LINGER} for a socket that is to be reset when it is closed."""


class SocketChannel(Channel):
    """
    A socket that does not block.

    @ivar socket: the socket; nobody else watches it once the relay has it.
    """

    __slots__ = ("_mask", "_nested", "descriptor", "receive", "send", "socket")

    def __init__(self, nested: NestedEpoll, skt: socket.socket) -> None:
        super().__init__()
        self._nested = nested
        self.socket = skt
        self.descriptor = skt.fileno()
        self.receive = skt.recv
        self.send = skt.send
        # What the epoll watches for; None: the descriptor is not in it.
        self._mask: int | None = None

    def sendMany(self, buffers: list[Buffer]) -> int:
        """See L{Channel.sendMany}."""
        return self.socket.sendmsg(buffers)

    def begin(self) -> None:
        """See L{Channel.begin}."""
        self._ask(IN)

    def takeOver(self, late: Callable[[bytes], object]) -> None:
        """See L{Channel.takeOver}; nobody else has read from it."""

    def update(self) -> None:
        """Have the epoll watch for what can be done now, and nothing else."""
        if self.lost:
            return
        mask = (IN if self.incoming.reading else 0) | (
            OUT if self.outgoing.blocked else 0
        )
        if mask != self._mask:
            self._ask(mask)

    def shut(self) -> None:
        """See L{Channel.shut}."""
        self.socket.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """See L{Channel.leave}."""
        if self._mask is not None:
            self._nested.unwatch(self.descriptor)
            self._mask = None

    def unacknowledged(self) -> int:
        """See L{Channel.unacknowledged}."""
        return 0 if self.lost else countUnacknowledged(self.socket)

    def makeReset(self) -> None:
        """Have the connection reset when the socket is closed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    # What the epoll tells

    def ready(self, events: int) -> None:
        """See L{txconnect.tunnel.kernel.nested.Watched}."""
        mask = self._mask
        if events & OUT and mask and mask & OUT:
            self.outgoing.flush()
            if self.lost:
                return
            mask = self._mask
        # What it is watched for, whatever has been read earlier in this batch.
        if mask and mask & IN:
            if events & ~OUT:
                self.incoming.move()
        elif events & BROKEN:
            self._brokenUnread(events)

    def watchLost(self, reason: Closed) -> None:
        """See L{txconnect.tunnel.kernel.nested.Watched}."""
        self.owner.cut(reason)

    def _ask(self, mask: int) -> None:
        if self._mask is None:
            self._nested.watch(self.descriptor, mask, self)
        else:
            self._nested.change(self.descriptor, mask, self)
        self._mask = mask

    def _brokenUnread(self, events: int) -> None:
        """See the head of this module."""
        if events & select.EPOLLERR and self.socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_ERROR
        ):
            self.broken()
        elif not self.outgoing.blocked:
            self.leave()
