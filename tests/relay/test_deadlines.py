"""
Deadlines of one length share a timer.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.task import Clock

from txconnect.relay.sweep import Deadlines


class Late:
    """Keeps who was late, and when."""

    def __init__(self, seconds: float = 10.0) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, seconds)
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
    """[K1] [T12] The others are told all the same."""
    late = Late()

    def fail() -> None:
        raise ValueError("a bug")

    late.deadlines.begin(fail)
    late.deadlines.begin(late.of("b"))
    with pytest.raises(ValueError, match="a bug"):
        late.clock.advance(10)
    late.clock.advance(0)
    assert late.told == [("b", 10.0)]


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
