"""
How Sphinx builds these pages.  C{docs/build} builds them and the reference.
"""

from __future__ import annotations

import sys
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from txconnect import __version__  # noqa: E402
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


class Refusals(SphinxDirective):
    """
    C{.. refusals::} is the refusals table of the program itself: what you see,
    its name in the log, why, and what to do.
    """

    def run(self) -> list[nodes.Node]:
        lines = [
            ".. list-table::",
            "   :header-rows: 1",
            "   :widths: 8 22 35 35",
            "",
            "   * - Status",
            "     - In the log",
            "     - What happened",
            "     - What to do",
        ]
        for cause in Cause:
            if cause.error is not None:
                lines += [
                    f"   * - {cause.status}",
                    f"     - ``{cause.label}``",
                    f"     - {cause.summary}. (``{cause.error}``)",
                    f"     - {cause.advice}".replace("*", r"\*"),
                ]
        table = nodes.container()
        self.state.nested_parse(StringList(lines, "refusals"), 0, table)
        return table.children


def setup(app: Sphinx) -> None:
    app.add_directive("refusals", Refusals)
