"""
A network in memory, and the reactor that drives it.

The code under test gets a L{MemoryNetwork} in place of the reactor.  The
transports are Twisted's own TCP transports; only the sockets below them are
made here.  So a pause really holds data, FIN and RST back, a full window
really stops the writer, and C{loseWriteConnection} really half-closes, with
all the traps of the real ones.  A transport written for tests would behave as
its writer remembers Twisted's; some twenty scenarios compare these with the
kernel's sockets.  Nothing moves until a test drives it, and then always in the
same order.

Three checks keep a test honest: L{MemoryNetwork.flush} raises when the network
does not come to rest, L{MemoryNetwork.failures} keeps the exceptions that were
raised into the reactor, and L{MemoryNetwork.assertClean} raises when the code
under test leaves anything open.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import (
    IConnector,
    IListeningPort,
    IProtocolFactory,
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

_F = TypeVar("_F", bound=IProtocolFactory)


@implementer(IReactorTCP)
class MemoryNetwork(MemoryReactor):
    """
    A reactor and the network around it.

    Addresses are IP literals.  The machine of the code under test has
    L{OWN_ADDRESSES<txconnect.testing.addressing.OWN_ADDRESSES>}; any other
    address is on another machine, and refuses connections until a destination
    is L{serve}d there.

    @param chunk: the size of the reads of the code under test: L{None} for
        all available octets (at most 65536), a number for at most that many
        at a time, C{"random"} for random pieces.
    @param windowSize: octets that may be under way in one direction before
        the sender has to wait.
    @param seed: for the random pieces.
    @param resetDiscards: true when a RST drops data that has arrived and was
        not read yet, as on other systems, and as a RST does that overtakes
        the data.  By default the data can still be read, as on Linux.
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
        self,
        port: int,
        factory: IProtocolFactory,
        backlog: int = 50,
        interface: str = "",
    ) -> IListeningPort:
        """
        Listen, as the code under test.

        @raise twisted.internet.error.CannotListenError: when the address and
            port are taken.
        """
        wrapped = self._wrapFactory(factory, port, interface)
        return self._startPort(MemoryPort(port, wrapped, backlog, interface, self))

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """
        Connect to an IP literal, as the code under test.

        @raise ValueError: for a name: nothing is looked up here.
        """
        # The proxy must dial addresses that its policies have judged; a name here
        # is a bug of its, which a look-up would hide.
        if not (isIPAddress(host) or isIPv6Address(host)):
            raise ValueError(f"{host!r} is no IP address, and nothing resolves it here")
        wrapped = self._wrapFactory(factory, port, host)
        connector = MemoryConnector(host, port, wrapped, timeout, bindAddress, self)
        connector.connect()
        return connector

    def _startPort(self, port: MemoryPort) -> IListeningPort:
        port.startListening()
        return port

    def _wrapFactory(self, factory: _F, port: int, host: str) -> _F | TLSLikeFactory:
        for place in ((port, host), (port, None)):
            if place in self._tlsLike:
                return TLSLikeFactory(factory, self._tlsLike[place])
        return factory

    # The other machines.

    def connect(self, host: str, port: int, source: str | None = None) -> Peer:
        """
        Connect a client of the test's own.  It may send at once.

        @param source: the client's address, an IP literal; by default the
            machine itself.
        @raise ConnectError: nothing listens there, or the test has scripted an
            error; for a L{blackhole} a
            L{TimeoutError<twisted.internet.error.TimeoutError>}.
        """
        opened = self.kernel.socket(familyOf(host), outside=True)
        if source is not None:
            opened.bind((source, 0))
        result = opened.connect_ex((host, port))
        if not opened.wasConnected:
            opened.close()
            # Where nothing answers, a real client ends with its own time-out.
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
        Let a destination accept connections.

        @param banner: the octets that it sends first on each connection.
        @param echo: true when it sends all octets back, and at last its FIN.
        @param accepted: called with each L{Peer} when it is connected.
        """
        destination = Destination(banner, echo, accepted)
        destination.port = self._startPort(
            OutsidePort(port, destination, 50, host, self)
        )
        return destination

    def tlsLike(
        self, port: int, host: str | None = None, certificate: X509 | None = None
    ) -> None:
        """
        From now on give the code under test transports with the manners of
        TLS (L{TLSLike<txconnect.testing.transports.TLSLike>}) where it listens
        on, or connects to, this port.  A test's own peers stay plain.

        @param host: the interface or destination; L{None} for all.
        @param certificate: the result of C{getPeerCertificate}.
        """
        self._tlsLike[port, host] = certificate

    def fail(self, host: str, port: int | None, number: int) -> None:
        """
        Let connections to an address fail.

        @param port: L{None} for every port.
        @param number: an C{errno}.
        """
        self.kernel.fates[host, port] = number

    def refuse(self, host: str, port: int | None = None) -> None:
        """Refuse connections, as an address without a listener does."""
        self.fail(host, port, errno.ECONNREFUSED)

    def unroutable(self, host: str, port: int | None = None) -> None:
        """Let connections fail for want of a route."""
        self.fail(host, port, errno.ENETUNREACH)

    def blackhole(self, host: str, port: int | None = None) -> None:
        """Let connections wait for an answer that never comes."""
        self.fail(host, port, SILENCE)

    def exhaust(self, exhausted: bool = True) -> None:
        """Leave the code under test without descriptors for new sockets."""
        self.kernel.exhausted = exhausted
