"""
The service that binds the ports, judges them, and runs the proxy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IProtocolNegotiationFactory,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from txconnect.errors import ConfigurationError
from txconnect.listening.ending import CannotStart, Exit
from txconnect.listening.strings import Listener, shownAddress

_log = Logger()

_EXPECTED = (CannotStart, ConfigurationError, OSError, OverflowError)
"""With C{CannotListenError}, what says in a line why nothing listens."""


class Gate(Factory):
    """
    Holds connections off until their listener has been judged; then adds one
    call a connection and nothing a byte.
    """

    noisy = False

    def __init__(self, factory: IProtocolFactory) -> None:
        self.open = False
        self._factory: Any = factory
        if IProtocolNegotiationFactory.providedBy(factory):
            alsoProvides(self, IProtocolNegotiationFactory)

    def startFactory(self) -> None:
        self._factory.doStart()

    def stopFactory(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        return self._factory.buildProtocol(addr) if self.open else None

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on, where the factory behind this one says so."""
        return list(self._factory.acceptableProtocols())


class ListeningService(Service):
    """
    A proxy with its listeners, as one service.

    Listens when C{twistd} still has its privileges, or else at
    C{startService}; starts the proxy once all ports are bound, and stops it
    once all are closed.

    @ivar proxy: the L{txconnect.proxy.ConnectProxy}: an C{IService} that
        also has C{addListener(host)}.
    """

    def __init__(
        self,
        proxy: Any,
        factory: IProtocolFactory,
        listeners: Sequence[Listener],
        exit: Exit,
        *,
        guarded: bool,
        announce: Callable[[Sequence[tuple[Listener, IAddress]]], object],
    ) -> None:
        """
        @param guarded: whether nobody gets through unasked on any listener:
            users are authenticated, or the operator wants an open proxy.
        @param announce: called once, when all listen and the proxy runs.
        @param exit: what to do when they cannot.
        """
        self.proxy = proxy
        self._factory = factory
        self._listeners = listeners
        self._exit = exit
        self._guarded = guarded
        self._announce = announce
        self._waiting: list[Deferred[None]] = []
        self._ports: dict[int, IListeningPort] = {}
        self._starting = False
        self._listening = False
        self._failure: Failure | None = None

    def privilegedStartService(self) -> None:
        """Bind the ports.  Only C{twistd} calls this."""
        Service.privilegedStartService(self)
        IService(self.proxy).privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """Bind the ports if they are not, then run the proxy."""
        Service.startService(self)
        if not self._listening:
            self._listen()
        self._startProxy()
        # Nearly always fired by now; a port that comes late is announced late.
        ready = DeferredList(self._waiting)
        ready.addCallback(lambda _: self._ready())

    def stopService(self) -> Deferred[None]:
        """Close the ports, then stop the proxy."""
        Service.stopService(self)
        done = self._closePorts()
        done.addCallback(lambda _: maybeDeferred(IService(self.proxy).stopService))
        return done

    def _startProxy(self) -> None:
        try:
            IService(self.proxy).startService()
        except (ConfigurationError, OSError) as error:
            # A plugin that is a service: a log that cannot be opened.  Threads
            # that run already would keep the program from ending.
            self._closePorts()
            maybeDeferred(IService(self.proxy).stopService)
            self._exit.now(CannotStart(f"cannot start: {error}", str(error)))

    def _listen(self) -> None:
        self._starting = self._listening = True
        self._waiting.clear()
        raiseDescriptorLimit()
        for number, listener in enumerate(self._listeners):
            gate = Gate(self._factory)
            waiting = maybeDeferred(listener.endpoint.listen, gate)
            bound = waiting.addCallback(self._bound, number, listener, gate)
            self._waiting.append(bound.addErrback(self._failed, listener))
        self._starting = False
        if self._failure is not None:
            self._closePorts()
            self._exit.now(_cannotStart(self._failure))

    def _bound(
        self, port: IListeningPort, number: int, listener: Listener, gate: Gate
    ) -> None:
        if not self._listening:  # stopped, and the endpoint could not be cancelled
            port.stopListening()
            return
        self._ports[number] = port
        host = port.getHost()
        if not (self._guarded or listener.certified or listener.isLocal(host)):
            raise _unguarded(host, listener.forwarded)
        self.proxy.addListener(host)
        gate.open = True

    def _failed(self, failure: Failure, listener: Listener) -> None:
        if failure.check(CancelledError) or self._failure is not None:
            return
        self._failure = failure
        if not failure.check(CannotListenError, *_EXPECTED):
            _log.failure(
                "Listening on {where} failed", failure, where=listener.description
            )
        if not self._starting:
            self._exit.later(_cannotStart(failure))

    def _ready(self) -> None:
        if self._failure is None and self.running:
            self._announce(
                [
                    (listener, self._ports[number].getHost())
                    for number, listener in enumerate(self._listeners)
                ]
            )

    def _closePorts(self) -> Deferred[None]:
        for waiting in self._waiting:
            waiting.cancel()
        closing = [maybeDeferred(port.stopListening) for port in self._ports.values()]
        self._ports.clear()
        self._listening = False
        return DeferredList(closing, consumeErrors=True).addCallback(lambda _: None)


def _unguarded(host: IAddress, forwarded: bool) -> CannotStart:
    where = shownAddress(host)
    reach, instead = "is within reach of others", "listen on 127.0.0.1, "
    if forwarded:
        reach, instead = "is where a balancer hands others on", ""
    return CannotStart(
        f"refusing to start: {where} {reach} and nothing guards it; ask for "
        f"passwords (--auth htpasswd:users), {instead}or say --open-proxy to let "
        "everyone through",
        f"{where}: needs --auth or --open-proxy",
    )


def _cannotStart(failure: Failure) -> CannotStart:
    error = failure.value
    if isinstance(error, CannotStart):
        return error
    if not isinstance(error, CannotListenError):
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return CannotStart(f"cannot listen: {text}", text)
    reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
    short = f"{_whereOf(error)}: {reason}"
    return CannotStart(f"cannot listen on {short}", short)


def _whereOf(error: CannotListenError) -> str:
    if isinstance(error.port, (bytes, str)):
        return "unix:" + os.fsdecode(error.port)
    host = error.interface or "*"
    return f"[{host}]:{error.port}" if ":" in host else f"{host}:{error.port}"


def raiseDescriptorLimit() -> None:
    """
    Raise the soft limit of open descriptors to the hard one: a tunnel takes
    two, and the usual soft limit is 1024.
    """
    try:
        import resource
    except ImportError:  # not on this system
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        _log.warn(
            "The limit of open descriptors stays at {soft}: {error}",
            soft=soft,
            error=error,
        )
