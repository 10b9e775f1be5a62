"""
The workers of one proxy: started together, each replaced when it dies, stopped
together.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress
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

    A worker that ends before all of them have been ready once ends the
    program: it was started in a way in which it cannot run.
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
        @param configuration: of every worker; says how many there are.
        @param sockets: those of each listener.
        @param foreground: whether somebody sees standard output.
        @param spawn: L{txconnect.workers.process.spawn}.
        """
        self._reactor = reactor
        self._sockets = sockets
        self._files = RootFiles(configuration)
        self._exit = exit
        self._foreground = foreground
        self._spawn = spawn
        # Where relative names count from: twistd changes the directory later.
        self._directory = os.getcwd()
        self._slots = [
            WorkerSlot(number, reactor, self._process, self)
            for number in range(1, configuration.workers + 1)
        ]
        self._announce: Callable[[], object] | None = None
        self._begun = False
        self._failed = False
        self._null: int | None = None

    def addListener(self, address: IAddress) -> None:
        """The workers know their listeners by themselves."""

    def announce(self, announce: Callable[[], object]) -> None:
        """Call C{announce} once all workers are ready."""
        self._announce = announce
        self._announceIfReady()

    def privilegedStartService(self) -> None:
        """Open the files that nobody may read afterwards."""
        Service.privilegedStartService(self)
        self._files.open()

    def startService(self) -> None:
        """
        Start the workers.

        @raise ConfigurationError: there can be none, or there is something that
            they cannot share.
        """
        Service.startService(self)
        self._begun = self._failed = False
        self._files.keep()
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            for slot in self._slots:
                slot.start()
        except OSError as error:
            # Most often the user of --uid may not run what root may.
            raise ConfigurationError(
                f"no worker can be started with {sys.executable}: {error.strerror}"
            ) from None

    def stopService(self) -> Deferred[None]:
        """
        End all workers.

        @return: fires when no process is left.
        """
        if self.running:
            Service.stopService(self)
        self._announce = None
        ended = DeferredList([slot.stop() for slot in self._slots])
        return ended.addCallback(lambda _: self._close())

    def reopenLogs(self) -> str:
        """Have the workers open their log files again; returns that in words."""
        return f"told {self._request('reopen')} to open the log files again"

    def listTunnels(self) -> None:
        """Have the workers list their tunnels in the log."""
        _log.info(
            "told {workers} to list the open tunnels", workers=self._request("list")
        )

    def _request(self, kind: str) -> str:
        asked = sum(slot.request(kind) for slot in self._slots)
        return "1 worker" if asked == 1 else f"{asked} workers"

    def slotReady(self) -> None:
        """Called by a slot whose worker accepts."""
        if all(slot.ready for slot in self._slots):
            self._begun = True
            self._announceIfReady()

    def slotFailed(self, slot: WorkerSlot, reason: str) -> None:
        """Called by a slot whose worker cannot start."""
        if self._begun:
            _log.error("{name} cannot start: {reason}", name=slot.name, reason=reason)
        else:
            self._giveUp(f"cannot start: {reason}", reason)

    def slotLost(self, slot: WorkerSlot, how: str) -> bool:
        """
        Called by a slot whose worker has ended by itself.

        @return: whether to replace it.
        """
        if not self._begun:
            reason = f"{slot.name} ended while it started ({how})"
            self._giveUp(f"cannot start: {reason}", reason)
        return self._begun and bool(self.running)

    def _giveUp(self, line: str, short: str) -> None:
        if not self._failed:
            self._failed = True
            self._exit.endRunning(CannotStart(line, short))

    def _process(self, slot: WorkerSlot) -> WorkerProcess:
        sockets = self._descriptors()
        handed = [*(fd for each in sockets for fd in each), *self._files.descriptors]
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
            1: self._output(),
            **dict(enumerate(handed, FIRST_SOCKET)),
        }
        self._spawn(self._reactor, process, slot.number, inherited)
        return process

    def _descriptors(self) -> list[list[int]]:
        try:
            return [each.descriptors() for each in self._sockets]
        except ConfigurationError as error:
            raise ConfigurationError(
                f"workers cannot share a listener: {error}"
            ) from None

    def _output(self) -> int | None:
        # A daemon's is closed or nowhere; sys.stdout is the log by now.
        if not self._foreground or sys.__stdout__ is None:
            return self._null
        return sys.__stdout__.fileno()

    def _close(self) -> None:
        self._files.close()
        if self._null is not None:
            os.close(self._null)
            self._null = None

    def _announceIfReady(self) -> None:
        if self._begun and self._announce is not None:
            announce, self._announce = self._announce, None
            announce()
