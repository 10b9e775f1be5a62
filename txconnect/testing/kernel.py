"""
The state that the sockets of one network share: the listeners, and the
scripted fates of connections.

Neither Twisted nor the proxy is imported here.
"""

from __future__ import annotations

import errno
import os
import random
from typing import Literal

from txconnect.testing.addressing import WILDCARDS, coversHost
from txconnect.testing.sockets import MemorySocket

Chunk = int | Literal["random"] | None
"""The most octets that one read returns; L{None} for no limit."""

_FIRST_EPHEMERAL = 49152
# Far above any real descriptor: the system's epoll and select refuse it, so that
# a mix-up fails at once and does not hit a descriptor of the test process.
_FIRST_DESCRIPTOR = 1 << 30


class Kernel:
    """
    The state that all sockets of one network share.

    @ivar chunk: the most that one read returns to the program under test.
    @ivar windowSize: octets that may be under way in one direction.
    @ivar resetDiscards: true when a RST drops data that has arrived unread.
    @ivar exhausted: while true, no new socket can be opened (C{EMFILE}).
    @ivar fates: the result of a connection to C{(host, port)} or
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
        """Return a port that was never used before."""
        # None is reused, so that a test can tell connections apart by it.
        self._port += 1
        return self._port

    def portion(self, available: int) -> int:
        """Return how many of the available octets one read returns."""
        if self.chunk is None:
            return available
        if self.chunk == "random":
            return self._random.randint(1, available)
        return min(self.chunk, available)

    def listener(self, host: str, port: int) -> MemorySocket | None:
        """Return the socket that listens there; the most exact address wins."""
        covering = [
            each
            for each in self.sockets.values()
            if each.listening
            and each.local[1] == port
            and coversHost(each.local[0], host)
        ]
        return min(covering, key=lambda s: s.local[0] in WILDCARDS, default=None)

    def fate(self, host: str, port: int) -> int | None:
        """Return the scripted result of a connection; L{None} where there is none."""
        return self.fates.get((host, port), self.fates.get((host, None)))

    def isTaken(self, host: str, port: int) -> bool:
        """Tell whether a listening socket keeps others from binding there."""
        return any(
            each.listening
            and each.local[1] == port
            and (coversHost(each.local[0], host) or coversHost(host, each.local[0]))
            for each in self.sockets.values()
        )
