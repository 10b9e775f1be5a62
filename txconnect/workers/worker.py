"""
A worker's process: a proxy on the sockets that its parent has bound.

It ends when the parent says so, when it is told to by SIGTERM, and when the
parent is gone.  Interrupts are the parent's: a terminal sends them to all.
Signals that come while the interpreter starts wait until there are handlers
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
from twisted.logger import Logger, globalLogBeginner

from txconnect.configuration import build, proxyService
from txconnect.errors import ConfigurationError
from txconnect.listening import CannotStart, Exit, ListeningService
from txconnect.observers.terminal import lineWriter
from txconnect.operating.requests import OperatedProxy, signalHandlers
from txconnect.operating.signals import releaseSignals
from txconnect.operating.stopping import StopOnce
from txconnect.workers.channel import CannotAnswer, Channel, Fields, Handler
from txconnect.workers.channelsocket import ChannelSocket
from txconnect.workers.config import CHANNEL, FIRST_SOCKET, STOP_TIMEOUT, WorkerConfig
from txconnect.workers.framing import BadMessage
from txconnect.workers.parentlog import ParentLog
from txconnect.workers.sockets import HandedSockets, sharedEndpoint

_log = Logger()


@attrs.frozen
class WorkerExit(Exit):
    """
    The end of a worker that cannot listen: the parent says why.

    @ivar failed: called with the reason.
    """

    failed: Callable[[str], object] = attrs.field(kw_only=True)

    def endStartup(self, reason: CannotStart) -> NoReturn:
        raise reason from None

    def endRunning(self, reason: CannotStart) -> None:
        self.failed(reason.short)


class Worker:
    """
    The life of a worker.

    @ivar channel: to the parent.
    @ivar status: the exit status of the process.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._stopping = StopOnce(reactor)
        self._service: Any = None
        self._operated: OperatedProxy | None = None
        self._ready: Deferred[None] = Deferred()
        self.status = 0
        handlers: dict[str, Handler] = {
            "start": self._start,
            "stop": lambda _: self.stop(),
            "reopen": lambda _: {"done": self.reopenLogs()},
            "list": lambda _: self.listTunnels(),
        }
        self.channel = Channel(reactor, handlers, self._parentLost)

    def catchSignals(self) -> None:
        """
        Have SIGTERM end it too, and the others ask it for what they ask the parent
        for; called once the reactor runs, and before a plugin is made: a program
        that one starts would inherit signals that wait.
        """
        self._stopping.install()
        signalHandlers(self._reactor, self, os.getppid).install()
        releaseSignals()

    def stop(self) -> None:
        """End, once."""
        self._stopping.stop()

    def reopenLogs(self) -> str:
        """Open the log files of this worker again; returns that in words."""
        if self._operated is None:
            return "no log file is open yet"
        return self._operated.reopenLogs()

    def listTunnels(self) -> None:
        """List the tunnels of this worker in the log."""
        if self._operated is None:
            _log.info("there are no tunnels yet")
        else:
            self._operated.listTunnels()

    def stopService(self) -> Deferred[Any]:
        """Stop the proxy; by force when something holds it up."""
        # The parent may not be there to do that.
        watchdog = threading.Timer(STOP_TIMEOUT, os._exit, (1,))
        watchdog.daemon = True
        watchdog.start()
        if self._service is None or not self._service.running:
            return maybeDeferred(lambda: None)
        return maybeDeferred(self._service.stopService)

    def _parentLost(self, reason: BaseException | None) -> None:
        if isinstance(reason, BadMessage):
            _log.error("the parent does not keep to the protocol: {why}", why=reason)
        self.stop()

    def _start(self, fields: Fields) -> Deferred[None]:
        """Handle C{start}: the answer is due when the proxy accepts."""
        try:
            config = WorkerConfig.fromData(fields)
            self._service = self._built(config)
            self._operated = OperatedProxy(self._reactor, self._service.proxy)
            self._service.startService()
        except CannotStart as error:
            self._failed(error.short)
        except ConfigurationError as error:
            self._failed(str(error))
        except Exception as error:
            _log.failure("The worker cannot start")
            self._failed(f"{type(error).__name__}: {error} (the log says where)")
        return self._ready

    def _built(self, config: WorkerConfig) -> ListeningService:
        for descriptor in config.descriptors:
            # Programs that a plugin starts must not inherit it as well.
            os.set_inheritable(descriptor, False)
        texts = config.configuration.listeners
        listeners = tuple(map(sharedEndpoint, texts))
        configuration = attrs.evolve(config.configuration, listeners=listeners)
        handed = list(_handed(self._reactor, config))
        _enter(config.directory)
        write = lineWriter(config.foreground)
        built = build(self._reactor, configuration, write, handed)
        _enter(config.rundir)
        exit = WorkerExit(self._reactor, False, failed=self._failed)
        return proxyService(
            self._reactor, built, exit, lambda _: self._ready.callback(None)
        )

    def _failed(self, reason: str) -> None:
        """Answer why it cannot start, and end."""
        self.status = 1
        self._ready.errback(CannotAnswer(reason))
        self.stop()


def _handed(reactor: Any, config: WorkerConfig) -> Iterator[HandedSockets]:
    """For each listener the sockets that the parent has bound for it."""
    first = FIRST_SOCKET
    for count in config.sockets:
        yield HandedSockets(reactor, [*range(first, first + count)])
        first += count


def _enter(directory: str) -> None:
    # The parent may stand where this user could not go.
    if directory == os.getcwd():
        return
    try:
        os.chdir(directory)
    except OSError as error:
        raise ConfigurationError(
            f"a worker cannot enter {directory}, from where relative names count: "
            f"{error.strerror}"
        ) from None


def main(reactorModule: str) -> None:
    """
    Run a worker until it is over.

    Called by L{txconnect.workers.config.BOOT}.
    """
    # Not SIG_IGN, which programs that a plugin starts would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    os.set_inheritable(CHANNEL, False)
    import_module(reactorModule).install()
    from twisted.internet import reactor

    worker = Worker(reactor)
    parent = ChannelSocket(reactor, socket.socket(fileno=CHANNEL), worker.channel)
    worker.channel.makeConnection(parent)
    globalLogBeginner.beginLoggingTo([ParentLog(worker.channel.send, parent.hasRoom)])
    _run(reactor, worker, parent)
    parent.drain(STOP_TIMEOUT)
    sys.exit(worker.status)


def _run(reactor: Any, worker: Worker, parent: ChannelSocket) -> None:
    def stopping() -> Deferred[Any]:
        # The reactor closes what is in it when it ends; the log goes on.
        return worker.stopService().addBoth(lambda _: parent.leaveReactor())

    parent.startReading()
    reactor.callWhenRunning(worker.catchSignals)
    reactor.addSystemEventTrigger("before", "shutdown", stopping)
    reactor.run()
