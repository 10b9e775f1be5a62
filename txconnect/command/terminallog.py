"""
The log of C{txconnect} on a terminal: without Twisted's own notices, but with
every warning and error in full.

Standard output is for the lines about tunnels; this goes to standard error, so
that either can be redirected.  A reader that stalls holds nothing up
(L{txconnect.observers.outputs}), and no kind of message floods it
(L{txconnect.command.logrates}).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
)
from zope.interface import implementer

from txconnect.command.logrates import LogRates
from txconnect.observers.console import dateText
from txconnect.observers.countedlines import CountedLines
from txconnect.observers.terminal import peopleNote, streamOutput

MOST = 1 << 16
"""The most characters of a message, as a plugin's exception may have any number."""


def logObserver() -> ILogObserver:
    """
    Return the log of C{txconnect}, on standard error: the warnings and errors of
    every namespace, tracebacks included, and the notices of all but Twisted.

    Called by C{twistd --logger}.
    """
    # twistd may have put the log itself in the place of sys.stderr.
    return makeLogObserver(sys.__stderr__ or sys.stderr)


def makeLogObserver(
    stream: TextIO, seconds: Callable[[], float] = time.monotonic
) -> ILogObserver:
    """
    Return the observer of L{logObserver} for another stream.

    @param seconds: a clock that never goes back.
    """
    levels = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
    # log_legacy is the namespace of twisted.python.log: a service's start, a
    # factory's, each port.
    for namespace in ("twisted", "log_legacy"):
        levels.setLogLevelForNamespace(namespace, LogLevel.warn)
    return FilteringLogObserver(_TerminalLog(stream, LogRates(seconds)), [levels])


@implementer(ILogObserver)
class _TerminalLog:
    """The observer that writes; called by any thread."""

    def __init__(self, stream: TextIO, rates: LogRates) -> None:
        # Without a word about its own losses but the count: it would go to itself.
        self._lines = CountedLines(peopleNote)
        self._lines.useOutput(streamOutput(stream))
        self._rates = rates
        # Reentrant: an object that is collected meanwhile may log in this thread.
        self._lock = threading.RLock()

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        with self._lock:
            left = self._rates.admit(event)
            if left is None:
                return
            text = _formatLine(event, left)
            if text is not None:
                self._lines.write(text.encode("utf-8", "backslashreplace"))


def _formatLine(event: LogEvent, left: int) -> str | None:
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if not text:
        return None
    if len(text) > MOST:
        text = text[:MOST] + "\n... (cut)"
    clock = dateText(event["log_time"])
    level = event.get("log_level")
    word = f"{level.name} " if level and level >= LogLevel.warn else ""
    more = f"(messages of this kind left out before: {left}) " if left else ""
    return f"{clock} {word}{more}{text}\n"
