"""
C{accesslog}: a file with one line for each refusal and each tunnel's end.

Every line is written at once, by one C{write} to a file opened for append, so
nothing waits to be flushed, lines of several processes never mix, and a crash
loses none.  (A write to a file takes two microseconds; a buffer would save one
of the half dozen that a line costs.)  A log that cannot be written holds up no
tunnel: its lines are lost and counted, and the program's log reports it.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from collections.abc import Callable

from twisted.application.service import Service
from twisted.logger import Logger
from zope.interface import implementer

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IReopens, ITrafficObserver
from txconnect.observers.lines import LINE, closedLine, jsonLine, record, textLine
from txconnect.values import Event, TunnelClosed, TunnelEstablished, TunnelRefused

__all__ = ["AccessLog"]

_Ending = TunnelRefused | TunnelClosed


def _jsonEnding(event: _Ending, moment: float, share: int) -> str:
    if isinstance(event, TunnelClosed):
        return closedLine(event, moment, share)
    return jsonLine(record(event, moment, share))


def _textEnding(event: _Ending, moment: float, share: int) -> str:
    return textLine(record(event, moment, share))


_FORMATS = {"json": _jsonEnding, "text": _textEnding}
# O_NONBLOCK: a FIFO without a reader must fail here, not hold up the start.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
_STDOUT = "-"


@implementer(ITrafficObserver, IReopens)
class AccessLog(Service):
    """
    An observer that writes a line for each
    L{TunnelRefused<txconnect.values.TunnelRefused>} and each
    L{TunnelClosed<txconnect.values.TunnelClosed>}.

    It opens its file when the proxy starts, and closes it when the proxy has
    stopped.  A pipe, a socket or a terminal whose reader does not keep up
    loses lines rather than stop the proxy.

    @ivar lost: the number of lines that could not be written.
    """

    _log = Logger()

    def __init__(
        self,
        path: str,
        format: str = "json",
        *,
        now: Callable[[], float] = time.time,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        """
        @param path: the file, made absolute at once; C{"-"} is standard output.
        @param format: C{"json"} or C{"text"}; the fields are the same
            (L{txconnect.observers.lines.FIELDS}).
        @param now: seconds since the epoch.
        @raise ValueError: the format is neither, or no file can be there.
        """
        if format not in _FORMATS:
            raise ValueError(f"{format!r} is no format: write json or text")
        self.lost = 0
        self.path = path if path == _STDOUT else _checkedPath(path)
        self._line = _FORMATS[format]
        self._now = now
        self._write = write
        self._descriptor: int | None = None
        self._poll: select.poll | None = None
        self._torn = False
        self._outage = 0

    @classmethod
    def fromItems(cls, path: str, format: str = "json") -> AccessLog:
        """Make one from an operator's argument: C{PATH,format=json|text}."""
        return cls(path, format)

    def startService(self) -> None:
        """
        Open the file.

        @raise ConfigurationError: it cannot be opened.
        """
        try:
            self._openFile()
        except OSError as error:
            raise ConfigurationError(
                f"accesslog: {self.path}: {error.strerror or error}"
            ) from None
        Service.startService(self)

    def stopService(self) -> None:
        """Close the file."""
        Service.stopService(self)
        self._closeFile()

    def reopen(self) -> None:
        """
        Open the file again under its name, after it was renamed.

        @raise OSError: it cannot be opened; the old one stays in use.
        """
        old = self._descriptor
        if self.path == _STDOUT or old is None:
            return
        # In this order, so that a file that cannot be opened costs no line.
        self._openFile()
        os.close(old)

    def observe(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        if isinstance(event, TunnelEstablished):
            return
        moment = self._now()
        line = self._line(event, moment, 1)
        # Longer, and a pipe could take a part of it (see LINE).
        if len(line) > LINE:
            line = self._line(event, moment, 10)
        self._appendLine(line.encode("ascii"))

    def _openFile(self) -> None:
        if self.path == _STDOUT:
            descriptor = _standardOutput()
        else:
            descriptor = os.open(self.path, _FLAGS, 0o640)
        self._poll = None
        # Standard output does not get O_NONBLOCK, which other processes that
        # share it would have too: poll() tells whether it has room.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLOUT)
        self._torn = False
        self._descriptor = descriptor

    def _closeFile(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and self.path != _STDOUT:
            os.close(descriptor)

    def _appendLine(self, line: bytes) -> None:
        # Ends the line of which only a part was written.
        data = b"\n" + line if self._torn else line
        try:
            written = self._writeOctets(data)
        except OSError as error:
            self._loseLine(error.strerror or str(error))
            return
        if written:
            self._torn = data[written - 1] != 0x0A
        if written < len(data):
            self._loseLine("only a part of a line could be written")
        elif self._outage:
            self._logRecovery()

    def _writeOctets(self, data: bytes) -> int:
        if self._descriptor is None:
            raise OSError("it is not open")
        if self._poll is not None and not self._poll.poll(0):
            raise OSError("its reader does not keep up")
        return self._write(self._descriptor, data)

    def _loseLine(self, reason: str) -> None:
        self.lost += 1
        self._outage += 1
        # Once an outage: a message for each lost line would flood the program's log.
        if self._outage == 1:
            self._log.error(
                "the access log {path} cannot be written, and loses lines: {reason}",
                path=self.path,
                reason=reason,
            )

    def _logRecovery(self) -> None:
        self._log.warn(
            "the access log {path} is written again; lines lost: {lost}",
            path=self.path,
            lost=self._outage,
        )
        self._outage = 0


def _checkedPath(path: str) -> str:
    if not path:
        raise ValueError("no file is named: write a path, or - for standard output")
    absolute = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(absolute):
        raise ValueError(f"{absolute} is a directory: name a file in it")
    if not os.path.isdir(os.path.dirname(absolute)):
        raise ValueError(f"{os.path.dirname(absolute)} is no directory")
    return absolute


def _standardOutput() -> int:
    # twistd makes sys.stdout its own log; the real one is kept here.
    stream = sys.__stdout__
    if stream is None:
        raise OSError("there is no standard output")
    stream.flush()
    return stream.fileno()
