"""
The limit of lines that strangers can cause, by a clock.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from txconnect.linelimit import LINES, PERIOD, LeftOut, LineLimit


def test_theFirstFewHaveLines() -> None:
    """[F15] [T16] A kind has so many lines in a period, and no more."""
    limit = LineLimit(Clock())
    answers = [limit.admit("tls") for _ in range(LINES + 5)]
    assert answers[:LINES] == [LeftOut()] * LINES
    assert answers[LINES:] == [None] * 5


def test_theNextSaysHowManyWereLeftOut() -> None:
    """[F15] The number is told once, with the time that it is about."""
    clock = Clock()
    limit = LineLimit(clock, lines=1)
    assert limit.admit("tls") == LeftOut()
    for _ in range(412):
        clock.advance(0.1)
        assert limit.admit("tls") is None
    clock.advance(PERIOD)
    left = limit.admit("tls")
    assert left is not None
    assert left.count == 412
    assert left.words == " (and 412 more like it in the last 101 s)"
    clock.advance(PERIOD)
    assert limit.admit("tls") == LeftOut()
    assert LeftOut().words == ""


def test_aPeriodBeginsWithItsFirstLine() -> None:
    """[F15] After a pause there are as many lines as at first."""
    clock = Clock()
    limit = LineLimit(clock, lines=2, period=60)
    assert [limit.admit(1), limit.admit(1), limit.admit(1)][2] is None
    clock.advance(59.9)
    assert limit.admit(1) is None
    clock.advance(0.2)
    left = limit.admit(1)
    assert left is not None and left.count == 2
    assert limit.admit(1) == LeftOut()
    assert limit.admit(1) is None


def test_aPeriodIsOverAtItsEnd() -> None:
    """[F15] To the second."""
    clock = Clock()
    limit = LineLimit(clock, lines=1, period=60)
    limit.admit(1)
    clock.advance(60)
    assert limit.admit(1) == LeftOut()


def test_aClockThatIsSetBack() -> None:
    """[F15] It silences nothing."""
    clock = Clock()
    clock.advance(7200)
    limit = LineLimit(clock, lines=1)
    limit.admit("tls")
    assert limit.admit("tls") is None
    clock.rightNow -= 3600
    assert limit.admit("tls") == LeftOut(1, 0.0)
    assert limit.admit("tls") is None


def test_kindsDoNotTouchEachOther() -> None:
    """[F15] A flood of one kind hides no other."""
    limit = LineLimit(Clock(), lines=1)
    limit.admit("tls")
    assert limit.admit("tls") is None
    assert limit.admit("other") == LeftOut()


def test_aFloodLeavesNothingBehind() -> None:
    """[F15] Memory: one small object a kind, whatever comes."""
    limit = LineLimit(Clock())
    for _ in range(10_000):
        limit.admit("tls")
    assert len(limit._windows) == 1
