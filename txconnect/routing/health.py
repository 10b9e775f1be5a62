"""
Which parents are down: noticed by those who needed them, and looked at again.

A parent that has failed is asked last until it is up again.  Behind a back-off
that doubles it is tried with a connection of its own, which asks for nothing;
a request that gets an answer through it says the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol as Shape, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

FIRST = 1.0
"""Seconds until a parent that has failed is tried for the first time."""

LONGEST = 60.0
"""The most seconds between two tries."""

RECENT = 5.0
"""
Seconds for which an answer vouches for a parent that is there: what it does to
a request sent so soon behind it may be that request's own doing.
"""


class Probed(Shape):
    """
    A parent, as its health is looked at.

    @ivar name: what the log calls it.
    """

    name: str

    def probe(self) -> Deferred[object]:
        """Fires when it could be reached; fails when not.  Can be cancelled."""


_ProbedT = TypeVar("_ProbedT", bound=Probed)


class _Down:
    """A parent that is down: how long to wait, until when, and the try."""

    def __init__(self, now: float) -> None:
        self.wait = FIRST
        self.due = now + FIRST
        self.probing: Deferred[Any] | None = None


class Health:
    """
    The marks of all parents of a proxy; one timer serves them.

    @param clock: provides C{IReactorTime}.
    """

    _log = Logger()

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._down: dict[Probed, _Down] = {}
        self._answered: dict[Probed, float] = {}
        self._timer: Any = None

    def inOrder(self, parents: Sequence[_ProbedT]) -> list[_ProbedT]:
        """Those that are up, as they stand; then those that are down."""
        return sorted(parents, key=self._down.__contains__)

    def isDown(self, parent: Probed) -> bool:
        """Whether a parent has failed and was not reached since."""
        return parent in self._down

    def answered(self, parent: Probed) -> None:
        """It has given an answer, whichever: it is up."""
        self._answered[parent] = self._clock.seconds()
        self._isUp(parent)

    def _isUp(self, parent: Probed) -> None:
        down = self._down.pop(parent, None)
        if down is None:
            return
        self._log.info("parent {name} is up again", name=parent.name)
        if down.probing is not None:
            down.probing.cancel()
        self._schedule()

    def failed(
        self, parent: Probed, reason: str, since: float, reached: bool = False
    ) -> None:
        """
        It has failed: mark it, unless another request has had an answer from
        it meanwhile, or shortly before where it was there to be asked: then
        what was asked is to blame.  A client that knows what makes a parent
        hang up could else keep everyone from it.

        @param since: when the request that tells so was sent to it.
        @param reached: whether there was a connection to it.
        """
        if reached:
            since -= RECENT
        if parent in self._down or self._answered.get(parent, since) > since:
            return
        self._down[parent] = _Down(self._clock.seconds())
        self._log.warn(
            "parent {name} is down: {reason}", name=parent.name, reason=reason
        )
        self._schedule()

    def stop(self) -> None:
        """Forget everything."""
        down, self._down = self._down, {}
        self._answered.clear()
        for each in down.values():
            if each.probing is not None:
                each.probing.cancel()
        self._schedule()

    def _schedule(self) -> None:
        """Wake up when the next parent is due, and only then."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        due = [each.due for each in self._down.values() if each.probing is None]
        if due:
            wait = max(0.0, min(due) - self._clock.seconds())
            self._timer = self._clock.callLater(wait, self._probeWhoIsDue)

    def _probeWhoIsDue(self) -> None:
        now = self._clock.seconds()
        for parent, down in list(self._down.items()):
            if down.probing is None and down.due <= now:
                self._probe(parent, down)
        self._schedule()

    def _probe(self, parent: Probed, down: _Down) -> None:
        probing = down.probing = parent.probe()
        probing.addCallbacks(
            # It was asked for nothing, so this vouches for no answers.
            lambda _: self._isUp(parent),
            self._stillDown,
            errbackArgs=(parent, down),
        )
        probing.addErrback(lambda failure: self._log.failure("a probe failed", failure))

    def _stillDown(self, failure: Failure, parent: Probed, down: _Down) -> None:
        down.probing = None
        if self._down.get(parent) is not down:
            # Given up: it is up again, or the proxy stops.
            failure.trap(CancelledError)
            return
        down.wait = min(down.wait * 2, LONGEST)
        down.due = self._clock.seconds() + down.wait
        self._schedule()
