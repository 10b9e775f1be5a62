"""
The lists of C{--help-policy} and the like: what is installed, and how to write it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import findCheckerFactories

from txconnect.plugins.catalogue import importFailures, installed, kindsOf
from txconnect.plugins.kinds import PLUGIN, Kind
from txconnect.plugins.places import describeException

__all__ = ["listed", "listedCheckers"]

_INDENT = " " * 6
_ESCAPES = r"An argument is items between commas, key=value last; \, is a comma in one."


def listed(kind: Kind, width: int = 80) -> str:
    """
    Render the installed plugins of one kind, with the forms of their arguments;
    then the plugin modules that could not be imported, if any.

    @param width: of the summaries, in columns.
    """
    found = installed(kind)
    lines = _usageLines(kind.option, _ESCAPES)
    if kind is PLUGIN:
        roles = ", ".join(face.__name__ for face in kind.provides)
        lines += _wrapped(f"One object serves in each of its roles: {roles}.", width)
        lines.append("")
    lines.append(
        f"Installed {kind.plural}:" if found else f"No {kind.plural} installed."
    )
    for factory in found:
        lines.append(f"  {_shownForm(factory)}")
        nouns = "/".join(each.noun for each in kindsOf(factory))
        summary = f"({nouns}) " if kind is PLUGIN and nouns else ""
        lines += _wrapped(summary + factory.summary, width, _INDENT)
    return _withFailures(lines)


def listedCheckers(width: int = 80) -> str:
    """
    Render the installed checkers of C{twisted.cred}, as L{listed} does plugins.

    @param width: of the summaries, in columns.
    """
    lines = _usageLines(
        "--auth", "For details of one that is installed: --help-auth-type NAME"
    )
    lines.append("Installed checkers:")
    for factory in sorted(findCheckerFactories(), key=lambda each: str(each.authType)):
        lines.append(f"  {factory.authType}:ARGUMENT")
        note = ""
        if IUsernamePassword not in factory.credentialInterfaces:
            kinds = ", ".join(each.__name__ for each in factory.credentialInterfaces)
            note = f"(for a scheme that reads {kinds}) "
        text = " ".join(str(factory.argStringFormat).split())
        lines += _wrapped(note + text, width, _INDENT)
    return _withFailures(lines)


def _usageLines(option: str, note: str) -> list[str]:
    return [
        f"Usage: {option} NAME[:ARGUMENT]",
        f"       {option} ./file.py:NAME[:ARGUMENT]",
        f"       {option} package.module:NAME[:ARGUMENT]",
        note,
        "",
    ]


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)


def _withFailures(lines: Iterable[str]) -> str:
    # A plugin that is missed here may be in one of these.
    failed = [
        f"{path} could not be imported: {describeException(error)}"
        for path, error in importFailures()
    ]
    return "\n".join([*lines, *failed]) + "\n"


def _shownForm(factory: Any) -> str:
    if not factory.argumentHelp:
        return str(factory.name)
    return f"{factory.name}:{factory.argumentHelp}"
