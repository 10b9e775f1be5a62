"""
How Sphinx builds these pages.  C{docs/build} builds them and the reference.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from txconnect import __version__  # noqa: E402
from txconnect.command.help import optionName  # noqa: E402
from txconnect.settings import Settings  # noqa: E402
from txconnect.wire.refusals import Cause  # noqa: E402

project = "txconnect"
copyright = "2026, the txconnect authors"
release = version = __version__
exclude_patterns = ["_build", "api"]
html_theme = "furo"
html_title = f"txconnect {__version__}"
html_copy_source = False
nitpicky = True
highlight_language = "default"  # Python where it is, and plain text where not


class Generated(SphinxDirective):
    """A table made of what the program itself goes by."""

    columns: tuple[str, ...]
    widths: str

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The cells of each row, in reStructuredText."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        lines = [
            ".. list-table::",
            "   :header-rows: 1",
            f"   :widths: {self.widths}",
            "",
        ]
        for cells in (self.columns, *self.rows()):
            for at, cell in enumerate(cells):
                lines.append(f"   {'  -' if at else '* -'} {cell}")
        table = nodes.container()
        self.state.nested_parse(StringList(lines, self.name), 0, table)
        return table.children


class Refusals(Generated):
    """
    C{.. refusals::} is the refusals table: what you see, its name in the log,
    why, and what to do.
    """

    columns = ("Status", "In the log", "What happened", "What to do")
    widths = "8 22 35 35"

    def rows(self) -> Iterator[tuple[str, ...]]:
        for cause in Cause:
            if cause.error is not None:
                what = f"{cause.summary}. (``{cause.error}``)"
                advice = cause.advice.replace("*", r"\*")
                yield str(cause.status), f"``{cause.label}``", what, advice


class SettingsTable(Generated):
    """
    C{.. settings::} is every setting: its option, its name in Python, its
    default, what it does.
    """

    columns = ("Option", "In Python", "Default", "What")
    widths = "25 22 13 40"

    def rows(self) -> Iterator[tuple[str, ...]]:
        for field in attrs.fields(Settings):
            default = f"{field.default:g}" if field.type == "float" else field.default
            option = f"``--{optionName(field.name)}``"
            shown = f"``{default}``" if default != "" else "unset"
            yield option, f"``{field.name}``", shown, field.metadata["help"]


def setup(app: Sphinx) -> None:
    app.add_directive("refusals", Refusals)
    app.add_directive("settings", SettingsTable)
