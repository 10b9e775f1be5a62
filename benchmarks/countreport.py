"""
Counts of instructions as a table for the terminal, as JSON, and as the table
that C{docs/performance.rst} includes.

Pure but for L{write}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.builds import shownBuild
from benchmarks.counting import Counted
from benchmarks.report import aligned, csvTable
from benchmarks.units import Unit

__all__ = [
    "CountRun",
    "changes",
    "conditionLines",
    "countCell",
    "countDocument",
    "countLine",
    "countPage",
    "countTable",
    "differences",
    "ratioCell",
    "worsened",
    "write",
]

NAME = "instructions"
"""The name of the files, without what tells their kind."""

NONE = "–"

BOUND = 0.03
"""The change for the worse, in parts, that needs a word in the commit."""

_WORK = {
    "tunnel": "open, 64 octets there and back, close",
    "alone": "the same",
    "trip": "64 octets there and back in an open tunnel",
    "refusal": "ask for a port that is not allowed, read the answer, close",
}


@dataclass(frozen=True)
class CountRun:
    """
    Everything about one run.

    @ivar conditions: where, when and how, by name.
    @ivar proxies: their names, in the table's order.
    @ivar units: those that were counted.
    @ivar failed: by proxy, why it could not be counted.
    """

    conditions: dict[str, Any]
    proxies: tuple[str, ...]
    units: tuple[Unit, ...]
    counted: tuple[Counted, ...]
    failed: Mapping[str, str] = field(default_factory=dict)

    def of(self, proxy: str, unit: str) -> Counted | None:
        """One proxy's count of one unit, if there is one."""
        for one in self.counted:
            if (one.proxy, one.unit) == (proxy, unit):
                return one
        return None

    def ratio(self, proxy: str, unit: str) -> float | None:
        """The proxy's count in parts of the reference's."""
        mine = self.of(proxy, unit)
        theirs = self.of(self.conditions["reference"], unit)
        return mine.each / theirs.each if mine and theirs else None


def countLine(one: Counted) -> str:
    """A count in one line, for whoever waits."""
    return (
        f"{one.proxy:10} {one.unit:8}{one.each:>10,.0f} instructions"
        f"  ({len(one.windows)} windows of {one.count}, spread {one.spread:.2%})"
    )


def changes(run: CountRun, earlier: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """
    The change of each count that an earlier run has as well, in parts of that.

    @param earlier: the JSON of the earlier run.
    """
    found = {}
    for one in run.counted:
        known = earlier["figures"].get(one.proxy, {}).get(one.unit)
        if known is not None:
            found[one.proxy, one.unit] = one.each / known["instructions"] - 1
    return found


def worsened(run: CountRun, earlier: Mapping[str, Any], proxy: str) -> list[str]:
    """
    Return a sentence for each unit of a proxy that takes more than L{BOUND} more than
    C{earlier}, that was not counted then, or that was not counted now.
    """
    found = changes(run, earlier)
    lines = []
    for unit in run.units:
        change = found.get((proxy, unit.name))
        if change is None:
            lines.append(f"{unit.name}: not counted in both runs")
        elif change > BOUND:
            lines.append(f"{unit.name}: {change:+.2%}, more than {BOUND:.0%}")
    return lines


def differences(run: CountRun, earlier: Mapping[str, Any]) -> list[str]:
    """The names of all that changes the counts and is not as it was C{earlier}."""
    names = [
        name
        for name in ("python", "twisted", "valgrind")
        if run.conditions[name] != earlier["conditions"][name]
    ]
    sizes = _sizes(run)
    both = sizes.keys() & earlier["units"].keys()
    return names + sorted(n for n in both if sizes[n] != earlier["units"][n])


def _sizes(run: CountRun) -> dict[str, dict[str, int]]:
    return {
        unit.name: {"at_a_time": unit.concurrency, "in_a_window": unit.count}
        for unit in run.units
    }


def countCell(run: CountRun, proxy: str, unit: str) -> str:
    """Return the instructions of a unit."""
    counted = run.of(proxy, unit)
    return NONE if counted is None else f"{counted.each:,.0f}"


def ratioCell(run: CountRun, proxy: str, unit: str) -> str:
    """Return their ratio to the reference's."""
    ratio = run.ratio(proxy, unit)
    return NONE if ratio is None else f"{ratio:.2f}"


def _spreadCell(run: CountRun, proxy: str, unit: str) -> str:
    counted = run.of(proxy, unit)
    return NONE if counted is None else f"{counted.spread:.2%}"


def countTable(run: CountRun, earlier: Mapping[str, Any] | None = None) -> str:
    """The counts, their ratios, their spreads, and changes since C{earlier}."""
    reference = run.conditions["reference"]
    kinds = {
        "instructions": countCell,
        f"ratio to {reference}": ratioCell,
        "spread of the windows": _spreadCell,
    }
    parts = []
    for title, cell in kinds.items():
        rows = [[title, *run.proxies]]
        for unit in run.units:
            rows.append(
                [unit.name, *(cell(run, name, unit.name) for name in run.proxies)]
            )
        parts.append(aligned(rows))
    if earlier is not None:
        parts.append(aligned(_changeRows(run, changes(run, earlier))))
        if other := differences(run, earlier):
            parts.append(f"Not comparable, as these differ: {', '.join(other)}")
    return "\n\n".join(parts) + "\n"


def _changeRows(
    run: CountRun, found: Mapping[tuple[str, str], float]
) -> Sequence[Sequence[str]]:
    rows = [["change", *run.proxies]]
    for unit in run.units:
        values = (found.get((proxy, unit.name)) for proxy in run.proxies)
        cells = (NONE if value is None else f"{value:+.2%}" for value in values)
        rows.append([unit.name, *cells])
    return rows


def countDocument(run: CountRun) -> dict[str, Any]:
    """The JSON: conditions, figures, and every window."""
    reference = run.conditions["reference"]
    figures: dict[str, dict[str, Any]] = {}
    for one in run.counted:
        ratio = run.ratio(one.proxy, one.unit)
        figures.setdefault(one.proxy, {})[one.unit] = {
            "instructions": round(one.each),
            f"ratio_to_{reference}": ratio and round(ratio, 3),
            "spread": round(one.spread, 4),
            "windows": [round(value) for value in one.eachByWindow],
            "idle_a_second": round(one.idle),
        }
    return {
        "conditions": run.conditions,
        "units": _sizes(run),
        "figures": figures,
        "failed": dict(run.failed),
    }


def conditionLines(run: CountRun) -> list[str]:
    """Return where, when and how, a line each."""
    told = run.conditions
    python = told["python"]
    return [
        f":Date: {told['date']}",
        f":Tree: {told['tree'] or 'not known'}",
        f":Machine: {told['machine']}; L2 {told['l2'] or 'not known'}",
        f":Python: {python['version']}, {python['program']} ({shownBuild(python['build'])});"
        f" Twisted {told['twisted']}",
        f":Counted by: callgrind of valgrind {told['valgrind']}, {told['windows']} windows",
    ]


def countPage(run: CountRun) -> str:
    """The reStructuredText that the documentation includes."""
    versions, first = run.conditions["versions"], run.proxies[:1]
    head = ["", "unit", *(f"{name} {versions[name]}" for name in run.proxies)]
    rows = [[*head, *("ratio" for _ in first)]]
    for unit in run.units:
        work = f"{_WORK[unit.name]}; {unit.concurrency} at a time"
        cells = (countCell(run, name, unit.name) for name in run.proxies)
        ratios = (ratioCell(run, name, unit.name) for name in first)
        rows.append([unit.name, work, *cells, *ratios])
    reference = run.conditions["reference"]
    title = f"Instructions in user space (ratio: to {reference}'s)"
    return "\n".join(conditionLines(run)) + "\n\n" + csvTable(title, rows)


def write(run: CountRun, directory: Path, name: str = NAME, page: str = "") -> None:
    """
    Write C{instructions.json} and C{instructions.inc} to C{directory}.

    @param name: in place of C{instructions}.
    @param page: in place of L{countPage}.
    """
    shown = json.dumps(countDocument(run), indent=1, ensure_ascii=False)
    (directory / f"{name}.json").write_text(shown + "\n", "utf-8")
    (directory / f"{name}.inc").write_text(page or countPage(run), "utf-8")
