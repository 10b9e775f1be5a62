"""
Plain HTTP through a proxy: requests in absolute-form (RFC 9112, 3.2.2).

The proxy reads these requests and sends its own to the destination.  Whatever
is to stay between the client and the destination goes through a tunnel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import ProxyAgent
from twisted.web.http import PROXY_AUTH_REQUIRED
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from txconnect.client.bodies import RepeatableBody, readSome
from txconnect.client.credentials import IProxyCredentials, ProxyAttempt
from txconnect.client.errors import ProxyAuthenticationRequired
from txconnect.client.pooling import KeyedPool
from txconnect.client.targets import Target
from txconnect.maybeasync import settle
from txconnect.values import Authority
from txconnect.wire.challenges import parseChallenges
from txconnect.wire.proxystatus import parseProxyStatus

__all__ = ["AUTHORIZATION", "AbsoluteForm", "PlainRequest"]

AUTHORIZATION = b"proxy-authorization"

ROUNDS = 3
"""How often a request is sent at most before a 407 is final."""


@attrs.frozen
class PlainRequest:
    """
    A request of plain HTTP, as an agent was given it.

    @ivar headers: its fields; never changed.
    @ivar body: what produces its body; L{None} for a request without one.
    """

    method: bytes
    target: Target
    headers: Headers
    body: RepeatableBody | None

    def again(self) -> PlainRequest | None:
        """The same request once more; L{None} where its body is gone."""
        if self.body is None:
            return self
        body = self.body.again()
        return None if body is None else attrs.evolve(self, body=body)


class AbsoluteForm:
    """
    Sends requests to a proxy that fetches.

    @param endpoint: where the proxy is.
    @param pool: where connections to it are kept.
    @param credentials: asked before each request, and again after a 407 when
        the request can be sent again: when it has no body, or a small one.
    @param fields: what the proxy is told with each request, where the request
        has no such field itself.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamClientEndpoint,
        pool: KeyedPool,
        credentials: IProxyCredentials,
        fields: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._pool = pool
        self._credentials = credentials
        self._fields: dict[bytes, list[bytes]] = {}
        for name, value in fields:
            self._fields.setdefault(name.lower(), []).append(value)

    async def request(self, request: PlainRequest) -> IResponse:
        """
        Send it.

        @raise ProxyAuthenticationRequired: for a 407 that is final.  Any other
            answer is a response: nobody can tell which are the proxy's own.
        """
        attempt = ProxyAttempt(
            request.target.authority,
            method=request.method,
            target=request.target.absoluteForm(request.method),
        )
        value = await self._authorize(attempt)
        while True:
            response = await self._send(request, attempt.target, value)
            if response.code != PROXY_AUTH_REQUIRED:
                return response
            refusal = await _refusal(attempt.authority, response)
            again = request.again()
            if again is None or len(attempt.refused) + 1 == ROUNDS:
                raise refusal
            attempt = attrs.evolve(
                attempt,
                challenges=refusal.challenges,
                refused=(*attempt.refused, value),
            )
            request, value = again, await self._authorize(attempt)
            if value is None:
                raise refusal

    async def _authorize(self, attempt: ProxyAttempt) -> bytes | None:
        value: object = settle(self._credentials.authorize(attempt))
        if isinstance(value, Deferred):
            value = await value
        if value is not None and not isinstance(value, bytes):
            kind = type(value).__name__
            raise TypeError(f"the credentials gave {kind}, not bytes or None")
        return value

    async def _send(
        self, request: PlainRequest, target: bytes, value: bytes | None
    ) -> IResponse:
        # The connections of one destination serve no other, as in a tunnel: a
        # proxy that has lost its place among its answers gives nobody's away.
        pool = self._pool.to(request.target.authority)
        agent = ProxyAgent(self._endpoint, self._reactor, pool)
        sent: Deferred[IResponse] = agent.request(
            request.method,
            target,
            self._fieldsFor(request.headers, value),
            request.body,
        )
        return await sent

    def _fieldsFor(self, given: Headers, value: bytes | None) -> Headers:
        fields = given.copy()
        for name, values in self._fields.items():
            if not given.hasHeader(name):
                fields.setRawHeaders(name, values)
        if value is not None:
            fields.setRawHeaders(AUTHORIZATION, [value])
        return fields


async def _refusal(
    authority: Authority, response: IResponse
) -> ProxyAuthenticationRequired:
    body = await readSome(response)
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
