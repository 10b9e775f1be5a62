"""
One worker's process, as its parent sees it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Protocol

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import InvalidLogLevelError, Logger, LogLevel
from twisted.python.failure import Failure

from txconnect.operating.signals import signalsHeld
from txconnect.workers.messages import (
    FROM_PARENT,
    FROM_WORKER,
    BadMessage,
    Messages,
    encode,
)

_log = Logger()

LONGEST = 1 << 15
"""Octets of a log event, or of a line of standard error, that are kept."""


class Listener(Protocol):
    """Who is told what becomes of a worker."""

    def workerReady(self, member: Member) -> None:
        """It accepts connections."""

    def workerFailed(self, member: Member, reason: str) -> None:
        """It cannot start, and ends."""

    def workerExited(self, member: Member, how: str) -> None:
        """It is not there any more."""

    def workerGone(self, member: Member) -> None:
        """Nothing more is heard of it."""


class Member(ProcessProtocol):
    """
    Tells a worker its orders, hears its messages, and logs what it logs.
    """

    def __init__(self, name: str, orders: bytes, listener: Listener) -> None:
        """
        @param name: what its lines in the log begin with.
        """
        self._name = name
        self._orders = orders
        self._listener = listener
        self._messages = Messages()
        self._errors = b""
        self._event: Any = None
        self._text = ""
        self._hears = True

    @property
    def pid(self) -> int | None:
        """The process; L{None} once it has ended."""
        pid: int | None = self.transport.pid  # type: ignore[union-attr]
        return pid

    def connectionMade(self) -> None:
        self._write(self._orders)

    def tell(self, kind: str) -> None:
        """Send it a message (L{txconnect.workers.messages})."""
        self._write(encode(kind))

    def kill(self) -> None:
        """End it."""
        try:
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]
        except ProcessExitedAlready:
            pass  # That is what was wanted.

    def forget(self) -> None:
        """Hear nothing more, whoever else holds its pipes open."""
        self.transport.loseConnection()  # type: ignore[union-attr]

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD != FROM_WORKER:
            self._complained(data)
            return
        try:
            for message in self._messages.feed(data):
                self._heard(message)
        except BadMessage as error:
            self._messages = Messages()
            _log.error(
                "{name} is ended, as it does not keep to the protocol: {error}",
                name=self._name,
                error=error,
            )
            self.kill()

    def childConnectionLost(self, childFD: int) -> None:
        if childFD == FROM_PARENT:
            self._hears = False

    def processExited(self, reason: Failure) -> None:
        self._listener.workerExited(self, _said(reason.value))

    def processEnded(self, reason: Failure) -> None:
        self._complained(b"\n")
        self._listener.workerGone(self)

    def _write(self, data: bytes) -> None:
        # What has closed its end is ending.
        if self._hears:
            self.transport.writeToChild(FROM_PARENT, data)  # type: ignore[union-attr]

    def _heard(self, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "ready":
            self._listener.workerReady(self)
        elif kind == "failed":
            self._listener.workerFailed(self, str(message.get("reason")))
        elif kind == "log":
            self._logged(message)

    def _logged(self, message: dict[str, Any]) -> None:
        if message.get("event") != self._event:
            # The rest of the one before was lost.
            self._event, self._text = message.get("event"), ""
        self._text = (self._text + str(message.get("text")))[:LONGEST]
        if message.get("more"):
            return
        Logger(str(message.get("namespace"))).emit(
            _level(message.get("level")),
            "{worker}: {text}",
            worker=self._name,
            text=self._text,
        )
        self._event, self._text = None, ""

    def _complained(self, data: bytes) -> None:
        """What an interpreter says that does not get as far as our log."""
        *lines, rest = (self._errors + data).split(b"\n")
        self._errors = rest[:LONGEST]
        for line in lines:
            if line.strip():
                text = line[:LONGEST].decode("utf-8", "backslashreplace")
                _log.warn("{worker}: {text}", worker=self._name, text=text)


def spawn(
    reactor: Any, member: Member, number: int, boot: str, inherited: dict[int, int]
) -> None:
    """
    Start a worker's process.

    Nothing of what it is told is among its arguments or in its environment,
    and C{systemd}'s descriptors are the parent's.  Signals wait until it can
    catch them.

    @param boot: the program.
    @param inherited: its descriptors from standard input on, by number, and
        ours that they are; the pipes are added.
    @raise OSError: there can be no further process.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LISTEN_")
    }
    with signalsHeld():
        reactor.spawnProcess(
            member,
            sys.executable,
            # Without -P an interpreter looks for modules where it stands.
            [sys.executable, "-P", "-c", boot, "txconnect-worker", str(number)],
            env=environment,
            childFDs={**inherited, 2: "r", FROM_PARENT: "w", FROM_WORKER: "r"},
        )


def _level(name: Any) -> Any:
    try:
        return LogLevel.levelWithName(str(name))
    except InvalidLogLevelError:
        raise BadMessage("a message has no level") from None


def _said(ended: Any) -> str:
    """How a process has ended, for people."""
    number = getattr(ended, "signal", None)
    if number is None:
        return f"status {getattr(ended, 'exitCode', None)}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
