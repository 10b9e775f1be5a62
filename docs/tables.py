"""
Write the tables that follow from the program into the pages.

C{python docs/tables.py} writes them; a test holds that they are up to date.  A table
stands between two comments of its page, C{.. table: NAME} and C{.. end of NAME}, so that
the page can be read as plain text, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from txconnect.command.help import optionName
from txconnect.settings import Settings
from txconnect.wire.refusals import Cause

DOCS = Path(__file__).parent
Rows = Iterator[tuple[str, ...]]


def refusals() -> Rows:
    """The refusals table: the status, the name in the log, why, and what to do."""
    yield "Status", "In the log", "What happened", "What to do"
    for cause in Cause:
        if cause.error is not None:
            happened = f"{cause.summary}. (``{cause.error}``)"
            advice = cause.advice.replace("*", r"\*")
            yield str(cause.status), f"``{cause.label}``", happened, advice


def settings() -> Rows:
    """Every setting: its option, its name in Python, its default, what it does."""
    yield "Option", "In Python", "Default", "What it sets"
    for field in attrs.fields(Settings):
        default = f"{field.default:g}" if field.type == "float" else field.default
        option = f"``--{optionName(field.name)}``"
        shown = f"``{default}``" if default != "" else "unset"
        yield option, f"``{field.name}``", shown, field.metadata["help"]


TABLES: dict[str, tuple[str, str, Callable[[], Rows]]] = {
    "refusals": ("refusals.rst", "8 22 35 35", refusals),
    "settings": ("howto/running.rst", "25 22 13 40", settings),
}
"""Of each table its page, the widths of its columns, and its rows."""


def tableText(name: str) -> str:
    """Return a table as its page has it."""
    _, widths, rows = TABLES[name]
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for cells in rows():
        for at, cell in enumerate(cells):
            lines.append(f"   {'  -' if at else '* -'} {cell}")
    return "\n".join(lines)


def pageWith(name: str, page: str) -> str:
    """
    Return a page with its table as it is now.

    @raise ValueError: the page has no place for it.
    """
    place = re.compile(
        rf"(?<=^\.\. table: {name}$\n\n).*?(?=\n\n^\.\. end of {name}$)", re.M | re.S
    )
    replaced, count = place.subn(lambda _: tableText(name), page)
    if count != 1:
        raise ValueError(f"the page has {count} places for the table {name}")
    return replaced


def main() -> None:
    """Write every table into its page."""
    for name, (page, _, _) in TABLES.items():
        path = DOCS / page
        path.write_text(pageWith(name, path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
