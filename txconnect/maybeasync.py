"""
Waiting for an answer that is a value, a Deferred or a coroutine.

Everything in txconnect that may have to wait waits by this one engine: the
decision about a request, the hooks of plugins, the combinators of policies and
the checkers of passwords.

A line of work is written as a generator which yields a Deferred where the next
step needs a result that is not there yet, and L{run} or a L{GeneratorRunner}
runs it.
So it reads from top to bottom, and a line that never waits costs its calls and
nothing else: no trip through the reactor, no coroutine, no Deferred.

C{inlineCallbacks} and C{async def} read the same.  They were not taken,
because they make several Deferreds for a line that does not wait at all, and
that is nearly every request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from inspect import iscoroutine
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.asynciotasks import startCoroutine

_log = Logger()
_T = TypeVar("_T")


class Awaited(Protocol):
    """A result that can be waited for: a Deferred, or a L{OneResult}."""

    @property
    def called(self) -> bool:
        """Tell whether the result is there."""

    def addBoth(self, listener: Callable[..., Any], /, *arguments: Any) -> object:
        """Call C{listener} with the result, and C{arguments}."""

    def cancel(self) -> None:
        """Give it up."""


Steps = Generator[Awaited, Any, _T]
"""A line of work: it yields each result that it waits for, and returns its own."""

CANCELLED = (CancelledError, asyncio.CancelledError)
"""The exceptions of a hook that was cancelled, in Twisted and in asyncio."""


def settle(answer: object, drop: Callable[[Any], object] | None = None) -> Any:
    """
    Return an answer's value if it is available, else an unfired Deferred of it.

    @param answer: a value, a Deferred or a coroutine.
    @param drop: called with a result that comes after the Deferred was
        cancelled; by default a failure is logged.
    @raise BaseException: the exception of an answer that has failed already.
    """
    if iscoroutine(answer):
        answer = startCoroutine(answer)
    if not isinstance(answer, Deferred):
        return answer
    arrived: list[object] = []
    answer.addBoth(arrived.append)
    if not arrived:
        # Nothing is lost: the caller's callbacks come after this one.
        waiting: Deferred[Any] = Deferred(lambda _: _cancelAnswer(answer))
        answer.addBoth(
            lambda _: _forwardResult(arrived.pop(), waiting, drop or _dropResult)
        )
        return waiting
    if isinstance(arrived[0], Failure):
        arrived[0].raiseException()
    return arrived[0]


def _cancelAnswer(answer: Deferred[Any]) -> None:
    try:
        answer.cancel()
    except BaseException:
        # A plugin's own canceller raised: the caller that gives up must still
        # come to its end.
        _log.failure("a hook could not be cancelled")


def _forwardResult(
    result: object, waiting: Deferred[Any], drop: Callable[[Any], object]
) -> None:
    if waiting.called:
        drop(result)
    else:
        waiting.callback(result)


def _dropResult(result: object) -> None:
    if isinstance(result, Failure) and not result.check(*CANCELLED):
        _log.failure("a hook failed after it was given up", result)


def withTimeout(
    clock: IReactorTime,
    seconds: float,
    waiting: Deferred[_T],
    late: Callable[[], Exception],
) -> Deferred[_T]:
    """
    Wait for a Deferred for a limited time.

    At the time-out the Deferred that is returned fails first, and only then is
    C{waiting} cancelled, because a coroutine may swallow its cancellation.  A
    result that comes afterwards is dropped.

    @param clock: provides C{IReactorTime}.
    @param waiting: a Deferred that L{settle} has returned.
    @param late: makes the exception of the time-out.
    """

    def failLate() -> None:
        outcome.errback(late())
        waiting.cancel()

    def resultArrived(result: _T | Failure) -> None:
        if timer.active():
            timer.cancel()
        if outcome.called:
            _dropResult(result)
        else:
            outcome.callback(result)

    outcome: Deferred[_T] = Deferred(lambda _: waiting.cancel())
    timer = clock.callLater(seconds, failLate)
    waiting.addBoth(resultArrived)
    return outcome


class OneResult:
    """
    A result that is still to come, for one listener: as much of a Deferred as a step
    that waits for the system needs, for a tenth of its price.

    A subclass cancels it, and sends nothing then.

    @ivar called: whether the result is there.
    """

    __slots__ = ("_arguments", "_listener", "_result", "called")

    def __init__(self) -> None:
        self.called = False
        self._result: object = None
        self._listener: Callable[..., object] | None = None
        self._arguments: tuple[object, ...] = ()

    def addBoth(self, listener: Callable[..., object], *arguments: object) -> None:
        """Call C{listener} with the result and C{arguments}; called once."""
        if self.called:
            listener(self._result, *arguments)
        else:
            self._listener = listener
            self._arguments = arguments

    def fire(self, result: object) -> None:
        """Tell the result, a value or a Failure; called at most once."""
        self.called = True
        listener, self._listener = self._listener, None
        if listener is None:
            self._result = result
        else:
            listener(result, *self._arguments)

    def cancel(self) -> None:
        """Give it up."""
        raise NotImplementedError


class GeneratorRunner:
    """
    Runs a generator that yields a Deferred wherever it has to wait.

    @param steps: the generator.
    @param done: called once with its return value, or with the Failure of the
        exception that it raised; not called after L{cancel}.
    """

    def __init__(
        self,
        steps: Steps[Any],
        done: Callable[[Any], None],
    ) -> None:
        self._steps = steps
        self._done = done
        self._awaited: Awaited | None = None
        self._running = False
        self._cancelled = False

    def run(self) -> None:
        """Start; called once."""
        self._advanceSteps(None)

    def cancel(self) -> None:
        """
        Cancel the Deferred that the generator waits for, and close it.

        A step that calls this from within the generator returns first.
        """
        self._cancelled = True
        awaited, self._awaited = self._awaited, None
        if not self._running:
            self._steps.close()
        if awaited is not None:
            awaited.cancel()

    def _advanceSteps(self, result: object) -> None:
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
                # As in inlineCallbacks: raised in a Deferred's callback it would
                # be lost, asyncio's CancelledError among them, without a word.
                outcome = Failure()
                break
            finally:
                self._running = False
            if self._cancelled:
                self._abandonSteps(awaited)
                return
            arrived: list[object] = []
            if awaited.called:
                awaited.addBoth(arrived.append)
            if not arrived:
                self._awaited = awaited
                awaited.addBoth(self._stepArrived, awaited, arrived)
                return
            result = arrived[0]
        done = self._done
        # Circles of references otherwise, which only the collector breaks: a
        # Failure's traceback has this very frame.
        del self._done
        result = awaited = None
        if not self._cancelled:
            try:
                done(outcome)
            finally:
                outcome = None

    def _abandonSteps(self, awaited: Awaited) -> None:
        self._steps.close()
        awaited.addBoth(_dropResult)
        awaited.cancel()

    def _stepArrived(
        self, result: object, awaited: Awaited, earlier: list[object]
    ) -> None:
        if self._awaited is awaited:
            self._awaited = None
            # One that had fired, and then waited for another, has left its
            # result in the list already.
            self._advanceSteps(earlier.pop() if earlier else result)


def run(steps: Steps[_T]) -> _T | Deferred[_T]:
    """
    Run a generator that yields a Deferred wherever it has to wait.

    @return: its return value if it never had to wait, else an unfired Deferred
        of it, whose cancellation cancels the Deferred that it waits for.
    @raise BaseException: the exception that it raised before it had to wait.
    """
    results: list[_T | Failure] = []
    waiting: Deferred[_T] | None = None

    def keepResult(result: _T | Failure) -> None:
        if waiting is None:
            results.append(result)
        else:
            waiting.callback(result)

    runner = GeneratorRunner(steps, keepResult)
    runner.run()
    if not results:
        waiting = Deferred(lambda _: runner.cancel())
        return waiting
    result = results[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result
