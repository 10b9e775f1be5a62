"""
One timer for the deadlines of many, instead of one for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol as Shape

from twisted.logger import Logger

INTERVAL = 1.0
"""Seconds between two sweeps: how late a deadline may be noticed."""

# Seconds that are none: sums of floats are compared.
_TOGETHER = 1e-6


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


class Deadlines:
    """
    Deadlines that all are equally far away when they begin: they come in the
    order in which they began, so that one timer serves them all.

    @param clock: provides C{IReactorTime}.
    @param seconds: how far away.
    """

    def __init__(self, clock: Any, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._due: dict[Callable[[], None], float] = {}
        self._timer: Any = None

    def begin(self, late: Callable[[], None]) -> None:
        """Call C{late} when the time is over, but for an L{end} before."""
        self._due[late] = self._clock.seconds() + self._seconds
        if self._timer is None:
            self._timer = self._clock.callLater(self._seconds, self._expire)

    def end(self, late: Callable[[], None]) -> None:
        """
        Do not call C{late} any more, if it is still to be called.  The last
        one to end takes the timer along.
        """
        self._due.pop(late, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        """One is late, or was and has ended since: one at a time, in order."""
        self._timer = None
        late, due = next(iter(self._due.items()))
        now = self._clock.seconds()
        isLate = due - now < _TOGETHER
        if isLate:
            del self._due[late]
        # Before the call, which may raise, or begin another.
        for following in self._due.values():
            self._timer = self._clock.callLater(max(0, following - now), self._expire)
            break
        if isLate:
            late()
