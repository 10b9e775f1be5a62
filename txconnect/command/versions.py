"""
The text of C{--version}.

Imports nothing but names, so that it is there at once.
"""

from __future__ import annotations

from twisted.copyright import version as twistedVersion

from txconnect.naming import VERSION

__all__ = ["versionsText"]


def versionsText() -> str:
    """Return the version of this program and of Twisted, each on a line."""
    return f"txconnect {VERSION}\nTwisted {twistedVersion}\n"
