"""
The service that binds the ports, judges them, and runs the proxy.

An endpoint listens before it tells where, so each port is bound with a closed
L{Gate} as its factory: a connection that arrives before the port has been judged
gets no protocol, and Twisted closes it.  The judgement comes from the port's own
address, because the string of C{systemd:} or of a nested endpoint tells nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

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
"""
With C{CannotListenError}, the exceptions whose message is enough for the operator;
any other is logged with its traceback.
"""


class ListenedProxy(Protocol):
    """The proxy of a L{ListeningService}, which is an C{IService} too."""

    def addListener(self, address: IAddress) -> None:
        """Add an address at which this proxy listens."""

    def acceptBare(self, port: IListeningPort, factory: IProtocolFactory) -> None:
        """Have a port accept without transports of the reactor's, if it can."""


class Gate(Factory):
    """
    A factory that refuses connections until their listener has been judged;
    then it adds one call a connection and nothing a byte.
    """

    noisy = False

    def __init__(self, factory: IProtocolFactory) -> None:
        self.open = False
        self._factory: Any = factory
        # TLS looks for the interface on the factory that it was given: ours.
        if IProtocolNegotiationFactory.providedBy(factory):
            alsoProvides(self, IProtocolNegotiationFactory)

    def startFactory(self) -> None:
        self._factory.doStart()

    def stopFactory(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._factory.buildProtocol(addr) if self.open else None

    def acceptableProtocols(self) -> list[bytes]:
        """Return the protocols that the proxy's factory offers for ALPN."""
        return list(self._factory.acceptableProtocols())


class ListeningService(Service):
    """
    A proxy with its listeners, as one service.

    Listens when C{twistd} still has its privileges, or else at
    C{startService}; starts the proxy once all ports are bound, and stops it
    once all are closed.

    @ivar proxy: the L{txconnect.proxy.ConnectProxy}: an C{IService} that is
        also a L{ListenedProxy}.
    """

    def __init__(
        self,
        proxy: ListenedProxy,
        factory: IProtocolFactory,
        listeners: Sequence[Listener],
        exit: Exit,
        *,
        guarded: bool,
        announce: Callable[[Sequence[tuple[Listener, IAddress]]], object],
    ) -> None:
        """
        @param guarded: true when every listener may be reached by others: users
            are authenticated, or the operator wants an open proxy.
        @param announce: called once, when all listen and the proxy runs.
        @param exit: the end of the program when they cannot.
        """
        # Its readers know which it is: the proxy, or the parent of workers.
        self.proxy: Any = proxy
        self._factory = factory
        self._listeners = listeners
        self._exit = exit
        self._guarded = guarded
        self._announce = announce
        self._waiting: list[Deferred[None]] = []
        self._ports: dict[int, IListeningPort] = {}
        self._starting = False
        self._listening = False
        # The first reason for which it cannot listen.
        self._failure: CannotStart | None = None

    def privilegedStartService(self) -> None:
        """Bind the ports.  Only C{twistd} calls this."""
        Service.privilegedStartService(self)
        IService(self.proxy).privilegedStartService()
        self._bindPorts()

    def startService(self) -> None:
        """Bind the ports unless they are bound, then run the proxy."""
        Service.startService(self)
        if not self._listening:
            self._bindPorts()
        self._startProxy()
        # Nearly always fired by now; with a port that is bound late, all are
        # announced late.
        ready = DeferredList(self._waiting)
        ready.addCallback(lambda _: self._announcePorts())

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
            # From a plugin that is a service: a log that cannot be opened, say.
            # Threads that run already would keep the program from ending.
            self._closePorts()
            maybeDeferred(IService(self.proxy).stopService)
            self._exit.endStartup(CannotStart(f"cannot start: {error}", str(error)))

    def _bindPorts(self) -> None:
        self._starting = self._listening = True
        self._waiting.clear()
        raiseDescriptorLimit()
        # A failure of one is kept in self._failure and raised after the loop: from
        # a callback it would only fail that listener's Deferred.
        for number, listener in enumerate(self._listeners):
            gate = Gate(self._factory)
            waiting = maybeDeferred(listener.endpoint.listen, gate)
            bound = waiting.addCallback(self._portBound, number, listener, gate)
            self._waiting.append(bound.addErrback(self._listenFailed, listener))
        self._starting = False
        if self._failure is not None:
            self._closePorts()
            self._exit.endStartup(self._failure)

    def _portBound(
        self, port: IListeningPort, number: int, listener: Listener, gate: Gate
    ) -> None:
        # Stopped meanwhile, and the endpoint could not be cancelled.
        if not self._listening:
            port.stopListening()
            return
        self._ports[number] = port
        host = port.getHost()
        if not (self._guarded or listener.certified or listener.isLocal(host)):
            raise _unguardedError(host, listener.forwarded)
        # Before the first connection: a request to this address is a loop.
        self.proxy.addListener(host)
        self.proxy.acceptBare(port, gate)
        gate.open = True

    def _listenFailed(self, failure: Failure, listener: Listener) -> None:
        # Only the first is reported: by it the program ends.
        if failure.check(CancelledError) or self._failure is not None:
            return
        self._failure = _startError(failure, listener)
        if not failure.check(CannotListenError, *_EXPECTED):
            _log.failure(
                "Listening on {where} failed", failure, where=listener.description
            )
        if not self._starting:
            self._exit.endRunning(self._failure)

    def _announcePorts(self) -> None:
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


def _unguardedError(host: IAddress, forwarded: bool) -> CannotStart:
    where = shownAddress(host)
    reach, instead = "is within reach of others", "listen on 127.0.0.1, "
    if forwarded:
        reach, instead = "receives clients of a balancer", ""
    return CannotStart(
        f"refusing to start: {where} {reach} and nothing guards it; ask for "
        f"passwords (--auth htpasswd:users), {instead}or say --open-proxy to let "
        "everyone through",
        f"{where}: needs --auth or --open-proxy",
    )


def _startError(failure: Failure, listener: Listener) -> CannotStart:
    error = failure.value
    if isinstance(error, CannotStart):
        return error
    if isinstance(error, ConfigurationError):
        # Its own sentence says of what.
        return CannotStart(f"cannot listen: {error}", str(error))
    if not isinstance(error, CannotListenError):
        # Such as a lock file's, of a directory that is not there: it names no address.
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        short = f"{listener.description}: {text}"
        return CannotStart(f"cannot listen on {short}", short)
    reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
    short = f"{_failedAddress(error)}: {reason}"
    return CannotStart(f"cannot listen on {short}", short)


def _failedAddress(error: CannotListenError) -> str:
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
