"""
The registry of live tunnels: a list of them, their deadlines, and a way to cut one.

Deadlines are looked at once a second for all tunnels together, and not by a timer
each: every byte would have to set back its tunnel's timer.  So the relays count, and
nothing else, and a deadline is noticed up to L{INTERVAL} late.
"""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from txconnect.tunnel.tunnel import Tunnel
from txconnect.values import Closed, TunnelInfo
from txconnect.wire.closing import State

INTERVAL = 1.0
"""Seconds between two looks at all deadlines: the most that one is noticed late."""


@attrs.frozen
class LiveTunnel:
    """
    The state of one tunnel at a moment.

    @ivar info: its request and its route.
    @ivar seconds: the time since it was established.
    @ivar up: bytes taken from the client so far.
    @ivar down: bytes taken from the destination so far.
    @ivar state: its state in the closing table.
    """

    info: TunnelInfo
    seconds: float
    up: int
    down: int
    state: State


class LiveTunnels:
    """
    The tunnels of one process, by the ids of their requests.

    Their deadlines share one timer: there may be thousands, and none needs to be
    noticed at once.

    @param clock: provides C{IReactorTime}.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._tunnels: dict[str, Tunnel] = {}
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._tunnels)

    def addTunnel(self, tunnel: Tunnel) -> None:
        """Add a tunnel; called by it when it begins."""
        self._tunnels[tunnel.info.request.id] = tunnel
        if self._timer is None:
            self._timer = self._clock.callLater(INTERVAL, self._checkDeadlines)

    def removeTunnel(self, tunnel: Tunnel) -> None:
        """Remove it; called by it once at its end.  The last one stops the timer."""
        self._tunnels.pop(tunnel.info.request.id, None)
        if not self._tunnels and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def allTunnels(self) -> list[Tunnel]:
        """Return the tunnels, the oldest first."""
        return list(self._tunnels.values())

    def live(self) -> list[LiveTunnel]:
        """Return the state of each open tunnel, the oldest first."""
        now = self._clock.seconds()
        return [
            LiveTunnel(
                tunnel.info,
                now - tunnel.began,
                tunnel.relay.up,
                tunnel.relay.down,
                tunnel.state,
            )
            for tunnel in self.allTunnels()
        ]

    def cutTunnel(self, id: str, reason: Closed) -> bool:
        """
        Reset both legs of a tunnel.

        @param id: the id of its request.
        @return: whether a tunnel has that id.
        """
        tunnel = self._tunnels.get(id)
        if tunnel is None:
            return False
        tunnel.cut(reason)
        return True

    def _checkDeadlines(self) -> None:
        # Set first: the end of the last tunnel, below, cancels it.
        self._timer = self._clock.callLater(INTERVAL, self._checkDeadlines)
        now = self._clock.seconds()
        for tunnel in self.allTunnels():
            try:
                tunnel.checkDeadlines(now)
            except Exception:
                # The deadlines of the other tunnels hold all the same.
                self._log.failure("a tunnel's deadline failed")
