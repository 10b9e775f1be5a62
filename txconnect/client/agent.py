"""
HTTP clients of Twisted through a proxy: an C{IAgent} for treq and whoever else
takes one.

C{https} goes through a tunnel, in which TLS goes on to the destination.  Plain
C{http} is asked of the proxy in absolute-form, as HTTP clients do it, or goes
through a tunnel too.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
)
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import (
    IAgent,
    IBodyProducer,
    IPolicyForHTTPS,
    IResponse,
)
from zope.interface import implementer

from txconnect.client.absolute import AUTHORIZATION, AbsoluteForm, PlainRequest
from txconnect.client.bodies import RepeatableBody
from txconnect.client.environment import ProxyEnvironment
from txconnect.client.pooling import KeyedPool, Same
from txconnect.client.proxyurl import (
    ProxyURL,
)
from txconnect.client.targets import Target
from txconnect.client.tunnels import BROWSER, HTTP, ConnectEndpointFactory

__all__ = ["agentFromEnvironment", "proxyAgent"]

PlainHTTP = Literal["absolute", "tunnel"]

# curl has no variables for these two, and takes those of the HTTP below.
_VARIABLES_OF = {"ws": "http", "wss": "https"}


@implementer(IAgent)
class _Requesting(ABC):
    """An agent that fails in its answer only."""

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """See C{IAgent}."""
        return maybeDeferred(self._ask, method, uri, headers, bodyProducer)

    @abstractmethod
    def _ask(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None,
        body: IBodyProducer | None,
    ) -> Deferred[IResponse]:
        """Send a request, or raise."""


class _ThroughProxy(_Requesting):
    """Requests through one proxy."""

    def __init__(
        self,
        reactor: Any,
        factory: ConnectEndpointFactory,
        plainHTTP: PlainHTTP,
        pool: HTTPConnectionPool,
    ) -> None:
        keyed = KeyedPool(pool, factory.key)
        self._tunnels = _WithoutAuthorization(
            Agent.usingEndpointFactory(reactor, factory, keyed)
        )
        self._absolute: AbsoluteForm | None = None
        if plainHTTP == "absolute" and factory.credentials is not None:
            self._absolute = AbsoluteForm(
                reactor,
                factory.toProxy,
                keyed,
                factory.credentials,
                factory.headers,
            )

    def _ask(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None,
        body: IBodyProducer | None,
    ) -> Deferred[IResponse]:
        target = Target.parse(uri)
        if self._absolute is not None and target.scheme == "http":
            return Deferred.fromCoroutine(
                self._absolute.request(
                    PlainRequest(
                        method,
                        target,
                        Headers() if headers is None else headers,
                        None if body is None else RepeatableBody(body),
                    )
                )
            )
        return self._tunnels.request(method, uri, headers, body)


class _WithoutAuthorization(_Requesting):
    """
    Requests that no proxy reads, and so without what is for a proxy alone
    (RFC 9110, 11.7.2).
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def _ask(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None,
        body: IBodyProducer | None,
    ) -> Deferred[IResponse]:
        if headers is not None and headers.hasHeader(AUTHORIZATION):
            headers = headers.copy()
            headers.removeHeader(AUTHORIZATION)
        answer: Deferred[IResponse] = self._agent.request(method, uri, headers, body)
        return answer


class _FromEnvironment(_Requesting):
    """Requests each of which goes the way that the environment says."""

    def __init__(
        self,
        environment: ProxyEnvironment,
        direct: IAgent,
        through: Callable[[ProxyURL], IAgent],
    ) -> None:
        self._environment = environment
        self._direct = direct
        self._through = through
        self._agents: dict[ProxyURL, IAgent] = {}

    def _ask(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None,
        body: IBodyProducer | None,
    ) -> Deferred[IResponse]:
        agent = self._agentFor(Target.parse(uri))
        answer: Deferred[IResponse] = agent.request(method, uri, headers, body)
        return answer

    def _agentFor(self, target: Target) -> IAgent:
        scheme = _VARIABLES_OF.get(target.scheme, target.scheme)
        to = target.authority
        proxy = self._environment.proxyFor(scheme, to.host, to.port)
        if proxy is None:
            return self._direct
        if proxy not in self._agents:
            # As many as the environment has variables.
            self._agents[proxy] = self._through(proxy)
        return self._agents[proxy]


def proxyAgent(
    reactor: Any,
    proxy: ProxyURL | str,
    *,
    plainHTTP: PlainHTTP = "absolute",
    contextFactory: IPolicyForHTTPS = BROWSER,
    connectTimeout: float | None = None,
    bindAddress: Any = None,
    pool: HTTPConnectionPool | None = None,
    credentials: object = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    tls: IOpenSSLClientConnectionCreator | None = None,
) -> IAgent:
    """
    Make an agent whose requests go through a proxy::

        agent = proxyAgent(reactor, "http://user:password@proxy:3128")
        response = await treq.get("https://example.com/", agent=agent)

    Where there is no tunnel, the request fails as L{ConnectEndpoint
    <txconnect.client.endpoint.ConnectEndpoint>} does, with L{ProxyRefused
    <txconnect.client.errors.ProxyRefused>} and its like.  What a proxy answers
    to plain HTTP in absolute-form is a response, but for a 407, which is
    L{ProxyAuthenticationRequired
    <txconnect.client.errors.ProxyAuthenticationRequired>} there too.

    C{Proxy-Authorization} among a request's fields goes to a proxy that reads
    it, and is taken out of what goes through a tunnel.

    @param proxy: C{http}, C{https}, C{socks5} or C{socks5h}, with a user and a
        password where it wants them.
    @param plainHTTP: how C{http} URLs are asked for: C{"absolute"}, or
        C{"tunnel"} for a proxy that does CONNECT alone.  Through SOCKS all are
        tunnels.
    @param contextFactory: how TLS is spoken to destinations, as for C{Agent}.
    @param connectTimeout: seconds until the proxy must be reached and a tunnel
        must be there; by default 30.
    @param bindAddress: where connections to the proxy come from.
    @param pool: where connections are kept; by default they are not.  Any
        number of agents may share one: a connection serves requests of the
        same proxy, credentials, TLS, fields and destination alone.
    @param credentials: in place of the URL's: L{Digest
        <txconnect.client.credentials.Digest>} and its like, or a function, as
        L{ConnectEndpoint<txconnect.client.endpoint.ConnectEndpoint>} takes
        them.  Asked again at a 407, in absolute-form if the request's body has
        65536 octets at most.
    @param headers: further fields, lower case or not, for an HTTP proxy alone.
        In absolute-form a request's own fields of these names stand.
    @param tls: how TLS is spoken to an C{https} proxy; as for
        L{proxyEndpoint<txconnect.client.proxyurl.proxyEndpoint>}.
    @raise ValueError: for a URL that is no proxy's, or what this proxy cannot
        be given.
    """
    factory = ConnectEndpointFactory(
        reactor,
        proxy,
        contextFactory=contextFactory,
        connectTimeout=connectTimeout,
        bindAddress=bindAddress,
        credentials=credentials,
        headers=headers,
        tls=tls,
    )
    if plainHTTP not in ("absolute", "tunnel"):
        raise ValueError(f"plainHTTP is 'absolute' or 'tunnel', not {plainHTTP!r}")
    if pool is None:
        pool = HTTPConnectionPool(reactor, persistent=False)
    return _ThroughProxy(reactor, factory, plainHTTP, pool)


def agentFromEnvironment(
    reactor: Any,
    environ: Mapping[str, str] | None = None,
    *,
    plainHTTP: PlainHTTP = "absolute",
    contextFactory: IPolicyForHTTPS = BROWSER,
    connectTimeout: float | None = None,
    bindAddress: Any = None,
    pool: HTTPConnectionPool | None = None,
    credentials: object = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    tls: IOpenSSLClientConnectionCreator | None = None,
) -> IAgent:
    """
    Make an agent whose requests go through the proxies that the environment
    names, by curl's rules (L{ProxyEnvironment
    <txconnect.client.environment.ProxyEnvironment>}), or directly.

    Each request is decided on its own, and so is each redirection.  Where the
    variable that decides holds no proxy, requests fail with C{ValueError}.

    @param environ: the variables, looked at once, here; by default those of
        the process.
    @param credentials: as for L{proxyAgent}, for each HTTP proxy whose URL has
        no user.
    @param headers: as for L{proxyAgent}; not for SOCKS.
    @param tls: as for L{proxyAgent}; not for proxies without TLS.

    The rest is as for L{proxyAgent}, and for what goes directly as for
    C{Agent}.
    """
    if pool is None:
        pool = HTTPConnectionPool(reactor, persistent=False)
    # Twisted's key would let what another policy has verified serve here.
    keyed = KeyedPool(pool, ("direct", Same(contextFactory), bindAddress))
    direct = Agent(reactor, contextFactory, connectTimeout, bindAddress, keyed)

    def through(proxy: ProxyURL) -> IAgent:
        isHTTP = proxy.scheme in HTTP
        return proxyAgent(
            reactor,
            proxy,
            plainHTTP=plainHTTP,
            contextFactory=contextFactory,
            connectTimeout=connectTimeout,
            bindAddress=bindAddress,
            pool=pool,
            credentials=credentials if isHTTP and proxy.user is None else None,
            headers=headers if isHTTP else (),
            tls=tls if proxy.scheme == "https" else None,
        )

    return _FromEnvironment(
        ProxyEnvironment(os.environ if environ is None else environ),
        _WithoutAuthorization(direct),
        through,
    )
