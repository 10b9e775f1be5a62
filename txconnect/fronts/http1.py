"""
HTTP/1.1 (and 1.0): a connection carries one CONNECT, and then its tunnel.

The front is its transport's protocol for good, because C{transport.protocol}
cannot be changed through TLS and other wrappers: its C{dataReceived} is rebound
instead, so that a phase costs no test a chunk.  Its phases, in order:

 - the head: L{HeadReading<txconnect.fronts.headreading.HeadReading>} parses it, within a
   time-out;
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

from functools import partial
from typing import Any

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.admission.answering import OwnDecision
from txconnect.errors import Refused
from txconnect.exchange.exchange import Exchange
from txconnect.exchange.preparing import Prepared
from txconnect.fronts.halfclosed import InputEnd, awaitsAnswer, hearTLSEnd, ignoreTLSEnd
from txconnect.fronts.handshakes import brokenHandshake, lateHandshake
from txconnect.fronts.headreading import HeadReading, hostNotes
from txconnect.fronts.own import ownRequest
from txconnect.fronts.proxypart import Proxy, tellUnserved
from txconnect.fronts.refusing import Lingering, mayStay, responseTo
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
from txconnect.wire.http1.head import Head, HeadParser
from txconnect.wire.http1.rendering import (
    ESTABLISHED,
    renderEstablished,
    renderResponse,
)


@implementer(IHalfCloseableProtocol)
class Http1Front(Protocol):
    """One client's connection."""

    # Any connected stream transport, of the reactor or of a wrapper.
    transport: Any = None

    # Thousands may be idle with their tunnels: the front's own attributes are kept out
    # of the instance's dict, which doubles in size with its sixth key.
    __slots__ = (
        "_challengesKeptOpen",
        "_connection",
        "_disconnected",
        "_exchange",
        "_head",
        "_host",
        "_inputEnd",
        "_lingering",
        "_proxy",
        "_relaying",
        "_side",
    )

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._exchange: Exchange | None = None
        self._side: Side | None = None
        self._lingering: Lingering | None = None
        self._host: IAddress | None = None
        self._relaying = False
        self._disconnected = False
        self._inputEnd: InputEnd | None = None
        self._challengesKeptOpen = 0
        # The id of the first request.
        self._connection = ""
        # While a head is awaited.
        self._head: HeadReading | None = None

    # The connection

    def connectionMade(self) -> None:
        self._host = self._proxy.ports.prepareAccepted(self.transport)
        self._proxy.clients.frontMade(self)
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
        if self._inputEnd is None:
            self._countEnd(exchange, True)
        else:
            self._inputEnd.read = True

    def _countEnd(self, exchange: Exchange, read: bool = False) -> None:
        """
        Count the request of a client that has sent FIN.

        @param read: whether the FIN has been read.
        """
        end = self._inputEnd = self._proxy.halfClosed.addRequest(
            self.transport,
            exchange.rules.settings.halfClosedRequests,
            self._clientReset,
        )
        end.read = read
        if not end.counted:
            exchange.refuse(Refused(Cause.HALF_CLOSED))

    @property
    def _inputEnded(self) -> bool:
        return self._inputEnd is not None and self._inputEnd.read

    def writeConnectionLost(self) -> None:
        if self._side is not None:
            self._side.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self._side is not None:
            self._side.connectionLost(reason)
        elif not self._relaying:
            if self._head is not None and not self._head.started:
                self._tellUnserved(brokenHandshake(self.transport, reason))
            self._giveUp(Cause.CLIENT_LEFT)
        if self._lingering is not None:
            self._lingering.connectionOver()
        if self._side is not None or not self._relaying:
            # A circle of references otherwise, which only the collector breaks.
            vars(self).pop("dataReceived", None)
        self._disconnected = True
        if self._exchange is None:
            self._proxy.clients.frontLost(self)

    def stop(self) -> None:
        """End the connection and its exchange at once: the proxy stops."""
        if self._exchange is not None and self._exchange.stop():
            return
        self._giveUp(Cause.SHUTDOWN)
        self.transport.abortConnection()

    def exchangeFinished(self) -> None:
        """See L{ClientStream<txconnect.exchange.exchange.ClientStream>}."""
        self._exchange = None
        if self._inputEnd is not None:
            self._inputEnd.answerDecided()
        if self._disconnected:
            self._proxy.clients.frontLost(self)

    # The head

    def _awaitHead(self) -> None:
        self._head = HeadReading(self, self._proxy)
        self.dataReceived = self._head.dataReceived  # type: ignore[method-assign]

    def headRead(self, head: Head, parser: HeadParser) -> None:
        """See L{HeadTaker<txconnect.fronts.headreading.HeadTaker>}."""
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
        notes = hostNotes(head) if head.hostDiffers else ()
        exchange.begin(request, head.credentials, notes)

    def refuseHead(self, refused: Refused) -> None:
        """See L{HeadTaker<txconnect.fronts.headreading.HeadTaker>}."""
        self._newExchange().refuse(refused)

    def headMissing(self) -> None:
        """See L{HeadTaker<txconnect.fronts.headreading.HeadTaker>}."""
        timeout = self._proxy.rules.settings.headTimeout
        self._tellUnserved(lateHandshake(self.transport, timeout))
        self._endUnserved()
        # TLS still delivers octets that come before the client's close_notify.
        self._beginLingering()
        self.transport.loseConnection()

    def _tellUnserved(self, refused: Refused | None) -> None:
        head: Any = self._head
        tellUnserved(self._proxy, refused, self.client, head.began)

    def _endUnserved(self) -> None:
        """Wait no more for a head that has not begun."""
        head, self._head = self._head, None
        if head is not None:
            head.endReading()

    # The exchange

    def _newExchange(self) -> Exchange:
        head: Any = self._head
        # It holds early data, and the credentials.
        self._head = None
        exchange = self._exchange = Exchange(
            self._proxy.rules, self._proxy.resources, self, head.began
        )
        self._connection = self._connection or exchange.id
        return exchange

    def _giveUp(self, cause: Cause) -> None:
        """Report a client that gets no answer."""
        if self._head is not None and self._head.started:
            self._head.endReading()
            self._newExchange().giveUp(cause)
        elif self._exchange is not None:
            self._exchange.giveUp(cause)
        self._endUnserved()

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
        if self._inputEnd is not None:
            # Before the relay watches the socket.
            self._inputEnd.answerDecided()
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
