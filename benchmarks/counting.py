"""
Counting the instructions of each unit of work on one proxy after the other.

A count is the difference between two moments at which the proxy is at rest, so
that what is counted is whole units and nothing of another.  Before the first
of them everything has been done once and more: imports that were put off,
caches, and the specialized bytecode of Python 3.11.

The figure of a unit is the mean of its windows and not their median: a
collection of garbage comes once in several windows, and is a part of the cost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.callgrind import Callgrind
from benchmarks.procfs import sleeps
from benchmarks.running import Failed, Running
from benchmarks.units import CountedLoad, Unit

__all__ = ["Counted", "Counting", "awaitRest"]

WARMING = 4
"""Times the concurrency: units of each kind that are done before any counts."""

LOOKS = 10
"""As many times in a row a process must be seen asleep."""

PAUSE = 0.002
"""Seconds between two looks."""

RESTING = 30.0
"""Seconds in which a proxy must have come to rest."""


@dataclass(frozen=True)
class Counted:
    """
    The instructions of one kind of unit on one proxy.

    @ivar count: the units in a window.
    @ivar windows: the instructions of each window.
    """

    proxy: str
    unit: str
    count: int
    windows: tuple[int, ...]

    @property
    def each(self) -> float:
        """The instructions of one unit."""
        return sum(self.windows) / len(self.windows) / self.count

    @property
    def eachByWindow(self) -> list[float]:
        """The same by window."""
        return [window / self.count for window in self.windows]

    @property
    def spread(self) -> float:
        """How far the windows lie apart, in parts of the mean."""
        values = self.eachByWindow
        return (max(values) - min(values)) / self.each


def awaitRest(pids: Sequence[int]) -> None:
    """
    Wait until all of them are asleep and nothing is on its way between them.

    @param pids: in such an order that one that another may have just woken is
        looked at again behind it.
    @raise Failed: they never are.
    """
    end, seen = time.monotonic() + RESTING, 0
    while seen < LOOKS:
        seen = seen + 1 if all(map(sleeps, pids)) else 0
        if time.monotonic() > end:
            raise Failed("the proxy does not come to rest")
        time.sleep(PAUSE)


class Counting:
    """
    Counts on one proxy, which runs under callgrind.
    """

    def __init__(
        self, proxy: Running, home: Path, target: tuple[int, int], windows: int
    ) -> None:
        """
        @param home: the proxy's directory.
        @param target: the process id and the port of the destination.
        """
        self._proxy = proxy
        self._callgrind = Callgrind(home, proxy.pid)
        self._targetPid, self._targetPort = target
        self._windows = windows

    def count(self, units: Sequence[Unit]) -> Iterator[Counted]:
        """
        Count each unit.

        @raise Failed: one of them cannot be counted.
        """
        for unit in units:
            with closing(self._load(unit)) as load:
                load.do(WARMING * unit.concurrency)
        self._callgrind.begin()
        for unit in units:
            yield self._counted(unit)

    def _load(self, unit: Unit) -> CountedLoad:
        address = "127.0.0.1", self._proxy.port
        load = CountedLoad(address, unit, self._targetPort)
        load.prepare()
        return load

    def _counted(self, unit: Unit) -> Counted:
        with closing(self._load(unit)) as load:
            self._take()
            windows = []
            for _ in range(self._windows):
                load.do(unit.count)
                windows.append(self._take())
        return Counted(self._proxy.name, unit.name, unit.count, tuple(windows))

    def _take(self) -> int:
        # The destination may have woken the proxy after that was looked at.
        proxy = self._proxy.pid
        awaitRest((proxy, self._targetPid, proxy))
        return self._callgrind.take()
