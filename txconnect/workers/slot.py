"""
One worker of several: the process that is there, and the ones that replace it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txconnect.errors import ConfigurationError
from txconnect.workers.config import START_TIMEOUT, STOP_TIMEOUT
from txconnect.workers.process import WorkerProcess

_log = Logger()


@attrs.define
class Backoff:
    """
    The wait before a worker is replaced: twice as long each time, and short
    again after one that has served for a while.

    All in seconds.
    """

    first: float = 0.25
    most: float = 30.0
    stable: float = 60.0
    _next: float = 0.0

    def after(self, served: float) -> float:
        """
        Return the wait after a worker.

        @param served: the time that it was ready.
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
        """A worker has ended by itself; returns whether to replace it."""


class WorkerSlot:
    """
    Starts a worker, replaces it when it ends, stops it.
    """

    def __init__(
        self,
        number: int,
        clock: Any,
        spawn: Callable[[WorkerSlot], WorkerProcess],
        owner: SlotOwner,
    ) -> None:
        """
        @param clock: provides C{IReactorTime}.
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
        # The one thing that is waited for: a restart or an end.
        self._deadline: Any = None
        self._stopped: Deferred[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether a worker is here that accepts."""
        return self._readyAt is not None

    def start(self) -> None:
        """
        Start a process.

        @raise OSError: there can be none.
        @raise ConfigurationError: there is nothing to listen on.
        """
        self._process = self._spawn(self)

    def stop(self) -> Deferred[None]:
        """End the worker, and start no other."""
        if self._stopped is not None:
            return self._stopped
        self._wait(None)
        if self._process is None:
            return succeed(None)
        self._stopped = Deferred()
        self._process.stop()
        self._wait(STOP_TIMEOUT, self._kill)
        return self._stopped

    def request(self, kind: str) -> bool:
        """
        Ask something of the worker that is here, or that is just starting.

        @return: whether there is one.
        """
        if self._process is None or self._stopped is not None:
            return False
        self._process.request(kind)
        return True

    def workerReady(self, process: WorkerProcess) -> None:
        if process is not self._process or self._stopped is not None:
            return
        self._wait(None)
        self._readyAt = self._clock.seconds()
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
            self._kill()

    def workerExited(self, process: WorkerProcess, how: str) -> None:
        if process is not self._process:
            return
        if self._stopped is not None:
            # Its last lines are in the pipe; somebody else may hold that open.
            self._wait(1.0, self._forget)
            return
        self._wait(None)
        served = 0.0 if self._readyAt is None else self._clock.seconds() - self._readyAt
        self._process = self._readyAt = None
        if self._owner.slotLost(self, how):
            self._replace(served, f"{self.name} has ended ({how})")

    def workerGone(self, process: WorkerProcess) -> None:
        if process is self._process and self._stopped is not None:
            self._wait(None)
            self._process = self._readyAt = None
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)

    def _replace(self, served: float, why: str) -> None:
        self._replacing = True
        seconds = self._backoff.after(served)
        _log.warn(
            "{why}; the next one starts in {seconds:g} s", why=why, seconds=seconds
        )
        self._wait(seconds, self._again)

    def _again(self) -> None:
        try:
            self.start()
        except (OSError, ConfigurationError) as error:
            self._replace(0.0, f"{self.name} cannot be started: {error}")

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _forget(self) -> None:
        if self._process is not None:
            self._process.forget()

    def _wait(
        self, seconds: float | None, then: Callable[[], None] | None = None
    ) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        if seconds is not None and then is not None:
            self._deadline = self._clock.callLater(seconds, then)
