"""
One worker's process, as its parent sees it.

Two ends have to come before it is over, in any order: that of the process, and
that of its channel, which may still hold the last lines of its log.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import TimeoutError
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from txconnect.errors import ConfigurationError
from txconnect.operating.signals import signalsHeld
from txconnect.workers.channel import (
    ASK_TIMEOUT,
    CannotAnswer,
    ChannelLost,
    ChannelTransport,
    Fields,
    MessageChannel,
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
        """The worker accepts connections."""

    def workerFailed(self, process: WorkerProcess, reason: str) -> None:
        """The worker cannot start, and ends."""

    def workerLate(self, process: WorkerProcess) -> None:
        """The worker is not ready after L{START_TIMEOUT}."""

    def workerExited(self, process: WorkerProcess, how: str) -> None:
        """The process has ended."""

    def workerGone(self, process: WorkerProcess) -> None:
        """The process has ended, and so has its output."""


class WorkerProcess(ProcessProtocol):
    """
    The parent's side of a worker: starts it with its configuration, and writes
    the events of its log.

    @ivar channel: to the worker.
    """

    def __init__(
        self,
        clock: IReactorTime,
        name: str,
        boot: bytes,
        config: WorkerConfig,
        owner: ProcessOwner,
    ) -> None:
        """
        @param clock: times the wait for answers and for its end.
        @param name: the prefix of its lines in the log.
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
        self._killing: IDelayedCall | None = None
        self.channel = MessageChannel(
            clock, {"log": self._logReceived}, self._channelLost
        )

    @property
    def pid(self) -> int | None:
        """The id of the process; L{None} once it has ended."""
        pid: int | None = self.transport.pid  # type: ignore[union-attr]
        return pid

    def connectChannel(self, transport: ChannelTransport) -> None:
        """Start the worker; called when the process and its channel exist."""
        self.channel.makeConnection(transport)
        # A line, and no frame yet: the interpreter reads it before it can import
        # the code that knows frames.
        transport.write(self._boot)
        ready = self.channel.ask(
            "start", timeout=START_TIMEOUT, **self._config.toData()
        )
        ready.addCallbacks(lambda _: self._owner.workerReady(self), self._notReady)
        ready.addErrback(lambda failure: _log.failure("A worker's start", failure))

    def stop(self) -> None:
        """Send the worker the request to end."""
        self.channel.send("stop")

    def request(self, kind: str) -> None:
        """Send a request to the worker; an error is logged if it is not done."""
        self.channel.ask(kind).addErrback(self._notDone, kind)

    def kill(self) -> None:
        """Kill the process."""
        try:
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]
        except ProcessExitedAlready:
            pass  # Its end was the aim.

    def forget(self) -> None:
        """Receive nothing more, even if another process holds its pipes open."""
        self.transport.loseConnection()  # type: ignore[union-attr]
        self.channel.close()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Log standard error: it is the only output of an interpreter that fails
        before our log begins.
        """
        *lines, rest = (self._errors + data).split(b"\n")
        # A line without an end must not fill the memory of the parent.
        self._errors = rest[:LONGEST_LINE]
        for line in lines:
            if line.strip():
                text = line[:LONGEST_LINE].decode("utf-8", "backslashreplace")
                _log.warn("{worker}: {text}", worker=self._name, text=text)

    def processExited(self, reason: Failure) -> None:
        self._owner.workerExited(self, _describeEnd(reason.value))

    def processEnded(self, reason: Failure) -> None:
        # The last line may lack its end.
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
            # A worker ends when its channel does.  One that does not would go on
            # serving, without a log and beyond any request.
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
            failure.trap(ChannelLost)  # The exit status is reported instead.

    def _notDone(self, failure: Failure, kind: str) -> None:
        if failure.check(ChannelLost):
            return  # The exit status is reported instead.
        reason = failure.getErrorMessage()
        if failure.check(TimeoutError):
            reason = f"no answer within {ASK_TIMEOUT:g} seconds"
        _log.error(
            "{worker} has not done the request ({kind}): {reason}",
            worker=self._name,
            kind=kind,
            reason=reason,
        )

    def _logReceived(self, fields: Fields) -> None:
        # The worker is not trusted with types: a plugin may write to its channel.
        Logger(str(fields.get("namespace"))).emit(
            _LEVELS.get(str(fields.get("level")), LogLevel.info),
            "{worker}: {text}",
            worker=self._name,
            text=str(fields.get("text")),
        )


def spawn(
    reactor: IReactorProcess,
    process: WorkerProcess,
    number: int,
    inherited: Mapping[int, int],
) -> None:
    """
    Start a worker's process.

    Its arguments and its environment hold nothing of the configuration, and
    C{systemd}'s descriptors stay the parent's.  Signals wait until it can catch
    them.

    @param inherited: for each of its descriptors, from standard input on, ours
        that it inherits; standard error and the channel are added.
    @raise OSError: no further process can be started.
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
                    # Without -P an interpreter finds modules in the current
                    # directory, which may be another user's.
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
        raise ConfigurationError(
            f"the configuration is too large for workers: {error}"
        ) from None


def _describeEnd(ended: object) -> str:
    """Return the way in which a process has ended, for people."""
    number = getattr(ended, "signal", None)
    if number is None:
        return f"status {getattr(ended, 'exitCode', None)}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
