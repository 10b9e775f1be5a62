"""
The log of C{txconnect} on a terminal: without Twisted's own boilerplate, but
with every warning and error in full.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
)

LOG_OBSERVER = "txconnect.command.terminallog.logObserver"
"""The argument of C{twistd --logger} in C{txconnect}."""


def logObserver() -> ILogObserver:
    """
    The log of C{txconnect}, on standard error: warnings and errors of
    everything, tracebacks included, and the notices of all but Twisted.

    Called by C{twistd --logger}.
    """
    return makeLogObserver(sys.__stderr__ or sys.stderr)


def makeLogObserver(stream: TextIO) -> ILogObserver:
    """L{logObserver} on another stream."""
    levels = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
    for namespace in ("twisted", "log_legacy"):
        levels.setLogLevelForNamespace(namespace, LogLevel.warn)
    return FilteringLogObserver(FileLogObserver(stream, _asLine), [levels])


def _asLine(event: LogEvent) -> str | None:
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if not text:
        return None
    clock = time.strftime("%H:%M:%S", time.localtime(event["log_time"]))
    level = event.get("log_level")
    word = f"{level.name} " if level and level >= LogLevel.warn else ""
    return f"{clock} {word}{text}\n"
