"""
Plain HTTP through a proxy: requests in absolute-form (RFC 9112, 3.2.2).

The proxy reads these requests and sends its own to the destination.  Anything
that must stay between the client and the destination goes through a tunnel.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.web.client import ProxyAgent
from twisted.web.http import PROXY_AUTH_REQUIRED
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from txconnect.client.bodies import RepeatableBody, readSome
from txconnect.client.credentials import NO_CREDENTIALS, IProxyCredentials, ProxyAttempt
from txconnect.client.errors import ProxyAuthenticationRequired
from txconnect.client.pooling import KeyedPool
from txconnect.client.proxynames import nameEndpoint, nameInError
from txconnect.client.targets import Target
from txconnect.maybeasync import settle
from txconnect.values import Authority
from txconnect.wire.challenges import parseChallenges
from txconnect.wire.proxystatus import parseProxyStatus

__all__ = ["AUTHORIZATION", "AbsoluteForm", "PlainRequest"]

AUTHORIZATION = b"proxy-authorization"

ROUNDS = 3
"""Most times that a request is sent before a 407 is final."""


@attrs.frozen
class PlainRequest:
    """
    A request of plain HTTP, as the caller of an agent made it.

    @ivar headers: its fields; never changed.
    @ivar body: the producer of its body; L{None} for a request without one.
    """

    method: bytes
    target: Target
    headers: Headers
    body: RepeatableBody | None

    def repeatRequest(self) -> PlainRequest | None:
        """Make the same request once more; L{None} where its body is gone."""
        if self.body is None:
            return self
        body = self.body.repeatBody()
        return None if body is None else attrs.evolve(self, body=body)


class AbsoluteForm:
    """
    A sender of requests in absolute-form, to one proxy.

    @param endpoint: the endpoint of the proxy.
    @param pool: keeps the connections to it.
    @param credentials: called before each request, and again after a 407 when
        the request can be sent again: when it has no body, or a small one.
    @param fields: header fields for the proxy, added to each request that has
        no field of the same name itself.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        pool: KeyedPool,
        credentials: IProxyCredentials,
        fields: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._pool = pool
        self._credentials = credentials
        self._proxy = nameEndpoint(endpoint)
        # By name: a request's own field replaces all of ours of that name.
        self._fields: dict[bytes, list[bytes]] = {}
        for name, value in fields:
            self._fields.setdefault(name.lower(), []).append(value)

    async def request(self, request: PlainRequest) -> IResponse:
        """
        Send a request, and again with credentials after a 407.

        @raise ProxyAuthenticationRequired: for a 407 that is final.  Any other
            answer is a response: the proxy's own cannot be told from those of
            the destination.
        """
        attempt = ProxyAttempt(
            request.target.authority,
            method=request.method,
            target=request.target.absoluteForm(request.method),
        )
        value = await self._askCredentials(attempt)
        while True:
            response = await self._sendOnce(request, attempt.target, value)
            if response.code != PROXY_AUTH_REQUIRED:
                return response
            refusal = await self._readRefusal(attempt.authority, response, value)
            again = request.repeatRequest()
            if again is None or len(attempt.refused) + 1 == ROUNDS:
                raise refusal
            attempt = attrs.evolve(
                attempt,
                challenges=refusal.challenges,
                refused=(*attempt.refused, value),
            )
            request, value = again, await self._askCredentials(attempt)
            if value is None:
                # The credentials have no other answer to these challenges.
                raise refusal

    async def _askCredentials(self, attempt: ProxyAttempt) -> bytes | None:
        value: object = settle(self._credentials.authorize(attempt))
        if isinstance(value, Deferred):
            value = await value
        if value is not None and not isinstance(value, bytes):
            kind = type(value).__name__
            raise TypeError(f"the credentials gave {kind}, not bytes or None")
        return value

    async def _sendOnce(
        self, request: PlainRequest, target: bytes, value: bytes | None
    ) -> IResponse:
        # The connections of one destination serve no other, as in a tunnel: a
        # proxy that has lost its place among its answers cannot give one
        # destination's answer to a request for another.
        pool = self._pool.forDestination(request.target.authority)
        agent = ProxyAgent(self._endpoint, self._reactor, pool)
        sent: Deferred[IResponse] = agent.request(
            request.method,
            target,
            self._fieldsFor(request.headers, value),
            request.body,
        )
        try:
            return await sent
        except Exception as error:
            nameInError(error, self._proxy)
            raise

    async def _readRefusal(
        self, authority: Authority, response: IResponse, sent: bytes | None
    ) -> ProxyAuthenticationRequired:
        refusal = await _readRefusal(authority, response, self._reactor)
        refusal.proxy = self._proxy
        refusal.noteCredentials(self._credentials is not NO_CREDENTIALS, sent)
        return refusal

    def _fieldsFor(self, given: Headers, value: bytes | None) -> Headers:
        fields = given.copy()
        for name, values in self._fields.items():
            if not given.hasHeader(name):
                fields.setRawHeaders(name, values)
        if value is not None:
            fields.setRawHeaders(AUTHORIZATION, [value])
        return fields


async def _readRefusal(
    authority: Authority, response: IResponse, clock: IReactorTime
) -> ProxyAuthenticationRequired:
    body = await readSome(response, clock)
    headers = response.headers
    refusal = ProxyAuthenticationRequired(
        authority,
        response.code,
        response.phrase.decode("latin-1"),
        [
            (name.lower(), value)
            for name, values in headers.getAllRawHeaders()
            for value in values
        ],
        parseProxyStatus(headers.getRawHeaders(b"proxy-status", ())),
        body,
    )
    refusal.challenges = parseChallenges(
        headers.getRawHeaders(b"proxy-authenticate", ())
    )
    return refusal
