"""
What a run found, as a table for the terminal, as JSON, and as the tables that
C{docs/performance.rst} includes.

Pure but for L{write}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.builds import shownBuild
from benchmarks.figures import (
    COLUMNS,
    Column,
    Measured,
    figure,
    problems,
    ratio,
    saturated,
    summary,
)
from benchmarks.measuring import Work

__all__ = [
    "Run",
    "aligned",
    "conditionLines",
    "csvTable",
    "document",
    "line",
    "pages",
    "table",
    "write",
]

COSTS = ("cpu_us_tunnel", "cpu_us_trip", "cpu_s_gib_down", "cpu_s_gib_up", "kib_idle")
"""The figures to trust on any machine: what the work cost."""

NONE = "–"


@dataclass(frozen=True)
class Run:
    """
    Everything about one run.

    @ivar conditions: where, when and how, by name.
    @ivar proxies: by name, how many cores each may use; in the table's order.
    @ivar works: the workloads with their sizes.
    @ivar measured: each measurement, in order.
    """

    conditions: dict[str, Any]
    proxies: Mapping[str, int]
    works: tuple[Work, ...]
    measured: tuple[Measured, ...]

    @property
    def reference(self) -> str:
        """The proxy that the ratios are to."""
        return str(self.conditions["reference"])

    @property
    def columns(self) -> list[Column]:
        """The figures of those workloads that were run."""
        names = {work.workload for work in self.works}
        return [column for column in COLUMNS if column.workload in names]


def line(one: Measured) -> str:
    """A measurement in one line, for whoever waits."""
    begin = f"round {one.round}  {one.workload:7} {one.proxy:20}"
    if not one.valid:
        return begin + "INVALID: " + ", ".join(one.errors)
    figures = "  ".join(
        f"{column.value(one):.{column.places}f} {' '.join(column.title)}"
        for column in COLUMNS
        if column.workload == one.workload
    )
    share = "" if one.workload == "idle" else f"  ({one.busy:.2f} cores)"
    return begin + figures + share


def cell(run: Run, column: Column, proxy: str) -> str:
    """
    One figure.  What was done in a second is a lower bound, with C{>}, where
    the proxy was not busy: then the load was the limit.
    """
    value = figure(column, proxy, run.measured)
    if value is None:
        return NONE
    shown = f"{value:,.{column.places}f}"
    cores = run.proxies[proxy]
    if column.lower or saturated(proxy, column.workload, cores, run.measured):
        return shown
    return f">{shown}"


def ratioCell(run: Run, column: Column, proxy: str) -> str:
    """The ratio to the reference, with two places."""
    value = ratio(column, proxy, run.reference, run.measured)
    return NONE if value is None else f"{value:.2f}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table for the terminal: names to the left, figures to the right."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [
                cells[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for cells in rows
    )


def table(run: Run) -> str:
    """The figures, and below them their ratios to the reference."""
    rows = [["", *run.proxies]]
    for column in run.columns:
        cells = [cell(run, column, proxy) for proxy in run.proxies]
        rows.append([" ".join(column.title), *cells])
    text = aligned(rows)
    if run.reference in run.proxies:
        rows = [[f"ratio to {run.reference}", *run.proxies]]
        for column in run.columns:
            cells = [ratioCell(run, column, proxy) for proxy in run.proxies]
            rows.append([" ".join(column.title), *cells])
        text += "\n\n" + aligned(rows)
    return text + "\n"


def document(run: Run) -> dict[str, Any]:
    """The JSON: conditions, figures, and every single measurement."""
    return {
        "conditions": run.conditions,
        "works": [asdict(work) for work in run.works],
        "figures": summary(list(run.proxies), run.reference, run.measured),
        "measured": [asdict(one) for one in run.measured],
        "invalid": problems(run.measured),
    }


def csvTable(title: str, rows: Iterable[Sequence[str]]) -> str:
    """Write a table in reStructuredText; the first row is its heading."""
    lines = [f".. csv-table:: {title}", "   :header-rows: 1", ""]
    for row in rows:
        lines.append("   " + ",".join(f'"{cell}"' for cell in row))
    return "\n".join(lines) + "\n"


def _costRows(run: Run) -> Iterable[list[str]]:
    columns = [column for column in run.columns if column.key in COSTS]
    yield ["", *(" ".join(column.title) for column in columns)]
    for proxy in run.proxies:
        row = [_named(run, proxy)]
        for column in columns:
            row.append(f"{cell(run, column, proxy)} ({ratioCell(run, column, proxy)})")
        yield row


def _paceRows(run: Run) -> Iterable[list[str]]:
    columns = [column for column in run.columns if column.key not in COSTS]
    yield ["", *(" ".join(column.title) for column in columns)]
    for proxy in run.proxies:
        cells = (cell(run, column, proxy) for column in columns)
        yield [_named(run, proxy), *cells]


def _named(run: Run, proxy: str) -> str:
    return f"{proxy} {run.conditions['versions'].get(proxy, '')}".strip()


def conditionLines(run: Run) -> Iterable[str]:
    """Return where, when and how, a line each."""
    told = run.conditions
    cores = ", ".join(f"{who}: {which}" for who, which in told["cores"].items())
    yield f":Date: {told['date']}"
    yield f":Machine: {told['machine']}; L2 {told['l2'] or 'not known'}; {told['system']}"
    yield f":Python: {told['python']}; {shownBuild(told['build'])}"
    yield f":Cores by number: {cores}"
    yield f":Others' load: {told['load']} processes that could run, before it began"
    for work in run.works:
        yield (
            f":{work.workload}: {work.concurrency} at once,"
            f" {work.seconds:g} s, {told['rounds']} rounds"
        )


def pages(run: Run) -> str:
    """The reStructuredText that the documentation includes."""
    against = f"in brackets: times {run.reference}'s"
    parts = [
        "\n".join(conditionLines(run)) + "\n",
        csvTable(f"What the work costs ({against})", _costRows(run)),
        csvTable("How fast it goes", _paceRows(run)),
    ]
    bad = problems(run.measured)
    if bad:
        parts.append("Not counted:\n\n" + "\n".join(f"- {one}" for one in bad) + "\n")
    return "\n".join(parts)


def write(run: Run, directory: Path) -> None:
    """Write C{figures.json}, C{table.txt} and C{tables.inc} to C{directory}."""
    shown = json.dumps(document(run), indent=1, ensure_ascii=False)
    (directory / "figures.json").write_text(shown + "\n", "utf-8")
    (directory / "table.txt").write_text(table(run), "utf-8")
    (directory / "tables.inc").write_text(pages(run), "utf-8")
