"""
The parents that are down: marked by the requests that needed them, and probed
until they are up again.

A parent that has failed is tried last until it is up again.  It is probed at
intervals that double: a probe is a connection of its own, which requests
nothing.  An answer to a request clears the parent as a successful probe does.

A failure does not always mark a parent.  A success within 5 s clears the
parent; blame the request.  Otherwise a client that knows how to make a parent
hang up could take it away from everyone.

Probes run only for parents that are down.  A parent that is up is watched by
the requests that pass through it, at no cost, and a parent that no request
needs is left in peace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol as Shape, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

FIRST_WAIT = 1.0
"""Seconds from a parent's failure to its first probe."""

LONGEST_WAIT = 60.0
"""The most seconds between two probes."""

RECENT_ANSWER = 5.0
"""
Seconds for which an answer clears a parent that was reached: a failure of a
request sent so soon after it may be that request's own doing.
"""


class Probed(Shape):
    """
    A parent, as its health is checked.

    @ivar name: the parent's name in the log.
    """

    name: str

    def probe(self) -> Deferred[None]:
        """
        Try to reach the parent.

        @return: fires when it could be reached; fails when not.  Can be
            cancelled.
        """


_ProbedT = TypeVar("_ProbedT", bound=Probed)


class _DownState:
    """A parent that is down: the interval, the next probe's time, the probe."""

    def __init__(self, now: float) -> None:
        self.wait = FIRST_WAIT
        self.due = now + FIRST_WAIT
        self.probing: Deferred[None] | None = None


class Health:
    """
    The marks of all parents of a proxy; one timer serves them.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._down: dict[Probed, _DownState] = {}
        self._lastAnswers: dict[Probed, float] = {}
        self._timer: IDelayedCall | None = None

    def inOrder(self, parents: Sequence[_ProbedT]) -> list[_ProbedT]:
        """Return the parents that are up, in their order; then those down."""
        return sorted(parents, key=self._down.__contains__)

    def isDown(self, parent: Probed) -> bool:
        """Tell whether a parent has failed and was not reached since."""
        return parent in self._down

    def markAnswered(self, parent: Probed) -> None:
        """Note that a parent is up: it has given an answer, of any kind."""
        self._lastAnswers[parent] = self._clock.seconds()
        self._markUp(parent)

    def _markUp(self, parent: Probed) -> None:
        down = self._down.pop(parent, None)
        if down is None:
            return
        self._log.info("parent {name} is up again", name=parent.name)
        if down.probing is not None:
            down.probing.cancel()
        self._scheduleProbe()

    def markFailed(
        self, parent: Probed, reason: str, since: float, reached: bool = False
    ) -> None:
        """
        Mark a parent as down, unless another request has had an answer from it
        since this one was sent, or, where the parent was reached, within
        L{RECENT_ANSWER} before that: then the request is to blame.

        @param since: when the request that failed was sent to the parent.
        @param reached: true when there was a connection to the parent.
        """
        if reached:
            since -= RECENT_ANSWER
        if parent in self._down or self._lastAnswers.get(parent, since) > since:
            return
        self._down[parent] = _DownState(self._clock.seconds())
        self._log.warn(
            "parent {name} is down: {reason}", name=parent.name, reason=reason
        )
        self._scheduleProbe()

    def stop(self) -> None:
        """Cancel all probes and forget all marks."""
        down, self._down = self._down, {}
        self._lastAnswers.clear()
        for each in down.values():
            if each.probing is not None:
                each.probing.cancel()
        self._scheduleProbe()

    def _scheduleProbe(self) -> None:
        """Set the timer for the next parent that is due, if any."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        due = [each.due for each in self._down.values() if each.probing is None]
        if due:
            wait = max(0.0, min(due) - self._clock.seconds())
            self._timer = self._clock.callLater(wait, self._probeDueParents)

    def _probeDueParents(self) -> None:
        now = self._clock.seconds()
        # A probe that fails or succeeds at once changes the dictionary.
        for parent, down in list(self._down.items()):
            if down.probing is None and down.due <= now:
                self._startProbe(parent, down)
        self._scheduleProbe()

    def _startProbe(self, parent: Probed, down: _DownState) -> None:
        probing = down.probing = parent.probe()
        probing.addCallbacks(
            # Not markAnswered: a connection without a request shows that the
            # parent is there, and not that it answers requests.
            lambda _: self._markUp(parent),
            self._probeFailed,
            errbackArgs=(parent, down),
        )
        probing.addErrback(lambda failure: self._log.failure("a probe failed", failure))

    def _probeFailed(self, failure: Failure, parent: Probed, down: _DownState) -> None:
        down.probing = None
        if self._down.get(parent) is not down:
            # Cancelled: the parent is up again, or the proxy stops.
            failure.trap(CancelledError)
            return
        down.wait = min(down.wait * 2, LONGEST_WAIT)
        down.due = self._clock.seconds() + down.wait
        self._scheduleProbe()
