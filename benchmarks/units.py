"""
Units of work in a fixed number, for counts that repeat.

A load that runs for some seconds does more or less work by chance.  This one
does as many units as it is told, and then waits.  The connections are those of
L{benchmarks.connections}, so that a unit is the same work as in a timed run.

With 64 at a time, a proxy that runs some fifty times slower than usual always
has more to do, and its turns of the reactor are as full as under a heavy load.
With one at a time each event has a turn of its own.  Both repeat; anything
between them depends more on who else uses the machine.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from benchmarks.connections import Connection, OneShot, Refusals, Trips
from benchmarks.load import Load
from benchmarks.running import Failed

__all__ = ["ALLOWED", "REFUSED", "UNITS", "CountedLoad", "Unit", "shortened"]

REFUSED = 9
"""The port to which a tunnel is refused (discard: nothing listens there)."""

ALLOWED = "1024-65535"
"""The ports that are allowed: those of the destinations are among them."""

LIMIT = 120.0
"""Seconds that a window may take, on the slowest of machines."""

SHORT = 8
"""By how much a quick run is shorter."""


@dataclass(frozen=True)
class Unit:
    """
    A kind of work.

    @ivar concurrency: how many of them are done at a time.
    @ivar count: how many are done in a window.
    @ivar refused: C{True} if the proxy has to refuse the tunnel.
    """

    name: str
    kind: type[Connection]
    concurrency: int
    count: int
    refused: bool = False


UNITS: tuple[Unit, ...] = (
    Unit("tunnel", OneShot, 64, 256),
    Unit("alone", OneShot, 1, 64),
    Unit("trip", Trips, 64, 2048),
    Unit("refusal", Refusals, 64, 384, refused=True),
)
"""All units, in the order of the table."""


def shortened(unit: Unit) -> Unit:
    """The same for a quick run."""
    concurrency = max(unit.concurrency // SHORT, 1)
    return replace(unit, concurrency=concurrency, count=unit.count // SHORT)


class CountedLoad(Load):
    """
    Does a number of units of work, and waits.
    """

    def __init__(
        self, proxy: tuple[str, int], unit: Unit, target: int, fields: str = ""
    ) -> None:
        """
        @param fields: as of L{Load}.
        @param target: the port of the destination of those that are allowed.
        """
        super().__init__(proxy, REFUSED if unit.refused else target, unit.kind, fields)
        self._unit = unit
        self._more = 0

    def again(self, connection: Connection) -> None:
        """Let a connection go on only if there are units left to do."""
        if self._more:
            self._more -= 1
            connection.repeat()

    def failed(self, why: str) -> None:
        """
        Give up: a count with an error in it is none.

        @raise Failed: always.
        """
        raise Failed(f"{self._unit.name}: {why}")

    def prepare(self) -> None:
        """
        Have each connection do its first unit; those that stay are then open.
        """
        self.start(self._unit.concurrency)
        self._finish(self._unit.concurrency)

    def do(self, count: int) -> None:
        """
        Do C{count} units, which are at least as many as are done at a time.

        @raise Failed: an error, or no end of them.
        """
        self.forget()
        self._more = count - self._unit.concurrency
        for connection in self._connections:
            connection.repeat()
        self._finish(count)

    def _finish(self, count: int) -> None:
        self.run(lambda: len(self.times) >= count, time.monotonic() + LIMIT)
        if len(self.times) < count:
            raise Failed(f"{self._unit.name}: only {len(self.times)} of {count} done")
