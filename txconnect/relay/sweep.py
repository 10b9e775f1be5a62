"""
One sweep for the deadlines of all tunnels, instead of a timer for each.
"""

from __future__ import annotations

from typing import Any, Protocol as Shape

from twisted.logger import Logger

INTERVAL = 1.0
"""Seconds between two sweeps: how late a deadline may be noticed."""


class Swept(Shape):
    """What is swept."""

    def swept(self, now: float) -> None:
        """Look at the deadlines; may end, and so leave the sweep, at once."""


class Sweep:
    """
    Calls each member once an interval, while there are members.

    @param clock: provides C{IReactorTime}.
    """

    _log = Logger()

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._members: dict[Swept, None] = {}
        self._next: Any = None

    def __len__(self) -> int:
        return len(self._members)

    def join(self, member: Swept) -> None:
        """Sweep C{member} from now on."""
        self._members[member] = None
        if self._next is None:
            self._next = self._clock.callLater(INTERVAL, self._sweep)

    def leave(self, member: Swept) -> None:
        """Sweep it no more.  The last one to leave takes the timer along."""
        del self._members[member]
        if not self._members and self._next is not None:
            self._next.cancel()
            self._next = None

    def members(self) -> list[Swept]:
        """All members, as they are now."""
        return list(self._members)

    def _sweep(self) -> None:
        self._next = self._clock.callLater(INTERVAL, self._sweep)
        now = self._clock.seconds()
        for member in self.members():
            try:
                member.swept(now)
            except Exception:
                # The deadlines of those behind it hold all the same.
                self._log.failure("a tunnel's deadline failed")
