"""
The slot of one worker: its present process, and those that replace it.

A slot waits for one thing at a time: the start of a replacement, the requested
end of its process, or the last output of that.  So it has one deadline, and each
new one cancels the one before.  A call from a process that is no longer the
slot's is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from txconnect.errors import ConfigurationError
from txconnect.workers.config import START_TIMEOUT, STOP_TIMEOUT
from txconnect.workers.process import WorkerProcess

_log = Logger()


@attrs.define
class Backoff:
    """
    The wait before a worker is replaced: it doubles each time, and is short
    again after a worker that has served for a while.

    All times are in seconds.
    """

    first: float = 0.25
    most: float = 30.0
    stable: float = 60.0
    _next: float = 0.0

    def after(self, served: float) -> float:
        """
        Return the wait after the end of a worker.

        @param served: the time for which the worker was ready.
        """
        wait = max(self.first, self._next if served < self.stable else 0)
        self._next = min(self.most, wait * 2)
        return wait


class SlotOwner(Protocol):
    """
    The owner of the slots: a L{Supervisor<txconnect.workers.supervisor.Supervisor>}.
    """

    def slotReady(self) -> None:
        """A worker accepts."""

    def slotFailed(self, slot: WorkerSlot, reason: str) -> None:
        """A worker cannot start."""

    def slotLost(self, slot: WorkerSlot, how: str) -> bool:
        """A worker has ended without a request; return true to replace it."""


class WorkerSlot:
    """
    The place of one worker: starts it, replaces it when it ends, stops it.
    """

    def __init__(
        self,
        number: int,
        clock: IReactorTime,
        spawn: Callable[[WorkerSlot], WorkerProcess],
        owner: SlotOwner,
    ) -> None:
        """
        @param clock: times restarts and ends.
        @param spawn: starts a process that reports to this slot.
        """
        self.name = f"worker {number}"
        self.number = number
        self._clock = clock
        self._spawn = spawn
        self._owner = owner
        self._backoff = Backoff()
        self._process: WorkerProcess | None = None
        self._readyAt: float | None = None
        self._replacing = False
        self._deadline: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None

    @property
    def ready(self) -> bool:
        """True when the worker accepts connections."""
        return self._readyAt is not None

    def start(self) -> None:
        """
        Start a process.

        @raise OSError: no process can be started.
        @raise ConfigurationError: the worker would have no socket to listen on.
        """
        self._process = self._spawn(self)

    def stop(self) -> Deferred[None]:
        """End the worker, and start no other."""
        if self._stopped is not None:
            return self._stopped
        self._setDeadline(None)
        if self._process is None:
            return succeed(None)
        self._stopped = Deferred()
        self._process.stop()
        self._setDeadline(STOP_TIMEOUT, self._killProcess)
        return self._stopped

    def request(self, kind: str) -> bool:
        """
        Send a request to the worker, even one that is just starting.

        @return: false when the slot has no worker, or is stopping it.
        """
        if self._process is None or self._stopped is not None:
            return False
        self._process.request(kind)
        return True

    def workerReady(self, process: WorkerProcess) -> None:
        if process is not self._process or self._stopped is not None:
            return
        self._setDeadline(None)
        self._readyAt = self._clock.seconds()
        # The first start is announced for all workers together.
        if self._replacing and self._process is not None:
            _log.info("{name} is process {pid}", name=self.name, pid=self._process.pid)
        self._owner.slotReady()

    def workerFailed(self, process: WorkerProcess, reason: str) -> None:
        self._owner.slotFailed(self, reason)

    def workerLate(self, process: WorkerProcess) -> None:
        if process is self._process and self._stopped is None:
            _log.error(
                "{name} did not become ready in {seconds:g} s and is ended",
                name=self.name,
                seconds=START_TIMEOUT,
            )
            self._killProcess()

    def workerExited(self, process: WorkerProcess, how: str) -> None:
        if process is not self._process:
            return
        if self._stopped is not None:
            # Its last lines are in the pipe; but a program that it has started
            # may hold that open for ever.
            self._setDeadline(1.0, self._forgetProcess)
            return
        self._setDeadline(None)
        served = 0.0 if self._readyAt is None else self._clock.seconds() - self._readyAt
        # Before the owner is called, which may stop all slots.
        self._process = self._readyAt = None
        if self._owner.slotLost(self, how):
            self._replaceWorker(served, f"{self.name} has ended ({how})")

    def workerGone(self, process: WorkerProcess) -> None:
        if process is self._process and self._stopped is not None:
            self._setDeadline(None)
            self._process = self._readyAt = None
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)

    def _replaceWorker(self, served: float, why: str) -> None:
        self._replacing = True
        seconds = self._backoff.after(served)
        _log.warn(
            "{why}; the next one starts in {seconds:g} s", why=why, seconds=seconds
        )
        self._setDeadline(seconds, self._startAgain)

    def _startAgain(self) -> None:
        try:
            self.start()
        # The system may lack processes or descriptors only for the moment.
        except (OSError, ConfigurationError) as error:
            self._replaceWorker(0.0, f"{self.name} cannot be started: {error}")

    def _killProcess(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _forgetProcess(self) -> None:
        if self._process is not None:
            self._process.forget()

    def _setDeadline(
        self, seconds: float | None, then: Callable[[], None] | None = None
    ) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        if seconds is not None and then is not None:
            self._deadline = self._clock.callLater(seconds, then)
