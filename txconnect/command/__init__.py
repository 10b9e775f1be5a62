"""
C{twistd connectproxy}: the options, and the service made from them.

C{twistd} parses the options, makes the service, forks, and only then starts
it.  So every mistake is found while parsing and reported in one line, and
nothing is opened before the start.

Each name is imported when it is first used, so that what only shows a text does not
wait for the proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txconnect.naming import namesWhenUsed

if TYPE_CHECKING:
    from txconnect.command.making import makeService
    from txconnect.command.options import Options

__all__ = ["Options", "makeService"]

_HOMES = {"Options": ".options", "makeService": ".making"}

__getattr__ = namesWhenUsed(__name__, _HOMES, globals())
