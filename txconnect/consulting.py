"""
Asking a plugin's hook: at once, by a Deferred or by a coroutine, and never
for longer than it is given.

A hook that answers at once costs a call and nothing else: no trip through the
reactor, no coroutine, no Deferred.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from inspect import iscoroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()
_T = TypeVar("_T")

CANCELLED = (CancelledError, asyncio.CancelledError)
"""What a hook that was given up says of it, as Twisted and asyncio have it."""


def settle(answer: Any) -> Any:
    """
    Make of a hook's answer the answer itself, or a Deferred that has not
    fired yet.

    @raise BaseException: what an answer that is there already has failed with.
    """
    if iscoroutine(answer):
        answer = Deferred.fromCoroutine(answer)
    if not isinstance(answer, Deferred):
        return answer
    arrived: list[Any] = []
    answer.addBoth(arrived.append)
    if not arrived:
        # Nothing is lost: whoever waits puts its callbacks behind this one.
        waiting: Deferred[Any] = Deferred(lambda _: _cancel(answer))
        answer.addBoth(lambda _: _forward(arrived.pop(), waiting))
        return waiting
    if isinstance(arrived[0], Failure):
        arrived[0].raiseException()
    return arrived[0]


def _cancel(answer: Deferred[Any]) -> None:
    try:
        answer.cancel()
    except BaseException:
        # A plugin's own canceller: whoever gives up must come to his end.
        _log.failure("a hook could not be cancelled")


def _forward(result: Any, waiting: Deferred[Any]) -> None:
    if waiting.called:
        _drop(result)
    else:
        waiting.callback(result)


def _drop(result: Any) -> None:
    if isinstance(result, Failure) and not result.check(*CANCELLED):
        _log.failure("a hook failed after it was given up", result)


def bounded(
    clock: Any, seconds: float, waiting: Deferred[_T], late: Callable[[], Exception]
) -> Deferred[_T]:
    """
    Wait for C{waiting}, a Deferred of L{settle}, so long and no longer.

    At the deadline the Deferred that is returned fails with C{late()} first;
    only then C{waiting} is cancelled, because a coroutine may swallow its
    cancellation.  What comes afterwards is dropped.
    """

    def expire() -> None:
        outcome.errback(late())
        waiting.cancel()

    def arrived(result: Any) -> None:
        if timer.active():
            timer.cancel()
        if outcome.called:
            _drop(result)
        else:
            outcome.callback(result)

    outcome: Deferred[_T] = Deferred(lambda _: waiting.cancel())
    timer = clock.callLater(seconds, expire)
    waiting.addBoth(arrived)
    return outcome


class Steps:
    """
    Runs a straight line of steps that may have to wait: a generator which
    yields a Deferred wherever the next step needs what is not there yet.

    It is not L{twisted.internet.defer.inlineCallbacks}, because that makes
    several Deferreds for a line that does not wait at all.

    @param steps: what to run.
    @param done: called with what it returns, or the Failure of what it raises.
    """

    def __init__(
        self,
        steps: Generator[Deferred[Any], Any, Any],
        done: Callable[[Any], None],
    ) -> None:
        self._steps = steps
        self._done = done
        self._awaited: Deferred[Any] | None = None
        self._running = False
        self._cancelled = False

    def run(self) -> None:
        """Begin; called once."""
        self._advance(None)

    def cancel(self) -> None:
        """
        Give up what is waited for; C{done} will not be called.

        Called from within a step, it lets that step return first.
        """
        self._cancelled = True
        awaited, self._awaited = self._awaited, None
        if not self._running:
            self._steps.close()
        if awaited is not None:
            awaited.cancel()

    def _advance(self, result: Any) -> None:
        while True:
            self._running = True
            try:
                if isinstance(result, Failure):
                    awaited = result.throwExceptionIntoGenerator(self._steps)
                else:
                    awaited = self._steps.send(result)
            except StopIteration as stop:
                outcome = stop.value
                break
            except BaseException:
                # As inlineCallbacks has it: in a Deferred's callback it would
                # be lost, asyncio's CancelledError among them, and nobody told.
                outcome = Failure()
                break
            finally:
                self._running = False
            if self._cancelled:
                self._abandon(awaited)
                return
            arrived: list[Any] = []
            if awaited.called:
                awaited.addBoth(arrived.append)
            if not arrived:
                self._awaited = awaited
                awaited.addBoth(self._arrived, awaited, arrived)
                return
            result = arrived[0]
        done = self._done
        # A circle of references otherwise, which only the collector breaks.
        del self._done
        if not self._cancelled:
            done(outcome)

    def _abandon(self, awaited: Deferred[Any]) -> None:
        self._steps.close()
        awaited.addBoth(_drop)
        awaited.cancel()

    def _arrived(self, result: Any, awaited: Deferred[Any], earlier: list[Any]) -> None:
        if self._awaited is awaited:
            self._awaited = None
            # One that had fired, and then waited for another, was asked before.
            self._advance(earlier.pop() if earlier else result)
