"""
An established tunnel, until both its legs are gone.

The relay reports the ends of the legs, the closing table
(L{txconnect.wire.closing}) answers each with actions, and the registry looks at the
deadlines.  The tunnel's owner hears of its end once.

A tunnel that the proxy cuts is reset on both legs, because a clean end would make a
stream that was cut short look complete.

The reason of an end is the party that ended first, unless the other side resets
later: then bytes were lost, and that is the news.

Half-closed is an idle deadline, not a total one: a long download after the client's
FIN is not cut off as long as bytes move.  The same deadline bounds the last flush of
a tunnel of which both directions have ended.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txconnect.settings import Settings
from txconnect.tunnel.relay import Relay
from txconnect.tunnel.taps import TapGate
from txconnect.values import Closed, TunnelClosed, TunnelEnded, TunnelInfo
from txconnect.wire.closing import (
    WITH_HALF_CLOSE,
    WITHOUT_HALF_CLOSE,
    Ended,
    Happening,
    State,
)

# The caller of Tunnel.cut knows why the proxy ends one.
_REASONS = {ended: Closed(ended.value) for ended in Ended if ended is not Ended.PROXY}


_log = Logger()


class Registry(Protocol):
    """The L{LiveTunnels<txconnect.tunnel.registry.LiveTunnels>}."""

    def addTunnel(self, tunnel: Tunnel) -> None:
        """Add a tunnel, and look at its deadlines from now on."""

    def removeTunnel(self, tunnel: Tunnel) -> None:
        """Remove it."""


class Owner(Protocol):
    """The owner of a tunnel."""

    def tunnelClosed(self, closed: TunnelClosed) -> None:
        """Report that both legs are gone; called once."""


class Tunnel:
    """
    One established tunnel.

    @ivar info: its request and its route.
    @ivar began: the time by the clock at which it was established.
    @ivar relay: the relay that moves its bytes.
    @ivar state: its state in the closing table.
    @ivar gate: its taps, or L{None} where there are none, or it is closed.
    """

    # Thousands may be idle: they are kept small.
    __slots__ = (
        "__weakref__",
        "_active",
        "_activity",
        "_clock",
        "_legs",
        "_owner",
        "_reason",
        "_registry",
        "_ruling",
        "_settings",
        "_undelivered",
        "began",
        "gate",
        "info",
        "relay",
        "state",
    )

    relay: Relay

    def __init__(
        self,
        info: TunnelInfo,
        clock: IReactorTime,
        settings: Settings,
        registry: Registry,
        owner: Owner,
        gate: TapGate | None = None,
    ) -> None:
        """
        @param clock: provides C{IReactorTime}.
        """
        self.info = info
        self._clock = clock
        self._settings = settings
        self._registry = registry
        self._owner: Owner | None = owner
        self.state = State.OPEN
        # Replaced by the first happening; no tunnel ends without one.
        self._reason = Closed.OPERATOR
        # The name and the reason of the tap that ended it.
        self._ruling: tuple[str, str] | None = None
        self.gate = gate
        if gate is not None:
            gate.cut = self.cut
        self._legs = 2
        self._activity = 0
        # -1: not counted yet.
        self._undelivered = -1
        self.began = self._active = clock.seconds()

    def begin(self, relay: Relay, early: bytes) -> None:
        """Let C{relay} move bytes; the client has been sent its 200."""
        self.relay = relay
        self._registry.addTunnel(self)
        relay.start(early)

    def happened(self, happening: Happening) -> None:
        """Follow the closing table; called by the relay."""
        table = WITH_HALF_CLOSE if self._canEnd(happening) else WITHOUT_HALF_CLOSE
        following = table[self.state, happening]
        if following.state is not self.state:
            # A shorter deadline begins, from now on.
            self._active = self._clock.seconds()
            if self.gate is not None and following.state is State.CLOSED:
                # Octets that it holds go nowhere any more.
                gate, self.gate = self.gate, None
                gate.stop()
        self.state = following.state
        ended = following.ended
        if ended is not None and ended is not Ended.PROXY:
            self._reason = _REASONS[ended]
        for action in following.actions:
            self.relay.perform(action)

    def cut(self, reason: Closed, rule: str = "", detail: str = "") -> None:
        """
        End the tunnel visibly: both legs are reset, so that a stream that was cut
        short never looks complete.

        @param rule: the name of the tap that ends it.
        @param detail: that tap's reason.
        """
        if self.state is not State.CLOSED:
            self._reason = reason
            if rule:
                self._ruling = rule, detail
        self.happened(Happening.CUT)

    def legLost(self) -> None:
        """Count a leg that is gone; called by the relay, once a leg."""
        self._legs -= 1
        if not self._legs:
            self._finishTunnel()

    def checkDeadlines(self, now: float) -> None:
        """Cut the tunnel if a deadline is over; called by the registry."""
        # Once it is closed, octets that still leave may not prolong it.
        if self.state is not State.CLOSED and self._hasMoved():
            self._active = now
        settings = self._settings
        is_open = self.state is State.OPEN
        idle = settings.idleTimeout if is_open else settings.halfClosedTimeout
        if idle and now - self._active >= idle:
            self.cut(Closed.IDLE)
        elif settings.maxLifetime and now - self.began >= settings.maxLifetime:
            self.cut(Closed.LIFETIME)
        elif self.gate is not None:
            self.gate.checkHold(now, settings.tapHoldTimeout)

    def _hasMoved(self) -> bool:
        """
        Tell whether bytes have been read or written since the last time, or have
        reached an end that takes them slowly.  A tunnel for which none are on
        their way is not looked at again before it moves.
        """
        activity = self.relay.activity
        if activity != self._activity:
            self._activity, self._undelivered = activity, -1
            return True
        before = self._undelivered
        if before:
            self._undelivered = self.relay.undelivered()
        return 0 <= before != self._undelivered

    def _canEnd(self, happening: Happening) -> bool:
        if self._settings.halfClose != "carry":
            return False
        # The FIN of one leg goes on to the other, which must then be read on.
        if happening is Happening.CLIENT_ENDED:
            return self.relay.canEndDestination
        return self.relay.canEndClient

    def abandonTunnel(self) -> None:
        """
        End a tunnel whose relay could not begin: reset both legs as far as that
        can be done, and finish it whether they come to an end or not.
        """
        try:
            self.cut(Closed.INTERNAL)
        except Exception:
            _log.failure("a tunnel could not be cut")
        self._finishTunnel()

    def _finishTunnel(self) -> None:
        # Cut loose, as owner and tunnel refer to each other; and once.
        owner, self._owner = self._owner, None
        if owner is None:
            return
        self._registry.removeTunnel(self)
        closed = TunnelClosed(
            self.info,
            self.relay.up,
            self.relay.down,
            self._clock.seconds() - self.began,
            self._reason,
        )
        if self._ruling is not None:
            fields = closed.up, closed.down, closed.seconds, closed.reason
            closed = TunnelEnded(closed.tunnel, *fields, *self._ruling)
        owner.tunnelClosed(closed)
