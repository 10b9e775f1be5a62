"""
The gate: the taps of one tunnel, their verdicts, and the octets that they hold.

Both relays show the octets of a direction to the gate, and write those that it passes
on.  Without taps there is no gate; when the last tap has let go, the gate leaves the
relay, and octets go as if it had never been: in the kernel relay, without Python.

Each tap sees each octet once, as it arrives, whether others hold it or not.  A
direction is held while any tap holds it, within bounds of octets and of time; octets
that are held are passed on in order, by the last verdict that releases them.

Held octets are lost with their tunnel: where it is reset or cut, the destination has
had none of them.  The end of a direction waits for them, too: a tap that holds the
direction is called once more, with no octets, and can still let them pass.

Rejected: taps in the transport relay only, and a change of relay when they let go.
The octets that lie in either transport's buffers, and the ends that it has seen, would
have to change hands in mid-stream; here nothing changes hands.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Protocol as Shape

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txconnect.errors import EndTunnel
from txconnect.values import Closed, Direction, TapVerdict

Tap = Callable[[Direction, bytes], object]
"""The callable that a tap has given for one tunnel."""

NamedTap = tuple[str, Tap]
"""A callable with the name that its tap was given."""

_SENDERS = {Direction.UP: "client", Direction.DOWN: "destination"}


class Gated(Shape):
    """A direction of a relay, behind a gate."""

    def passOn(self, data: bytes) -> None:
        """Write octets that were shown to the gate."""

    def openGate(self) -> None:
        """Show the gate no more octets, and pass them on at once."""


class CutsTunnels(Shape):
    """The C{cut} of a L{Tunnel<txconnect.tunnel.tunnel.Tunnel>}."""

    def __call__(self, reason: Closed, rule: str, detail: str) -> object: ...


class _TunnelTap:
    """
    One tap of one tunnel.

    @ivar holding: the directions that it holds.
    """

    __slots__ = ("holding", "name", "see")

    def __init__(self, name: str, see: Tap) -> None:
        self.name = name
        self.see = see
        self.holding: list[DirectionGate] = []


class DirectionGate:
    """
    One direction at the gate.

    @ivar since: the time by the clock since which it is held, or L{None}.
    """

    __slots__ = ("_gate", "_held", "direction", "gated", "since")

    def __init__(self, gate: TapGate, direction: Direction, gated: Gated) -> None:
        self._gate = gate
        self.gated = gated
        self._held: bytes | bytearray = b""
        self.direction = direction
        self.since: float | None = None

    @property
    def octets(self) -> int:
        """Return the number of octets that are held."""
        return len(self._held)

    def takeData(self, data: bytes) -> None:
        """Show octets to the taps, and pass them on as soon as none holds them."""
        # One piece is passed on as it came; many single octets are few objects.
        if not self._held:
            self._held = data
        elif isinstance(self._held, bytearray):
            self._held += data
        else:
            self._held = bytearray(self._held + data)
        self._gate.judge(self, data)

    def takeEnd(self) -> None:
        """
        Have held octets decided on, for no more will come.  Afterwards they have been
        passed on, or the tunnel is cut.
        """
        if self.since is not None:
            self._gate.judge(self, b"")

    def release(self) -> None:
        """Pass all held octets on."""
        self.since = None
        held, self._held = self._held, b""
        if held:
            self.gated.passOn(bytes(held))

    def drop(self) -> None:
        """Drop all held octets."""
        self._held, self.since = b"", None


class TapGate:
    """
    All taps of one tunnel.

    @ivar cut: ends the tunnel; set by the tunnel, and L{None} once the gate has left.
    """

    _log = Logger()

    def __init__(
        self, taps: Iterable[NamedTap], id: str, limit: int, clock: IReactorTime
    ) -> None:
        """
        @param id: the request's, for the log.
        @param limit: octets that may be held in one direction.
        """
        self._taps = [_TunnelTap(name, see) for name, see in taps]
        self._id = id
        self._limit = limit
        self._clock = clock
        self._gates: list[DirectionGate] = []
        self.cut: CutsTunnels | None = None

    def guard(self, direction: Direction, gated: Gated) -> DirectionGate:
        """Guard a direction from now on; called once for each."""
        gate = DirectionGate(self, direction, gated)
        self._gates.append(gate)
        return gate

    def stop(self) -> None:
        """
        Leave the relay: the last tap has let go, or the tunnel ends.  Octets that are
        still held are dropped.
        """
        gates, self._gates = self._gates, []
        self._taps = []
        # A circle of references otherwise, which only the collector breaks.
        self.cut = None
        for gate in gates:
            gate.drop()
            gate.gated.openGate()

    def checkHold(self, now: float, seconds: float) -> None:
        """End the tunnel where a direction has been held for so many seconds."""
        for gate in self._gates:
            if gate.since is not None and now - gate.since >= seconds:
                self._endTunnel(gate, f"no verdict within {seconds:g} seconds")
                return

    def judge(self, gate: DirectionGate, data: bytes) -> None:
        """
        Show octets that have arrived to each tap, and do as they say.

        @param data: empty at the end of a direction that is held.
        """
        changed = self._askTaps(gate, data)
        if self.cut is None:
            return
        if not changed and gate.since is None:
            # As nearly always with taps that only look.
            gate.release()
            return
        self._passReleased()
        if gate.since is not None and not data:
            sender = _SENDERS[gate.direction]
            self._endTunnel(
                gate, f"the {sender} sends no more, and there is no verdict"
            )

    def _askTaps(self, gate: DirectionGate, data: bytes) -> bool:
        """
        Show octets to each tap, until one ends the tunnel, by raising or otherwise.

        @return: whether what is held may have changed.
        """
        changed = False
        for tap in tuple(self._taps):
            # The end is told to those alone who have asked to wait for more.
            if data or gate in tap.holding:
                verdict = self._askTap(tap, gate.direction, data)
                if self.cut is None:
                    break
                if verdict is not None or tap.holding:
                    self._noteVerdict(tap, gate, verdict)
                    changed = True
        return changed

    def _askTap(
        self, tap: _TunnelTap, direction: Direction, data: bytes
    ) -> TapVerdict | None:
        """Call one tap; one that raises ends the tunnel, and has no verdict."""
        try:
            verdict = tap.see(direction, data)
            if verdict is None or type(verdict) is TapVerdict:
                return verdict
            if inspect.isawaitable(verdict):
                if inspect.iscoroutine(verdict):
                    verdict.close()
                raise TypeError("it answered something to wait for, not a verdict")
        except EndTunnel as ended:
            self._cutTunnel(Closed.POLICY, tap.name, ended.reason)
        except BaseException as error:
            # CancelledError and SystemExit end this tunnel, and nothing else.
            self._log.failure(
                "{id}: the tap {name} failed; its tunnel is cut",
                id=self._id,
                name=tap.name,
            )
            detail = f"{type(error).__name__}: {error}"
            self._cutTunnel(Closed.TAP_FAILED, tap.name, detail)
        return None

    def _noteVerdict(
        self, tap: _TunnelTap, gate: DirectionGate, verdict: TapVerdict | None
    ) -> None:
        if verdict is TapVerdict.LET_GO:
            self._taps.remove(tap)
        elif verdict is not TapVerdict.HOLD:
            if gate in tap.holding:
                tap.holding.remove(gate)
        elif gate not in tap.holding:
            tap.holding.append(gate)

    def _passReleased(self) -> None:
        """Pass on what no tap holds; leave where no tap is left."""
        # Both directions: a tap that lets go lets go of both.
        for gate in tuple(self._gates):
            if self._holderOf(gate) is None:
                gate.release()
            elif gate.octets > self._limit:
                self._endTunnel(gate, f"no verdict after {gate.octets} octets")
            elif gate.since is None:
                gate.since = self._clock.seconds()
            # Writing may have found that a leg has been reset.
            if self.cut is None:
                return
        if not self._taps:
            self.stop()

    def _holderOf(self, gate: DirectionGate) -> _TunnelTap | None:
        """Return the first tap that holds a direction, if any."""
        for tap in self._taps:
            if gate in tap.holding:
                return tap
        return None

    def _endTunnel(self, gate: DirectionGate, detail: str) -> None:
        """End the tunnel for the first tap that holds a direction."""
        holder = self._holderOf(gate)
        self._cutTunnel(Closed.POLICY, holder.name if holder else "", detail)

    def _cutTunnel(self, reason: Closed, rule: str, detail: str) -> None:
        # A tap may have ended its tunnel itself before.
        if self.cut is not None:
            self.cut(reason, rule, detail)
