"""
The place of one worker, in which one process follows the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txconnect.errors import ConfigurationError
from txconnect.workers.member import Member
from txconnect.workers.messages import STOP_TIMEOUT

_log = Logger()

START_TIMEOUT = 60.0
"""Seconds until a worker must accept."""


@attrs.define
class Backoff:
    """
    How long to wait before a worker is replaced: twice as long each time, and
    short again after one that has served for a while.

    All in seconds.
    """

    first: float = 0.25
    most: float = 30.0
    stable: float = 60.0
    _next: float = 0.0

    def after(self, served: float) -> float:
        """
        How long to wait behind a worker.

        @param served: how long it was ready.
        """
        wait = max(self.first, self._next if served < self.stable else 0)
        self._next = min(self.most, wait * 2)
        return wait


class Ruler(Protocol):
    """Who decides what follows: the L{Crew<txconnect.workers.crew.Crew>}."""

    def placeReady(self) -> None:
        """A worker accepts."""

    def placeFailed(self, place: Place, reason: str) -> None:
        """A worker cannot start."""

    def placeLost(self, place: Place, how: str) -> bool:
        """A worker has ended by itself; returns whether to replace it."""


class Place:
    """
    Starts a worker, replaces it when it ends, stops it.
    """

    def __init__(
        self,
        number: int,
        clock: Any,
        spawn: Callable[[Place], Member],
        ruler: Ruler,
    ) -> None:
        """
        @param clock: provides C{IReactorTime}.
        @param spawn: starts a process that reports to this place.
        """
        self.name = f"worker {number}"
        self.number = number
        self._clock = clock
        self._spawn = spawn
        self._ruler = ruler
        self._backoff = Backoff()
        self._member: Member | None = None
        self._readyAt: float | None = None
        self._replacing = False
        # The one thing that is waited for: a start, a restart or an end.
        self._deadline: Any = None
        self._stopped: Deferred[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether there is a worker here that accepts."""
        return self._readyAt is not None

    def start(self) -> None:
        """
        Start a process.

        @raise OSError: there can be none.
        @raise ConfigurationError: there is nothing to listen on.
        """
        self._member = self._spawn(self)
        self._wait(START_TIMEOUT, self._late)

    def stop(self) -> Deferred[None]:
        """End what is here, and put nothing in its place."""
        if self._stopped is not None:
            return self._stopped
        self._wait(None)
        if self._member is None:
            return succeed(None)
        self._stopped = Deferred()
        self._member.tell("stop")
        self._wait(STOP_TIMEOUT, self._kill)
        return self._stopped

    def tell(self, kind: str) -> bool:
        """
        Send a message to the worker that is here, or that is just starting.

        @return: whether there is one.
        """
        if self._member is None or self._stopped is not None:
            return False
        self._member.tell(kind)
        return True

    def workerReady(self, member: Member) -> None:
        if member is not self._member or self._stopped is not None:
            return
        self._wait(None)
        self._readyAt = self._clock.seconds()
        if self._replacing and self._member is not None:
            _log.info("{name} is process {pid}", name=self.name, pid=self._member.pid)
        self._ruler.placeReady()

    def workerFailed(self, member: Member, reason: str) -> None:
        self._ruler.placeFailed(self, reason)

    def workerExited(self, member: Member, how: str) -> None:
        if member is not self._member:
            return
        if self._stopped is not None:
            # Its last lines are in the pipe; somebody else may hold that open.
            self._wait(1.0, self._forget)
            return
        self._wait(None)
        served = 0.0 if self._readyAt is None else self._clock.seconds() - self._readyAt
        self._member = self._readyAt = None
        if self._ruler.placeLost(self, how):
            self._replace(served, f"{self.name} has ended ({how})")

    def workerGone(self, member: Member) -> None:
        if member is self._member and self._stopped is not None:
            self._wait(None)
            self._member = self._readyAt = None
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

    def _late(self) -> None:
        _log.error(
            "{name} did not become ready in {seconds:g} s and is ended",
            name=self.name,
            seconds=START_TIMEOUT,
        )
        self._kill()

    def _kill(self) -> None:
        if self._member is not None:
            self._member.kill()

    def _forget(self) -> None:
        if self._member is not None:
            self._member.forget()

    def _wait(
        self, seconds: float | None, then: Callable[[], None] | None = None
    ) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        if seconds is not None and then is not None:
            self._deadline = self._clock.callLater(seconds, then)
