"""
The chart: one panel a cost, one dot a proxy, on a logarithmic axis, as the
costs lie a hundredfold apart.  Plain SVG, written by hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from benchmarks.figures import COLUMNS, Column, figure
from benchmarks.report import COSTS, Run

__all__ = ["axis", "chart"]

WIDTH = 760
LABELS = 160
"""The width of the proxies' names."""

VALUES = 70
"""The width that the largest value's label needs to the right of its dot."""

ROW = 20
HEAD = 34
GAP = 14
OURS = "#c2410c"
THEIRS = "#475569"
INK = "#1e293b"
FAINT = "#e2e8f0"


def axis(values: list[float]) -> tuple[float, float]:
    """The powers of ten between which all C{values}, which are positive, lie."""
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    return 10.0**low, 10.0 ** max(high, low + 1)


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(text)}</text>'


def _grid(low: float, high: float, top: float, bottom: float) -> Iterator[str]:
    """A line at each power of ten, with its value below."""
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        x = _place(10.0**power, low, high)
        yield f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" stroke="{FAINT}"/>'
        yield _text(x, bottom + 12, f"{10.0**power:g}", ' class="tick"')


def _place(value: float, low: float, high: float) -> float:
    share = math.log(value / low) / math.log(high / low)
    return LABELS + share * (WIDTH - LABELS - VALUES)


def _panel(
    run: Run, column: Column, values: dict[str, float], top: float
) -> Iterator[str]:
    low, high = axis(list(values.values()))
    yield _text(0, top + 14, " ".join(column.title), ' class="title"')
    begin = top + HEAD - ROW / 2
    yield from _grid(low, high, begin, begin + ROW * len(values))
    for at, (proxy, value) in enumerate(values.items()):
        y = top + HEAD + at * ROW
        x = _place(value, low, high)
        ours = proxy.startswith("txconnect")
        colour, weight = (OURS, ' font-weight="bold"') if ours else (THEIRS, "")
        yield _text(LABELS - 10, y + 4, proxy, f' text-anchor="end"{weight}')
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
        yield _text(x + 9, y + 4, f"{value:,.{column.places}f}", weight)


def chart(run: Run) -> str:
    """The SVG of a run; panels without a figure are left out."""
    body: list[str] = []
    top = 0.0
    for column in COLUMNS:
        if column.key not in COSTS:
            continue
        found = {name: figure(column, name, run.measured) for name in run.proxies}
        values = {name: value for name, value in found.items() if value and value > 0}
        if values:
            body.extend(_panel(run, column, values, top))
            top += HEAD + ROW * len(values) + GAP
    style = (
        f"text{{font:12px sans-serif;fill:{INK}}}"
        ".title{font-weight:bold;font-size:13px}"
        ".tick{font-size:10px;text-anchor:middle}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img"'
            f' viewBox="-10 -6 {WIDTH + 20} {top + 12:.0f}">',
            "<title>What the work costs, by proxy; less is better</title>",
            f"<style>{style}</style>",
            f'<rect x="-10" y="-6" width="{WIDTH + 20}" height="{top + 12:.0f}" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )
