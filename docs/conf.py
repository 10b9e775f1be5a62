"""
How Sphinx builds these pages.  C{docs/build} builds them and the reference.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from txconnect import __version__  # noqa: E402

project = "txconnect"
copyright = "2026, the txconnect authors"
release = version = __version__
exclude_patterns = ["_build", "api"]
html_theme = "furo"
html_title = f"txconnect {__version__}"
html_copy_source = False
nitpicky = True
highlight_language = "default"  # Python where it is, and plain text where not
