"""
The lists of C{--help-policy} and C{--help-observer}.
"""

from __future__ import annotations

import textwrap

from txconnect.interfaces import IPluginFactory
from txconnect.plugins.kinds import Kind
from txconnect.plugins.loading import importFailures, installed

_INDENT = " " * 6


def listed(kind: Kind, width: int = 80) -> str:
    """
    Render the installed plugins of one kind, with the forms of their arguments;
    then the plugin modules that could not be imported, if any.

    @param width: of the summaries, in columns.
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
        lines.append(f"  {_shownForm(factory)}")
        lines += textwrap.wrap(
            factory.summary,
            width,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
        )
    # A plugin that is missed here may be in one of these.
    for path, error in importFailures():
        lines.append(f"{path} could not be imported: {type(error).__name__}: {error}")
    return "\n".join(lines) + "\n"


def _shownForm(factory: IPluginFactory) -> str:
    if not factory.argumentHelp:
        return str(factory.name)
    return f"{factory.name}:{factory.argumentHelp}"
