"""
The endpoints of an agent, each of which leads through one proxy, by a tunnel.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from txconnect.client.arguments import listedFields
from txconnect.client.credentials import IProxyCredentials, asCredentials
from txconnect.client.pooling import IdentityKey
from txconnect.client.proxyurl import (
    BindAddress,
    ProxyURL,
    proxyEndpoint,
    tunnelEndpoint,
    urlCredentials,
)
from txconnect.client.secrets import StoredCredentials
from txconnect.client.targets import Target

__all__ = ["BROWSER", "HTTP", "ConnectEndpointFactory"]

TIMEOUT = 30.0
"""Seconds to get a tunnel, by default."""

HTTP = ("http", "https")
"""The schemes of proxies that speak HTTP."""

BROWSER = BrowserLikePolicyForHTTPS()
"""
The default TLS policy.  All agents share the one object, as those of Twisted do:
connections of the same policy may serve each other's requests.
"""


@implementer(IAgentEndpointFactory)
class ConnectEndpointFactory:
    """
    A factory of endpoints that lead through a proxy, all by a tunnel: for
    C{Agent.usingEndpointFactory} and Twisted's C{WebSocketClientEndpoint}.

    An C{Agent} keeps connections by their destination alone: give it a separate
    pool, or use L{proxyAgent<txconnect.client.agent.proxyAgent>}, which needs
    none.

    @ivar proxy: the proxy.
    @ivar toProxy: the endpoint of the proxy itself.
    @ivar credentials: those for an HTTP proxy; L{None} for SOCKS.
    @ivar headers: further fields for the proxy.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        proxy: ProxyURL | str,
        *,
        contextFactory: IPolicyForHTTPS = BROWSER,
        connectTimeout: float | None = None,
        bindAddress: BindAddress = None,
        credentials: object = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
        tls: IOpenSSLClientConnectionCreator | None = None,
    ) -> None:
        """
        The parameters are those of L{proxyAgent<txconnect.client.agent.proxyAgent>}.
        """
        self.proxy = ProxyURL.of(proxy)
        self.headers = listedFields(headers)
        self._reactor = reactor
        self._policy = contextFactory
        self._timeout = TIMEOUT if connectTimeout is None else connectTimeout
        self._given = IdentityKey(credentials)
        self._from = (bindAddress, IdentityKey(tls))
        self.credentials = _httpCredentials(self.proxy, credentials)
        self.toProxy = proxyEndpoint(
            reactor,
            self.proxy,
            tls=tls,
            timeout=self._timeout,
            bindAddress=bindAddress,
        )
        # An argument that this kind of proxy cannot take fails now, and not with
        # the first request.
        self._tunnelTo(b"localhost", 443)

    @property
    def key(self) -> Hashable:
        """
        The properties that two connections must share for one to serve the
        other's requests; without the destination.
        """
        return (
            self.proxy,
            self._given,
            self.headers,
            self._from,
            IdentityKey(self._policy),
        )

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """
        Make the endpoint for a URL; called by an agent for each request.

        @raise SchemeNotSupported: for another scheme than HTTP's and
            WebSocket's.
        @raise ValueError: for a URL with a user in it, or no host.
        """
        target = Target.fromURI(uri)
        port = target.authority.port
        tunnel = self._tunnelTo(uri.host, port)
        if not target.secure:
            return tunnel
        creator = self._policy.creatorForNetloc(uri.host, port)
        return wrapClientTLS(creator, tunnel)

    def _tunnelTo(self, host: bytes, port: int) -> IStreamClientEndpoint:
        # The object of this factory each time, so that it remembers the
        # challenge of a proxy with Digest.
        own = self.credentials
        return tunnelEndpoint(
            self._reactor,
            self.proxy,
            host,
            port,
            proxyEndpoint=self.toProxy,
            credentials=self._given.value if own is None else own,
            headers=self.headers,
            timeout=self._timeout,
        )


def _httpCredentials(proxy: ProxyURL, given: object) -> IProxyCredentials | None:
    if proxy.scheme not in HTTP:
        return None
    if isinstance(given, StoredCredentials):
        return given.forHTTP()
    return asCredentials(urlCredentials(proxy) if given is None else given)
