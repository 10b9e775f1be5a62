"""
Equal time-outs that share one timer.

Thousands of connections wait for a head, each for as long as the next.  A timer of
the reactor's for each costs more than all the rest of an idle wait.

Time-outs of one length expire in the order in which they began, so a plain dict is
their queue: beginning and ending one is a dict's operation, and the reactor has one
timer, for the first.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

TURN = 0.05
"""Seconds of one turn of the reactor that are spent on late time-outs."""

# Tolerance for float rounding.
_TOGETHER = 1e-6

# Time-outs copied at once: a copy of all of them would be quadratic.
_AT_ONCE = 512


class EqualTimeouts:
    """
    Time-outs of one length: they come in the order in which they began, so that
    one timer serves them all.

    All that are late when the timer comes are called in one turn of the reactor,
    so that a busy one, whose turns are long, does not put them off one by one.

    @param clock: provides C{IReactorTime}.
    @param seconds: their length.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._due: dict[Callable[[], None], float] = {}
        self._timer: IDelayedCall | None = None
        self._expiring = False

    def begin(self, late: Callable[[], None]) -> None:
        """Call C{late} when the time is over, unless L{end} is called before."""
        self._due[late] = self._clock.seconds() + self._seconds
        # While time-outs expire, the timer for the next is set after the last call.
        if self._timer is None and not self._expiring:
            self._timer = self._clock.callLater(self._seconds, self._expireDue)

    def end(self, late: Callable[[], None]) -> None:
        """
        Do not call C{late} any more, if it is still to be called.  The last
        one to end stops the timer.
        """
        self._due.pop(late, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expireDue(self) -> None:
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
                # The deadlines of the others hold all the same.
                self._log.failure("what follows a deadline failed")
        return len(some) == _AT_ONCE

    def _waitForNext(self) -> None:
        # Only the first: dicts keep their order, so it expires first.
        for following in self._due.values():
            seconds = max(0, following - self._clock.seconds())
            self._timer = self._clock.callLater(seconds, self._expireDue)
            break


class Timeouts:
    """
    The time-outs of one process, by their length.

    @param clock: provides C{IReactorTime}.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._lengths: dict[float, EqualTimeouts] = {}

    def ofLength(self, seconds: float) -> EqualTimeouts:
        """Return the time-outs of a length."""
        found = self._lengths.get(seconds)
        if found is None:
            found = self._lengths[seconds] = EqualTimeouts(self._clock, seconds)
        return found
