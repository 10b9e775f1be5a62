"""
The output of lines for people: standard output, or the log of a daemon.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

from twisted.logger import Logger

from txconnect.observers.countedlines import CountedLines
from txconnect.observers.outputs import Output, StreamOutput, outputOf

__all__ = ["Terminal", "lineWriter", "logLine", "peopleNote", "streamOutput"]

# A daemon's log shows it with each line: the program's name, no module's.
_log = Logger(namespace="txconnect")


def lineWriter(foreground: bool) -> Callable[[str], object]:
    """
    Return the function that writes one line for people: of a L{Terminal}, or
    L{logLine}.

    @param foreground: true when the operator sees standard output.
    """
    return Terminal().write if foreground else logLine


def logLine(line: str) -> None:
    """Write a line to the program's log, which adds the date."""
    _log.info("{line}", line=line.strip())


class Terminal:
    """
    Standard output, written in whole lines.

    C{twistd -n} makes C{sys.stdout} a log; this is the real one.  A reader
    that goes away (C{txconnect | head}) ends the lines, not the proxy, and one
    that does not keep up loses lines rather than stop it
    (L{txconnect.observers.outputs}).
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        stream = sys.__stdout__ if stream is None else stream
        self._lines = CountedLines(peopleNote, _linesStopped)
        if stream is not None:
            self._lines.useOutput(streamOutput(stream))

    def write(self, text: str) -> None:
        """Write one line, with or without its end."""
        line = text.rstrip("\n") + "\n"
        self._lines.write(line.encode("utf-8", "backslashreplace"))


def streamOutput(stream: TextIO) -> Output:
    """Return the output of lines that fits a stream."""
    try:
        stream.flush()
        return outputOf(stream.fileno())
    except (OSError, ValueError):  # closed, or nothing that has a descriptor
        return StreamOutput(stream)


def peopleNote(lost: int) -> bytes:
    """Make the line that tells people of lost ones."""
    return b"(lines lost, nobody read them: %d)\n" % lost


def _linesStopped(reason: str) -> None:
    _log.warn("standard output loses lines: {reason}", reason=reason)
