"""
Files of an operator's that are read again when they change: users, lists.

A reader asks for the content (L{RereadFile.content}), and only then is the file
looked at: there is no timer and no thread.  The rules are the same for
every such file:

  - A new version that is good replaces the old one whole.  An empty file is a
    version as good as any, if its reader says so.
  - A version that is bad (half-written, say), and a file that is gone or cannot
    be read, change nothing: what was read before stays in force.  The log has an
    error with the file, the line and the reason at once, and again each minute
    in which the content is asked for, until the file is good; then a line says
    that it is.
  - What is no regular file, such as the pipe of a shell's C{<(...)}, is read once.
  - A list whose half could be taken for the whole I{settles} first: a new version is
    read when the file has rested for a while, and dropped if it changed while it
    was read.  A file that does not come to rest is an error in the log as well.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.logger import Logger

from txconnect.errors import ConfigurationError

__all__ = ["LIMIT", "RereadFile", "readFile"]

LIMIT = 16 * 1024 * 1024
"""Octets that such a file may have."""

REPEAT = 60.0
"""Seconds after which an error that lasts is logged again."""

RESTLESS = 5.0
"""Seconds after which a file that does not come to rest is an error."""

_log = Logger()

_Content = TypeVar("_Content")
# The parts of a stat that change with the content.  None: not to be relied on.
_Signature = tuple[int, ...] | None


def readFile(path: str, noun: str) -> bytes:
    """
    Read a whole file, once.

    @param noun: the file's name in messages, such as C{"the password file"}.
    @raise ConfigurationError: when it cannot be read or is too long.
    """
    return _readWhole(path, noun)[0]


class RereadFile(Generic[_Content]):
    """
    The content of a file that is read again when it changes.

    @param path: the file; a relative path is made absolute at once, because a
        daemon changes its directory.
    @param parse: called with the path and the octets; returns the content, or
        raises L{ConfigurationError} with the file and the line.
    @param noun: the file's name in messages, such as C{"the password file"}.
    @param every: seconds for which the file is not looked at again; 0: it is
        looked at whenever the content is asked for.
    @param settle: seconds for which a new version must have rested before it is
        read; 0: it is read at once.
    @param seconds: a clock that never goes back.
    @param wall: the clock that the times of files are from.
    @raise ConfigurationError: when the first version is bad.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        parse: Callable[[str, bytes], _Content],
        noun: str = "the file",
        *,
        every: float = 0.0,
        settle: float = 0.0,
        seconds: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._parse = parse
        self._noun = noun
        self._every = every
        self._settle = settle
        self._seconds = seconds
        self._wall = wall
        # The version that has not settled, and when it and the first such was seen.
        self._fresh: _Signature = None
        self._freshAt = 0.0
        self._restlessFrom: float | None = None
        self._error = ""
        self._loggedAt = self._lookedAt = seconds()
        data, self._seen = _readWhole(self.path, noun)
        self._once = self._seen is None
        self._content = parse(self.path, data)

    def content(self) -> _Content:
        """Return the content of the last good version."""
        if not self._once and self._isDue():
            self._lookAgain()
        return self._content

    def _isDue(self) -> bool:
        if not self._every:
            return True
        now = self._seconds()
        due = now - self._lookedAt >= self._every
        if due:
            self._lookedAt = now
        return due

    def _lookAgain(self) -> None:
        signature = _signatureOf(self.path)
        if signature is None or signature != self._seen:
            if self._isSettled(signature):
                self._readAgain()
        elif self._error:
            self._logError(self._error)

    def _isSettled(self, signature: _Signature) -> bool:
        now = self._seconds()
        # By its own time, so that a change of long ago counts at once; and by this
        # process's, as a file server's clock may be another.
        if signature is None or self._wall() - signature[1] / 1e9 >= self._settle:
            settled = True
        else:
            settled = signature == self._fresh and now - self._freshAt >= self._settle
        if signature != self._fresh:
            self._fresh, self._freshAt = signature, now
        self._noteRestless(settled, now)
        return settled

    def _noteRestless(self, settled: bool, now: float) -> None:
        if settled:
            self._restlessFrom = None
        elif self._restlessFrom is None:
            self._restlessFrom = now
        elif now - self._restlessFrom >= RESTLESS:
            self._logError(f"{self.path}: {self._noun} is being written all the time")

    def _readAgain(self) -> None:
        try:
            # Its own: the file may have changed since it was looked at.
            self._seen = None
            data, seen = _readWhole(self.path, self._noun, regular=True)
            if self._settle and _signatureOf(self.path) != seen:
                # Half of it may be of the next version, which is looked at next.
                return
            self._seen = seen
            self._content = self._parse(self.path, data)
        except ConfigurationError as error:
            self._logError(str(error))
        else:
            restored = " and is good again" if self._error else ""
            self._error = ""
            _log.info(
                "{path} has been read again{restored}",
                path=self.path,
                restored=restored,
            )

    def _logError(self, error: str) -> None:
        now = self._seconds()
        if error != self._error or now - self._loggedAt >= REPEAT:
            self._error = error
            self._loggedAt = now
            _log.error("{error}; the version before it stays in force", error=error)


def _readWhole(path: str, noun: str, regular: bool = False) -> tuple[bytes, _Signature]:
    try:
        with open(path, "rb", opener=_openAtOnce if regular else None) as file:
            found = os.fstat(file.fileno())
            if regular and not stat.S_ISREG(found.st_mode):
                raise ConfigurationError(f"{path}: {noun} is not a regular file")
            # One that is too long is not read each time that it is looked at.
            long = found.st_size > LIMIT
            data = b"" if long else file.read(LIMIT + 1)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: {noun} cannot be read: {error.strerror}"
        ) from None
    if long or len(data) > LIMIT:
        raise ConfigurationError(f"{path}: {noun} has more than {LIMIT} octets")
    return data, _signature(found)


def _openAtOnce(path: str, flags: int) -> int:
    # A pipe without a writer must not hold the process.
    return os.open(path, flags | os.O_NONBLOCK)


def _signatureOf(path: str) -> _Signature:
    try:
        return _signature(os.stat(path))
    except OSError:
        return None


def _signature(found: os.stat_result) -> _Signature:
    if not stat.S_ISREG(found.st_mode):
        return None
    return (
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_size,
        found.st_ino,
        found.st_dev,
    )
