"""
Listening: the endpoints at which clients reach a proxy, and the service that
opens them.

An open proxy serves attackers, so a listener that others can reach and that
nothing guards stops start-up.  Only the port itself knows where it listens
(C{systemd:} and nested endpoints tell nothing earlier): it is judged before the
first connection is passed on.
"""

from txconnect.listening.ending import CannotStart, Exit
from txconnect.listening.service import ListeningService, raiseDescriptorLimit
from txconnect.listening.strings import (
    BACKLOG,
    DEFAULT_LISTEN,
    Listener,
    isLocal,
    parseListener,
    shownAddress,
)

__all__ = [
    "BACKLOG",
    "DEFAULT_LISTEN",
    "CannotStart",
    "Exit",
    "Listener",
    "ListeningService",
    "isLocal",
    "parseListener",
    "raiseDescriptorLimit",
    "shownAddress",
]
