"""
The connections of a proxy's clients, each with the front that serves it.
"""

from __future__ import annotations

from typing import Protocol as Shape

from twisted.internet.defer import Deferred
from twisted.logger import Logger

__all__ = ["ClientConnections", "Stoppable"]

_log = Logger()


class Stoppable(Shape):
    """The part of a front that the end of the proxy uses."""

    def stop(self) -> None:
        """End the connection at once."""


class ClientConnections:
    """
    All connections of clients, with or without a tunnel.

    @ivar fronts: the front of each, in the order in which they came.
    """

    def __init__(self) -> None:
        self.fronts: dict[Stoppable, None] = {}
        self._idle: list[Deferred[None]] = []

    def frontMade(self, front: Stoppable) -> None:
        """A client has connected; called by its front."""
        self.fronts[front] = None

    def frontLost(self, front: Stoppable) -> None:
        """All of a client's connection is gone, and its exchange; called by its front."""
        self.fronts.pop(front, None)
        if not self.fronts:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def whenIdle(self) -> Deferred[None]:
        """Return a Deferred that fires when there is none."""
        idle: Deferred[None] = Deferred()
        if self.fronts:
            self._idle.append(idle)
        else:
            idle.callback(None)
        return idle

    def stopAll(self) -> None:
        """End every connection, even where one cannot be stopped."""
        for front in list(self.fronts):
            try:
                front.stop()
            except Exception:
                _log.failure("a connection could not be stopped")
                self.frontLost(front)
