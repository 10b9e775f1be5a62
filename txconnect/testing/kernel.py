"""
What the sockets of one network share: who listens where, and what is
scripted for those who connect.

Nothing of Twisted is in here, and nothing of the proxy.
"""

from __future__ import annotations

import errno
import os
import random
from typing import Literal

from txconnect.testing.addressing import WILDCARDS, covers
from txconnect.testing.sockets import MemorySocket

Chunk = int | Literal["random"] | None
"""How many octets a read gives at most; L{None}: what is there."""

_FIRST_EPHEMERAL = 49152
# Far above any real descriptor: real epoll and select refuse it.
_FIRST_DESCRIPTOR = 1 << 30


class Kernel:
    """
    What all sockets of one network share.

    @ivar chunk: how much a read gives the program under test.
    @ivar windowSize: octets that may be under way in one direction.
    @ivar resetDiscards: whether a RST takes away what had arrived unread.
    @ivar exhausted: while true, no new socket can be opened (C{EMFILE}).
    @ivar fates: what becomes of who connects to C{(host, port)} or
        C{(host, None)}: an C{errno}, or L{SILENCE<txconnect.testing.sockets.SILENCE>}.
    @ivar sockets: the open ones, by descriptor.
    """

    def __init__(
        self, chunk: Chunk, windowSize: int, seed: int, resetDiscards: bool
    ) -> None:
        self.chunk = chunk
        self.windowSize = windowSize
        self.resetDiscards = resetDiscards
        self.exhausted = False
        self.fates: dict[tuple[str, int | None], int] = {}
        self.sockets: dict[int, MemorySocket] = {}
        self._random = random.Random(seed)
        self._descriptor = _FIRST_DESCRIPTOR
        self._port = _FIRST_EPHEMERAL

    def socket(self, family: int, outside: bool = False) -> MemorySocket:
        """
        Open a socket.

        @param outside: it belongs to a test's own peer: never exhausted, and
            read whole.
        """
        if self.exhausted and not outside:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self._descriptor += 1
        opened = MemorySocket(self, self._descriptor, family, outside)
        self.sockets[self._descriptor] = opened
        return opened

    def ephemeralPort(self) -> int:
        """A port that nobody has had yet."""
        self._port += 1
        return self._port

    def portion(self, available: int) -> int:
        """How many of the octets that are there one read gives."""
        if self.chunk is None:
            return available
        if self.chunk == "random":
            return self._random.randint(1, available)
        return min(self.chunk, available)

    def listener(self, host: str, port: int) -> MemorySocket | None:
        """Who listens there; the most exact address wins."""
        covering = [
            each
            for each in self.sockets.values()
            if each.listening and each.local[1] == port and covers(each.local[0], host)
        ]
        return min(covering, key=lambda s: s.local[0] in WILDCARDS, default=None)

    def fate(self, host: str, port: int) -> int | None:
        """What is scripted for who connects there; L{None} for nothing."""
        return self.fates.get((host, port), self.fates.get((host, None)))

    def isTaken(self, host: str, port: int) -> bool:
        """Whether a socket that listens keeps others from binding there."""
        return any(
            each.listening
            and each.local[1] == port
            and (covers(each.local[0], host) or covers(host, each.local[0]))
            for each in self.sockets.values()
        )
