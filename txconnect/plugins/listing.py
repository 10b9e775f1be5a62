"""
The lists of C{--help-policy} and C{--help-observer}.
"""

from __future__ import annotations

import textwrap
from typing import Any

from txconnect.plugins.kinds import Kind
from txconnect.plugins.loading import importFailures, installed

_INDENT = " " * 6


def listed(kind: Kind, width: int = 80) -> str:
    """
    The installed plugins of one kind, with how to write their arguments; then
    the plugin modules that could not be imported, if any.
    """
    found = installed(kind)
    lines = [
        f"Usage: {kind.option} NAME[:ARGUMENT]",
        f"       {kind.option} ./file.py:NAME[:ARGUMENT]",
        f"       {kind.option} package.module:NAME[:ARGUMENT]",
        "",
        f"Installed {kind.plural}:" if found else f"No {kind.plural} installed.",
    ]
    for factory in found:
        lines.append(f"  {_form(factory)}")
        lines += textwrap.wrap(
            factory.summary,
            width,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
        )
    for path, error in importFailures():
        lines.append(f"{path} could not be imported: {type(error).__name__}: {error}")
    return "\n".join(lines) + "\n"


def _form(factory: Any) -> str:
    if not factory.argumentHelp:
        return str(factory.name)
    return f"{factory.name}:{factory.argumentHelp}"
