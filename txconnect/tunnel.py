"""
Steps 10 and 11: an established tunnel, until both its legs are gone.

The relay tells what happens to the legs, the closing table says what follows,
and the sweep brings the deadlines.  What the tunnel was is told once, at its
end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txconnect.relay.face import Relay
from txconnect.relay.sweep import Sweep
from txconnect.settings import Settings
from txconnect.values import Closed, LiveTunnel, TunnelClosed, TunnelInfo
from txconnect.wire.closing import Ended, Happening, State, step

# Why the proxy itself ends one is known to whoever wants it to.
_REASONS = {ended: Closed(ended.value) for ended in Ended if ended is not Ended.PROXY}


class Tunnel:
    """
    One established tunnel.

    @ivar info: what it is.
    """

    # Thousands may be idle: they are kept small.
    __slots__ = (
        "__weakref__",
        "_active",
        "_began",
        "_clock",
        "_closed",
        "_legs",
        "_moved",
        "_reason",
        "_relay",
        "_settings",
        "_state",
        "_sweep",
        "info",
    )

    _relay: Relay

    def __init__(
        self,
        info: TunnelInfo,
        clock: Any,
        settings: Settings,
        sweep: Sweep,
        closed: Callable[[TunnelClosed], None],
    ) -> None:
        self.info = info
        self._clock = clock
        self._settings = settings
        self._sweep = sweep
        self._closed = closed
        self._state = State.OPEN
        # Replaced by whatever happens first; a tunnel does not end by itself.
        self._reason = Closed.OPERATOR
        self._legs = 2
        self._moved = 0
        self._began = self._active = clock.seconds()

    def begin(self, relay: Relay, early: list[bytes]) -> None:
        """Let C{relay} move bytes; the client has been sent its 200."""
        self._relay = relay
        self._sweep.join(self)
        relay.start(early)

    def happened(self, happening: Happening) -> None:
        """Follow the closing table; called by the relay."""
        following = step(self._state, happening, self._canEnd(happening))
        if following.state is not self._state:
            # A shorter deadline begins; what counted so far counts no more.
            self._active = self._clock.seconds()
        self._state = following.state
        ended = following.ended
        if ended is not None and ended is not Ended.PROXY:
            self._reason = _REASONS[ended]
        for action in following.actions:
            self._relay.perform(action)

    def cut(self, reason: Closed) -> None:
        """
        End the tunnel from here, visibly: both legs are reset, so that what
        was cut short never looks complete.
        """
        if self._state is not State.CLOSED:
            self._reason = reason
        self.happened(Happening.CUT)

    def live(self) -> LiveTunnel:
        """The tunnel as it is now; after L{begin}."""
        relay = self._relay
        seconds = self._clock.seconds() - self._began
        return LiveTunnel(self.info, relay.up, relay.down, seconds)

    def legLost(self) -> None:
        """A leg is gone; called by the relay, once a leg."""
        self._legs -= 1
        if not self._legs:
            self._finish()

    def swept(self, now: float) -> None:
        """Look at the deadlines; called by the sweep."""
        moved = self._relay.up + self._relay.down
        if moved != self._moved and self._state is not State.CLOSED:
            # Once it is closed nothing that is still sent may keep it.
            self._moved = moved
            self._active = now
        settings = self._settings
        is_open = self._state is State.OPEN
        idle = settings.idleTimeout if is_open else settings.halfClosedTimeout
        if idle and now - self._active >= idle:
            self.cut(Closed.IDLE)
        elif settings.maxLifetime and now - self._began >= settings.maxLifetime:
            self.cut(Closed.LIFETIME)

    def _canEnd(self, happening: Happening) -> bool:
        if self._settings.halfClose != "carry":
            return False
        if happening is Happening.CLIENT_ENDED:
            return self._relay.canEndDestination
        return self._relay.canEndClient

    def _finish(self) -> None:
        self._sweep.leave(self)
        closed = self._closed
        # A circle of references otherwise, which only the collector breaks.
        del self._closed
        closed(
            TunnelClosed(
                self.info,
                self._relay.up,
                self._relay.down,
                self._clock.seconds() - self._began,
                self._reason,
            )
        )
