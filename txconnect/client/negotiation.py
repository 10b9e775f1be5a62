"""
The negotiation with a proxy, whatever its kind: connect to the proxy, let a
L{ProxyNegotiator} speak to it, and hand the connection over to the caller's
protocol.

The hand-over is the place where octets get lost, so these are its rules:

  - The caller's protocol gets the real transport.  Nothing of this module is
    in the way of writes, producers, C{startTLS} or closing.
  - A L{TunnelProtocol<txconnect.client.tunnelprotocol.TunnelProtocol>} stays
    the protocol of that transport for good, because C{transport.protocol}
    cannot be changed through TLS and other wrappers.  It adds no call to
    reading.
  - The order is: C{connectionMade}; then the caller's Deferred; then the
    octets that followed the proxy's answer, even if the end of input or the
    loss of the connection came with them; then everything else.  Those octets
    have been read already: a protocol that has paused its transport by then
    still gets them, as it would from a TLS transport, and nothing more.

B{To speak another protocol} than HTTP, write a L{ProxyNegotiator}, and in the
endpoint's C{connect}::

    return Negotiation(proxyEndpoint, negotiator, factory, timeout, clock).start()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol as Shape

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectingCancelledError, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from txconnect.client.destination import addressOf
from txconnect.client.errors import ProxyError, ProxyTimeout
from txconnect.client.proxynames import nameEndpoint, nameInError, nameTransport
from txconnect.client.tunnelprotocol import ProxyConnection, TunnelProtocol
from txconnect.wire.authority import Authority

if TYPE_CHECKING:
    from txconnect.values import AnyEndpoint

__all__ = ["Negotiation", "NegotiationTransport", "ProxyNegotiator"]


class NegotiationTransport(Shape):
    """
    The face of a connection to the proxy that a L{ProxyNegotiator} uses.  After
    the negotiator has reported its outcome, and after the end of the attempt,
    all of these methods do nothing.
    """

    def write(self, data: bytes) -> None:
        """Send octets to the proxy."""

    def establishTunnel(self, trailing: bytes) -> None:
        """
        Report that the connection is the tunnel now: hand it over.

        @param trailing: the octets that were read after the proxy's last
            message.
        """

    def failAttempt(self, error: Exception | Failure) -> None:
        """Drop the connection, and fail the caller's Deferred with C{error}."""

    def reconnect(self) -> None:
        """Drop the connection, dial another, and begin with that."""


class ProxyNegotiator(Shape):
    """
    The protocol spoken to a proxy until there is a tunnel, in one C{connect} of
    an endpoint.  It may take several connections, one after the other.

    L{Negotiation} calls, for each connection: C{beginNegotiation}; then any
    number of C{dataReceived}; then C{proxyEnded}, if the connection ends before
    the negotiator has reported its outcome.  The negotiator reports it by one
    call of the L{NegotiationTransport}'s C{establishTunnel}, C{failAttempt} or
    C{reconnect}, and gets no further call about that connection.  An exception
    from any of these methods fails the attempt as it is.

    @ivar authority: the destination.
    @ivar waitsFor: the event that is waited for now, in the words of
        L{ProxyTimeout}: C{"the proxy's answer"}.
    """

    authority: Authority
    waitsFor: str

    def beginNegotiation(self, transport: NegotiationTransport) -> None:
        """
        Speak on a new connection to the proxy.

        @param transport: that connection, until C{reconnect}.
        """

    def dataReceived(self, data: bytes) -> None:
        """Take octets of the proxy, at least one."""

    def proxyEnded(self, clean: bool) -> None:
        """
        Fail, or dial again: the proxy sends nothing more.  A negotiator that
        waits for something else may also do so later.

        @param clean: true if the connection ended in order, false after a
            reset.
        """

    def deadlineError(self) -> Exception | None:
        """
        Return a more precise error than L{ProxyTimeout}; called at the
        deadline.

        @return: the error to fail with where more is known by now, such as a
            refusal whose content does not end; else L{None}.
        """

    def stopNegotiation(self) -> None:
        """
        Cancel everything under way, such as timers or a request for
        credentials: the attempt is over, whatever its outcome.  Called once.
        """


def globalClock() -> IReactorTime:
    """Return the global reactor, the clock of an endpoint without its own."""
    # Imported late: an import at the head would install a reactor.
    from twisted.internet import reactor

    return IReactorTime(reactor)


class Negotiation:
    """
    One attempt of an endpoint to get a tunnel.  It provides the
    L{NegotiationEvents<txconnect.client.tunnelprotocol.NegotiationEvents>} of
    its L{ProxyConnection}.

    @param proxyEndpoint: the endpoint of the proxy itself.
    @param negotiator: the protocol spoken to the proxy.
    @param factory: the caller's.  It is started now, builds its protocol when
        there is a tunnel, and is stopped when the tunnel is lost or cannot be
        had.
    @param timeout: seconds for all of it, or L{None} for no limit.
    @param clock: for the deadline.
    """

    def __init__(
        self,
        proxyEndpoint: AnyEndpoint,
        negotiator: ProxyNegotiator,
        factory: IProtocolFactory,
        timeout: float | None,
        clock: IReactorTime,
    ) -> None:
        self._proxyEndpoint = proxyEndpoint
        self._proxy = nameEndpoint(proxyEndpoint)
        self._negotiator = negotiator
        self._factory = factory
        self._timeout = timeout
        self._clock = clock
        self._address = addressOf(negotiator.authority)
        self._outcome: Deferred[IProtocol] = Deferred(self._connectCancelled)
        self._timer: IDelayedCall | None = None
        self._dial = _TunnelProtocolFactory(self)
        self._over = False
        self._connecting: Deferred[IProtocol] | None = None
        self._connection: ProxyConnection | None = None

    def start(self) -> Deferred[IProtocol]:
        """
        Begin the attempt; called once.

        @return: fires with the caller's protocol, connected.  Fails with a
            L{ProxyError<txconnect.client.errors.ProxyError>}, with the error of
            connecting to the proxy, with an exception of the negotiator or the
            factory, or with L{ConnectingCancelledError} when it is cancelled.
            By then there is no timer any more, and the connection is dropped.
        """
        self._factory.doStart()
        if self._timeout is not None:
            self._timer = self._clock.callLater(self._timeout, self._deadlinePassed)
        self._dialProxy()
        return self._outcome

    def buildTunnelProtocol(
        self, dial: _TunnelProtocolFactory
    ) -> TunnelProtocol | None:
        """Make the protocol of a connection, if that is still wanted."""
        # Some endpoints race several addresses and may connect twice.
        if dial is not self._dial or self._connection is not None:
            return None
        return TunnelProtocol(self)

    # Calls from the connection (NegotiationEvents).

    def acceptConnection(self, connection: ProxyConnection) -> bool:
        """
        Start negotiating on a new connection.

        @return: false for a connection that is not wanted, as a second one.
        """
        if self._over or self._connection is not None:
            return False
        self._connection = connection
        self._proxy = self._proxy or nameTransport(connection.protocol.transport)
        self._callNegotiator(self._negotiator.beginNegotiation, connection)
        return True

    def connectionReceived(self, data: bytes) -> None:
        """Pass octets of the connection to the negotiator."""
        self._callNegotiator(self._negotiator.dataReceived, data)

    def connectionEnded(self, clean: bool) -> None:
        """Tell the negotiator that the connection has ended, or its input."""
        self._callNegotiator(self._negotiator.proxyEnded, clean)

    def connectionFailed(self, failure: Failure) -> None:
        """Fail because the connection has, as by TLS: its error names the proxy."""
        nameInError(failure.value, self._proxy)
        self.failConnect(failure)

    # Outcomes, which the negotiator reports through its connection.

    def handOver(self, connection: ProxyConnection, trailing: bytes) -> None:
        """Hand the connection over to the caller's protocol."""
        try:
            protocol = self._factory.buildProtocol(self._address)
            if protocol is None:
                raise NoProtocol()
        except Exception:
            self.failConnect(Failure())
            return
        self._endAttempt()
        # The connection is the caller's from here on: a late cancellation must
        # not drop it.
        self._connection = None
        try:
            connection.protocol.adoptProtocol(protocol, self._factory)
        except Exception:
            self._outcome.errback(Failure())
            connection.dropConnection()
            return
        # In this order, so that a caller who adds callbacks, and sets things up
        # in them, has done so before the first octet.
        self._outcome.callback(protocol)
        connection.protocol.deliverTrailing(trailing)

    def failConnect(self, failure: Failure) -> None:
        """Fail the caller's Deferred: there is no tunnel to be had."""
        if self._over:
            return
        self._endAttempt()
        self._dropConnection()
        self._factory.doStop()
        error = failure.value
        if isinstance(error, ProxyError):
            # Of a proxy behind a proxy, the one nearer to us has named itself.
            error.proxy = error.proxy or self._proxy
        self._outcome.errback(failure)

    def dialAgain(self) -> None:
        """Replace the connection by a new one."""
        self._dropConnection()
        self._dialProxy()

    # Dialling, the deadline and the end of the attempt.

    def _dialProxy(self) -> None:
        dial = self._dial = _TunnelProtocolFactory(self)
        connecting = maybeDeferred(self._proxyEndpoint.connect, dial)
        connecting.addErrback(self._dialFailed, dial)
        # An endpoint may connect at once, and the negotiator may have ended the
        # attempt, or dialled again, before this line.
        if self._dial is dial and not self._over:
            self._connecting = connecting

    def _dialFailed(self, failure: Failure, dial: _TunnelProtocolFactory) -> None:
        # The failure of an earlier dial, given up since, is of no interest.
        if dial is self._dial:
            self.connectionFailed(failure)

    def _callNegotiator(
        self, function: Callable[..., object], *arguments: object
    ) -> None:
        try:
            function(*arguments)
        except Exception:
            self.failConnect(Failure())

    def _deadlinePassed(self) -> None:
        self._timer = None
        waitsFor = "a connection to the proxy"
        if self._connection is not None:
            waitsFor = self._negotiator.waitsFor
        timeout = ProxyTimeout(self._negotiator.authority, self._timeout or 0, waitsFor)
        self.failConnect(Failure(self._negotiator.deadlineError() or timeout))

    def _connectCancelled(self, outcome: object) -> None:
        self.failConnect(Failure(ConnectingCancelledError(self._address)))

    def _endAttempt(self) -> None:
        """Stop everything of this attempt but its connection."""
        self._over = True
        # The endpoint keeps its factory as long as the tunnel lives: with it
        # would stay the credentials that were used.
        self._dial.negotiation = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._negotiator.stopNegotiation()

    def _dropConnection(self) -> None:
        connection, self._connection = self._connection, None
        connecting, self._connecting = self._connecting, None
        if connection is not None:
            # An endpoint that has just connected cannot be cancelled any more.
            connection.dropConnection()
        elif connecting is not None:
            connecting.cancel()


class _TunnelProtocolFactory(Factory):
    """
    The factory that the proxy's endpoint gets: a new one for each dial, so that
    a connection of an earlier dial can be told from the current one.
    """

    noisy = False

    def __init__(self, negotiation: Negotiation) -> None:
        self.negotiation: Negotiation | None = negotiation

    def buildProtocol(self, addr: IAddress | None) -> TunnelProtocol | None:
        if self.negotiation is None:
            return None
        return self.negotiation.buildTunnelProtocol(self)
