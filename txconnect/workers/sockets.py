"""
Listening sockets that several processes share.

An endpoint listens by asking its reactor.  L{HeldSockets} is the reactor that
an endpoint gets in the parent: the real one binds, and accepts nothing.
L{HandedSockets} is the one that the same endpoint gets in a worker: whatever it
asks for, it is given the sockets that the parent has bound, in the same order.
So every endpoint that only listens can be shared, and TLS is spoken by the
workers.

(SO_REUSEPORT, which Twisted has from 26.10 on, would do without this.  But then
a worker that dies takes along the connections that wait in its own queue, and a
second proxy of the same user on the port goes unnoticed.)
"""

from __future__ import annotations

import re
import socket
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from txconnect.errors import ConfigurationError

_SYSTEMD = re.compile(r"\A((?:haproxy:)?)systemd:.*", re.DOTALL)


class CannotShare(ConfigurationError, AttributeError):
    """
    An endpoint asks for more than to listen.

    An C{AttributeError} as well, so that asking whether a reactor can do
    something is answered and does not fail.
    """


class _Listens:
    def __getattr__(self, name: str) -> Any:
        raise CannotShare(
            "workers can share only what listens on a stream socket, and this asks "
            f"the reactor for {name}; leave out --workers, or listen with tcp: or unix:"
        )


class HeldSockets(_Listens):
    """
    The parent's: binds, and never accepts.

    @ivar ports: what has been bound.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.ports: list[Any] = []

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        """Bind, as of C{IReactorTCP}."""
        return self._hold(self._reactor.listenTCP(port, factory, backlog, interface))

    def listenSSL(
        self,
        port: int,
        factory: Any,
        contextFactory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> Any:
        """Bind, as of C{IReactorSSL}, without TLS: nobody speaks it here."""
        return self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(
        self,
        address: str,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> Any:
        """Bind, as of C{IReactorUNIX}."""
        return self._hold(
            self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)
        )

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: Any
    ) -> Any:
        """Take over what is bound already, as of C{IReactorSocket}."""
        return self._hold(
            self._reactor.adoptStreamPort(fileDescriptor, addressFamily, factory)
        )

    def descriptors(self) -> list[int]:
        """
        The sockets to hand on.

        @raise ConfigurationError: there is none, so nothing can be shared.
        """
        descriptors = [port.fileno() for port in self.ports]
        # Of a port that has been closed it is -1.
        if not any(descriptor >= 0 for descriptor in descriptors):
            raise ConfigurationError("it has no socket to listen on")
        return [descriptor for descriptor in descriptors if descriptor >= 0]

    def _hold(self, port: Any) -> Any:
        # The reactor has not turned since: nothing is accepted yet.
        port.stopReading()
        self.ports.append(port)
        return port


class HandedSockets(_Listens):
    """
    A worker's: gives what the parent has bound.
    """

    def __init__(self, reactor: Any, descriptors: list[int]) -> None:
        """
        @param descriptors: of one endpoint's sockets, in their order; each is
            closed once it is given.
        """
        self._reactor = reactor
        self._descriptors = list(descriptors)

    def listenTCP(self, port: int, factory: Any, *_: Any, **__: Any) -> IListeningPort:
        """The next socket."""
        return self._next(factory)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, *_: Any, **__: Any
    ) -> IListeningPort:
        """The next socket, with TLS on what it accepts."""
        return self._next(TLSMemoryBIOFactory(contextFactory, False, factory))

    def listenUNIX(
        self, address: str, factory: Any, *_: Any, **__: Any
    ) -> IListeningPort:
        """The next socket; its path stays when it is closed here."""
        return self._next(factory)

    def _next(self, factory: Any) -> IListeningPort:
        if not self._descriptors:
            raise ConfigurationError("the parent has bound fewer sockets than this")
        with socket.socket(fileno=self._descriptors.pop(0)) as shared:
            # This duplicates it.
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
    A UNIX port that others listen on as well: one that is stopped removes its
    path, so this one only ceases to accept.
    """

    def __init__(self, port: Any) -> None:
        self._port = port

    def startListening(self) -> None:
        self._port.startReading()

    def stopListening(self) -> Deferred[None]:
        self._port.stopReading()
        return succeed(None)

    def getHost(self) -> IAddress:
        host: IAddress = self._port.getHost()
        return host


def sharedEndpoint(description: str) -> str:
    """
    A C{--listen} as a worker has to read it: the sockets of C{systemd:} were
    handed to the parent, and the worker has them from there.
    """
    return _SYSTEMD.sub(r"\1tcp:0", description)
