"""
HTTP/1.1 (and 1.0): a connection carries one CONNECT, and then its tunnel.

The front is its transport's protocol for good, because C{transport.protocol}
cannot be changed through TLS and other wrappers: what it does with bytes is
rebound instead.  A request that is refused closes the connection, announced
and lingering, and nothing behind it is ever parsed (RFC 9931, 8).
"""

from __future__ import annotations

from typing import Any, Protocol as Shape

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.admission.admission import Admission
from txconnect.admission.candidate import Admitted, Candidate
from txconnect.dialing.dialer import connectionCause
from txconnect.errors import Refused
from txconnect.fronts.early import EarlyData
from txconnect.fronts.ports import Ports
from txconnect.fronts.refusing import Lingering, answerTo, mayStay, tellHeadRefused
from txconnect.transports import canHalfClose
from txconnect.tunnel.choice import (
    kernelServes,
    startKernelRelay,
    startTransportRelay,
)
from txconnect.tunnel.kernel.leaving import LeaveWatch
from txconnect.tunnel.kernel.relay import Kernel
from txconnect.tunnel.relay import Relay
from txconnect.tunnel.transport.leg import Side
from txconnect.tunnel.tunnel import Tunnel
from txconnect.values import (
    Authority,
    Cause,
    Closed,
    ConnectRequest,
    TunnelClosed,
    TunnelEstablished,
    TunnelInfo,
)
from txconnect.wire.http1.head import BadHead, Head, HeadLimits, HeadParser
from txconnect.wire.http1.response import ESTABLISHED


class Proxy(Shape):
    """
    What a front needs of the proxy that it belongs to.

    @ivar limits: of the request's head.
    @ivar kernel: what kernel relays need, or L{None} where there are none.
    @ivar leaving: watches clients whose transport is paused.
    @ivar ports: what is known of the ports that accept.
    """

    admission: Admission
    limits: HeadLimits
    leaving: LeaveWatch
    ports: Ports
    kernel: Kernel | None

    def frontMade(self, front: Any) -> None:
        """C{front} has a connection."""

    def frontLost(self, front: Any) -> None:
        """The connection of C{front} is gone, and all that hung on it."""


@implementer(IHalfCloseableProtocol)
class Http1Front(Protocol):
    """
    One client's connection.

    Its phases, in order; C{dataReceived} is rebound with each: head, early
    data, then either the tunnel's or what lingers.
    """

    _log = Logger()

    # Any connected stream transport, of the reactor or of a wrapper.
    transport: Any = None

    # Most connections need few of these.
    _candidate: Candidate | None = None
    _tunnel: Tunnel | None = None
    _side: Side | None = None
    _early: EarlyData | None = None
    _lingering: Lingering | None = None
    _host: IAddress | None = None
    _stays = 0
    # Whether the observers know, or need not know, what became of the request.
    _accounted = False

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._admission = proxy.admission
        self._parser = HeadParser(proxy.limits)

    # The connection

    def connectionMade(self) -> None:
        self._host = self._proxy.ports.accepted(self.transport)
        self._proxy.frontMade(self)
        self._awaitHead()

    def _awaitHead(self) -> None:
        self._began = self._admission.clock.seconds()
        self._admission.heads.begin(self._headLate)

    def dataReceived(self, data: bytes) -> None:
        """What the client sends, for the phase that it is in."""
        self._headReceived(data)

    def _headReceived(self, data: bytes) -> None:
        """The head, as far as it has come."""
        try:
            head = self._parser.feed(data)
        except BadHead as bad:
            self._refuseHead(Refused(bad.cause, bad.reason))
            return
        if head is not None:
            self._admit(head)

    def readConnectionLost(self) -> None:
        if self._side is not None:
            self._side.readConnectionLost()
        elif self._lingering is not None:
            self._lingering.ended()
        else:
            # The end of input before the 200 is the client's leaving.
            self._giveUp(Cause.CLIENT_LEFT)
            self._linger()
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        if self._side is not None:
            self._side.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self._side is not None:
            self._side.connectionLost(reason)
        elif self._tunnel is None:
            self._giveUp(Cause.CLIENT_LEFT)
        if self._tunnel is None:
            self._proxy.frontLost(self)
        if self._lingering is not None:
            self._lingering.over()
        # Circles of references otherwise, which only the collector breaks.
        for name in ("_early", "dataReceived"):
            vars(self).pop(name, None)

    def stop(self) -> None:
        """The proxy stops: end whatever is under way, at once."""
        if self._tunnel is not None:
            self._tunnel.cut(Closed.SHUTDOWN)
            return
        self._giveUp(Cause.SHUTDOWN)
        self.transport.abortConnection()

    # The head, and what stands behind it

    def _admit(self, head: Head) -> None:
        self._admission.heads.end(self._headLate)
        self.dataReceived = self._takeEarly  # type: ignore[method-assign]
        if self._parser.trailing:
            self._takeEarly(self._parser.trailing)
        # It holds early data, and the credentials.
        del self._parser
        transport = self.transport
        host = self._host or transport.getHost()
        self._admission.addListener(host)
        certificate = getattr(transport, "getPeerCertificate", None)
        candidate = self._candidate = self._admission.admit(
            head,
            transport.getPeer(),
            host,
            certificate() if certificate is not None else None,
            self._decided,
        )
        if head.hostDiffers:
            self._log.info(
                "{id}: the Host field names another host than the target",
                id=candidate.request.id,
            )
        candidate.run()

    def _takeEarly(self, data: bytes) -> None:
        if self._early is None:
            self._early = EarlyData(
                self.transport,
                self._admission.settings.earlyDataLimit,
                self._proxy.leaving,
                self._leftPaused,
            )
        self._early.take(data)

    def _releaseEarly(self, resume: bool) -> list[bytes]:
        return [] if self._early is None else self._early.release(resume)

    def _leftPaused(self) -> None:
        self._giveUp(Cause.CLIENT_LEFT)
        self.transport.abortConnection()

    def _giveUp(self, cause: Cause) -> None:
        """Account for a client that has had no answer."""
        self._admission.heads.end(self._headLate)
        self._releaseEarly(resume=False)
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            candidate.giveUp(cause)
        elif not self._accounted and self._parser.started:
            self._tellRefused(Refused(cause))
        self._accounted = True

    def _headLate(self) -> None:
        if not self._parser.started:
            # Nobody has asked for anything: there is nothing to answer.
            self._accounted = True
            # TLS still delivers what comes before the client's close_notify.
            self._linger()
            self.transport.loseConnection()
            return
        self._refuseHead(Refused(Cause.HEAD_TIMEOUT))

    def _linger(self) -> None:
        admission = self._admission
        lingering = Lingering(self.transport, admission.clock, admission.settings)
        self._lingering = lingering
        self.dataReceived = lingering.dataReceived  # type: ignore[method-assign]

    # The decision

    def _decided(self, outcome: Admitted | Refused) -> None:
        candidate, self._candidate = self._candidate, None
        if candidate is None:
            return
        if isinstance(outcome, Admitted):
            try:
                self._establish(outcome)
            except OSError as error:
                # No descriptor was left for the destination's transport.
                outcome.leg.abort()
                outcome = Refused(connectionCause(error), str(error))
        if isinstance(outcome, Refused):
            self._refuse(outcome, candidate)

    def _establish(self, admitted: Admitted) -> None:
        admission = self._admission
        tunnel = Tunnel(
            admitted.tunnel,
            admission.clock,
            admission.settings,
            admission.sweep,
            self._tunnelClosed,
        )
        kernel, client, leg = self._proxy.kernel, self.transport, admitted.leg
        taps, pair = admitted.taps, admitted.pair
        serves = kernelServes(client, leg, taps, pair)
        relay: Relay
        if kernel is not None and serves:
            # First, as one that watches the client gives it up here.
            early = self._releaseEarly(resume=False)
            relay = startKernelRelay(kernel, tunnel, client, leg, pair, ESTABLISHED)
            vars(self).pop("dataReceived")
        else:
            relay = startTransportRelay(
                tunnel, client, self._adopt, leg, pair, taps, ESTABLISHED
            )
            early = self._releaseEarly(resume=True)
        vars(self).pop("_early", None)
        self._tunnel = tunnel
        tunnel.begin(relay, early)
        self._tellEstablished(admitted.tunnel)

    def _tellEstablished(self, tunnel: TunnelInfo) -> None:
        """Tell the observers of the tunnel, once and before its end."""
        if not self._accounted:
            self._accounted = True
            self._admission.notify(TunnelEstablished(tunnel))

    def _adopt(self, side: Side) -> None:
        self._side = side
        self.dataReceived = side.dataReceived  # type: ignore[method-assign]

    def _tunnelClosed(self, closed: TunnelClosed) -> None:
        # The first write may have found that a leg has been reset.
        self._tellEstablished(closed.tunnel)
        self._admission.notify(closed)
        self._proxy.frontLost(self)

    # Refusals

    def _refuse(self, refused: Refused, candidate: Candidate) -> None:
        # First, because an observer may stop the proxy.
        self._accounted = True
        candidate.tell(refused)
        request = candidate.request
        silent = self._early is None
        settings = self._admission.settings
        if silent and mayStay(settings, refused, request, self._stays):
            self._stay(refused, request)
        else:
            self._close(refused, request.id, request.authority)

    def _refuseHead(self, refused: Refused) -> None:
        self._close(refused, self._tellRefused(refused))

    def _tellRefused(self, refused: Refused) -> str:
        """Account for a request that never became one; returns its id."""
        self._accounted = True
        return tellHeadRefused(
            self._admission, refused, self.transport.getPeer(), self._began
        )

    def _stay(self, refused: Refused, request: ConnectRequest) -> None:
        """Send a 407, and read the head of the next try."""
        self._stays += 1
        self._accounted = False
        self._parser = HeadParser(self._proxy.limits)
        self.dataReceived = self._headReceived  # type: ignore[method-assign]
        self._awaitHead()
        self.transport.write(
            answerTo(self._admission, refused, request.id, request.authority, False)
        )

    def _close(
        self, refused: Refused, name: str, authority: Authority | None = None
    ) -> None:
        """Send a refusal, and close behind it (RFC 9112, 9.6)."""
        self._admission.heads.end(self._headLate)
        self._linger()
        transport = self.transport
        transport.write(answerTo(self._admission, refused, name, authority, True))
        self._releaseEarly(resume=True)
        if canHalfClose(transport):
            transport.loseWriteConnection()
        elif hasattr(transport, "getPeerCertificate"):
            # TLS sends close_notify, and goes on reading until the client's.
            transport.loseConnection()
