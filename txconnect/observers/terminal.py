"""
The output of lines for people: standard output, or the log of a daemon.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Callable
from typing import TextIO

from twisted.logger import Logger

__all__ = ["Terminal", "lineWriter"]

_log = Logger()


def lineWriter(foreground: bool) -> Callable[[str], object]:
    """
    Return the function that writes one line for people.

    @param foreground: true when the operator sees standard output.
    """
    return Terminal().write if foreground else _logLine


def _logLine(line: str) -> None:
    _log.info("{line}", line=line.strip())


class Terminal:
    """
    Standard output, written in whole lines.

    C{twistd -n} makes C{sys.stdout} a log; this is the real one.  A reader
    that goes away (C{txconnect | head}) ends the lines, not the proxy, and one
    that does not keep up loses lines rather than stop it.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.__stdout__ if stream is None else stream
        self._poll = _pollOf(self._stream)
        self._lost = 0

    def write(self, text: str) -> None:
        """Write one line, with or without its end."""
        if self._stream is None:
            return
        # A write to a full pipe would block the reactor.
        if self._poll is not None and not self._poll.poll(0):
            self._lost += 1
            return
        lost, self._lost = self._lost, 0
        note = f"(lines lost, nobody read them: {lost})\n" if lost else ""
        try:
            self._stream.write(note + text.rstrip("\n") + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            # Not tried again: every further line would fail, and be logged.
            self._stream = None
            _log.warn(
                "Standard output is gone, its lines end here: {error}", error=error
            )


def _pollOf(stream: TextIO | None) -> select.poll | None:
    """Return a poll for a pipe's or a terminal's room; L{None} for a file."""
    try:
        if stream is None or stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return None
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
    except (OSError, ValueError):  # closed, or nothing that has a descriptor
        return None
    return poll
