"""
The destination's leg by way of any client endpoint.

An endpoint's Deferred can be cancelled, and endpoints that know nothing of that may
connect later all the same.  So an attempt knows each leg that was made for it, and
resets those that nobody will have.

An endpoint of TLS fires before the handshake.  The attempt waits for that, so that a
certificate that is not trusted refuses the request, in place of a tunnel that breaks.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.dialing.openers import setSocketOptions
from txconnect.maybeasync import settle
from txconnect.tunnel.transport.leg import Leg

__all__ = ["connectLeg"]

_NEEDED = (
    "write",
    "loseConnection",
    "abortConnection",
    "pauseProducing",
    "resumeProducing",
    "registerProducer",
    "unregisterProducer",
    "getHost",
    "getPeer",
)


def connectLeg(endpoint: IStreamClientEndpoint) -> Deferred[Leg]:
    """
    Connect an endpoint, and make its connection a leg.

    @return: fires with the leg, connected.  Fails with the endpoint's exception, or
        with L{TypeError} where its connection cannot carry a tunnel.  Cancelling it
        leaves nothing open.
    """
    attempt = _Attempt()
    attempt.startConnecting(endpoint)
    return attempt.outcome


@implementer(IHandshakeListener)
class _EndpointLeg(Leg):
    """
    A leg that tells its attempt of its beginning.

    @ivar secured: whether a handshake of TLS was completed on it.
    """

    def __init__(self, attempt: _Attempt) -> None:
        super().__init__()
        self._attempt: _Attempt | None = attempt
        self.secured = False

    def connectionMade(self) -> None:
        if self._attempt is not None:
            self._attempt.legMade(self)

    def handshakeCompleted(self) -> None:
        self.secured = True
        if self._attempt is not None:
            self._attempt.legChanged(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        super().connectionLost(reason)
        if self._attempt is not None:
            self._attempt.legChanged(self)

    def letGo(self) -> None:
        """Tell the attempt of nothing more."""
        self._attempt = None


class _Attempt(Factory):
    """
    One attempt to connect an endpoint: the factory of its legs.

    @ivar outcome: fires once, with the leg or a failure.
    """

    noisy = False

    def __init__(self) -> None:
        self.outcome: Deferred[Leg] = Deferred(self._giveUp)
        self._connecting: Deferred[object]
        self._legs: list[_EndpointLeg] = []
        self._chosen: _EndpointLeg | None = None
        self._over = False

    def startConnecting(self, endpoint: IStreamClientEndpoint) -> None:
        """Connect; called once."""
        self._connecting = maybeDeferred(lambda: settle(endpoint.connect(self)))
        self._connecting.addCallbacks(self._endpointConnected, self._failAttempt)

    def buildProtocol(self, addr: IAddress | None) -> _EndpointLeg:
        return _EndpointLeg(self)

    def legMade(self, leg: _EndpointLeg) -> None:
        """Keep a leg that is up, or reset it when the attempt is over."""
        if self._over:
            _dropLeg(leg)
        else:
            self._legs.append(leg)

    def legChanged(self, leg: _EndpointLeg) -> None:
        """Go on if the leg that the attempt waits for is secured, or lost."""
        if leg is self._chosen and not self._over:
            self._finishWith(leg)

    def _endpointConnected(self, protocol: object) -> None:
        if self._over:
            return
        # Some endpoints fire with a wrapper of the protocol.
        fired = [leg for leg in self._legs if leg is protocol] or self._legs[-1:]
        try:
            leg = self._chosen = _checkedLeg(fired)
        except TypeError:
            self._failAttempt(Failure())
            return
        if leg.secured or leg.lost is not None or not _awaitsHandshake(leg):
            self._finishWith(leg)

    def _finishWith(self, leg: _EndpointLeg) -> None:
        if leg.lost is not None and _isTLS(leg) and not leg.secured:
            self._failAttempt(leg.lost)
            return
        try:
            if isinstance(leg.transport, tcp.Client) and leg.lost is None:
                setSocketOptions(leg.transport)
        except OSError as error:
            # Reset already, and not noticed yet.
            self._failAttempt(Failure(ConnectionLost(str(error))))
            return
        self._legs.remove(leg)
        self._chosen = None
        self._endAttempt()
        leg.letGo()
        self.outcome.callback(leg)

    def _failAttempt(self, failure: Failure) -> None:
        if not self._over:
            self._endAttempt()
            self.outcome.errback(failure)

    def _giveUp(self, _: Deferred[Leg]) -> None:
        self._endAttempt()
        self._connecting.cancel()

    def _endAttempt(self) -> None:
        self._over = True
        legs, self._legs = self._legs, []
        for leg in legs:
            _dropLeg(leg)


def _dropLeg(leg: Leg) -> None:
    """Reset a leg, or close one whose transport knows no reset."""
    transport: Any = leg.transport
    if hasattr(transport, "abortConnection"):
        leg.abort()
    elif hasattr(transport, "loseConnection"):
        transport.loseConnection()


def _checkedLeg(legs: list[_EndpointLeg]) -> _EndpointLeg:
    """
    Return the one leg, if it can carry a tunnel.

    @raise TypeError: it cannot, or there is none.
    """
    if not legs:
        raise TypeError("its endpoint fired, but has connected no protocol")
    (leg,) = legs
    missing = [each for each in _NEEDED if not hasattr(leg.transport, each)]
    if missing:
        kind = type(leg.transport).__name__
        raise TypeError(
            f"its endpoint's transport, {kind}, cannot carry a tunnel: it has no "
            + ", ".join(missing)
        )
    return leg


def _isTLS(leg: Leg) -> bool:
    return isinstance(leg.transport, TLSMemoryBIOProtocol)


def _awaitsHandshake(leg: Leg) -> bool:
    """
    Tell whether the handshake is still to come.  The transport of a TLS parent has
    had it before, and does not tell of it.
    """
    transport: Any = leg.transport
    return _isTLS(leg) and transport.getPeerCertificate() is None
