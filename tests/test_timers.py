"""
EqualTimeouts of one length share a timer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from rig import logging
from twisted.internet.task import Clock

from txconnect.timers import TURN, EqualTimeouts


class Late:
    """Keeps who was late, and when."""

    def __init__(self, seconds: float = 10.0) -> None:
        self.clock = Clock()
        self.deadlines = EqualTimeouts(self.clock, seconds)
        self.told: list[tuple[str, float]] = []
        self._calls: dict[str, Callable[[], None]] = {}

    def of(self, name: str) -> Callable[[], None]:
        def late() -> None:
            self.told.append((name, self.clock.seconds()))

        return self._calls.setdefault(name, late)

    @property
    def timers(self) -> int:
        return len(self.clock.getDelayedCalls())


def test_eachIsToldInItsTime() -> None:
    """[T12] In order, at the second, with one timer for all."""
    late = Late()
    for name in "abc":
        late.deadlines.begin(late.of(name))
        late.clock.advance(1)
        assert late.timers == 1
    late.clock.pump([1] * 20)
    assert late.told == [("a", 10.0), ("b", 11.0), ("c", 12.0)]
    assert late.timers == 0


def test_whoEndsIsNotTold() -> None:
    """[T12] Neither the first, for which the timer was, nor one behind it."""
    late = Late()
    for name in "abcd":
        late.deadlines.begin(late.of(name))
        late.clock.advance(1)
    late.deadlines.end(late.of("a"))
    late.deadlines.end(late.of("c"))
    late.clock.pump([0.5] * 40)
    assert late.told == [("b", 11.0), ("d", 13.0)]
    late.deadlines.end(late.of("b"))
    assert late.timers == 0


def test_theLastOneTakesTheTimerAlong() -> None:
    """[T11] Nothing is left behind; the next one begins anew."""
    late = Late()
    late.deadlines.begin(late.of("a"))
    late.deadlines.end(late.of("a"))
    assert late.timers == 0
    late.clock.advance(7)
    late.deadlines.begin(late.of("b"))
    late.clock.pump([1] * 11)
    assert late.told == [("b", 17.0)]


def test_manyAtOnce() -> None:
    """[T12] What is due together is told together."""
    late = Late()
    for name in "abc":
        late.deadlines.begin(late.of(name))
    late.clock.advance(10)
    assert [name for name, _ in late.told] == ["a", "b", "c"]


def test_whoRaisesKeepsNobodyWaiting() -> None:
    """[K1] [T12] The others are told all the same, in the same turn."""
    late = Late()

    def fail() -> None:
        raise ValueError("a bug")

    late.deadlines.begin(fail)
    late.deadlines.begin(late.of("b"))
    with logging() as logged:
        late.clock.advance(10)
    assert late.told == [("b", 10.0)]
    (error,) = logged.errors
    assert "a bug" in error


class LongTurns(Clock):
    """
    A clock each of whose turns takes a while, as those of a busy reactor do.

    C{Clock.advance} hides that: it calls, in one go, what is put off to a later
    turn.
    """

    def turn(self, seconds: float) -> None:
        """One turn: what is due at its beginning, and then its length passes."""
        now = self.seconds()
        for call in [one for one in self.calls if one.getTime() <= now]:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        self.rightNow += seconds


@pytest.mark.parametrize("count", [500, 1500])
def test_allThatAreDueInOneTurn(count: int) -> None:
    """[F02] However many there are, and however long the turns."""
    late = Late(1.0)
    late.clock = clock = LongTurns()
    late.deadlines = EqualTimeouts(clock, 1.0)
    for number in range(count):
        late.deadlines.begin(late.of(str(number)))
    clock.turn(1.01)
    clock.turn(0.01)
    assert [name for name, _ in late.told] == [str(number) for number in range(count)]
    assert late.timers == 0


def test_aTurnIsBounded() -> None:
    """[F02] Calls that take long leave the reactor its turn, and the rest follows."""
    late = Late(1.0)
    late.clock = clock = LongTurns()
    late.deadlines = EqualTimeouts(clock, 1.0)
    told: list[int] = []

    def slow(number: int) -> None:
        told.append(number)
        clock.rightNow += TURN / 3.5

    for number in range(10):
        late.deadlines.begin(partial(slow, number))
    clock.turn(1.0)
    clock.turn(0)
    assert told == [0, 1, 2, 3]
    assert late.timers == 1
    clock.turn(0)
    clock.turn(0)
    assert told == [*range(10)]
    assert late.timers == 0


def test_whoIsToldMayEndOthers() -> None:
    """[F02] One that was due, and ended in the same turn, is not told."""
    late = Late()
    late.deadlines.begin(lambda: late.deadlines.end(late.of("b")))
    late.deadlines.begin(late.of("b"))
    late.deadlines.begin(late.of("c"))
    late.clock.advance(10)
    assert [name for name, _ in late.told] == ["c"]
    assert late.timers == 0


def test_whoIsToldMayBeginAgain() -> None:
    """[T12] As one of several attempts."""
    late = Late()

    def again() -> None:
        late.deadlines.begin(late.of("second"))

    late.deadlines.begin(again)
    late.clock.pump([10, 10])
    assert late.told == [("second", 20.0)]
    assert late.timers == 0


def test_floatsThatDoNotAddUp() -> None:
    """[T12] A deadline is neither missed nor asked for over and over."""
    late = Late(0.1)
    for number in range(50):
        late.deadlines.begin(late.of(str(number)))
        late.clock.advance(0.07)
    late.clock.pump([0.07] * 4)
    assert [name for name, _ in late.told] == [str(number) for number in range(50)]
    assert late.timers == 0
