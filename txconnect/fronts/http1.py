"""
HTTP/1.1 (and 1.0): a connection carries one CONNECT, and then its tunnel.

The front is its transport's protocol for good, because C{transport.protocol}
cannot be changed through TLS and other wrappers: what it does with bytes is
rebound instead.  A request that is refused closes the connection, announced
and lingering, and nothing behind it is ever parsed (RFC 9931, 8).
"""

from __future__ import annotations

from typing import Any, Protocol as Shape

import attrs
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.admission import Admission
from txconnect.candidate import Admitted, Candidate
from txconnect.dialing import connectionCause
from txconnect.errors import Refused
from txconnect.fronts.early import EarlyData
from txconnect.relay.choice import (
    kernelServes,
    startKernelRelay,
    startTransportRelay,
)
from txconnect.relay.face import Relay
from txconnect.relay.kernel import Kernel
from txconnect.relay.leaving import LeaveWatch
from txconnect.relay.leg import Side
from txconnect.relay.socketleg import SocketLeg
from txconnect.relay.transport import canHalfClose
from txconnect.tunnel import Tunnel
from txconnect.values import (
    Authority,
    Cause,
    Closed,
    ConnectRequest,
    TunnelClosed,
    TunnelEstablished,
    TunnelRefused,
)
from txconnect.wire.head import BadHead, Head, HeadLimits, HeadParser
from txconnect.wire.response import ESTABLISHED, Refusal, renderRefusal

STAYS = 3
"""The most 407s behind which a connection may stay open."""


class Proxy(Shape):
    """
    What a front needs of the proxy that it belongs to.

    @ivar limits: of the request's head.
    @ivar kernel: what kernel relays need, or L{None} where there are none.
    @ivar leaving: watches clients whose transport is paused.
    """

    admission: Admission
    limits: HeadLimits
    leaving: LeaveWatch
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

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._admission = proxy.admission
        self._parser = HeadParser(proxy.limits)
        self._candidate: Candidate | None = None
        self._tunnel: Tunnel | None = None
        self._side: Side | None = None
        self._early: EarlyData
        self._lingered = 0
        self._stays = 0
        self._lingering = False
        self._timer: Any = None
        self._began = 0.0

    # The connection

    def connectionMade(self) -> None:
        transport = self.transport
        for option in ("setTcpNoDelay", "setTcpKeepAlive"):
            # A unix: listener has neither.
            if hasattr(transport, option):
                getattr(transport, option)(True)
        limit = self._admission.settings.earlyDataLimit
        self._early = EarlyData(transport, limit, self._proxy.leaving, self._leftPaused)
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
        elif self._lingering:
            self._endLingering()
        else:
            # The end of input before the 200 is the client's leaving.
            self._left()
            self.dataReceived = self._drop  # type: ignore[method-assign]
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        if self._side is not None:
            self._side.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._cancelTimer()
        if self._side is not None:
            self._side.connectionLost(reason)
        elif self._tunnel is None:
            self._left()
        if self._tunnel is None:
            self._proxy.frontLost(self)
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
        self._cancelTimer()
        self.dataReceived = self._early.take  # type: ignore[method-assign]
        if self._parser.trailing:
            self._early.take(self._parser.trailing)
        # The old one holds early data, and the credentials.
        self._parser = HeadParser(self._proxy.limits)
        self._parser.started = True
        transport = self.transport
        server = transport.getHost()
        self._admission.addListener(server)
        certificate = getattr(transport, "getPeerCertificate", None)
        candidate = self._candidate = self._admission.admit(
            head,
            transport.getPeer(),
            server,
            certificate() if certificate is not None else None,
            self._decided,
        )
        if head.hostDiffers:
            self._log.info(
                "{id}: the Host field names another host than the target",
                id=candidate.request.id,
            )
        candidate.run()

    def _leftPaused(self) -> None:
        self._left()
        self.transport.abortConnection()

    def _left(self) -> None:
        self._giveUp(Cause.CLIENT_LEFT)

    def _giveUp(self, cause: Cause) -> None:
        """Account for a client that has had no answer."""
        self._cancelTimer()
        self._early.release(resume=False)
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            candidate.giveUp(cause)
        elif self._parser.started and not self._lingering:
            self._tellRefused(Refused(cause))
        self._lingering = True

    def _headLate(self) -> None:
        if not self._parser.started:
            # Nobody has asked for anything: there is nothing to answer.
            self._lingering = True
            # TLS still delivers what comes before the client's close_notify.
            self.dataReceived = self._drop  # type: ignore[method-assign]
            self.transport.loseConnection()
            self._timer = self._admission.clock.callLater(
                self._admission.settings.lingerTimeout, self._abort
            )
            return
        self._refuseHead(Refused(Cause.HEAD_TIMEOUT))

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
        serves = kernelServes(client, leg, admitted.taps, admitted.pair)
        taps, pair = admitted.taps, admitted.pair
        relay: Relay
        if kernel is not None and isinstance(leg, SocketLeg) and serves:
            # First, as one that watches the client gives it up here.
            early = self._early.release(resume=False)
            relay = startKernelRelay(kernel, tunnel, client, leg, pair, ESTABLISHED)
            vars(self).pop("dataReceived")
        else:
            relay = startTransportRelay(
                tunnel, client, self._adopt, leg, pair, taps, ESTABLISHED
            )
            early = self._early.release(resume=True)
        # Done with: thousands may be idle.
        del self._parser, self._early
        self._tunnel = tunnel
        tunnel.begin(relay, early)
        admission.notify(TunnelEstablished(admitted.tunnel))

    def _adopt(self, side: Side) -> None:
        self._side = side
        self.dataReceived = side.dataReceived  # type: ignore[method-assign]

    def _tunnelClosed(self, closed: TunnelClosed) -> None:
        self._admission.notify(closed)
        self._proxy.frontLost(self)

    # Refusals

    def _refuse(self, refused: Refused, candidate: Candidate) -> None:
        # From here on it is accounted for: an observer may stop the proxy.
        self._lingering = True
        candidate.tell(refused)
        request = candidate.request
        if self._mayStay(refused, request):
            self._stay(refused, request)
        else:
            self._close(refused, request.id, request.authority)

    def _refuseHead(self, refused: Refused) -> None:
        self._close(refused, self._tellRefused(refused))

    def _tellRefused(self, refused: Refused) -> str:
        """Account for a request that never became one; returns its id."""
        self._lingering = True
        admission = self._admission
        name = admission.ids.next()
        admission.notify(
            TunnelRefused(
                refused.cause,
                refused.rule,
                refused.reason,
                name,
                None,
                self.transport.getPeer(),
                admission.clock.seconds() - self._began,
            )
        )
        return name

    def _mayStay(self, refused: Refused, request: ConnectRequest) -> bool:
        """
        Whether the connection may stay open for another try (RFC 9931, 8).

        Only behind a 407, so often and no oftener, only for a client that the
        operator knows to wait for its 200, and only when nothing at all came
        behind the head: else what was meant for the tunnel would be read as a
        request.
        """
        settings = self._admission.settings
        return (
            bool(settings.keepAfterChallenge)
            and refused.cause.status == 407
            and self._stays < STAYS
            and not self._early.size
            and request.httpVersion != "1.0"
            and b"close" not in (request.header(b"connection") or b"").lower()
            and _isAmong(request.header(b"user-agent"), settings.keepAfterChallenge)
        )

    def _stay(self, refused: Refused, request: ConnectRequest) -> None:
        """Send a 407, and read the head of the next try."""
        self._stays += 1
        self._lingering = False
        self._parser = HeadParser(self._proxy.limits)
        self.dataReceived = self._headReceived  # type: ignore[method-assign]
        self._awaitHead()
        self._answer(refused, request.id, request.authority, closes=False)

    def _close(
        self, refused: Refused, name: str, authority: Authority | None = None
    ) -> None:
        """Send a refusal, and close behind it (RFC 9112, 9.6)."""
        admission = self._admission
        self._cancelTimer()
        self._timer = admission.clock.callLater(
            admission.settings.lingerTimeout, self._abort
        )
        self._lingering = True
        self.dataReceived = self._drop  # type: ignore[method-assign]
        self._answer(refused, name, authority, closes=True)
        self._early.release(resume=True)
        transport = self.transport
        if canHalfClose(transport):
            transport.loseWriteConnection()
        elif hasattr(transport, "getPeerCertificate"):
            # TLS sends close_notify, and goes on reading until the client's.
            transport.loseConnection()

    def _answer(
        self, refused: Refused, name: str, authority: Authority | None, closes: bool
    ) -> None:
        admission = self._admission
        refusal = Refusal(
            refused.cause,
            refused.rule,
            name,
            admission.name,
            authority=authority,
            reason=refused.reason,
            parameters=refused.parameters,
            challenges=admission.challenges(refused.cause),
            full=admission.settings.errors == "full",
            closes=closes,
            relayed=refused.relayed,
        )
        try:
            answer = renderRefusal(refusal)
        except (ValueError, TypeError, AttributeError):
            # Parameters of a plugin's own that have no form on the wire.
            self._log.failure("{id}: a refusal could not be written", id=name)
            plain = attrs.evolve(
                refusal, cause=Cause.INTERNAL, parameters={}, relayed=None
            )
            answer = renderRefusal(plain)
        self.transport.write(answer)

    def _drop(self, data: bytes) -> None:
        """
        Take in what the client still sends, so that the answer is not lost to
        a reset, but not for ever.
        """
        self._lingered += len(data)
        if self._lingered > self._admission.settings.lingerLimit:
            self._abort()

    def _endLingering(self) -> None:
        self._cancelTimer()
        self._timer = self._admission.clock.callLater(
            self._admission.settings.lingerTimeout, self._abort
        )
        self.transport.loseConnection()

    def _abort(self) -> None:
        self.transport.abortConnection()

    def _cancelTimer(self) -> None:
        self._admission.heads.end(self._headLate)
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _isAmong(agent: bytes | None, prefixes: str) -> bool:
    """Whether a User-Agent begins with one of the prefixes between commas."""
    known = [each.strip().encode("utf-8") for each in prefixes.split(",")]
    return agent is not None and any(each and agent.startswith(each) for each in known)
