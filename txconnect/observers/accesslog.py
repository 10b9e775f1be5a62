"""
C{accesslog}: a file with one line for each event of the kinds that are asked for.

A regular file is written at once, anything else through a queue
(L{txconnect.observers.outputs}).  A log that cannot be written holds up no tunnel:
its lines are lost and counted, the count is the next line, and the program's log tells
of the beginning and the end of it.

With C{required=yes} the log judges, too: while it cannot be written, it refuses every
request.  This is a policy and not a check in the exchange, because a policy is where
"only an allow allows" is held already, and because then nothing else has to know of a
log that is required.  A request that was allowed keeps its tunnel, though the line of
its end may be lost.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import TextIO

from twisted.application.service import Service
from twisted.logger import Logger
from zope.interface import implementer

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IDestinationPolicy, IReopens, ITrafficObserver
from txconnect.observers.countedlines import CountedLines
from txconnect.observers.lines import (
    LINE,
    Record,
    closedLine,
    jsonLine,
    lostRecord,
    record,
    textLine,
)
from txconnect.observers.outputs import FileOutput, Output, outputOf
from txconnect.values import (
    Allow,
    Cause,
    Decision,
    Deny,
    Event,
    Request,
    TunnelClosed,
    TunnelEnded,
    TunnelEstablished,
    TunnelRefused,
)

__all__ = ["AccessLog", "RequiredAccessLog"]

_Line = Callable[[Event, float, int], str]

_FORMATS: dict[str, Callable[[Record], str]] = {"json": jsonLine, "text": textLine}
_EVENTS: dict[str, type] = {
    "open": TunnelEstablished,
    "close": TunnelClosed,
    "refuse": TunnelRefused,
}
_YES = {"yes": True, "no": False}
# O_NONBLOCK: a FIFO without a reader must fail here, not hold up the start.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
_STREAMS = {"-": "stdout", "/dev/stdout": "stdout", "/dev/stderr": "stderr"}
"""The paths that stand for the program's own streams, wherever those lead."""


@implementer(ITrafficObserver, IReopens)
class AccessLog(Service):
    """
    An observer that writes a line for each event of some kinds; by default for each
    L{TunnelRefused<txconnect.values.TunnelRefused>} and each
    L{TunnelClosed<txconnect.values.TunnelClosed>}.

    It opens its file when the proxy starts, and closes it when the proxy has
    stopped.
    """

    _log = Logger()

    def __init__(
        self,
        path: str,
        format: str = "json",
        events: str = "refuse+close",
        *,
        now: Callable[[], float] = time.time,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        """
        @param path: the file, made absolute at once; C{"-"} is standard output.
        @param format: C{"json"} or C{"text"}; the fields are the same
            (L{txconnect.observers.lines.FIELDS}).
        @param events: some of C{open}, C{close} and C{refuse}, with C{+} between
            them.
        @param now: seconds since the epoch.
        @raise ValueError: a word is none of those, or no file can be there.
        """
        _checkWord("format", format, _FORMATS)
        self.path = path if path in _STREAMS else _checkedPath(path)
        self._text = _FORMATS[format]
        self._renderings = _renderings(format, events)
        self._now = now
        self._write = write
        self._lines = CountedLines(self._lostNote, self._logOutage, self._logRecovery)
        self._output: Output | None = None

    @classmethod
    def fromItems(
        cls,
        path: str,
        format: str = "json",
        events: str = "refuse+close",
        required: str = "no",
    ) -> AccessLog:
        """
        Make one from an operator's argument:
        C{PATH,format=json|text,events=open+close+refuse,required=yes|no}.
        """
        _checkWord("required", required, _YES)
        kind = RequiredAccessLog if _YES[required] else cls
        return kind(path, format, events)

    @property
    def lost(self) -> int:
        """The number of lines that could not be written."""
        return self._lines.lost

    def startService(self) -> None:
        """
        Open the file.

        @raise ConfigurationError: it cannot be opened.
        """
        try:
            self._useOutput(self._openOutput())
        except OSError as error:
            raise ConfigurationError(
                f"accesslog: {self.path}: {_openErrorText(error)}"
            ) from None
        Service.startService(self)

    def stopService(self) -> None:
        """Write the count of lost lines, if there are any, and close the file."""
        Service.stopService(self)
        self._lines.works()
        self._useOutput(None)

    def reopen(self) -> None:
        """
        Open the file again under its name, after it was renamed.

        @raise OSError: it cannot be opened; the old one stays in use.
        """
        if self.path not in _STREAMS and self._output is not None:
            # In this order, so that a file that cannot be opened costs no line.
            self._useOutput(self._openOutput())

    def observe(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        render = self._renderings.get(type(event))
        if render is None:
            return
        if isinstance(event, TunnelRefused) and event.quiet:
            return
        moment = self._now()
        line = render(event, moment, 1)
        # Longer, and a pipe could take a part of it (see LINE).
        if len(line) > LINE:
            line = render(event, moment, 10)
        self._lines.write(line.encode("ascii"))

    def _openOutput(self) -> Output:
        name = _STREAMS.get(self.path)
        if name is not None:
            return outputOf(_ownStream(name).fileno(), write=self._write)
        descriptor = os.open(self.path, _FLAGS, 0o640)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            # This description is shared with nobody, and a thread may wait.
            os.set_blocking(descriptor, True)
        return outputOf(descriptor, owned=True, write=self._write)

    def _useOutput(self, output: Output | None) -> None:
        self._output = output
        before = self._lines.useOutput(output)
        if before is not None:
            before.close()

    def _lostNote(self, lost: int) -> bytes:
        return self._text(lostRecord(lost, self._now())).encode("ascii")

    def _logOutage(self, reason: str) -> None:
        self._log.error(
            "the access log {path} cannot be written, and loses lines: {reason}",
            path=self.path,
            reason=reason,
        )

    def _logRecovery(self, lost: int) -> None:
        self._log.warn(
            "the access log {path} is written again; lines lost: {lost}",
            path=self.path,
            lost=lost,
        )


@implementer(IDestinationPolicy)
class RequiredAccessLog(AccessLog):
    """
    An access log without which nothing goes: while it cannot be written, it refuses
    every request.

    The proxy asks it ahead of the policies, because it is among the observers.
    """

    def decide(self, request: Request) -> Decision:
        """Allow what can be logged; after a loss, try by writing its count."""
        reason = self._reopenError() if self.running else "it is not open"
        if not reason and self._lines.works():
            return Allow()
        reason = reason or self._lines.reason
        return Deny(
            f"the access log {self.path} cannot be written: {reason}", Cause.UNLOGGED
        )

    def _reopenError(self) -> str:
        """
        Begin a new file in the place of one that was deleted.

        @return: the reason why that failed; empty where it did not, or need not be.
        """
        if self._isDeleted():
            # Its lines would go nowhere: they are lost from here on, and counted.
            self._useOutput(None)
        if self._output is not None:
            return ""
        try:
            self._useOutput(self._openOutput())
        except OSError as error:
            return f"it was deleted; {_openErrorText(error)}"
        self._log.warn(
            "the access log {path} was deleted: a new one is begun", path=self.path
        )
        return ""

    def _isDeleted(self) -> bool:
        """Tell whether the file has no name any more."""
        output = self._output
        if not isinstance(output, FileOutput):
            return False
        return os.fstat(output.descriptor).st_nlink == 0


def _renderings(format: str, events: str) -> dict[type, _Line]:
    """
    Return the function that makes the line of each kind of event.

    @raise ValueError: a word is no event's.
    """
    text = _FORMATS[format]

    def renderRecord(event: Event, moment: float, share: int) -> str:
        return text(record(event, moment, share))

    found: dict[type, _Line] = {}
    for word in events.split("+"):
        _checkWord("events", word.strip(), _EVENTS, " with + between them")
        found[_EVENTS[word.strip()]] = renderRecord
    if TunnelClosed in found:
        if format == "json":
            found[TunnelClosed] = closedLine  # type: ignore[assignment]
        # By exact types: this one is a tunnel's end, too.
        found[TunnelEnded] = found[TunnelClosed]
    return found


def _checkWord(key: str, word: str, words: Iterable[str], how: str = "") -> None:
    """
    Check one of an option's words.

    @raise ValueError: it is none of them.
    """
    *most, last = words
    if word in (*most, last):
        return
    near = get_close_matches(word, (*most, last), 1, 0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(
        f"{key}={word!r} is not known{hint} Write {', '.join(most)} or {last}{how}"
    )


def _checkedPath(path: str) -> str:
    if not path:
        raise ValueError("no file is named: write a path, or - for standard output")
    absolute = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(absolute):
        raise ValueError(f"{absolute} is a directory: name a file in it")
    if not os.path.isdir(os.path.dirname(absolute)):
        raise ValueError(f"{os.path.dirname(absolute)} is no directory")
    return absolute


def _ownStream(name: str) -> TextIO:
    """
    Return a stream of the program itself.

    To open C{/dev/stderr} instead would fail for a socket, which systemd gives, and
    after the privileges are dropped.
    """
    # twistd makes sys.stdout its own log; the real one is kept here.
    stream: TextIO | None = getattr(sys, f"__{name}__")
    if stream is None:
        words = {"stdout": "standard output", "stderr": "standard error"}
        raise OSError(f"there is no {words[name]}")
    stream.flush()
    return stream


def _openErrorText(error: OSError) -> str:
    if error.errno == errno.ENXIO:
        return "nobody reads it; start its reader first"
    return error.strerror or str(error)
