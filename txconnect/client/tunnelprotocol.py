"""
The protocol of a connection to a proxy: first for the negotiation with the
proxy, then for the caller's protocol.  See L{txconnect.client.negotiation}.

Two objects share the work, because they live for different times.  The
L{TunnelProtocol} lives as long as the connection, and so must keep little; the
L{ProxyConnection} leads to the negotiation, with its credentials, and is let go
at the hand-over.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Protocol as Shape

from twisted.internet.error import ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IReadDescriptor,
    ITransport,
)
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer


class NegotiationEvents(Shape):
    """The calls that a L{ProxyConnection} makes."""

    def acceptConnection(self, connection: ProxyConnection) -> bool:
        """Take a new connection; return false if it is not wanted."""

    def connectionReceived(self, data: bytes) -> None:
        """Take octets that the connection has brought."""

    def connectionEnded(self, clean: bool) -> None:
        """Note that the connection has ended, or its input has."""

    def connectionFailed(self, failure: Failure) -> None:
        """Note that the connection has failed in another way, as by TLS."""

    def handOver(self, connection: ProxyConnection, trailing: bytes) -> None:
        """Make the connection the caller's tunnel."""

    def failConnect(self, failure: Failure) -> None:
        """Fail: there will be no tunnel."""

    def dialAgain(self) -> None:
        """Dial another connection."""


@implementer(IHalfCloseableProtocol)
class ProxyConnection:
    """
    A connection to the proxy until it is a tunnel, or is dropped: a
    L{NegotiationTransport<txconnect.client.negotiation.NegotiationTransport>}.

    @ivar protocol: the protocol of its transport.
    """

    def __init__(self, protocol: TunnelProtocol, events: NegotiationEvents) -> None:
        self.protocol = protocol
        self._events = events
        self._over = False
        self._ended = False

    # Calls from the protocol.

    def connectionMade(self) -> None:
        """Offer the new connection to the negotiation."""
        if not self._events.acceptConnection(self):
            self.dropConnection()

    def dataReceived(self, data: bytes) -> None:
        """Pass on octets of the proxy."""
        # A transport may have more in store after it was dropped.
        if not self._over:
            self._events.connectionReceived(data)

    def readConnectionLost(self) -> None:
        """Report that the proxy has ended its side."""
        self._reportEnd(True)

    def writeConnectionLost(self) -> None:
        """Do nothing: our side is never ended before the hand-over."""

    def connectionLost(self, reason: Failure) -> None:
        """Report the loss of the connection, also by a failure of TLS."""
        # TLS failures are no ConnectionClosed.  They keep their own error, as
        # that names the certificate, or whatever else was wrong.
        if reason.check(ConnectionClosed) is not None:
            self._reportEnd(reason.check(ConnectionDone) is not None)
        elif not self._over:
            self._over = True
            self._events.connectionFailed(reason)

    def _reportEnd(self, clean: bool) -> None:
        # The end of input comes first and the loss after it: only one counts.
        if not self._ended:
            self._ended = True
            if not self._over:
                self._events.connectionEnded(clean)

    # Calls from the negotiator.

    def write(self, data: bytes) -> None:
        """Send octets."""
        if not (self._over or self._ended):
            self.protocol.transport.write(data)

    def establishTunnel(self, trailing: bytes) -> None:
        """Make this connection the tunnel."""
        if not self._over:
            self._over = True
            self._events.handOver(self, trailing)

    def failAttempt(self, error: Exception | Failure) -> None:
        """Fail the attempt."""
        if not self._over:
            failure = error if isinstance(error, Failure) else Failure(error)
            self._events.failConnect(failure)

    def reconnect(self) -> None:
        """Ask for another connection."""
        if not self._over:
            self._events.dialAgain()

    def dropConnection(self) -> None:
        """Abort the connection, if it is not lost already."""
        self._over = True
        if not self.protocol.lost:
            transport = self.protocol.transport
            # Not every transport can abort: a process as the proxy's endpoint
            # cannot.
            getattr(transport, "abortConnection", transport.loseConnection)()


@implementer(IHalfCloseableProtocol)
class TunnelProtocol(Protocol):
    """
    The protocol of one connection to the proxy, for as long as that lives.

    It provides L{IHalfCloseableProtocol} from the start, because wrappers look
    only then; the interfaces of the caller's protocol decide about its effect.
    It can provide nothing else: of several interfaces the wrapper of Twisted's
    own endpoints keeps the last one, and forgets half-close for
    IHandshakeListener.

    @ivar lost: true once the connection is lost.
    """

    # Any connected stream transport, of the reactor or of a wrapper.
    transport: ITransport
    lost = False

    # The receiver's own, looked up each time, by C code alone: that of a proxy
    # within this one, or of a protocol which rebinds it, is not missed, and
    # however many of these are nested none of them is called.
    dataReceived: Any = property(attrgetter("_receiver.dataReceived"))

    def __init__(self, events: NegotiationEvents) -> None:
        self._receiver: ProxyConnection | IProtocol = ProxyConnection(self, events)
        self._factory: IProtocolFactory | None = None

    def adoptProtocol(self, protocol: IProtocol, factory: IProtocolFactory) -> None:
        """
        Pass every event on to the caller's protocol from now on.

        @param factory: is stopped when the connection is lost.
        """
        self._receiver = protocol
        self._factory = factory
        protocol.makeConnection(self.transport)

    def deliverTrailing(self, trailing: bytes) -> None:
        """Pass on the octets that followed the proxy's answer."""
        # Not to a protocol that has closed by now: Twisted's transports do not
        # deliver after loseConnection either.
        if trailing and not (
            self.lost or getattr(self.transport, "disconnecting", False)
        ):
            self._receiver.dataReceived(trailing)

    # Calls from the transport.

    def connectionMade(self) -> None:
        self._receiver.connectionMade()

    def readConnectionLost(self) -> None:
        if IHalfCloseableProtocol.providedBy(self._receiver):
            self._receiver.readConnectionLost()
        else:
            self._closeAtEnd()

    def writeConnectionLost(self) -> None:
        if IHalfCloseableProtocol.providedBy(self._receiver):
            self._receiver.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = True
        factory, self._factory = self._factory, None
        # The factory is stopped even if the caller's protocol raises.
        try:
            self._receiver.connectionLost(reason)
        finally:
            if factory is not None:
                factory.doStop()

    def _closeAtEnd(self) -> None:
        """
        Close at the end of input, as Twisted's own transports do for a protocol
        that knows no half-close: the connection is lost, at once.
        """
        transport = self.transport
        # Wrappers claim to provide whatever the transport below them does.
        if IReadDescriptor.providedBy(transport) and not IProtocol.providedBy(
            transport
        ):
            transport.connectionLost(Failure(ConnectionDone()))
        else:
            transport.loseConnection()
