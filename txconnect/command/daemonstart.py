"""
The start of a daemon, as its caller sees it.

C{twistd} forks, and its parent waits for the child's word.  Where the child cannot
start, the parent prints the exception's C{repr} in 98 octets, and the log gets a
traceback: of a port in use an operator reads little.  So the process that was called
waits for this program's own word first, prints it as a program in the foreground does,
and ends with status 1.

The only place between the fork of C{twistd} and its waiting is Python's hook for forks.
It acts once, in the process that was called; every other process passes it by.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable

from txconnect.errors import ConfigurationError

Register = Callable[..., object]

_RUNS = b"\0"


def requireFile(option: str, path: str) -> None:
    """
    Verify that C{twistd} can write a file of its own; it would print a traceback.

    @param option: the option that names the file.
    @raise ConfigurationError: it is a directory, or its directory is not there or is
        closed to this user.
    """
    directory = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise ConfigurationError(
            f"{option} {path}: it is a directory: name a file in it"
        )
    if not os.path.isdir(directory):
        raise ConfigurationError(f"{option} {path}: {directory} is no directory")
    if not os.access(path if os.path.exists(path) else directory, os.W_OK):
        raise ConfigurationError(f"{option} {path}: this user may not write it")


class DaemonStart:
    """
    The way of a daemon's word to the process from which it was started.

    Made before C{twistd} forks.
    """

    def __init__(self, register: Register = os.register_at_fork) -> None:
        """
        @param register: as C{os.register_at_fork}.
        """
        self._caller = os.getpid()
        # Not inherited by other programs: these would keep it open, and so the
        # caller waiting.
        self._reading, self._writing = os.pipe()
        self._open = True
        register(after_in_parent=self._afterFork)

    def failed(self, line: str) -> None:
        """Have the caller print a line and end with status 1; called by the daemon."""
        self._end(line.encode("utf-8", "backslashreplace"))

    def over(self) -> None:
        """Let the caller go on: whatever comes now is for the log."""
        # A word, too: a process that a plugin has forked may keep the pipe open.
        self._end(_RUNS)

    def _end(self, word: bytes) -> None:
        if self._open:
            self._open = False
            # As much as a pipe takes at once, so that this never waits; and it is
            # read at once.
            os.write(self._writing, word[: select.PIPE_BUF])
            os.close(self._reading)
            os.close(self._writing)

    def _afterFork(self) -> None:
        if not self._open or os.getpid() != self._caller:
            return
        self._open = False
        os.close(self._writing)
        # Nothing, if the child has ended otherwise: twistd's parent will say so.
        word = os.read(self._reading, select.PIPE_BUF)
        os.close(self._reading)
        if word not in (b"", _RUNS):
            _endCaller(word.decode("utf-8", "replace"))


def _endCaller(line: str) -> None:
    # sys.stderr is the log's by now.
    stream = sys.__stderr__ or sys.stderr
    stream.write(line)
    stream.flush()
    os._exit(1)
