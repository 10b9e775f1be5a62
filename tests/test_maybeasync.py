"""
Asking hooks: at once, late, never, and given up in the middle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from rig import Logged, logging
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txconnect.maybeasync import GeneratorRunner, settle, withTimeout


class Late(Exception):
    """The deadline has passed."""


@pytest.fixture(autouse=True)
def logged() -> Iterator[Logged]:
    """The log; no test may leave a Deferred's error that nobody looked at."""
    with logging() as logged:
        yield logged
        assert logged.unhandled == []


def outcomeOf(deferred: Deferred[Any]) -> list[Any]:
    """Where the outcome will be, once it is there."""
    outcome: list[Any] = []
    deferred.addBoth(outcome.append)
    return outcome


class TestSettle:
    """What a hook may answer with."""

    @pytest.mark.parametrize("answer", [None, 7, "text", object(), []])
    def test_plain(self, answer: object) -> None:
        """An answer that is there is given back as it is."""
        assert settle(answer) is answer

    def test_plain_costs_no_deferred(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """[T12] An answer that is there makes no Deferred and no coroutine."""

        def made(*_: Any, **__: Any) -> None:
            raise AssertionError("a Deferred was made")

        monkeypatch.setattr(Deferred, "__init__", made)
        assert settle("at once") == "at once"

    def test_fired_deferred(self) -> None:
        """A Deferred that has fired is settled at once."""
        assert settle(succeed("answer")) == "answer"

    def test_failed_deferred(self) -> None:
        """One that has failed raises what it failed with, and is at rest."""
        with pytest.raises(KeyError, match="k"):
            settle(fail(KeyError("k")))

    def test_coroutine_that_does_not_wait(self) -> None:
        """Nor does a coroutine that waits for nothing need a Deferred."""

        async def answer() -> str:
            return await succeed("a") + await succeed("b")

        assert settle(answer()) == "ab"

    def test_coroutine_that_raises(self) -> None:
        """A coroutine's exception is raised."""

        async def answer() -> None:
            raise KeyError("k")

        with pytest.raises(KeyError, match="k"):
            settle(answer())

    def test_chained_deferred_is_waited_for(self) -> None:
        """A Deferred that has fired with another that has not, has not fired."""
        inner: Deferred[str] = Deferred()
        waiting = settle(succeed(None).addCallback(lambda _: inner))
        assert isinstance(waiting, Deferred)
        outcome = outcomeOf(waiting)
        assert outcome == []
        inner.callback("answer")
        assert outcome == ["answer"]

    def test_later(self) -> None:
        """An answer that is not there yet comes by the Deferred."""
        answer: Deferred[str] = Deferred()
        outcome = outcomeOf(settle(answer))
        answer.callback("late")
        assert outcome == ["late"]

    def test_later_failure(self) -> None:
        """So does a failure; the hook's own Deferred is at rest."""
        answer: Deferred[str] = Deferred()
        outcome = outcomeOf(settle(answer))
        answer.errback(KeyError("k"))
        assert outcome[0].check(KeyError)

    def test_cancelling_cancels_the_hook(self) -> None:
        """[TU-05] Giving up reaches the hook's own Deferred."""
        cancelled: list[Any] = []
        answer: Deferred[str] = Deferred(cancelled.append)
        outcome = outcomeOf(waiting := settle(answer))
        waiting.cancel()
        assert cancelled == [answer]
        assert outcome[0].check(CancelledError)

    def test_coroutine_that_swallows_its_cancellation(self) -> None:
        """[T12] Who waits is let go even when the hook goes on; what it then
        answers is dropped."""
        first: Deferred[None] = Deferred()
        second: Deferred[str] = Deferred()

        async def stubborn() -> str:
            try:
                await first
            except CancelledError:
                pass
            return await second

        outcome = outcomeOf(waiting := settle(stubborn()))
        waiting.cancel()
        assert outcome[0].check(CancelledError)
        second.callback("too late")
        assert len(outcome) == 1

    def test_failure_after_giving_up_is_logged(self, logged: Logged) -> None:
        """What fails when nobody waits any more is in the log, and only there."""
        first: Deferred[None] = Deferred()
        second: Deferred[str] = Deferred()

        async def stubborn() -> str:
            try:
                await first
            except CancelledError:
                pass
            return await second

        waiting = settle(stubborn())
        outcomeOf(waiting)
        waiting.cancel()
        second.errback(KeyError("afterwards"))
        assert len(logged.errors) == 1
        assert "given up" in logged.errors[0] and "afterwards" in logged.errors[0]

    @pytest.mark.parametrize("kind", [KeyError, SystemExit])
    def test_canceller_that_raises(
        self, logged: Logged, kind: type[BaseException]
    ) -> None:
        """A plugin's canceller that raises is logged; giving up goes on."""

        def canceller(_: Deferred[Any]) -> None:
            raise kind("canceller")

        outcome = outcomeOf(waiting := settle(Deferred(canceller)))
        waiting.cancel()
        assert outcome[0].check(CancelledError)
        assert "canceller" in logged.errors[0]

    def test_not_awaitable_future(self) -> None:
        """An asyncio future is no answer that can be waited for: given back."""
        loop = asyncio.new_event_loop()
        future = loop.create_future()
        assert settle(future) is future
        loop.close()

    def test_awaited_future(self) -> None:
        """An awaited asyncio future raises at once, and does not hang."""
        loop = asyncio.new_event_loop()

        async def answer() -> Any:
            return await loop.create_future()

        with pytest.raises(RuntimeError, match="await wasn't used with future"):
            settle(answer())
        loop.close()


class TestBounded:
    """No longer than it is given."""

    def bound(
        self, answer: Any, seconds: float = 10
    ) -> tuple[Clock, Deferred[Any], list[Any]]:
        clock = Clock()
        outcome = withTimeout(clock, seconds, settle(answer), Late)
        return clock, outcome, outcomeOf(outcome)

    def test_in_time(self) -> None:
        """The answer comes through, and the timer goes."""
        answer: Deferred[str] = Deferred()
        clock, _, outcome = self.bound(answer)
        clock.advance(9.9)
        answer.callback("in time")
        assert outcome == ["in time"]
        assert not clock.getDelayedCalls()

    def test_failure_in_time(self) -> None:
        """So does a failure."""
        answer: Deferred[str] = Deferred()
        clock, _, outcome = self.bound(answer)
        answer.errback(KeyError("k"))
        assert outcome[0].check(KeyError)
        assert not clock.getDelayedCalls()

    def test_refuses_first_then_cancels(self) -> None:
        """[T12] At the deadline the refusal is out before the hook hears."""
        order: list[str] = []
        answer: Deferred[str] = Deferred(lambda _: order.append("cancelled"))
        clock, outcome, _ = self.bound(answer)
        outcome.addBoth(lambda _: order.append("refused"))
        clock.advance(10)
        assert order == ["refused", "cancelled"]

    def test_stubborn_coroutine(self) -> None:
        """[T12] A coroutine that swallows its cancellation gains no time, and
        its late answer is dropped."""
        gates: list[Deferred[None]] = [Deferred(), Deferred()]

        async def stubborn() -> str:
            try:
                await gates[0]
            except CancelledError:
                await gates[1]
            return "allow"

        clock, _, outcome = self.bound(stubborn())
        clock.advance(10)
        assert outcome[0].check(Late)
        gates[1].callback(None)
        assert len(outcome) == 1

    def test_failure_in_cancellation_is_logged(self, logged: Logged) -> None:
        """What a hook fails with as it is cancelled is logged, not raised."""
        gate: Deferred[None] = Deferred()

        async def clumsy() -> None:
            try:
                await gate
            finally:
                raise KeyError("clean-up")

        clock, _, outcome = self.bound(clumsy())
        clock.advance(10)
        assert outcome[0].check(Late)
        assert "clean-up" in logged.errors[0]

    def test_cancelled_future_is_no_failure(self, logged: Logged) -> None:
        """asyncio's way to say that it was cancelled makes no noise."""
        gate: Deferred[None] = Deferred(
            lambda it: it.errback(Failure(asyncio.CancelledError()))
        )
        clock, _, outcome = self.bound(gate)
        clock.advance(10)
        assert outcome[0].check(Late)
        assert logged.errors == []

    def test_cancel(self) -> None:
        """[TU-05] Giving up cancels the hook and the timer."""
        cancelled: list[Any] = []
        clock, outcome, outcomes = self.bound(Deferred(cancelled.append))
        outcome.cancel()
        assert len(cancelled) == 1
        assert outcomes[0].check(CancelledError)
        assert not clock.getDelayedCalls()

    def test_cancel_with_raising_canceller(self, logged: Logged) -> None:
        """[T13] The timer goes even when the plugin's canceller raises."""

        def canceller(_: Deferred[Any]) -> None:
            raise KeyError("canceller")

        clock, outcome, outcomes = self.bound(Deferred(canceller))
        outcome.cancel()
        assert outcomes[0].check(CancelledError)
        assert not clock.getDelayedCalls()
        assert "canceller" in logged.errors[0]


def run(
    steps: Callable[[], Generator[Deferred[Any], Any, Any]],
) -> tuple[GeneratorRunner, list[Any]]:
    """Run steps; they, and where their outcome will be."""
    outcome: list[Any] = []
    work = GeneratorRunner(steps(), outcome.append)
    work.run()
    return work, outcome


class TestSteps:
    """The straight line of steps."""

    def test_without_waiting(self) -> None:
        """What need not wait is done when C{run} returns."""

        def steps() -> Generator[Deferred[Any], Any, str]:
            a = yield succeed("a")
            b = yield succeed("b")
            return a + b

        assert run(steps)[1] == ["ab"]

    def test_makes_no_deferred(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A line that does not wait makes none of its own."""
        made: list[Any] = []
        original = defer.Deferred.__init__
        monkeypatch.setattr(
            defer.Deferred,
            "__init__",
            lambda self, *args: made.append(self) or original(self, *args),
        )

        def steps() -> Generator[Deferred[Any], Any, str]:
            return "done"
            yield

        assert run(steps)[1] == ["done"]
        assert made == []

    def test_many_fired_do_not_recurse(self) -> None:
        """However many steps answer at once, the stack does not grow."""

        def steps() -> Generator[Deferred[Any], Any, int]:
            total = 0
            for _ in range(5000):
                total += yield succeed(1)
            return total

        assert run(steps)[1] == [5000]

    def test_waits(self) -> None:
        """A step that has not answered is waited for."""
        gates: list[Deferred[str]] = [Deferred(), Deferred()]

        def steps() -> Generator[Deferred[Any], Any, str]:
            a = yield gates[0]
            b = yield gates[1]
            return a + b

        _, outcome = run(steps)
        gates[1].callback("b")
        assert outcome == []
        gates[0].callback("a")
        assert outcome == ["ab"]

    @pytest.mark.parametrize("early", [True, False])
    def test_failure_is_raised_at_its_step(self, early: bool) -> None:
        """A failure is raised where it was waited for, and can be caught."""
        gate: Deferred[str] = Deferred()

        def steps() -> Generator[Deferred[Any], Any, str]:
            try:
                yield gate
            except KeyError:
                return "caught"
            return "missed"

        if early:
            gate.errback(KeyError())
        _, outcome = run(steps)
        if not early:
            gate.errback(KeyError())
        assert outcome == ["caught"]

    @pytest.mark.parametrize(
        "error", [KeyError("k"), asyncio.CancelledError(), SystemExit(1)]
    )
    @pytest.mark.parametrize("early", [True, False])
    def test_exception_is_the_outcome(self, early: bool, error: BaseException) -> None:
        """[T12] Whatever is raised ends the line with a Failure: what Python
        does not count as an Exception too, or the client would wait for ever."""
        gate: Deferred[str] = Deferred()

        def steps() -> Generator[Deferred[Any], Any, str]:
            yield gate
            return "missed"

        if early:
            gate.errback(Failure(error))
        _, outcome = run(steps)
        if not early:
            gate.errback(Failure(error))
        assert [each.value for each in outcome] == [error]

    def test_stop_iteration_in_a_step(self) -> None:
        """A StopIteration that escapes is an error, not a result."""

        def steps() -> Generator[Deferred[Any], Any, str]:
            yield succeed(None)
            raise StopIteration("not a result")

        _, outcome = run(steps)
        assert outcome[0].check(RuntimeError)

    def test_cancel(self) -> None:
        """[TU-05] Giving up cancels what is waited for and calls nobody."""
        cancelled: list[Any] = []
        closed: list[str] = []
        gate: Deferred[str] = Deferred(cancelled.append)

        def steps() -> Generator[Deferred[Any], Any, str]:
            try:
                yield gate
            finally:
                closed.append("closed")
            return "missed"

        work, outcome = run(steps)
        work.cancel()
        assert cancelled == [gate]
        assert closed == ["closed"]
        assert outcome == []

    def test_cancel_when_done(self) -> None:
        """Giving up what is done does nothing."""

        def steps() -> Generator[Deferred[Any], Any, str]:
            return "done"
            yield

        work, outcome = run(steps)
        work.cancel()
        work.cancel()
        assert outcome == ["done"]

    def test_late_answer_after_cancel(self) -> None:
        """[T12] An answer that comes in spite of the cancellation is dropped."""
        gate: Deferred[str] = Deferred(lambda it: it.callback("in spite"))

        def steps() -> Generator[Deferred[Any], Any, str]:
            return (yield gate)

        work, outcome = run(steps)
        work.cancel()
        assert outcome == []

    def test_cancel_from_within_a_step_that_goes_on(self) -> None:
        """A step that gives its own line up is the last: what the line would
        wait for next is cancelled, and nobody is told."""
        cancelled: list[Any] = []
        gate: Deferred[str] = Deferred(cancelled.append)
        work: list[GeneratorRunner] = []
        reached: list[str] = []

        def steps() -> Generator[Deferred[Any], Any, str]:
            work[0].cancel()
            yield gate
            reached.append("the step behind")
            return "missed"

        outcome: list[Any] = []
        work.append(GeneratorRunner(steps(), outcome.append))
        work[0].run()
        assert cancelled == [gate]
        assert reached == [] and outcome == []

    def test_cancel_from_within_the_last_step(self) -> None:
        """Nor is anybody told when there is nothing more to wait for."""
        work: list[GeneratorRunner] = []

        def steps() -> Generator[Deferred[Any], Any, str]:
            yield succeed(None)
            work[0].cancel()
            return "missed"

        outcome: list[Any] = []
        work.append(GeneratorRunner(steps(), outcome.append))
        work[0].run()
        assert outcome == []

    def test_cancel_from_within_logs_what_fails(self, logged: Logged) -> None:
        """What fails behind a line that was given up from within is logged."""
        work: list[GeneratorRunner] = []

        def steps() -> Generator[Deferred[Any], Any, str]:
            work[0].cancel()
            yield fail(KeyError("behind"))
            return "missed"

        work.append(GeneratorRunner(steps(), lambda _: None))
        work[0].run()
        assert "behind" in logged.errors[0]

    def test_fired_while_running(self) -> None:
        """A Deferred that the next step fires itself is no trouble."""
        gate: Deferred[str] = Deferred()

        def steps() -> Generator[Deferred[Any], Any, str]:
            first = yield succeed("first")
            gate.callback(first + " second")
            return (yield gate)

        assert run(steps)[1] == ["first second"]

    def test_reentrant_arrival(self) -> None:
        """What arrives may, on its way, make the next arrive too."""
        gates: list[Deferred[str]] = [Deferred(), Deferred()]
        gates[0].addCallback(lambda it: gates[1].callback("b") or it)

        def steps() -> Generator[Deferred[Any], Any, str]:
            a = yield gates[0]
            b = yield gates[1]
            return a + b

        _, outcome = run(steps)
        gates[0].callback("a")
        assert outcome == ["ab"]
