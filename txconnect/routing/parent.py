"""
One parent proxy: tunnels through it, and probes of it.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from zope.interface import implementer

from txconnect.maybeasync import withTimeout
from txconnect.routing.answers import (
    ParentAnswered,
    ParentFailed,
    refusalForAnswer,
    refusalForFailure,
)
from txconnect.routing.probe import probeEndpoint
from txconnect.routing.speakers import Fields, speakerFor
from txconnect.routing.targets import ParentTarget
from txconnect.routing.tls import TLSEndpoint, tlsTo
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Authority

_T = TypeVar("_T")


class _TunnelLegFactory(Factory):
    """A factory of the legs of tunnels."""

    noisy = False
    protocol = Leg


@implementer(IStreamClientEndpoint)
class _ReachedEndpoint:
    """
    An endpoint that records whether it has connected.

    The error alone does not say so: the same time-out covers the connection to
    the parent and the parent's answer.

    @ivar reached: true once it has connected.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint
        self.reached = False

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See L{IStreamClientEndpoint.connect}."""
        return self._endpoint.connect(protocolFactory).addCallback(self._noteReached)

    def _noteReached(self, protocol: _T) -> _T:
        self.reached = True
        return protocol


class Parent:
    """
    A parent proxy.

    @ivar name: its URL, which has no user information.
    """

    def __init__(
        self,
        target: ParentTarget,
        clock: IReactorTime,
        endpoint: IStreamClientEndpoint,
        probeTimeout: float,
    ) -> None:
        """
        @param endpoint: connects to the parent itself, without TLS.
        @param probeTimeout: the most seconds that a probe takes.
        @raise ConfigurationError: its files or credentials are of no use.
        """
        self.name = str(target)
        self._clock = clock
        self._probeTimeout = probeTimeout
        self._encrypted = target.url.scheme == "https"
        self._endpoint = endpoint
        if self._encrypted:
            self._endpoint = TLSEndpoint(tlsTo(target), endpoint, clock)
        self._speaker = speakerFor(target)

    async def openTunnel(
        self, authority: Authority, fields: Fields, seconds: float
    ) -> Leg:
        """
        Open a tunnel through the parent.

        @param fields: for the CONNECT that the parent gets.
        @param seconds: the time for all of it.
        @raise ParentAnswered: the parent refused.
        @raise ParentFailed: the parent gave no answer.
        """
        endpoint = _ReachedEndpoint(self._endpoint)
        through = self._speaker(endpoint, authority, fields, seconds, self._clock)
        try:
            leg = await through.connect(_TunnelLegFactory())
        except Exception as error:
            answer = refusalForAnswer(self.name, error)
            if answer is not None:
                raise ParentAnswered(answer) from None
            failure = refusalForFailure(self.name, error, endpoint.reached)
            if failure is None:
                raise
            raise ParentFailed(failure) from None
        # The factory's own product, although endpoints are typed for any protocol.
        return leg  # type: ignore[return-value]

    def probe(self) -> Deferred[None]:
        """See L{txconnect.routing.health.Probed.probe}."""
        return withTimeout(
            self._clock,
            self._probeTimeout,
            probeEndpoint(self._endpoint, self._encrypted),
            lambda: TimeoutError(f"{self.name}: no answer"),
        )
