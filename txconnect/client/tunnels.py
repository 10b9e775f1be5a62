"""
The endpoints below an agent: each leads through one proxy, by a tunnel.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IStreamClientEndpoint,
)
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from txconnect.client.credentials import IProxyCredentials, asCredentials
from txconnect.client.pooling import Same
from txconnect.client.proxyurl import (
    ProxyURL,
    proxyEndpoint,
    tunnelEndpoint,
    urlCredentials,
)
from txconnect.client.secrets import StoredCredentials
from txconnect.client.targets import Target

__all__ = ["BROWSER", "HTTP", "ConnectEndpointFactory"]

TIMEOUT = 30.0
"""Seconds until a tunnel must be there, where nothing else is said."""

HTTP = ("http", "https")
"""The schemes of proxies that speak HTTP."""

BROWSER = BrowserLikePolicyForHTTPS()
"""
One for all, as Twisted's C{Agent} has one: what was verified by the same policy
may serve the other.
"""


@implementer(IAgentEndpointFactory)
class ConnectEndpointFactory:
    """
    Endpoints that lead through a proxy, all by a tunnel: for
    C{Agent.usingEndpointFactory} and Twisted's C{WebSocketClientEndpoint}.

    An C{Agent} keeps connections by their destination alone: give it a pool
    of its own, or take L{proxyAgent<txconnect.client.agent.proxyAgent>}, which needs none.

    @ivar proxy: the proxy.
    @ivar toProxy: where the proxy itself is.
    @ivar credentials: what it is offered; of an HTTP proxy.
    @ivar headers: further fields for it.
    """

    def __init__(
        self,
        reactor: Any,
        proxy: ProxyURL | str,
        *,
        contextFactory: IPolicyForHTTPS = BROWSER,
        connectTimeout: float | None = None,
        bindAddress: Any = None,
        credentials: object = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
        tls: IOpenSSLClientConnectionCreator | None = None,
    ) -> None:
        """
        The parameters are those of L{proxyAgent<txconnect.client.agent.proxyAgent>}.
        """
        self.proxy = ProxyURL.parse(proxy) if isinstance(proxy, str) else proxy
        self.headers = tuple((name, value) for name, value in headers)
        self._reactor = reactor
        self._policy = contextFactory
        self._timeout = TIMEOUT if connectTimeout is None else connectTimeout
        self._given = Same(credentials)
        self._from = (bindAddress, Same(tls))
        self.credentials = _ofHTTP(self.proxy, credentials)
        self.toProxy = proxyEndpoint(
            reactor,
            self.proxy,
            tls=tls,
            timeout=self._timeout,
            bindAddress=bindAddress,
        )
        # What this proxy cannot be given is said now, and not with the first
        # request.
        self._tunnel(b"localhost", 443)

    @property
    def key(self) -> Hashable:
        """
        What two connections must have in common for one to serve the other's
        requests; without the destination.
        """
        return (self.proxy, self._given, self.headers, self._from, Same(self._policy))

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """
        Called by an agent for each request.

        @raise SchemeNotSupported: for another scheme than HTTP's and
            WebSocket's.
        @raise ValueError: for a URL with a user in it, or no host.
        """
        target = Target.of(uri)
        port = target.authority.port
        tunnel = self._tunnel(uri.host, port)
        if not target.secure:
            return tunnel
        creator = self._policy.creatorForNetloc(uri.host, port)
        return wrapClientTLS(creator, tunnel)

    def _tunnel(self, host: bytes, port: int) -> IStreamClientEndpoint:
        # The object of this factory each time, so that it remembers what a
        # proxy with Digest has asked.
        own = self.credentials
        return tunnelEndpoint(
            self._reactor,
            self.proxy,
            host,
            port,
            proxyEndpoint=self.toProxy,
            credentials=self._given.thing if own is None else own,
            headers=self.headers,
            timeout=self._timeout,
        )


def _ofHTTP(proxy: ProxyURL, given: object) -> IProxyCredentials | None:
    if proxy.scheme not in HTTP:
        return None
    if isinstance(given, StoredCredentials):
        return given.forHTTP()
    return asCredentials(urlCredentials(proxy) if given is None else given)
