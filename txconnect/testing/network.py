"""
A network in memory, and a reactor that lives on it.

L{MemoryNetwork} is given to the code under test in place of the reactor.
The transports are Twisted's own TCP transports; only the sockets below them
are made here.  So pausing really holds data, FIN and RST back, a window that
is full really stops the writer, and C{loseWriteConnection} really half-closes,
with all the traps of the real ones.  Nothing moves until a test drives it,
and then always in the same order.

Three ways to see to it that a test stands on firm ground: L{MemoryNetwork.flush}
raises when things do not come to rest, L{MemoryNetwork.failures} keeps what
was raised into the reactor, and L{MemoryNetwork.assertClean} complains of
whatever is left.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import (
    IConnector,
    IListeningPort,
    IReactorTCP,
)
from zope.interface import implementer

from txconnect.testing.addressing import familyOf
from txconnect.testing.kernel import Chunk, Kernel
from txconnect.testing.peers import Destination, Peer
from txconnect.testing.reactor import MemoryReactor
from txconnect.testing.sockets import SILENCE
from txconnect.testing.transports import (
    MemoryConnector,
    MemoryPort,
    OutsidePort,
    PeerTransport,
    TLSLikeFactory,
)

if TYPE_CHECKING:
    from OpenSSL.crypto import X509


@implementer(IReactorTCP)
class MemoryNetwork(MemoryReactor):
    """
    A reactor and the network around it.

    Addresses are IP literals.  The machine of the code under test has
    L{OWN_ADDRESSES<txconnect.testing.addressing.OWN_ADDRESSES>}; any other
    address is somewhere else, and where nobody L{serve}s connections are
    refused.

    @param chunk: how the code under test is given what arrives: L{None} for
        as much as is there (at most 65536 octets), a number for at most that
        many at a time, C{"random"} for random pieces.
    @param windowSize: octets that may be under way in one direction before
        the sender has to wait.
    @param seed: for the random pieces.
    @param resetDiscards: what a RST does to data that has arrived and was not
        read yet.  By default it is still read, as on Linux; true takes it
        away, as other systems do and as one that overtakes the data would.
    """

    def __init__(
        self,
        chunk: Chunk = None,
        windowSize: int = 65536,
        seed: int = 0,
        resetDiscards: bool = False,
    ) -> None:
        super().__init__(Kernel(chunk, windowSize, seed, resetDiscards))
        self._tlsLike: dict[tuple[int, str | None], X509 | None] = {}

    # IReactorTCP.

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        Listen, as the code under test.

        @raise twisted.internet.error.CannotListenError: when someone listens
            there already.
        """
        wrapped = self._dressed(factory, port, interface)
        return self._listen(MemoryPort(port, wrapped, backlog, interface, self))

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: Any = None,
    ) -> IConnector:
        """
        Connect to an IP literal, as the code under test.

        @raise ValueError: for a name: nothing is looked up here.
        """
        if not (isIPAddress(host) or isIPv6Address(host)):
            raise ValueError(f"{host!r} is no IP address, and nothing resolves it here")
        wrapped = self._dressed(factory, port, host)
        connector = MemoryConnector(host, port, wrapped, timeout, bindAddress, self)
        connector.connect()
        return connector

    def _listen(self, port: MemoryPort) -> IListeningPort:
        port.startListening()
        return port

    def _dressed(self, factory: Any, port: int, host: str) -> Any:
        for place in ((port, host), (port, None)):
            if place in self._tlsLike:
                return TLSLikeFactory(factory, self._tlsLike[place])
        return factory

    # The rest of the world.

    def connect(self, host: str, port: int, source: str | None = None) -> Peer:
        """
        Connect a client of the test's own.  It may send at once.

        @param source: the IP literal that it comes from; by default the
            machine itself.
        @raise ConnectError: where nobody listens, or as it is scripted; for a
            L{blackhole} a L{TimeoutError<twisted.internet.error.TimeoutError>}.
        """
        opened = self.kernel.socket(familyOf(host), outside=True)
        if source is not None:
            opened.bind((source, 0))
        result = opened.connect_ex((host, port))
        if not opened.connected:
            opened.close()
            if result == errno.EINPROGRESS:
                raise error.TimeoutError()
            raise error.getConnectError((result, os.strerror(result)))
        peer = Peer()
        transport = PeerTransport(opened, peer, self)
        peer.makeConnection(transport)  # type: ignore[no-untyped-call]
        return peer

    def serve(
        self,
        host: str,
        port: int,
        banner: bytes = b"",
        echo: bool = False,
        accepted: Callable[[Peer], object] | None = None,
    ) -> Destination:
        """
        Let someone accept connections.

        @param banner: what it says to whoever connects.
        @param echo: whether it sends back what it is sent, to the end.
        @param accepted: called with each L{Peer} when it is connected.
        """
        destination = Destination(banner, echo, accepted)
        destination.port = self._listen(OutsidePort(port, destination, 50, host, self))
        return destination

    def tlsLike(
        self, port: int, host: str | None = None, certificate: X509 | None = None
    ) -> None:
        """
        From now on give the code under test transports with the manners of
        TLS (L{TLSLike<txconnect.testing.transports.TLSLike>}) where it listens
        on, or connects to, this port.  A test's own peers stay plain.

        @param host: the interface or destination; L{None} for all.
        @param certificate: what C{getPeerCertificate} gives.
        """
        self._tlsLike[port, host] = certificate

    def fail(self, host: str, port: int | None, number: int) -> None:
        """
        Let whoever connects there fail.

        @param port: L{None} for every port.
        @param number: an C{errno}.
        """
        self.kernel.fates[host, port] = number

    def refuse(self, host: str, port: int | None = None) -> None:
        """Refuse connections, as where nobody listens."""
        self.fail(host, port, errno.ECONNREFUSED)

    def unroutable(self, host: str, port: int | None = None) -> None:
        """Let there be no route."""
        self.fail(host, port, errno.ENETUNREACH)

    def blackhole(self, host: str, port: int | None = None) -> None:
        """Let nobody ever answer."""
        self.fail(host, port, SILENCE)

    def exhaust(self, exhausted: bool = True) -> None:
        """Let the code under test have no more descriptors to dial with."""
        self.kernel.exhausted = exhausted
