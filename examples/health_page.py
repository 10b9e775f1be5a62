"""
A page of the proxy's own, and a field in its 200.

A load balancer asks ``GET /healthz`` without credentials; ``GET /status`` needs those of
the proxy; and each tunnel's 200 bears the request's id, so that a client's log and the
proxy's can be compared.

    python examples/health_page.py 3128
"""

import sys
from collections.abc import Iterator
from typing import Any

from twisted.internet import endpoints, task
from twisted.internet.defer import Deferred
from zope.interface import implementer

from txconnect import Answer, ConnectProxy, ConnectProxyFactory, Request, TunnelInfo
from txconnect.interfaces import IRequestHandler, ITunnelFields
from txconnect.observers import Counters


@implementer(IRequestHandler)
class HealthPage:
    name = "health"
    withoutCredentials = True

    def handle(self, request: Request) -> Answer | None:
        if request.target != "/healthz":
            return None
        if request.method not in ("GET", "HEAD"):
            return Answer("GET it\n", 405, fields=[("Allow", "GET, HEAD")])
        return Answer("well\n")


@implementer(IRequestHandler)
class StatusPage:
    name = "status"

    def __init__(self, counters: Counters) -> None:
        self.counters = counters

    def handle(self, request: Request) -> Answer | None:
        if request.target != "/status":
            return None
        return Answer(f"tunnels: {self.counters.active}\n")


@implementer(ITunnelFields)
class RequestId:
    name = "request-id"

    def tunnelFields(self, tunnel: TunnelInfo) -> Iterator[tuple[str, str]]:
        yield "X-Request-Id", tunnel.request.id


async def main(reactor: Any, port: str) -> None:
    counters = Counters()
    proxy = ConnectProxy(
        reactor,
        observers=[counters],
        handlers=[HealthPage(), StatusPage(counters)],
        tunnelFields=[RequestId()],
    )
    proxy.startService()
    endpoint = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1")
    listening = await endpoint.listen(ConnectProxyFactory(reactor, proxy))
    print(f"listening on {listening.getHost().port}", flush=True)
    await Deferred()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
