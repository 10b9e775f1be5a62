"""
Coroutines as asyncio tasks, where an asyncio loop runs, as under Twisted's asyncio
reactor.

C{Deferred.fromCoroutine} knows Deferreds alone.  What is written for asyncio asks for
the current task, to cancel it at a time-out: without one, aiohttp fails with "Timeout
context manager should be used inside a task", and C{asyncio.timeout} likewise; and a
task knows asyncio's futures alone, and ends at a Deferred with "Task got bad yield".
So the coroutine runs in a task, and each Deferred that it awaits is a future to the
task.  When it is given up, it gets asyncio's C{CancelledError}, as any task does.

Its first step runs at once, as it does everywhere else, with the task as the current
one: a coroutine that never waits answers without a trip through the loop.  A task of
Python 3.12 could do that by itself, one of 3.11 not.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

__all__ = ["startCoroutine"]


def startCoroutine(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """
    Run a coroutine that may await Deferreds; where an asyncio loop runs, in a task of
    it, so that it may await all that asyncio can.

    @return: its result; cancelling it cancels what the coroutine awaits.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return Deferred.fromCoroutine(coroutine)
    step = _TaskSteps(coroutine, loop)
    context = copy_context()
    # No task of the loop's factory, which may take the first step by itself.
    task = asyncio.Task(step, loop=loop, context=context)
    before = asyncio.current_task(loop)
    # As documented for third-party tasks, in "Extending asyncio".
    if before is not None:
        _leave_task(loop, before)
    _enter_task(loop, task)
    try:
        answer = context.run(step.begin)
    finally:
        _leave_task(loop, task)
        if before is not None:
            _enter_task(loop, before)
    return Deferred.fromFuture(task) if answer is None else answer


class _TaskSteps(Coroutine[Any, Any, Any]):
    """The steps of a coroutine, as a task takes them: with futures for Deferreds."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._coroutine = coroutine
        self._loop = loop
        self._over = False
        self._first: list[Any] = []

    def begin(self) -> Deferred[Any] | None:
        """Take the first step; return its result if it is the last, too."""
        answer: Deferred[Any] = Deferred()
        try:
            self._first = [self._coroutine.send(None)]
        except StopIteration as stop:
            self._over = True
            answer.callback(stop.value)
        except BaseException:
            self._over = True
            answer.errback(Failure())
        else:
            return None
        return answer

    def send(self, value: Any) -> Any:
        """Go on; called by the task."""
        if self._over:
            raise StopIteration
        if self._first:
            return self._awaitable(self._first.pop())
        return self._awaitable(self._coroutine.send(value))

    def throw(self, *error: Any) -> Any:
        """Go on with an exception; called by the task."""
        if self._over:
            raise StopIteration
        while self._first:
            # Cancelled before the task has seen what it waits for.
            waiting = self._awaitable(self._first.pop())
            if waiting is not None:
                waiting._asyncio_future_blocking = False
                waiting.cancel()
        return self._awaitable(self._coroutine.throw(*error))

    def close(self) -> None:
        """Give up."""
        self._coroutine.close()

    def __await__(self) -> Any:
        raise TypeError("these are the steps of one task")

    def _awaitable(self, awaited: Any) -> Any:
        return (
            _futureOf(awaited, self._loop) if isinstance(awaited, Deferred) else awaited
        )


def _futureOf(
    awaited: Deferred[Any], loop: asyncio.AbstractEventLoop
) -> asyncio.Future[None]:
    """Return a future that is done when a Deferred fires, whose result stays with it."""
    future: asyncio.Future[None] = loop.create_future()

    def fired(result: Any) -> Any:
        if not future.done():
            future.set_result(None)
        return result

    def done(future: asyncio.Future[None]) -> None:
        if future.cancelled():
            # The coroutine gets asyncio's exception; nobody takes Twisted's.
            awaited.addErrback(lambda failure: failure.trap(CancelledError) and None)
            awaited.cancel()

    awaited.addBoth(fired)
    future.add_done_callback(done)
    # As a coroutine's "await" does: a task knows its future by it.
    future._asyncio_future_blocking = True
    return future
