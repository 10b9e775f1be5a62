"""
A limit of the log lines that strangers can cause.

A connection costs a stranger next to nothing, and no request is needed for a failed
TLS handshake or an octet of another protocol.  A line for each would fill a disk, and
hide the other lines.  So each kind has so many lines in a period; the others are
counted, and the next line says how many there were.

A fixed window and not a bucket: an operator sees the first few of a flood in full,
which shows what it is, and after that a line a period.
"""

from __future__ import annotations

from collections.abc import Hashable

import attrs
from twisted.internet.interfaces import IReactorTime

LINES = 10
"""The lines of one kind that a period has."""

PERIOD = 60.0
"""Seconds of a period."""


@attrs.frozen
class LeftOut:
    """
    The events without a line, ahead of one that gets a line.

    @ivar count: how many there were.
    @ivar seconds: the time since the last line of the kind.
    """

    count: int = 0
    seconds: float = 0.0

    @property
    def words(self) -> str:
        """Return them in words, to be put after a reason; empty where there are none."""
        if not self.count:
            return ""
        return f" (and {self.count} more like it in the last {self.seconds:.0f} s)"


NONE = LeftOut()


class _Window:
    """
    One kind's period.

    @ivar begins: when it began.
    @ivar lines: the lines that it has had.
    @ivar written: when the last line was.
    @ivar leftOut: the events without a line since then.
    """

    __slots__ = ("begins", "leftOut", "lines", "written")

    def __init__(self, begins: float) -> None:
        self.begins = self.written = begins
        self.lines = 0
        self.leftOut = 0


class LineLimit:
    """
    Decides which events get a line.

    @param clock: provides C{IReactorTime}.
    @param lines: the lines of one kind in a period.
    @param period: its seconds; it begins with its first line.
    """

    def __init__(
        self,
        clock: IReactorTime,
        lines: int = LINES,
        period: float = PERIOD,
    ) -> None:
        self._clock = clock
        self._lines = lines
        self._period = period
        self._windows: dict[Hashable, _Window] = {}

    def admit(self, kind: Hashable) -> LeftOut | None:
        """
        Take one event.

        @param kind: one of a few: each is remembered for good.
        @return: the events that were left out before it, or L{None} if it gets no
            line itself.
        """
        now = self._clock.seconds()
        window = self._windows.get(kind)
        if window is None:
            window = self._windows[kind] = _Window(now)
        elif not 0 <= now - window.begins < self._period:
            # Over, or the system's clock was set back.
            window.begins = now
            window.lines = 0
        if window.lines >= self._lines:
            window.leftOut += 1
            return None
        seconds = max(0.0, now - window.written)
        left = LeftOut(window.leftOut, seconds) if window.leftOut else NONE
        window.lines += 1
        window.written = now
        window.leftOut = 0
        return left
