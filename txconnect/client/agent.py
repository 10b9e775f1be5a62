"""
HTTP through a proxy: an C{IAgent}, for treq and other users of Twisted's
agents.

C{https} goes through a tunnel, in which TLS goes on to the destination.  Plain
C{http} goes to the proxy in absolute-form, as HTTP clients do it, or through a
tunnel too.

An agent from here is made of layers, each an C{IAgent}: the environment chooses
a proxy, the agent of a proxy chooses absolute-form or a tunnel, and the tunnel's
layer removes the field that is for a proxy alone.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IReactorTime,
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
from txconnect.client.pooling import IdentityKey, KeyedPool
from txconnect.client.proxyurl import BindAddress, ProxyURL
from txconnect.client.targets import Target
from txconnect.client.tunnels import BROWSER, HTTP, ConnectEndpointFactory

__all__ = ["agentFromEnvironment", "proxyAgent"]

PlainHTTP = Literal["absolute", "tunnel"]

# curl has no variables for WebSocket's schemes: it takes those of the HTTP
# that carries them.
_VARIABLES_OF = {"ws": "http", "wss": "https"}


@implementer(IAgent)
class _DeferringAgent(ABC):
    """An agent that never raises: its Deferred fails instead."""

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """
        See C{IAgent}.  A method or a URI in text fails with L{TypeError}.
        """
        parts: dict[str, object] = {"method": method, "URI": uri}
        for part, given in parts.items():
            if not isinstance(given, bytes):
                kind = type(given).__name__
                return fail(
                    TypeError(f"the {part} is bytes, as of an Agent, not {kind}")
                )
        return maybeDeferred(self._sendOrRaise, method, uri, headers, bodyProducer)

    @abstractmethod
    def _sendOrRaise(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None,
        body: IBodyProducer | None,
    ) -> Deferred[IResponse]:
        """Send a request, or raise an error."""


class _ProxiedAgent(_DeferringAgent):
    """The agent of one proxy."""

    def __init__(
        self,
        reactor: IReactorTime,
        factory: ConnectEndpointFactory,
        plainHTTP: PlainHTTP,
        pool: HTTPConnectionPool,
    ) -> None:
        keyed = KeyedPool(pool, factory.key)
        self._tunnels = _StrippingAgent(
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

    def _sendOrRaise(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None,
        body: IBodyProducer | None,
    ) -> Deferred[IResponse]:
        target = Target.parse(uri)
        # Not "ws": a proxy that fetches would have to understand the upgrade.
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


class _StrippingAgent(_DeferringAgent):
    """
    An agent for requests that no proxy reads: it removes their
    C{Proxy-Authorization}, which is for a proxy alone (RFC 9110, 11.7.2).
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def _sendOrRaise(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None,
        body: IBodyProducer | None,
    ) -> Deferred[IResponse]:
        if headers is not None and headers.hasHeader(AUTHORIZATION):
            # The caller may use the same fields for its next request.
            headers = headers.copy()
            headers.removeHeader(AUTHORIZATION)
        answer: Deferred[IResponse] = self._agent.request(method, uri, headers, body)
        return answer


class _EnvironmentAgent(_DeferringAgent):
    """An agent that sends each request to the proxy that the environment names."""

    def __init__(
        self,
        environment: ProxyEnvironment,
        direct: IAgent,
        makeAgent: Callable[[ProxyURL], IAgent],
    ) -> None:
        self._environment = environment
        self._direct = direct
        self._makeAgent = makeAgent
        self._agents: dict[ProxyURL, IAgent] = {}

    def _sendOrRaise(
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
            # Never many: the environment has only so many variables.
            self._agents[proxy] = self._makeAgent(proxy)
        return self._agents[proxy]


def proxyAgent(
    reactor: IReactorTime,
    proxy: ProxyURL | str,
    *,
    plainHTTP: PlainHTTP = "absolute",
    contextFactory: IPolicyForHTTPS = BROWSER,
    connectTimeout: float | None = None,
    bindAddress: BindAddress = None,
    pool: HTTPConnectionPool | None = None,
    credentials: object = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    tls: IOpenSSLClientConnectionCreator | None = None,
) -> IAgent:
    """
    Make an agent whose requests go through a proxy::

        agent = proxyAgent(reactor, "http://user:password@proxy:3128")
        response = await treq.get("https://example.com/", agent=agent)

    Without a tunnel, the request fails as L{ConnectEndpoint
    <txconnect.client.endpoint.ConnectEndpoint>} does, with L{ProxyRefused
    <txconnect.client.errors.ProxyRefused>} and the like.  A proxy's answer to
    plain HTTP in absolute-form is a response, but for a 407, which is
    L{ProxyAuthenticationRequired
    <txconnect.client.errors.ProxyAuthenticationRequired>} there too.

    C{Proxy-Authorization} among a request's fields goes to a proxy that reads
    it, and is removed from requests that go through a tunnel.

    @param reactor: provides C{IReactorTime} and C{IReactorTCP}.
    @param proxy: C{http}, C{https}, C{socks5} or C{socks5h}, with a user and a
        password where it wants them.
    @param plainHTTP: the form of requests for C{http} URLs: C{"absolute"}, or
        C{"tunnel"} for a proxy that does only CONNECT.  Through SOCKS all are
        tunnels.
    @param contextFactory: the TLS policy for destinations, as for C{Agent}.
    @param connectTimeout: seconds to reach the proxy and have a tunnel; by
        default 30.
    @param bindAddress: the local address of connections to the proxy.
    @param pool: keeps connections; by default none are kept.  Any number of
        agents may share one: a connection serves requests of the same proxy,
        credentials, TLS, fields and destination alone.
    @param credentials: in place of the URL's: L{Digest
        <txconnect.client.credentials.Digest>} and the like, or a function, as
        L{ConnectEndpoint<txconnect.client.endpoint.ConnectEndpoint>} takes
        them.  Called again after a 407, in absolute-form if the request's body
        has 65536 octets at most.
    @param headers: further fields, lower case or not, for an HTTP proxy alone.
        In absolute-form a request's own fields of these names take precedence.
    @param tls: the TLS options for an C{https} proxy; as for
        L{proxyEndpoint<txconnect.client.proxyurl.proxyEndpoint>}.
    @raise ValueError: for a URL that is no proxy's, or an argument that this
        kind of proxy cannot take.
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
    return _ProxiedAgent(reactor, factory, plainHTTP, pool)


def agentFromEnvironment(
    reactor: IReactorTime,
    environ: Mapping[str, str] | None = None,
    *,
    plainHTTP: PlainHTTP = "absolute",
    contextFactory: IPolicyForHTTPS = BROWSER,
    connectTimeout: float | None = None,
    bindAddress: BindAddress = None,
    pool: HTTPConnectionPool | None = None,
    credentials: object = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    tls: IOpenSSLClientConnectionCreator | None = None,
) -> IAgent:
    """
    Make an agent whose requests go through the proxies that the environment
    names, by curl's rules (L{ProxyEnvironment
    <txconnect.client.environment.ProxyEnvironment>}), or directly.

    The choice is made anew for each request, and for each redirection.  Where
    the variable that decides holds no proxy, requests fail with C{ValueError}.

    @param environ: the variables, read once, here; by default those of the
        process.
    @param credentials: as for L{proxyAgent}, for each HTTP proxy whose URL has
        no user.
    @param headers: as for L{proxyAgent}; not for SOCKS.
    @param tls: as for L{proxyAgent}; not for proxies without TLS.

    The rest is as for L{proxyAgent}, and for direct requests as for C{Agent}.
    """
    if pool is None:
        pool = HTTPConnectionPool(reactor, persistent=False)
    # Twisted's key would let a connection that another policy has verified serve
    # here.
    keyed = KeyedPool(pool, ("direct", IdentityKey(contextFactory), bindAddress))
    direct = Agent(reactor, contextFactory, connectTimeout, bindAddress, keyed)

    def makeAgent(proxy: ProxyURL) -> IAgent:
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

    return _EnvironmentAgent(
        ProxyEnvironment(os.environ if environ is None else environ),
        _StrippingAgent(direct),
        makeAgent,
    )
