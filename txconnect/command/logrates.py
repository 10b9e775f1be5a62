"""
A limit in rate for each kind of message of the program's log.

The octets of a client are told in the event of its request, which observers get.  But
a client may also find the request at which a plugin fails, and send it again and again:
each failure is a traceback in the program's log.  So each kind of message, its
namespace and its format, may come L{BURST} times at once and once each L{INTERVAL}
seconds; the number of those left out is told with the next one.

The messages that an operator asks for are not limited: the list of tunnels has as many
lines as there are tunnels.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.logger import LogEvent

__all__ = ["LogRates"]

BURST = 50
"""The most messages of one kind at once."""

INTERVAL = 1.0
"""Seconds after which a kind of message may come once more."""

_UNLIMITED = ("txconnect.operating", "txconnect.command", "txconnect.observers")
_KINDS = 256
"""The most kinds that are told apart; a plugin may log any number of formats."""


@attrs.define
class _Kind:
    """
    One kind of message.

    @ivar due: the time at which the burst is whole again.
    @ivar left: messages left out since the last one that came.
    """

    due: float = 0.0
    left: int = 0


class LogRates:
    """The rates of all kinds of messages; called by one thread at a time."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: a clock that never goes back.
        """
        self._seconds = seconds
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def admit(self, event: LogEvent) -> int | None:
        """
        Tell whether a message may come now.

        @return: the number of those of its kind left out before it; L{None}: it is
            left out itself.
        """
        namespace = str(event.get("log_namespace"))
        if namespace.startswith(_UNLIMITED):
            return 0
        kind = self._kindOf(namespace, str(event.get("log_format")))
        now = self._seconds()
        due = max(kind.due, now) + INTERVAL
        if due > now + BURST * INTERVAL:
            kind.left += 1
            return None
        kind.due = due
        left, kind.left = kind.left, 0
        return left

    def _kindOf(self, namespace: str, form: str) -> _Kind:
        key = (namespace, form)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= _KINDS:
                # All further ones together.
                key = ("", "")
            kind = self._kinds.setdefault(key, _Kind())
        return kind
