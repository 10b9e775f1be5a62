"""
One timer for the deadlines of many, instead of one for each.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol as Shape

from twisted.logger import Logger

INTERVAL = 1.0
"""Seconds between two sweeps: how late a deadline may be noticed."""

TURN = 0.05
"""Seconds of one turn of the reactor that are spent on what is late."""

# Seconds that are none: sums of floats are compared.
_TOGETHER = 1e-6

_AT_ONCE = 512


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

    All that are late when the timer comes are called in one turn of the reactor,
    so that a busy one, whose turns are long, does not put them off one by one.

    @param clock: provides C{IReactorTime}.
    @param seconds: how far away.
    """

    _log = Logger()

    def __init__(self, clock: Any, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._due: dict[Callable[[], None], float] = {}
        self._timer: Any = None
        self._expiring = False

    def begin(self, late: Callable[[], None]) -> None:
        """Call C{late} when the time is over, but for an L{end} before."""
        self._due[late] = self._clock.seconds() + self._seconds
        if self._timer is None and not self._expiring:
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
        """Call all that are late, in order, for at most L{TURN} seconds."""
        self._timer = None
        self._expiring = True
        began = self._clock.seconds()
        try:
            while self._expireSome(began):
                pass
        finally:
            self._expiring = False
            self._waitForNext()

    def _expireSome(self, began: float) -> bool:
        """
        Call the first few that are late.

        A copy, as each call may end or begin others.

        @return: whether more of them may be late, and there is time for them.
        """
        some = list(islice(self._due.items(), _AT_ONCE))
        for late, due in some:
            now = self._clock.seconds()
            if due - now >= _TOGETHER or now - began >= TURN:
                return False
            if self._due.get(late) != due:
                continue  # ended meanwhile, or begun anew
            del self._due[late]
            try:
                late()
            except Exception:
                # The deadlines of those behind it hold all the same.
                self._log.failure("what follows a deadline failed")
        return len(some) == _AT_ONCE

    def _waitForNext(self) -> None:
        for following in self._due.values():
            seconds = max(0, following - self._clock.seconds())
            self._timer = self._clock.callLater(seconds, self._expire)
            break
