"""
What a parent and its worker say to each other: lines of JSON over two pipes.

Each message is an object with a C{kind}.  A kind that is not known is ignored,
so that one side may learn a new one first; when a known one changes its
meaning, L{VERSION} changes with it.

From the parent: C{stop}; C{reopen}, to open the log files again; C{list}, to list
the open tunnels in the log.  The first two lines are not messages: what the
worker's interpreter needs before it can import this module, and its
L{Orders<txconnect.workers.orders.Orders>}.

From the worker: C{ready}, once it accepts; C{failed} with C{reason}, when it
cannot start and ends; C{log} with C{namespace}, C{level}, C{text}, the C{event}
that the text is a part of, and C{more}, whether another part follows.
"""

from __future__ import annotations

import json
from typing import Any

VERSION = 1

FROM_PARENT = 3
"""The worker's descriptor to read from."""

FROM_WORKER = 4
"""The worker's descriptor to write to."""

FIRST_SOCKET = 5
"""The worker's first listening socket; all others follow."""

STOP_TIMEOUT = 10.0
"""Seconds that a worker has to end by itself."""

ATOM = 4096
"""
The most octets of a message from a worker: Linux writes so many to a pipe at
once or not at all (C{PIPE_BUF}), so that a message is never there in part, nor
mixed with another thread's.
"""


class BadMessage(Exception):
    """The other side sent what is no message."""


def encode(kind: str, **fields: Any) -> bytes:
    """One message as it is sent."""
    return json.dumps({"kind": kind, **fields}).encode("ascii") + b"\n"


class Messages:
    """
    Cuts what comes out of a pipe into messages, in bounded memory.
    """

    def __init__(self, limit: int = ATOM) -> None:
        """
        @param limit: the most octets of a message, its line feed included.
        """
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """
        The messages that C{data} completes.

        @raise BadMessage: for what is none; nothing may be fed behind it.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if any(len(line) >= self._limit for line in (*lines, self._rest)):
            raise BadMessage("a message is too long")
        return [_decode(line) for line in lines]


def _decode(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        raise BadMessage("a message is not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise BadMessage("a message has no kind")
    return message
