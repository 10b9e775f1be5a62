"""
Early data: what a client sends behind its head, ahead of the 200.

It belongs to the tunnel if there will be one, and to nobody else (RFC 9931).
Reading on is also how a client that leaves is noticed; one that has filled the
bound is paused, and then watched where that can be done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txconnect.tunnel.kernel.leaving import LeaveWatch


class EarlyData:
    """
    Holds early data.

    @param transport: the client's; paused when the bound is reached.
    @param limit: octets; one read more may come.
    @param left: called when a paused client has left.
    @ivar size: octets so far.
    """

    def __init__(
        self, transport: Any, limit: int, watch: LeaveWatch, left: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._limit = limit
        self._watch = watch
        self._left = left
        self._held: list[bytes] = []
        self._paused = False
        self.size = 0

    def take(self, data: bytes) -> None:
        """Hold C{data} behind what is held."""
        self._held.append(data)
        self.size += len(data)
        if self.size >= self._limit and not self._paused:
            self._paused = True
            self._transport.pauseProducing()
            self._watch.watch(self._transport, self._left)

    def release(self, resume: bool) -> list[bytes]:
        """
        Let go of all of it.

        @param resume: whether the transport is to be read on.
        @return: what was held, in order.
        """
        if self._paused:
            self._paused = False
            self._watch.unwatch(self._transport)
            if resume:
                self._transport.resumeProducing()
        held, self._held = self._held, []
        return held
