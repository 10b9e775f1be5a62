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

from txconnect.errors import ConfigurationError
from txconnect.listening import CannotStart, Exit
from txconnect.workers.files import RootFiles
from txconnect.workers.member import Member, spawn
from txconnect.workers.messages import FIRST_SOCKET
from txconnect.workers.orders import BOOT, Orders
from txconnect.workers.place import Place
from txconnect.workers.sockets import HeldSockets

_log = Logger()


class Crew(Service):
    """
    All workers, in the place of the proxy of a L{ListeningService}.

    A worker that ends before all of them have been ready once ends the
    program: it was started in a way in which it cannot run.
    """

    def __init__(
        self,
        reactor: Any,
        count: int,
        sockets: Sequence[HeldSockets],
        files: RootFiles,
        exit: Exit,
        *,
        foreground: bool,
        spawn: Callable[..., None] = spawn,
    ) -> None:
        """
        @param count: how many.
        @param sockets: those of each listener.
        @param files: the command line and the files that it names.
        @param foreground: whether somebody sees standard output.
        @param spawn: L{txconnect.workers.member.spawn}.
        """
        self._reactor = reactor
        self._sockets = sockets
        self._files = files
        self._exit = exit
        self._foreground = foreground
        self._spawn = spawn
        # Where relative names count from: twistd changes the directory later.
        self._directory = os.getcwd()
        self._places = [
            Place(number, reactor, self._process, self)
            for number in range(1, count + 1)
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
        """Open what nobody may read afterwards."""
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
            for place in self._places:
                place.start()
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
        ended = DeferredList([place.stop() for place in self._places])
        return ended.addCallback(lambda _: self._close())

    def reopenLogs(self) -> str:
        """Have the workers open their log files again; returns that in words."""
        return f"told {self._tell('reopen')} to open the log files again"

    def listTunnels(self) -> None:
        """Have the workers list their tunnels in the log."""
        _log.info("told {workers} to list the open tunnels", workers=self._tell("list"))

    def _tell(self, kind: str) -> str:
        told = sum(place.tell(kind) for place in self._places)
        return "1 worker" if told == 1 else f"{told} workers"

    def placeReady(self) -> None:
        """Called by a place whose worker accepts."""
        if all(place.ready for place in self._places):
            self._begun = True
            self._announceIfReady()

    def placeFailed(self, place: Place, reason: str) -> None:
        """Called by a place whose worker cannot start."""
        if self._begun:
            _log.error("{name} cannot start: {reason}", name=place.name, reason=reason)
        else:
            self._giveUp(f"cannot start: {reason}", reason)

    def placeLost(self, place: Place, how: str) -> bool:
        """
        Called by a place whose worker has ended by itself.

        @return: whether to replace it.
        """
        if not self._begun:
            reason = f"{place.name} ended while it started ({how})"
            self._giveUp(f"cannot start: {reason}", reason)
        return self._begun and bool(self.running)

    def _giveUp(self, line: str, short: str) -> None:
        if not self._failed:
            self._failed = True
            self._exit.later(CannotStart(line, short))

    def _process(self, place: Place) -> Member:
        try:
            sockets = [each.descriptors() for each in self._sockets]
        except ConfigurationError as error:
            raise ConfigurationError(
                f"workers cannot share a listener: {error}"
            ) from None
        handed = [*(fd for each in sockets for fd in each), *self._files.descriptors]
        orders = Orders(
            options=self._files.options(FIRST_SOCKET + sum(map(len, sockets))),
            directory=self._directory,
            rundir=os.getcwd(),
            reactor=type(self._reactor).__module__,
            foreground=self._foreground,
            sockets=[len(each) for each in sockets],
            files=len(self._files.descriptors),
        )
        member = Member(place.name, orders.encode(), place)
        inherited = {
            0: self._null,
            1: self._output(),
            **dict(enumerate(handed, FIRST_SOCKET)),
        }
        self._spawn(self._reactor, member, place.number, BOOT, inherited)
        return member

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
