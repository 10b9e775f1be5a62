"""
From measurements to the figures of a table: units of work, medians, ratios.

Pure: numbers in, numbers out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

__all__ = [
    "COLUMNS",
    "Column",
    "Measured",
    "figure",
    "percentile",
    "ratio",
    "saturated",
    "spread",
]

GIB = 1 << 30
SATURATED = 0.9
"""The share of its cores above which the proxy, not the load, was the limit."""


def percentile(ordered: Sequence[float], percent: float) -> float:
    """
    The value at or below which C{percent} of the C{ordered} values lie
    (nearest rank); 0.0 when there are none.
    """
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank), 1) - 1]


@dataclass(frozen=True)
class Measured:
    """
    One workload on one proxy in one round.

    @ivar seconds: how long it was measured.
    @ivar cpu: CPU seconds of the proxy's process tree in that time.
    @ivar loadCPU: those of the load and of the destinations.
    @ivar done: finished tunnels, or round trips.
    @ivar octets: bulk that was moved.
    @ivar open: tunnels held open.
    @ivar memory: by how many octets the proxy grew for them.
    @ivar p50: the median time of one tunnel or round trip, in seconds.
    @ivar p99: the 99th percentile of it.
    @ivar errors: how often what went wrong; any makes it invalid.
    """

    proxy: str
    round: int
    workload: str
    seconds: float = 0.0
    cpu: float = 0.0
    loadCPU: float = 0.0
    done: int = 0
    octets: int = 0
    open: int = 0
    memory: int = 0
    p50: float = 0.0
    p99: float = 0.0
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """Whether its figures mean anything."""
        return not self.errors and self.seconds > 0 and self._work > 0

    @property
    def _work(self) -> int:
        if self.workload == "idle":
            return self.open
        return self.octets if self.workload in ("down", "up") else self.done

    @property
    def busy(self) -> float:
        """How many cores' worth of CPU the proxy took."""
        return self.cpu / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Column:
    """
    One figure: what it is called, of which workload, and how it is made.

    @ivar key: its name in the JSON.
    @ivar title: its heading, two lines.
    @ivar places: decimal places that are shown.
    @ivar lower: whether less is better.
    """

    key: str
    title: tuple[str, str]
    workload: str
    value: Callable[[Measured], float]
    places: int = 1
    lower: bool = True


COLUMNS: tuple[Column, ...] = (
    Column("cpu_us_tunnel", ("CPU µs", "a tunnel"), "tunnel", lambda m: m.cpu * 1e6 / m.done),
    Column("tunnels_s", ("tunnels", "a second"), "tunnel", lambda m: m.done / m.seconds, 0, lower=False),
    Column("tunnel_p50_ms", ("tunnel", "p50 ms"), "tunnel", lambda m: m.p50 * 1e3, 2),
    Column("tunnel_p99_ms", ("tunnel", "p99 ms"), "tunnel", lambda m: m.p99 * 1e3, 2),
    Column("alone_p50_ms", ("alone", "p50 ms"), "alone", lambda m: m.p50 * 1e3, 2),
    Column("alone_p99_ms", ("alone", "p99 ms"), "alone", lambda m: m.p99 * 1e3, 2),
    Column("cpu_us_trip", ("CPU µs", "a trip"), "trip", lambda m: m.cpu * 1e6 / m.done),
    Column("trips_s", ("trips", "a second"), "trip", lambda m: m.done / m.seconds, 0, lower=False),
    Column("trip_p50_ms", ("trip", "p50 ms"), "trip", lambda m: m.p50 * 1e3, 2),
    Column("trip_p99_ms", ("trip", "p99 ms"), "trip", lambda m: m.p99 * 1e3, 2),
    Column("cpu_s_gib_down", ("CPU s", "a GiB down"), "down", lambda m: m.cpu * GIB / m.octets, 2),
    Column("cpu_s_gib_up", ("CPU s", "a GiB up"), "up", lambda m: m.cpu * GIB / m.octets, 2),
    Column("kib_idle", ("KiB", "idle tunnel"), "idle", lambda m: m.memory / 1024 / m.open),
)  # fmt: skip
"""All figures, in the order of the table."""


def _values(
    column: Column, proxy: str, measured: Iterable[Measured]
) -> dict[int, float]:
    """The valid figures of one proxy by round."""
    return {
        one.round: column.value(one)
        for one in measured
        if one.proxy == proxy and one.workload == column.workload and one.valid
    }


def figure(column: Column, proxy: str, measured: Iterable[Measured]) -> float | None:
    """The median over the valid rounds; L{None} when there are none."""
    values = _values(column, proxy, measured)
    return median(values.values()) if values else None


def spread(
    column: Column, proxy: str, measured: Iterable[Measured]
) -> tuple[float, float] | None:
    """The least and the greatest figure of the valid rounds."""
    values = _values(column, proxy, measured).values()
    return (min(values), max(values)) if values else None


def ratio(
    column: Column, proxy: str, other: str, measured: Sequence[Measured]
) -> float | None:
    """
    How often C{other}'s figure goes into C{proxy}'s: the median of the ratios
    within a round, as what disturbs a machine disturbs neighbours alike.
    """
    mine = _values(column, proxy, measured)
    theirs = _values(column, other, measured)
    ratios = [mine[at] / theirs[at] for at in mine.keys() & theirs.keys() if theirs[at]]
    return median(ratios) if ratios else None


def saturated(
    proxy: str, workload: str, cores: int, measured: Iterable[Measured]
) -> bool:
    """
    Whether the proxy had its cores full, so that what it did in a second is
    its own doing and not the load's.
    """
    shares = [
        one.busy / cores
        for one in measured
        if one.proxy == proxy and one.workload == workload and one.valid
    ]
    return bool(shares) and median(shares) >= SATURATED


def problems(measured: Iterable[Measured]) -> list[str]:
    """A sentence for each measurement that does not count."""
    return [
        f"{one.proxy}, {one.workload}, round {one.round}: "
        + (
            ", ".join(f"{why} ({n}×)" for why, n in one.errors.items())
            or "no work done"
        )
        for one in measured
        if not one.valid
    ]


def summary(
    proxies: Sequence[str], reference: str, measured: Sequence[Measured]
) -> dict[str, dict[str, Any]]:
    """The figures of the JSON: by proxy and column, median, range and ratio."""
    return {
        proxy: {
            column.key: {
                "median": figure(column, proxy, measured),
                "range": spread(column, proxy, measured),
                f"ratio_to_{reference}": ratio(column, proxy, reference, measured),
            }
            for column in COLUMNS
        }
        for proxy in proxies
    }
