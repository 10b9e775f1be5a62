"""
Counting the instructions of one kind of unit on a proxy.

A count is the difference between two moments at which the proxy is at rest, so
that what is counted is whole units and nothing else.  Before the first of them
everything has been done several times: imports that were put off, caches, and
the specialized bytecode of Python 3.11.

Each kind is counted on a proxy that was started for it.  What others have left
behind, above all bytecode that is specialized for them, moves a count by two
parts in a hundred.

A proxy also works when it has nothing to do: timers fire, and tunnels that are
open are looked at for those that are idle.  That goes with time and not with
units, and a machine that is busy makes it more.  It is counted by itself, while
nothing happens, and taken off.

The figure of a unit is the mean of its windows and not their median: a
collection of garbage comes once in several windows, and is a part of the cost.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.callgrind import Callgrind
from benchmarks.peers import Peer
from benchmarks.procfs import sleeps
from benchmarks.running import Failed, Running
from benchmarks.units import CountedLoad, Unit

__all__ = ["FULL", "QUICK", "Counted", "Counting", "Effort", "Span", "awaitRest"]

LOOKS = 10
"""As many times in a row a process must be seen asleep."""

PAUSE = 0.002
"""Seconds between two looks."""

RESTING = 30.0
"""Seconds in which a proxy must have come to rest."""


@dataclass(frozen=True)
class Effort:
    """
    The pains that are taken with each unit.

    @ivar windows: how often its instructions are counted.
    @ivar warming: units that are done before callgrind comes in, which makes
        all slower.
    @ivar idling: seconds in which is counted what the proxy does when nothing
        happens.
    """

    windows: int
    warming: int
    idling: float


FULL = Effort(windows=4, warming=256, idling=3.0)
"""As much as keeps a whole run below four minutes on a busy machine."""

QUICK = Effort(windows=1, warming=32, idling=0.3)
"""As little as shows that it works."""


@dataclass(frozen=True)
class Span:
    """The instructions between two moments, and the seconds."""

    instructions: int
    seconds: float

    @property
    def rate(self) -> float:
        """Instructions a second."""
        return self.instructions / self.seconds

    def without(self, idle: float) -> int:
        """The instructions less C{idle} ones a second."""
        return round(self.instructions - idle * self.seconds)


@dataclass(frozen=True)
class Counted:
    """
    The instructions of one kind of unit on one proxy.

    @ivar count: the units in a window.
    @ivar windows: the instructions of each window, without the idle ones.
    @ivar idle: the instructions a second when nothing happens.
    """

    proxy: str
    unit: str
    count: int
    windows: tuple[int, ...]
    idle: float = 0.0

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
        self,
        proxy: Running,
        home: Path,
        target: tuple[int, int],
        effort: Effort,
        peer: Peer | None = None,
    ) -> None:
        """
        @param home: the proxy's directory.
        @param target: the process id and the port of the destination.
        @param peer: the proxy's own needs, if it has any.
        """
        self._proxy = proxy
        self._callgrind = Callgrind(home, proxy.pid)
        self._targetPid, self._targetPort = target
        self._effort = effort
        self._fields = peer.fields if peer else ""
        self._behind = peer.behind if peer else ()
        self._taken = time.monotonic()

    def count(self, unit: Unit) -> Counted:
        """
        Count the units of one kind.

        @raise Failed: they cannot be counted.
        """
        effort, address = self._effort, ("127.0.0.1", self._proxy.port)
        target = self._targetPort
        with closing(CountedLoad(address, unit, target, self._fields)) as load:
            load.prepare()
            load.do(effort.warming)
            self._callgrind.begin()
            self._window(load, unit)  # while valgrind translates, all is slow
            time.sleep(effort.idling)
            idle = self._take().rate
            spans = [self._window(load, unit) for _ in range(effort.windows)]
        windows = tuple(span.without(idle) for span in spans)
        return Counted(self._proxy.name, unit.name, unit.count, windows, idle)

    def _window(self, load: CountedLoad, unit: Unit) -> Span:
        load.do(unit.count)
        return self._take()

    def _take(self) -> Span:
        # The destination may have woken the proxy after that was looked at.
        proxy = self._proxy.pid
        awaitRest((proxy, *self._behind, self._targetPid, *self._behind, proxy))
        instructions = self._callgrind.take()
        before, self._taken = self._taken, time.monotonic()
        return Span(instructions, self._taken - before)
