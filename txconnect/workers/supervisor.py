"""
The workers of one proxy: started together, each replaced when it dies, stopped
together.

A worker that dies before all of them have been ready once ends the program, as
the mistake is in the configuration or the system, and another worker would die
of it too.  After that a death is an accident, and the others go on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.logger import Logger

from txconnect.configuration import Configuration
from txconnect.errors import ConfigurationError
from txconnect.listening import CannotStart, Exit
from txconnect.workers.config import FIRST_SOCKET, WorkerConfig, bootLine
from txconnect.workers.files import RootFiles
from txconnect.workers.process import WorkerProcess, spawn
from txconnect.workers.slot import WorkerSlot
from txconnect.workers.sockets import HeldSockets

_log = Logger()


class Supervisor(Service):
    """
    All workers, in the place of the proxy of a
    L{ListeningService<txconnect.listening.ListeningService>}.
    """

    def __init__(
        self,
        reactor: Any,
        configuration: Configuration,
        sockets: Sequence[HeldSockets],
        exit: Exit,
        *,
        foreground: bool,
        spawn: Callable[..., None] = spawn,
    ) -> None:
        """
        @param configuration: of every worker, with the number of workers.
        @param sockets: the sockets of each listener.
        @param foreground: true when standard output is seen, as the program is
            no daemon.
        @param spawn: L{txconnect.workers.process.spawn}.
        """
        self._reactor = reactor
        self._sockets = sockets
        self._files = RootFiles(configuration)
        self._exit = exit
        self._foreground = foreground
        self._spawn = spawn
        # Relative names count from this one: twistd changes the directory later.
        self._directory = os.getcwd()
        self._slots = [
            WorkerSlot(number, reactor, self._makeProcess, self)
            for number in range(1, configuration.workers + 1)
        ]
        self._announce: Callable[[], object] | None = None
        self._begun = False
        self._failed = False
        # A worker that was still starting meets ports that are closed already.
        self._stops = False
        self._null: int | None = None

    def addListener(self, address: IAddress) -> None:
        """Do nothing: each worker has its own listeners."""

    def acceptBare(self, port: IListeningPort, factory: IProtocolFactory) -> None:
        """Do nothing: the workers accept."""

    def announce(self, announce: Callable[[], object]) -> None:
        """Call C{announce} once all workers are ready."""
        # The workers may be ready before the caller is, or after.
        self._announce = announce
        self._announceIfReady()

    def privilegedStartService(self) -> None:
        """Open the files that only root may read, while C{twistd} is root."""
        Service.privilegedStartService(self)
        self._files.open()

    def startService(self) -> None:
        """
        Start the workers.

        @raise ConfigurationError: no worker can be started, or they cannot share
            a listener.
        """
        Service.startService(self)
        self._begun = self._failed = self._stops = False
        self._files.keep()
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            for slot in self._slots:
                slot.start()
        except OSError as error:
            # Most often the user of --uid may not run the interpreter.
            raise ConfigurationError(
                f"no worker can be started with {sys.executable}: {error.strerror}"
            ) from None

    def stopService(self) -> Deferred[None]:
        """
        Stop all workers.

        @return: fires when all their processes have ended.
        """
        if self.running:
            Service.stopService(self)
        self._announce = None
        ended = DeferredList([slot.stop() for slot in self._slots])
        return ended.addCallback(lambda _: self._closeDescriptors())

    def reopenLogs(self) -> str:
        """Have the workers reopen their log files; return a sentence that says so."""
        return f"told {self._requestAll('reopen')} to open the log files again"

    def listTunnels(self) -> None:
        """Have the workers list their tunnels in the log."""
        _log.info(
            "told {workers} to list the open tunnels", workers=self._requestAll("list")
        )

    def tellStop(self, why: str = "") -> None:
        """Say in the log that the workers will be stopped; each says what it ends."""
        self._stops = True
        workers = len(self._slots)
        _log.info(
            "{why}stopping; workers: {workers}",
            why=why and f"{why}: ",
            workers=workers,
        )

    def _requestAll(self, kind: str) -> str:
        asked = sum(slot.request(kind) for slot in self._slots)
        return "1 worker" if asked == 1 else f"{asked} workers"

    def slotReady(self) -> None:
        """Announce, if all workers are ready; called by a slot when its worker is."""
        if all(slot.ready for slot in self._slots):
            self._begun = True
            self._announceIfReady()

    def slotFailed(self, slot: WorkerSlot, reason: str) -> None:
        """Report the reason; called by a slot when its worker cannot start."""
        if self._stops:
            return
        if self._begun:
            _log.error("{name} cannot start: {reason}", name=slot.name, reason=reason)
        else:
            self._giveUp(f"cannot start: {reason}", reason)

    def slotLost(self, slot: WorkerSlot, how: str) -> bool:
        """
        Decide on a replacement; called by a slot when its worker has ended
        without a request.

        @return: true to replace the worker.
        """
        if self._stops:
            return False
        if not self._begun:
            reason = f"{slot.name} ended while it started ({how})"
            self._giveUp(f"cannot start: {reason}", reason)
        return self._begun and bool(self.running)

    def _giveUp(self, line: str, short: str) -> None:
        # Once: the workers most often fail together, for the same reason.
        if not self._failed:
            self._failed = True
            self._exit.endRunning(CannotStart(line, short))

    def _makeProcess(self, slot: WorkerSlot) -> WorkerProcess:
        sockets = self._socketDescriptors()
        handed = [*(fd for each in sockets for fd in each), *self._files.descriptors]
        # The order of the descriptors is fixed: the sockets of each listener, then
        # the files.  So the worker needs only their numbers.
        config = WorkerConfig(
            configuration=self._files.configuration(
                FIRST_SOCKET + sum(map(len, sockets))
            ),
            directory=self._directory,
            rundir=os.getcwd(),
            foreground=self._foreground,
            sockets=tuple(map(len, sockets)),
            files=len(self._files.descriptors),
        )
        boot = bootLine(type(self._reactor).__module__)
        process = WorkerProcess(self._reactor, slot.name, boot, config, slot)
        inherited = {
            0: self._null,
            1: self._outputDescriptor(),
            **dict(enumerate(handed, FIRST_SOCKET)),
        }
        self._spawn(self._reactor, process, slot.number, inherited)
        return process

    def _socketDescriptors(self) -> list[list[int]]:
        try:
            return [each.descriptors() for each in self._sockets]
        except ConfigurationError as error:
            raise ConfigurationError(
                f"workers cannot share a listener: {error}"
            ) from None

    def _outputDescriptor(self) -> int | None:
        # A daemon's is closed or /dev/null; sys.stdout is the log by now.
        if not self._foreground or sys.__stdout__ is None:
            return self._null
        return sys.__stdout__.fileno()

    def _closeDescriptors(self) -> None:
        self._files.close()
        if self._null is not None:
            os.close(self._null)
            self._null = None

    def _announceIfReady(self) -> None:
        if self._begun and self._announce is not None:
            announce, self._announce = self._announce, None
            announce()
