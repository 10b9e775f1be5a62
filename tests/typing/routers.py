"""
Routers as their writers write them, with Twisted's endpoints.

It is read by mypy with and without its plugin for zope, and by pyright, and run by
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from txconnect import ConnectProxyFactory, IPAddress, Request, Route
from txconnect.client import ConnectEndpoint, Socks5Endpoint, tunnelEndpoint
from txconnect.interfaces import IRouter

GATEWAY = TCP4ClientEndpoint(reactor, "192.0.2.7", 3128)


def judged(request: Request, addresses: Sequence[IPAddress]) -> TCP4ClientEndpoint:
    """Answer at once."""
    return TCP4ClientEndpoint(reactor, str(addresses[0]), request.authority.port)


def beyond(request: Request, addresses: Sequence[IPAddress]) -> ConnectEndpoint:
    """Answer with an endpoint of the client, through others of it and of Twisted's."""
    gateway = ConnectEndpoint(GATEWAY, "192.0.2.8", 3128)
    further = Socks5Endpoint(gateway, "192.0.2.9", 1080)
    last = tunnelEndpoint(reactor, "http://p.example:3128", "a.example", 22)
    print(last)
    return ConnectEndpoint(further, request.authority.host, request.authority.port)


async def later(
    request: Request, addresses: Sequence[IPAddress]
) -> IStreamClientEndpoint:
    """Answer with a coroutine, of a type that says no more than it has to."""
    raise NotImplementedError


def deferred(
    request: Request, addresses: Sequence[IPAddress]
) -> Deferred[HostnameEndpoint]:
    """Answer with a Deferred."""
    raise NotImplementedError


def wrong(request: Request, addresses: Sequence[IPAddress]) -> str:
    """Answer with what is no endpoint."""
    return "tcp:192.0.2.7:3128"


@implementer(IRouter)
class Chooses:
    """Any of them."""

    def route(self, request: Request) -> Route | None:
        host = request.authority.host
        if host == "fixed.example":
            return Route.through("fixed", GATEWAY)
        if host == "later.example":
            return Route.through("later", later, resolves=True)
        if host == "beyond.example":
            return Route.through("beyond", beyond, resolves=True)
        if host == "deferred.example":
            return Route.through("deferred", deferred)
        if host == "wrong.example":
            return Route.through("wrong", wrong)  # type: ignore[arg-type]
        return Route.through("judged", judged)


ConnectProxyFactory(reactor, routers=[Chooses()])
