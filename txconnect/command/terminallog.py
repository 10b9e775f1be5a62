"""
The log of C{txconnect} on a terminal: without Twisted's own notices, but with
every warning and error in full.

Standard output is for the lines about tunnels; this goes to standard error, so
that either can be redirected.
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
    Return the log of C{txconnect}, on standard error: the warnings and errors of
    every namespace, tracebacks included, and the notices of all but Twisted.

    Called by C{twistd --logger}.
    """
    # twistd may have put the log itself in the place of sys.stderr.
    return makeLogObserver(sys.__stderr__ or sys.stderr)


def makeLogObserver(stream: TextIO) -> ILogObserver:
    """Return the observer of L{logObserver} for another stream."""
    levels = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
    # log_legacy is the namespace of twisted.python.log: a service's start, a
    # factory's, each port.
    for namespace in ("twisted", "log_legacy"):
        levels.setLogLevelForNamespace(namespace, LogLevel.warn)
    return FilteringLogObserver(FileLogObserver(stream, _formatLine), [levels])


def _formatLine(event: LogEvent) -> str | None:
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if not text:
        return None
    clock = time.strftime("%H:%M:%S", time.localtime(event["log_time"]))
    level = event.get("log_level")
    word = f"{level.name} " if level and level >= LogLevel.warn else ""
    return f"{clock} {word}{text}\n"
