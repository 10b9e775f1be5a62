"""The example of a proxy with a page of its own."""

from __future__ import annotations

from exampleprograms import program
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

from txconnect.observers import Counters
from txconnect.testing import (
    checkRequestHandler,
    checkTunnelFields,
    proxyOnMemory,
)

pages = program("health_page")


def test_itsPlugins() -> None:
    """[F60] They pass their conformance checks."""
    checkRequestHandler(pages.HealthPage())
    checkRequestHandler(pages.StatusPage(Counters()))
    checkTunnelFields(pages.RequestId())


def test_inAProxy() -> None:
    """[F56] [F60] What its docstring says, in a whole proxy."""
    counters = Counters()
    with proxyOnMemory(
        checkers=[InMemoryUsernamePasswordDatabaseDontUse(ada=b"lovelace")],
        observers=[counters],
        handlers=[pages.HealthPage(), pages.StatusPage(counters)],
        tunnelFields=[pages.RequestId()],
    ) as net:
        health = net.ask("GET", "/healthz")
        assert (health.status, health.received) == (200, b"well\n")
        posted = net.ask("POST", "/healthz")
        assert (posted.status, posted.header("Allow")) == (405, "GET, HEAD")
        assert net.ask("GET", "/status").status == 407
        client = net.connectThrough(
            "93.184.216.34:443", user="ada", password="lovelace"
        )
        (established,) = net.events.established
        assert client.header("x-request-id") == established.tunnel.request.id
        known = [
            ("Host", "proxy.example"),
            ("Proxy-Authorization", "Basic YWRhOmxvdmVsYWNl"),
        ]
        status = net.ask("GET", "/status", headers=known)
        assert (status.status, status.received) == (200, b"tunnels: 1\n")
        assert net.ask("GET", "/other", headers=known).status == 405
