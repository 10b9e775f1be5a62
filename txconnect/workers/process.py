"""
One worker's process, as its parent sees it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from twisted.internet.defer import TimeoutError
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from txconnect.errors import ConfigurationError
from txconnect.operating.signals import signalsHeld
from txconnect.workers.channel import (
    ASK_TIMEOUT,
    CannotAnswer,
    Channel,
    ChannelLost,
    ChannelTransport,
    Fields,
)
from txconnect.workers.channelsocket import ChannelSocket
from txconnect.workers.config import (
    BOOT,
    CHANNEL,
    LONGEST_LINE,
    START_TIMEOUT,
    STOP_TIMEOUT,
    WorkerConfig,
)
from txconnect.workers.framing import BadMessage, TooLarge

_log = Logger()

_LEVELS = {level.name: level for level in LogLevel.iterconstants()}


class ProcessOwner(Protocol):
    """The owner of a process: a L{WorkerSlot<txconnect.workers.slot.WorkerSlot>}."""

    def workerReady(self, process: WorkerProcess) -> None:
        """It accepts connections."""

    def workerFailed(self, process: WorkerProcess, reason: str) -> None:
        """It cannot start, and ends."""

    def workerLate(self, process: WorkerProcess) -> None:
        """It is still not ready after L{START_TIMEOUT}."""

    def workerExited(self, process: WorkerProcess, how: str) -> None:
        """It is not there any more."""

    def workerGone(self, process: WorkerProcess) -> None:
        """Nothing more is heard of it."""


class WorkerProcess(ProcessProtocol):
    """
    Starts a worker with its configuration, and logs what it logs.

    @ivar channel: to the worker.
    """

    def __init__(
        self,
        clock: Any,
        name: str,
        boot: bytes,
        config: WorkerConfig,
        owner: ProcessOwner,
    ) -> None:
        """
        @param clock: provides C{IReactorTime}.
        @param name: what its lines in the log begin with.
        @param boot: the L{bootLine<txconnect.workers.config.bootLine>}.
        """
        self._name = name
        self._boot = boot
        self._config = config
        self._owner = owner
        self._errors = b""
        self._ended = False
        self._lost = False
        self._clock = clock
        self._killing: Any = None
        self.channel = Channel(clock, {"log": self._logged}, self._channelLost)

    @property
    def pid(self) -> int | None:
        """The process; L{None} once it has ended."""
        pid: int | None = self.transport.pid  # type: ignore[union-attr]
        return pid

    def connectChannel(self, transport: ChannelTransport) -> None:
        """Start the worker; called when the process and its channel are there."""
        self.channel.makeConnection(transport)
        transport.write(self._boot)
        ready = self.channel.ask(
            "start", timeout=START_TIMEOUT, **self._config.toData()
        )
        ready.addCallbacks(lambda _: self._owner.workerReady(self), self._notReady)
        ready.addErrback(lambda failure: _log.failure("A worker's start", failure))

    def stop(self) -> None:
        """Ask it to end."""
        self.channel.send("stop")

    def request(self, kind: str) -> None:
        """Ask something of it; the log says so when that has not been done."""
        self.channel.ask(kind).addErrback(self._notDone, kind)

    def kill(self) -> None:
        """End it."""
        try:
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]
        except ProcessExitedAlready:
            pass  # That is what was wanted.

    def forget(self) -> None:
        """Hear nothing more, even if somebody else holds its pipes open."""
        self.transport.loseConnection()  # type: ignore[union-attr]
        self.channel.close()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Log standard error: of an interpreter that does not get as far as our
        log, it is all there is.
        """
        *lines, rest = (self._errors + data).split(b"\n")
        self._errors = rest[:LONGEST_LINE]
        for line in lines:
            if line.strip():
                text = line[:LONGEST_LINE].decode("utf-8", "backslashreplace")
                _log.warn("{worker}: {text}", worker=self._name, text=text)

    def processExited(self, reason: Failure) -> None:
        self._owner.workerExited(self, _endedHow(reason.value))

    def processEnded(self, reason: Failure) -> None:
        self.childDataReceived(2, b"\n")
        self._ended = True
        if self._killing is not None and self._killing.active():
            self._killing.cancel()
        self._goneIfBoth()

    def _channelLost(self, reason: BaseException | None) -> None:
        self._lost = True
        if isinstance(reason, BadMessage):
            _log.error(
                "{name} is ended, as it does not keep to the protocol: {error}",
                name=self._name,
                error=reason,
            )
            self.kill()
        elif not self._ended:
            # It ends by itself, as a rule: one that does not serves unheard.
            self._killing = self._clock.callLater(STOP_TIMEOUT, self.kill)
        self._goneIfBoth()

    def _goneIfBoth(self) -> None:
        # Its last lines are in the channel, or on standard error.
        if self._ended and self._lost:
            self._owner.workerGone(self)

    def _notReady(self, failure: Failure) -> None:
        if failure.check(CannotAnswer):
            self._owner.workerFailed(self, failure.getErrorMessage())
        elif failure.check(TimeoutError):
            self._owner.workerLate(self)
        else:
            failure.trap(ChannelLost)  # How it ended is told by its status.

    def _notDone(self, failure: Failure, kind: str) -> None:
        if failure.check(ChannelLost):
            return  # How it ended is told by its status.
        reason = failure.getErrorMessage()
        if failure.check(TimeoutError):
            reason = f"no answer within {ASK_TIMEOUT:g} seconds"
        _log.error(
            "{worker} has not done what it was told ({kind}): {reason}",
            worker=self._name,
            kind=kind,
            reason=reason,
        )

    def _logged(self, fields: Fields) -> None:
        Logger(str(fields.get("namespace"))).emit(
            _LEVELS.get(str(fields.get("level")), LogLevel.info),
            "{worker}: {text}",
            worker=self._name,
            text=str(fields.get("text")),
        )


def spawn(
    reactor: Any, process: WorkerProcess, number: int, inherited: Mapping[int, int]
) -> None:
    """
    Start a worker's process.

    Nothing of what it is told is among its arguments or in its environment,
    and C{systemd}'s descriptors are the parent's.  Signals wait until it can
    catch them.

    @param inherited: its descriptors from standard input on, by number, and
        ours that they are; standard error and the channel are added.
    @raise OSError: there can be no further process.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LISTEN_")
    }
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            with signalsHeld():
                reactor.spawnProcess(
                    process,
                    sys.executable,
                    # Without -P an interpreter looks for modules where it stands.
                    [sys.executable, "-P", "-c", BOOT, "txconnect-worker", str(number)],
                    env=environment,
                    childFDs={**inherited, 2: "r", CHANNEL: theirs.fileno()},
                )
        except BaseException:
            ours.close()
            raise
    carrying = ChannelSocket(reactor, ours, process.channel)
    carrying.startReading()
    try:
        process.connectChannel(carrying)
    except TooLarge as error:
        process.kill()
        raise ConfigurationError(f"workers cannot be told so much: {error}") from None


def _endedHow(ended: Any) -> str:
    """How a process has ended, for people."""
    number = getattr(ended, "signal", None)
    if number is None:
        return f"status {getattr(ended, 'exitCode', None)}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
