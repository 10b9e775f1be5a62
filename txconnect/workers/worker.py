"""
A worker's process: a proxy on the sockets that its parent has bound.

It ends when the parent requests it, at SIGTERM, and when the parent is gone.
Interrupts are for the parent: a terminal sends them to all processes.  Signals
that arrive while the interpreter starts wait until there are handlers
(L{txconnect.workers.process.spawn}).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NoReturn

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger, globalLogBeginner

from txconnect.configuration import build, proxyService
from txconnect.errors import ConfigurationError
from txconnect.listening import CannotStart, Exit, ListeningService
from txconnect.observers.terminal import lineWriter
from txconnect.operating.requests import OperatedProxy, signalHandlers
from txconnect.operating.signals import releaseSignals
from txconnect.operating.stopping import StopOnce
from txconnect.workers.channel import CannotAnswer, Fields, Handler, MessageChannel
from txconnect.workers.channelsocket import ChannelSocket
from txconnect.workers.config import CHANNEL, FIRST_SOCKET, STOP_TIMEOUT, WorkerConfig
from txconnect.workers.framing import BadMessage
from txconnect.workers.parentlog import ParentLog
from txconnect.workers.sockets import HandedSockets, sharedEndpoint

_log = Logger()


@attrs.frozen
class WorkerExit(Exit):
    """
    The end of a worker that cannot listen: the parent reports the reason.

    @ivar tellParent: called with the reason.
    """

    tellParent: Callable[[str], object] = attrs.field(kw_only=True)

    def endStartup(self, reason: CannotStart) -> NoReturn:
        raise reason from None

    def endRunning(self, reason: CannotStart) -> None:
        self.tellParent(reason.short)


class Worker:
    """
    The program of a worker: it starts the proxy at the parent's request, and ends
    once.

    @ivar channel: to the parent.
    @ivar status: the exit status of the process.
    """

    # Of several interfaces: time, threads, and the reactor's own life.
    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._stopping = StopOnce(reactor)
        self._service: ListeningService | None = None
        self._operated: OperatedProxy | None = None
        self._ready: Deferred[None] = Deferred()
        self.status = 0
        handlers: dict[str, Handler] = {
            "start": self._startProxy,
            "stop": lambda _: self.stop(),
            "reopen": lambda _: {"done": self.reopenLogs()},
            "list": lambda _: self.listTunnels(),
        }
        self.channel = MessageChannel(reactor, handlers, self._parentLost)

    def catchSignals(self) -> None:
        """
        Have SIGTERM end the worker, and give the other signals the meaning that
        they have for the parent.

        Called once the reactor runs, and before a plugin is made: a program that
        a plugin starts would inherit blocked signals.
        """
        self._stopping.install()
        signalHandlers(self._reactor, self, os.getppid).install()
        releaseSignals()

    def stop(self) -> None:
        """End the worker, once."""
        self._stopping.stop()

    def reopenLogs(self) -> str:
        """Reopen the log files of this worker; return a sentence that says so."""
        if self._operated is None:
            return "no log file is open yet"
        return self._operated.reopenLogs()

    def listTunnels(self) -> None:
        """List the tunnels of this worker in the log."""
        if self._operated is None:
            _log.info("there are no tunnels yet")
        else:
            self._operated.listTunnels()

    def tellStop(self, why: str = "") -> None:
        """Say in the log what the stop of this worker will end, if anything."""
        # The parent has told of the stop itself.
        service = self._service
        if service is not None and self._operated is not None:
            if service.proxy.connections:
                self._operated.tellStop(why)

    def stopService(self) -> Deferred[None]:
        """Stop the proxy, or kill the process after L{STOP_TIMEOUT}."""
        # The parent would kill it, but may be gone.  A thread, as a plugin that
        # blocks the reactor is the likely reason.
        watchdog = threading.Timer(STOP_TIMEOUT, os._exit, (1,))
        watchdog.daemon = True
        watchdog.start()
        if self._service is None or not self._service.running:
            return maybeDeferred(lambda: None)
        self.tellStop()
        return maybeDeferred(self._service.stopService)

    def _parentLost(self, reason: BaseException | None) -> None:
        if isinstance(reason, BadMessage):
            _log.error("the parent does not keep to the protocol: {why}", why=reason)
        self.stop()

    def _startProxy(self, fields: Fields) -> Deferred[None]:
        """Handle C{start}: the answer is sent when the proxy accepts."""
        try:
            config = WorkerConfig.fromData(fields)
            self._service = service = self._buildService(config)
            self._operated = OperatedProxy(self._reactor, service.proxy)
            service.startService()
        # A reason that is meant for the operator is only answered: the parent
        # reports it.  Anything else is a mistake, whose traceback is logged too.
        except CannotStart as error:
            self._startFailed(error.short)
        except ConfigurationError as error:
            self._startFailed(str(error))
        except Exception as error:
            _log.failure("The worker cannot start")
            self._startFailed(f"{type(error).__name__}: {error} (the log says where)")
        return self._ready

    def _buildService(self, config: WorkerConfig) -> ListeningService:
        for descriptor in config.descriptors:
            # Programs that a plugin starts must not inherit it as well.
            os.set_inheritable(descriptor, False)
        texts = config.configuration.listeners
        listeners = tuple(map(sharedEndpoint, texts))
        configuration = attrs.evolve(config.configuration, listeners=listeners)
        handed = list(_handedSockets(self._reactor, config))
        # Relative names count from there, also those that plugins make absolute.
        _enterDirectory(config.directory)
        write = lineWriter(config.foreground)
        built = build(self._reactor, configuration, write, handed)
        _enterDirectory(config.rundir)
        exit = WorkerExit(self._reactor, False, tellParent=self._startFailed)
        return proxyService(
            self._reactor, built, exit, lambda _: self._ready.callback(None)
        )

    def _startFailed(self, reason: str) -> None:
        """Answer with the reason for not starting, and end."""
        self.status = 1
        self._ready.errback(CannotAnswer(reason))
        self.stop()


def _handedSockets(reactor: object, config: WorkerConfig) -> Iterator[HandedSockets]:
    """Yield for each listener the sockets that the parent has bound for it."""
    first = FIRST_SOCKET
    for count in config.sockets:
        yield HandedSockets(reactor, [*range(first, first + count)])
        first += count


def _enterDirectory(directory: str) -> None:
    # The parent may have entered a directory that this user cannot enter: then
    # staying there is the only way.
    if directory == os.getcwd():
        return
    try:
        os.chdir(directory)
    except OSError as error:
        raise ConfigurationError(
            f"a worker cannot enter {directory}, from which relative names count: "
            f"{error.strerror}"
        ) from None


def main(reactorModule: str) -> None:
    """
    Run a worker until it ends.

    Called by L{txconnect.workers.config.BOOT}.
    """
    # Not SIG_IGN, which programs that a plugin starts would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    os.set_inheritable(CHANNEL, False)
    # Before anything imports the default reactor.
    import_module(reactorModule).install()
    from twisted.internet import reactor

    worker = Worker(reactor)
    parent = ChannelSocket(reactor, socket.socket(fileno=CHANNEL), worker.channel)
    worker.channel.makeConnection(parent)
    globalLogBeginner.beginLoggingTo([ParentLog(worker.channel.send, parent.hasRoom)])
    _runReactor(reactor, worker, parent)
    parent.drain(STOP_TIMEOUT)
    sys.exit(worker.status)


def _runReactor(reactor: IReactorCore, worker: Worker, parent: ChannelSocket) -> None:
    def stopWorker() -> Deferred[None]:
        # The reactor closes the descriptors that it serves when it ends; the log
        # goes on after that.
        return worker.stopService().addBoth(lambda _: parent.leaveReactor())

    parent.startReading()
    reactor.callWhenRunning(worker.catchSignals)
    reactor.addSystemEventTrigger("before", "shutdown", stopWorker)
    reactor.run()
