"""
Listening sockets that several processes share.

An endpoint listens by a call of its reactor.  L{HeldSockets} is the reactor that
an endpoint gets in the parent: the real one binds, and accepts nothing.
L{HandedSockets} is the reactor that the same endpoint gets in a worker: each
call returns the next of the sockets that the parent has bound, in the same
order.  So every endpoint that only listens can be shared, and the workers do
TLS.

(SO_REUSEPORT, which Twisted has from 26.10 on, would do without this.  But then
a worker that dies takes along the connections that wait in its own queue, and a
second proxy of the same user on the port goes unnoticed.)
"""

from __future__ import annotations

import re
import socket
from typing import Any, NoReturn, Protocol

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IOpenSSLContextFactory,
    IProtocolFactory,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from txconnect.errors import ConfigurationError

_SYSTEMD = re.compile(r"\A((?:haproxy:)?)systemd:.*", re.DOTALL)


class CannotShare(ConfigurationError, AttributeError):
    """
    An endpoint needs more of its reactor than to listen.

    An C{AttributeError} as well, so that C{hasattr} and C{getattr} with a default
    work on the reactor.
    """


class _StreamPort(Protocol):
    """A port of a reactor, bound to a stream socket."""

    def fileno(self) -> int: ...
    def startReading(self) -> None: ...
    def stopReading(self) -> None: ...
    def getHost(self) -> IAddress: ...


class _ListeningOnly:
    """A reactor without any methods but those of its subclasses."""

    def __getattr__(self, name: str) -> NoReturn:
        raise CannotShare(
            "workers can share only endpoints that listen on a stream socket, and this "
            f"one needs the reactor's {name}; leave out --workers, or listen with tcp: "
            "or unix:"
        )


class HeldSockets(_ListeningOnly):
    """
    The parent's reactor for an endpoint: binds, and never accepts.

    @ivar ports: the ports that have been bound.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.ports: list[_StreamPort] = []

    def listenTCP(
        self,
        port: int,
        factory: IProtocolFactory,
        backlog: int = 50,
        interface: str = "",
    ) -> _StreamPort:
        """Bind, as of C{IReactorTCP}."""
        return self._holdPort(
            self._reactor.listenTCP(port, factory, backlog, interface)
        )

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: object,
        backlog: int = 50,
        interface: str = "",
    ) -> _StreamPort:
        """Bind, as of C{IReactorSSL}, without TLS: the parent accepts nothing."""
        return self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(
        self,
        address: str,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> _StreamPort:
        """Bind, as of C{IReactorUNIX}."""
        return self._holdPort(
            self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)
        )

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> _StreamPort:
        """Take over a bound socket, as of C{IReactorSocket}."""
        return self._holdPort(
            self._reactor.adoptStreamPort(fileDescriptor, addressFamily, factory)
        )

    def descriptors(self) -> list[int]:
        """
        Return the descriptors of the sockets to hand on.

        @raise ConfigurationError: there is no socket, so nothing can be shared.
        """
        descriptors = [port.fileno() for port in self.ports]
        # A closed port has -1.
        if not any(descriptor >= 0 for descriptor in descriptors):
            raise ConfigurationError("it has no socket to listen on")
        return [descriptor for descriptor in descriptors if descriptor >= 0]

    def _holdPort(self, port: _StreamPort) -> _StreamPort:
        # The reactor has not run since the port began: it has accepted nothing.
        port.stopReading()
        self.ports.append(port)
        return port


class HandedSockets(_ListeningOnly):
    """
    A worker's reactor for an endpoint: listens on the sockets that the parent
    has bound.
    """

    def __init__(self, reactor: Any, descriptors: list[int]) -> None:
        """
        @param descriptors: of one endpoint's sockets, in their order; each is
            closed once it is given.
        """
        self._reactor = reactor
        self._descriptors = list(descriptors)

    def listenTCP(
        self, port: int, factory: IProtocolFactory, *_: object, **__: object
    ) -> IListeningPort:
        """Listen on the next socket."""
        return self._nextSocket(factory)

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: IOpenSSLContextFactory,
        *_: object,
        **__: object,
    ) -> IListeningPort:
        """Listen on the next socket, with TLS for each connection."""
        return self._nextSocket(TLSMemoryBIOFactory(contextFactory, False, factory))

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, *_: object, **__: object
    ) -> IListeningPort:
        """Listen on the next socket; its path stays when it is closed here."""
        return self._nextSocket(factory)

    def _nextSocket(self, factory: IProtocolFactory) -> IListeningPort:
        if not self._descriptors:
            raise ConfigurationError("the parent has bound fewer sockets than this")
        with socket.socket(fileno=self._descriptors.pop(0)) as shared:
            # This duplicates the descriptor, so ours can be closed.
            port = self._reactor.adoptStreamPort(
                shared.fileno(), shared.family, factory
            )
        if isinstance(port.getHost(), UNIXAddress):
            return _SharedPath(port)
        listening: IListeningPort = port
        return listening


@implementer(IListeningPort)
class _SharedPath:
    """
    A UNIX port on which other processes listen as well.

    Twisted's port removes its path when it stops, so this one only ceases to
    accept.
    """

    def __init__(self, port: _StreamPort) -> None:
        self._port = port

    def startListening(self) -> None:
        self._port.startReading()

    def stopListening(self) -> Deferred[None]:
        self._port.stopReading()
        return succeed(None)

    def getHost(self) -> IAddress:
        return self._port.getHost()


def sharedEndpoint(description: str) -> str:
    """
    Return a C{--listen} for a worker: the parent has the sockets of C{systemd:},
    and the worker has inherited them from it.
    """
    # Any endpoint that listens once will do: HandedSockets ignores the port.
    return _SYSTEMD.sub(r"\1tcp:0", description)
