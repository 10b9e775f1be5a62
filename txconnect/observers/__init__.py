"""
Stock observers: the outcome of requests and tunnels, as lines and as figures.

They receive events and change nothing.  They use the vocabulary
(L{txconnect.values}, L{txconnect.interfaces}) and nothing above it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txconnect.naming import namesWhenUsed

if TYPE_CHECKING:
    from txconnect.observers.accesslog import AccessLog, RequiredAccessLog
    from txconnect.observers.console import ConsoleLog
    from txconnect.observers.counters import Counters

__all__ = [
    "AccessLog",
    "ConsoleLog",
    "Counters",
    "RequiredAccessLog",
]

_HOMES = {
    "AccessLog": ".accesslog",
    "ConsoleLog": ".console",
    "Counters": ".counters",
    "RequiredAccessLog": ".accesslog",
}

__getattr__ = namesWhenUsed(__name__, _HOMES, globals())
