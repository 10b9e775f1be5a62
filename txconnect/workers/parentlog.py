"""
The log of a worker: every event is sent to the parent, which writes the log.

When the parent does not keep up, lines are lost and counted; no thread waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from twisted.logger import ILogObserver, LogEvent, eventAsText
from zope.interface import implementer

from txconnect.workers.config import LONGEST_LINE


@implementer(ILogObserver)
class ParentLog:
    """
    An observer that sends the events of the log; called by any thread.
    """

    def __init__(
        self, send: Callable[..., object], hasRoom: Callable[[], bool]
    ) -> None:
        """
        @param send: L{MessageChannel.send<txconnect.workers.channel.MessageChannel.send>}.
        @param hasRoom: tells whether the parent keeps up.
        """
        self._send = send
        self._hasRoom = hasRoom
        # Reentrant: an object that is collected meanwhile may log in this thread.
        self._lock = threading.RLock()
        self._lost = 0

    def __call__(self, event: LogEvent) -> None:
        """Send one event, or count it as lost."""
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        if not text:
            return
        with self._lock:
            if not self._hasRoom():
                self._lost += 1
                return
            lost, self._lost = self._lost, 0
        # Outside the lock: other threads need not wait for this one's sending.
        if lost:
            text = f"({lost} lines of this log are lost) {text}"
        self._send(
            "log",
            # Cut, as an event of any size must fit into one frame.
            namespace=str(event.get("log_namespace") or "txconnect")[:200],
            level=getattr(event.get("log_level"), "name", "info"),
            text=text[:LONGEST_LINE],
        )
