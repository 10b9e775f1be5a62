"""
A worker's process: a proxy on the sockets that its parent has bound.

It ends when the parent says so, when it is told to by SIGTERM, and when the
parent is gone.  Interrupts are the parent's: a terminal sends them to all.
What other signals come while it starts waits until there are handlers
(L{txconnect.workers.member.spawn}).
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import IO, Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ReactorNotRunning
from twisted.internet.fdesc import readFromFD, setNonBlocking
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    eventAsText,
    globalLogBeginner,
)
from twisted.python import usage
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.errors import ConfigurationError
from txconnect.listening import CannotStart
from txconnect.operating.requests import OperatedProxy, signalHandlers
from txconnect.operating.signals import releaseSignals
from txconnect.workers.messages import (
    ATOM,
    FIRST_SOCKET,
    FROM_PARENT,
    FROM_WORKER,
    STOP_TIMEOUT,
    BadMessage,
    Messages,
    encode,
)
from txconnect.workers.orders import Orders

_log = Logger()

_LONGEST = 1 << 15
"""Characters of a log event that are told."""


@implementer(ILogObserver)
class Upward:
    """
    The pipe to the parent.

    Each message is written at once, whichever thread it is from.  A parent
    that does not keep up costs lines of the log, and nobody waits for it.
    """

    def __init__(
        self, descriptor: int, write: Callable[[int, bytes], int] = os.write
    ) -> None:
        """
        @param descriptor: does not block.
        """
        self._descriptor = descriptor
        self._write = write
        self._lock = threading.Lock()
        self._event = 0
        self._lost = 0

    def tell(self, kind: str, **fields: Any) -> None:
        """Send what must arrive; waits a little for its turn."""
        message = encode(kind, **fields)
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(STOP_TIMEOUT * 1000)
        self._send(message)

    def __call__(self, event: LogEvent) -> None:
        """Send an event of the log."""
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        if not text:
            return
        namespace = str(event.get("log_namespace") or "txconnect")[:200]
        level = getattr(event.get("log_level"), "name", "info")
        with self._lock:
            if self._lost:
                text = f"({self._lost} lines of this log are lost) {text}"
            self._lost = 0 if self._logged(namespace, level, text) else self._lost + 1

    def _logged(self, namespace: str, level: str, text: str) -> bool:
        self._event += 1
        for part, more in _parts(text[:_LONGEST]):
            message = encode(
                "log",
                namespace=namespace,
                level=level,
                event=self._event,
                text=part,
                more=more,
            )
            if not self._send(message):
                return False
        return True

    def _send(self, message: bytes) -> bool:
        try:
            return self._write(self._descriptor, message) == len(message)
        except OSError:
            # Full, or the parent is gone, of which the other pipe tells.
            return False


def _parts(text: str) -> Sequence[tuple[str, bool]]:
    """A text in parts that fit into a message, however they are written there."""
    # Six octets for each character at most, twelve for the few beyond.
    size = (ATOM - 500) // (2 if text.isascii() and text.isprintable() else 12)
    starts = range(0, len(text), size)
    return [(text[at : at + size], at + size < len(text)) for at in starts]


class Downward(FileDescriptor):
    """The pipe from the parent."""

    def __init__(
        self,
        reactor: Any,
        descriptor: int,
        heard: Callable[[dict[str, Any]], None],
        lost: Callable[[], None],
    ) -> None:
        """
        @param heard: called with each message.
        @param lost: called when there will be none any more.
        """
        super().__init__(reactor)
        self._descriptor = descriptor
        self._messages = Messages()
        self._heard = heard
        self._lost = lost

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> Exception | None:
        return readFromFD(self._descriptor, self._received)  # type: ignore[no-any-return]

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._lost()

    def _received(self, data: bytes) -> None:
        try:
            for message in self._messages.feed(data):
                self._heard(message)
        except BadMessage as error:
            _log.error("the parent does not keep to the protocol: {error}", error=error)
            self.stopReading()  # type: ignore[no-untyped-call]
            self._lost()


class Worker:
    """
    The life of a worker.
    """

    def __init__(self, reactor: Any, orders: Orders, upward: Upward) -> None:
        self._reactor = reactor
        self._orders = orders
        self._upward = upward
        self._service: Any = None
        self._operated: OperatedProxy | None = None
        self._requests: dict[str, Callable[[], object]] = {
            "stop": self.stop,
            "reopen": self.reopenLogs,
            "list": self.listTunnels,
        }
        self.status = 0

    def run(self) -> None:
        """Serve until it is over."""
        downward = Downward(self._reactor, FROM_PARENT, self._heard, self.stop)
        downward.startReading()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(self._start)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._stopService)
        self._reactor.run()

    def stop(self) -> None:
        """End."""
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            pass  # It is ending already.

    def failed(self, reason: str) -> None:
        """Tell why it cannot start, and end."""
        self.status = 1
        # As much as one message holds: it is a line for people.
        self._upward.tell("failed", reason=_parts(reason)[0][0])
        self.stop()

    def _heard(self, message: dict[str, Any]) -> None:
        request = self._requests.get(message["kind"])
        if request is not None:
            request()

    def reopenLogs(self) -> str:
        """Open the log files of this worker again; returns that in words."""
        if self._operated is None:  # it cannot start, and ends
            return "no log file is open"
        return self._operated.reopenLogs()

    def listTunnels(self) -> None:
        """List the tunnels of this worker in the log."""
        if self._operated is not None:
            self._operated.listTunnels()

    def _start(self) -> None:
        self._catchSignals()
        try:
            self._service = self._made()
            self._operated = OperatedProxy(self._reactor, self._service.proxy)
            self._service.startService()
        except CannotStart as error:
            self.failed(error.short)
        except (usage.UsageError, ConfigurationError) as error:
            self.failed(str(error))
        except Exception as error:
            _log.failure("The worker cannot start")
            self.failed(f"{type(error).__name__}: {error} (the log says where)")

    def _made(self) -> Any:
        from txconnect.workers.rereading import WorkerOptions, workerService

        _enter(self._orders.directory)
        options = WorkerOptions(self._reactor, self._orders)
        options.parseOptions(list(self._orders.options))
        _enter(self._orders.rundir)
        return workerService(options, self)

    def _catchSignals(self) -> None:
        # Before a plugin is made: a program that it starts inherits what waits.
        signalHandlers(self._reactor, self, os.getppid).install()
        # The reactor's own handler would have it stop twice: the parent asks too.
        signal.signal(
            signal.SIGTERM, lambda *_: self._reactor.callFromThread(self.stop)
        )
        releaseSignals()

    def ready(self) -> None:
        """Tell that it accepts."""
        self._upward.tell("ready")

    def _stopService(self) -> Any:
        # By force when something holds it up; the parent may not be there.
        watchdog = threading.Timer(STOP_TIMEOUT, os._exit, (1,))
        watchdog.daemon = True
        watchdog.start()
        if self._service is not None and self._service.running:
            return self._service.stopService()
        return None


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


def main(channel: IO[bytes], size: int) -> None:
    """
    Called by L{txconnect.workers.orders.BOOT}.

    @param channel: the pipe from the parent.
    @param size: of the orders that come out of it next.
    """
    # Not SIG_IGN, which programs that a plugin starts would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    upward = Upward(FROM_WORKER)
    setNonBlocking(FROM_WORKER)
    body = _read(channel, size)
    try:
        orders = Orders.decode(body)
    except BadMessage as error:
        upward.tell("failed", reason=str(error))
        sys.exit(1)
    for descriptor in _inherited(orders):
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    import_module(orders.reactor).install()
    from twisted.internet import reactor

    globalLogBeginner.beginLoggingTo([upward])
    setNonBlocking(FROM_PARENT)
    worker = Worker(reactor, orders, upward)
    worker.run()
    sys.exit(worker.status)


def _read(channel: IO[bytes], size: int) -> bytes:
    body = b""
    while len(body) < size:
        part = channel.read(size - len(body))
        if not part:
            sys.exit(1)  # The parent is gone.
        body += part
    return body


def _inherited(orders: Orders) -> Sequence[int]:
    """What programs that a plugin starts must not inherit as well."""
    handed = sum(orders.sockets) + orders.files
    return [FROM_PARENT, FROM_WORKER, *range(FIRST_SOCKET, FIRST_SOCKET + handed)]
