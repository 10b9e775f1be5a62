"""
Hints for an option that was given a plugin's argument without the plugin's name:
C{--policy a.example}, C{--observer access.log}, C{--auth users}.

A text with a dot or a slash before its first colon is a place, so these are read as
modules and files, and the message of one that is missing helps nobody who meant a list.
"""

from __future__ import annotations

import os
import re

from txconnect.plugins.kinds import CHECKER, OBSERVER, POLICY, Kind

__all__ = ["bareHint"]

_LISTS = (
    ("ports", re.compile(r"[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*")),
    ("networks", re.compile(r"[0-9A-Fa-f.:]+/[0-9]+(?:,.*)?")),
    ("hosts", re.compile(r"@.+|(?:\*?\.)?[\w-]+(?:\.[\w-]+)+(?::[0-9]+)?(?:,.*)?")),
)
"""The lists, each with the form of its items; the first that fits is meant."""


def bareHint(kind: Kind, text: str) -> str:
    """Return "did you mean NAME:TEXT?" for an argument without a name, or nothing."""
    meant = _meantText(kind, text)
    return f"did you mean {kind.option} {meant}?" if meant else ""


def _meantText(kind: Kind, text: str) -> str:
    if text.partition(":")[0].endswith(".py"):
        return ""
    if kind is POLICY:
        fits = (name for name, form in _LISTS if form.fullmatch(text))
        return next((f"{name}:{text}" for name in fits), "")
    if kind is OBSERVER and ":" not in text and ("/" in text or ".log" in text):
        return f"accesslog:{text}"
    # A text that names no file may be a password.
    if kind is CHECKER and os.path.isfile(text):
        return f"htpasswd:{text}"
    return ""
