"""
HTTP/1.1 (and 1.0): a connection carries one CONNECT, and then its tunnel.

The front is its transport's protocol for good, because C{transport.protocol}
cannot be changed through TLS and other wrappers: its C{dataReceived} is rebound
instead, so that a phase costs no test a chunk.  Its phases, in order:

 - the head: this class's own C{dataReceived} parses it, within a time-out;
 - early data: the exchange holds it, while it decides and dials;
 - the tunnel: the side of the transport relay gets the bytes, or the kernel relay
   reads the socket itself;
 - or lingering: a connection that is over but for its last answer.

A FIN behind the head is no leaving: see L{txconnect.fronts.halfclosed}.

A request that is refused closes the connection, announced and lingering, and
nothing after it is ever parsed (RFC 9931, 8).  The exception is a 407 for a client
that is known to wait: then the connection begins again with another head, and
another exchange.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol as Shape

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.admission.answering import OwnDecision
from txconnect.admission.rules import Rules
from txconnect.errors import Refused
from txconnect.exchange.exchange import Exchange
from txconnect.exchange.preparing import Prepared
from txconnect.exchange.resources import Resources
from txconnect.fronts.halfclosed import (
    HalfClosedRequests,
    awaitsAnswer,
    hearTLSEnd,
    ignoreTLSEnd,
)
from txconnect.fronts.handshakes import brokenHandshake, lateHandshake
from txconnect.fronts.own import ownRequest
from txconnect.fronts.ports import Ports
from txconnect.fronts.refusing import Lingering, mayStay, responseTo
from txconnect.timers import EqualTimeouts
from txconnect.tunnel.choice import (
    currentTransport,
    kernelServes,
    reactorTransport,
    startKernelRelay,
    startTransportRelay,
)
from txconnect.tunnel.relay import Relay
from txconnect.tunnel.transport.leg import Side
from txconnect.tunnel.tunnel import Tunnel
from txconnect.values import Cause, Request
from txconnect.wire.attempted import attemptedLine
from txconnect.wire.http1.badhead import BadHead
from txconnect.wire.http1.head import Head, HeadParser
from txconnect.wire.http1.rendering import (
    ESTABLISHED,
    renderEstablished,
    renderResponse,
)


class Proxy(Shape):
    """
    The part of the proxy that a front uses.

    @ivar rules: the rules for the next request.
    @ivar ports: the properties of the ports that accept.
    @ivar halfClosed: the requests whose client has sent FIN, while they are set up.
    """

    rules: Rules
    resources: Resources
    ports: Ports
    halfClosed: HalfClosedRequests

    def frontMade(self, front: Any) -> None:
        """C{front} has a connection."""

    def frontLost(self, front: Any) -> None:
        """The connection of C{front} is gone, and its exchange is over."""


@implementer(IHalfCloseableProtocol)
class Http1Front(Protocol):
    """One client's connection."""

    _log = Logger()

    # Any connected stream transport, of the reactor or of a wrapper.
    transport: Any = None

    # Thousands may be idle with their tunnels: the front's own attributes are kept out
    # of the instance's dict, which doubles in size with its sixth key.
    __slots__ = (
        "_began",
        "_challengesKeptOpen",
        "_connection",
        "_disconnected",
        "_exchange",
        "_forgetEnd",
        "_headTimeouts",
        "_host",
        "_inputEnded",
        "_lingering",
        "_parser",
        "_proxy",
        "_relaying",
        "_side",
    )

    _began: float

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._exchange: Exchange | None = None
        self._side: Side | None = None
        self._lingering: Lingering | None = None
        self._host: IAddress | None = None
        self._relaying = False
        self._disconnected = False
        self._inputEnded = False
        # While the request of a client that has sent FIN is counted.
        self._forgetEnd: Callable[[], None] | None = None
        self._challengesKeptOpen = 0
        # The id of the first request.
        self._connection = ""
        # While a head is awaited.
        self._parser: HeadParser | None = None
        self._headTimeouts: EqualTimeouts | None = None

    # The connection

    def connectionMade(self) -> None:
        self._host = self._proxy.ports.prepareAccepted(self.transport)
        self._proxy.frontMade(self)
        self._awaitHead()

    def readConnectionLost(self) -> None:
        # A bare socket has become one that read the end.
        self.transport = reactorTransport(self.transport)
        if self._side is not None:
            self._side.readConnectionLost()
        elif self._lingering is not None:
            self._lingering.inputEnded()
        elif self._exchange is not None and awaitsAnswer(
            self._exchange.rules.settings, self.transport
        ):
            self._noteInputEnded(self._exchange)
        else:
            self._giveUp(Cause.CLIENT_LEFT)
            self._beginLingering()
            self.transport.loseConnection()

    def _tlsInputEnded(self) -> bool:
        """Go on behind C{close_notify} where there is a request, or close."""
        exchange = self._exchange
        if exchange is None or exchange.rules.settings.halfClose != "carry":
            return False
        if not self._inputEnded:
            self._noteInputEnded(exchange)
        return True

    def _noteInputEnded(self, exchange: Exchange) -> None:
        """Go on with the request of a client that has sent FIN."""
        self._inputEnded = True
        self._countEnd(exchange)

    def _countEnd(self, exchange: Exchange) -> None:
        """Count the request of a client that has sent FIN, which need not be read yet."""
        self._forgetEnd = self._proxy.halfClosed.addRequest(
            self.transport,
            exchange.rules.settings.halfClosedRequests,
            self._clientReset,
        )
        if self._forgetEnd is None:
            exchange.refuse(Refused(Cause.HALF_CLOSED))

    def _answerDecided(self, forgetEnd: Callable[[], None]) -> None:
        """Count the request of a client that has sent FIN no more."""
        self._forgetEnd = None
        forgetEnd()

    def writeConnectionLost(self) -> None:
        if self._side is not None:
            self._side.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self._side is not None:
            self._side.connectionLost(reason)
        elif not self._relaying:
            if self._parser is not None and not self._parser.started:
                self._tellUnserved(brokenHandshake(self.transport, reason))
            self._giveUp(Cause.CLIENT_LEFT)
        if self._lingering is not None:
            self._lingering.connectionOver()
        if self._side is not None or not self._relaying:
            # A circle of references otherwise, which only the collector breaks.
            vars(self).pop("dataReceived", None)
        self._disconnected = True
        if self._exchange is None:
            self._proxy.frontLost(self)

    def stop(self) -> None:
        """End the connection and its exchange at once: the proxy stops."""
        if self._exchange is not None and self._exchange.stop():
            return
        self._giveUp(Cause.SHUTDOWN)
        self.transport.abortConnection()

    def exchangeFinished(self) -> None:
        """See L{ClientStream<txconnect.exchange.exchange.ClientStream>}."""
        self._exchange = None
        if self._forgetEnd is not None:
            self._answerDecided(self._forgetEnd)
        if self._disconnected:
            self._proxy.frontLost(self)

    # The head

    def _awaitHead(self) -> None:
        resources, rules = self._proxy.resources, self._proxy.rules
        self._parser = HeadParser(rules.headLimits, rules.requestRule)
        self._began = resources.clock.seconds()
        self._headTimeouts = resources.timeouts.ofLength(rules.settings.headTimeout)
        self._headTimeouts.begin(self._headLate)

    def dataReceived(self, data: bytes) -> None:
        """Read the head; in later phases another method stands in its place."""
        parser: Any = self._parser
        try:
            head = parser.feed(data)
        except BadHead as bad:
            attempted = attemptedLine(*(bad.requestLine or parser.requestLine))
            self._refuseHead(Refused(bad.cause, bad.reason, attempted=attempted))
            return
        if head is not None:
            self._beginExchange(head, parser)

    def _headLate(self) -> None:
        self._headTimeouts = None
        if self._parser is not None and self._parser.started:
            attempted = attemptedLine(*self._parser.requestLine)
            self._refuseHead(Refused(Cause.HEAD_TIMEOUT, attempted=attempted))
            return
        # No request has begun: there is nothing to answer.
        self._parser = None
        timeout = self._proxy.rules.settings.headTimeout
        self._tellUnserved(lateHandshake(self.transport, timeout))
        # TLS still delivers octets that come before the client's close_notify.
        self._beginLingering()
        self.transport.loseConnection()

    def _refuseHead(self, refused: Refused) -> None:
        self._newExchange().refuse(refused)

    def _tellUnserved(self, refused: Refused | None) -> None:
        """Report a connection that has brought no request, if there is a reason."""
        if refused is not None:
            proxy = self._proxy
            seconds = proxy.resources.clock.seconds() - self._began
            proxy.resources.refusals.tellUnserved(
                proxy.rules, refused, self.client, seconds
            )

    def _giveUp(self, cause: Cause) -> None:
        """Report a client that gets no answer."""
        if self._parser is not None and self._parser.started:
            self._newExchange().giveUp(cause)
        elif self._exchange is not None:
            self._exchange.giveUp(cause)
        self._endHead()

    def _endHead(self) -> None:
        """Wait for the head no more."""
        # It holds early data, and the credentials.
        self._parser = None
        timeouts, self._headTimeouts = self._headTimeouts, None
        if timeouts is not None:
            timeouts.end(self._headLate)

    # The exchange

    def _newExchange(self) -> Exchange:
        self._endHead()
        exchange = self._exchange = Exchange(
            self._proxy.rules, self._proxy.resources, self, self._began
        )
        self._connection = self._connection or exchange.id
        return exchange

    def _beginExchange(self, head: Head, parser: HeadParser) -> None:
        exchange = self._newExchange()
        # Before begin(), within which a decision that never waits is over.
        self.dataReceived = exchange.earlyReceived  # type: ignore[method-assign]
        if parser.trailing:
            exchange.earlyReceived(parser.trailing)
        transport = self.transport
        certificate = getattr(transport, "getPeerCertificate", None)
        if certificate is not None:
            hearTLSEnd(transport, self._tlsInputEnded)
        request = Request(
            head.authority,
            head.headers,
            head.httpVersion,
            transport.getPeer(),
            self._host or self._proxy.ports.hostOf(transport),
            None,
            certificate() if certificate is not None else None,
            exchange.id,
            "tcp",
            head.method,
            self._connection,
        )
        if head.method != "CONNECT":
            own = ownRequest(request, parser.target)
            exchange.begin(own, head.credentials, decide=OwnDecision)
            return
        notes = _hostNotes(head) if head.hostDiffers else ()
        exchange.begin(request, head.credentials, notes)

    @property
    def client(self) -> IAddress | None:
        """See L{ClientStream<txconnect.exchange.exchange.ClientStream>}."""
        peer: IAddress | None = self.transport.getPeer()
        return peer

    def pauseReading(self) -> None:
        """See L{ClientStream<txconnect.exchange.exchange.ClientStream>}."""
        exchange: Any = self._exchange
        self.transport.pauseProducing()
        ended = self._clientReset
        if exchange.rules.settings.halfClose == "carry":
            ended = partial(self._countEnd, exchange)
        self._proxy.resources.leaving.watch(self.transport, self._clientReset, ended)

    def resumeReading(self) -> None:
        """See L{ClientStream<txconnect.exchange.exchange.ClientStream>}."""
        self._proxy.resources.leaving.unwatch(self.transport)
        self.transport.resumeProducing()

    def abort(self) -> None:
        """See L{ClientStream<txconnect.exchange.exchange.ClientStream>}."""
        self.transport.abortConnection()

    def _clientReset(self) -> None:
        self._giveUp(Cause.CLIENT_LEFT)
        self.transport.abortConnection()

    def accept(self, tunnel: Tunnel, prepared: Prepared) -> Relay:
        """See L{ClientStream<txconnect.exchange.exchange.ClientStream>}."""
        if self._forgetEnd is not None:
            # Before the relay watches the socket.
            self._answerDecided(self._forgetEnd)
        kernel = self._proxy.resources.kernel
        client = currentTransport(self.transport)
        leg, pair, gate = prepared.leg, prepared.pair, tunnel.gate
        fields = prepared.fields
        answer = renderEstablished(fields) if fields else ESTABLISHED
        relay: Relay
        if kernel is not None and kernelServes(client, leg, pair):
            relay = startKernelRelay(kernel, tunnel, client, leg, pair, gate, answer)
            del self.dataReceived
        else:
            relay = startTransportRelay(
                tunnel,
                client,
                self._adoptSide,
                leg,
                pair,
                gate,
                answer,
                self._inputEnded,
            )
        self._relaying = True
        return relay

    def _adoptSide(self, side: Side) -> None:
        if hasattr(self.transport, "getPeerCertificate"):
            ignoreTLSEnd(self.transport)
        self._side = side
        self.dataReceived = side.dataReceived  # type: ignore[method-assign]

    # Refusals

    def refuse(self, refused: Refused, exchange: Exchange) -> None:
        """
        Send a refusal, and close after it (RFC 9112, 9.6); see
        L{ClientStream<txconnect.exchange.exchange.ClientStream>}.
        """
        request, rules = exchange.request, exchange.rules
        method = "" if request is None else request.method
        if (
            request is not None
            and not exchange.sentEarly
            and not self._inputEnded
            and mayStay(rules.settings, refused, request, self._challengesKeptOpen)
        ):
            self._challengesKeptOpen += 1
            # The class's own again, which parses a head.
            del self.dataReceived
            self._awaitHead()
            self.transport.write(
                renderResponse(responseTo(refused, exchange), False, method)
            )
            return
        self._beginLingering().sendAnswer(
            renderResponse(responseTo(refused, exchange), True, method),
            self._inputEnded,
        )

    def _beginLingering(self) -> Lingering:
        self.transport = reactorTransport(self.transport)
        lingering = self._lingering = Lingering(
            self.transport, self._proxy.resources.clock, self._proxy.rules.settings
        )
        self.dataReceived = lingering.dataReceived  # type: ignore[method-assign]
        return lingering


def _hostNotes(head: Head) -> tuple[str, ...]:
    """Return a note on the Host field, for the log: the target alone decides."""
    hosts = [value for name, value in head.headers if name == b"host"]
    return tuple(
        f"Host: names {value.decode('latin-1')}, not the target" for value in hosts
    )
