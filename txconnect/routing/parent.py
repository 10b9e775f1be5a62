"""
One parent proxy: a tunnel through it, and a look at whether it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer

from txconnect.maybeasync import withTimeout
from txconnect.routing.answers import Answered, Failed, answerOf, failureOf
from txconnect.routing.probe import probe
from txconnect.routing.speakers import speakerFor
from txconnect.routing.targets import ParentTarget
from txconnect.routing.tls import TLSEndpoint, tlsTo
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Authority

Fields = Sequence[tuple[bytes, bytes]]


class _Legs(Factory):
    """Makes the legs of tunnels."""

    noisy = False
    protocol = Leg


@implementer(IStreamClientEndpoint)
class _Noticing:
    """
    An endpoint that notices whether it has connected.

    @ivar reached: it has.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint
        self.reached = False

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See L{IStreamClientEndpoint.connect}."""
        connecting: Deferred[Any] = self._endpoint.connect(protocolFactory)
        return connecting.addCallback(self._connected)

    def _connected(self, protocol: Any) -> Any:
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
        clock: Any,
        endpoint: IStreamClientEndpoint,
        probeTimeout: float,
    ) -> None:
        """
        @param endpoint: how the parent's own place is reached, without TLS.
        @param probeTimeout: seconds that a look at it may take.
        @raise ConfigurationError: its files or credentials are of no use.
        """
        self.name = str(target)
        self._target = target
        self._clock = clock
        self._probeTimeout = probeTimeout
        self._encrypted = target.url.scheme == "https"
        self._endpoint = endpoint
        if self._encrypted:
            self._endpoint = TLSEndpoint(tlsTo(target), endpoint, clock)
        self._through = speakerFor(target)

    async def connect(
        self, authority: Authority, fields: Fields, seconds: float
    ) -> Leg:
        """
        Open a tunnel through it.

        @param fields: for its CONNECT.
        @param seconds: how long all of it may take.
        @raise Answered: its answer is no.
        @raise Failed: it gave no answer.
        """
        endpoint = _Noticing(self._endpoint)
        through = self._through(endpoint, authority, fields, seconds, self._clock)
        try:
            leg: Any = await through.connect(_Legs())
        except Exception as error:
            answer = answerOf(self.name, error)
            if answer is not None:
                raise Answered(answer) from None
            failure = failureOf(self.name, error, endpoint.reached)
            if failure is None:
                raise
            raise Failed(failure) from None
        return leg  # type: ignore[no-any-return]

    def probe(self) -> Deferred[Any]:
        """See L{txconnect.routing.health.Probed.probe}."""
        return withTimeout(
            self._clock,
            self._probeTimeout,
            probe(self._endpoint, self._encrypted),
            lambda: TimeoutError(f"{self.name}: no answer"),
        )
