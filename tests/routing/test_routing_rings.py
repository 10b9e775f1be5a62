"""
Proxies in a ring, and proxies in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from rig import ANYTHING, Rig, body, connect, status
from scripted import NAMES

from txconnect.proxy import ConnectProxy, ConnectProxyFactory
from txconnect.settings import Settings
from txconnect.testing import (
    CHUNKS,
    ImmediatePool,
    MemoryNetwork,
    RecordingObserver,
    scriptedLookup,
)
from txconnect.values import Cause


class Row:
    """
    Proxies p0, p1, ... on one network, each with a port of its own.

    @ivar proxies: they.
    @ivar events: what the observers of each heard.
    """

    def __init__(self, chunk: Any, routes: Sequence[str | None], **settings: Any):
        self.network = MemoryNetwork(chunk=chunk)
        self.proxies = []
        self.events = []
        for number, route in enumerate(routes):
            events = RecordingObserver()
            proxy = ConnectProxy(
                self.network,
                policies=ANYTHING,
                observers=[events],
                routes=[] if route is None else [route],
                getaddrinfo=scriptedLookup(NAMES),
                pool=ImmediatePool(),
                settings=Settings(name=f"p{number}", **settings),
            )
            proxy.startService()
            factory = ConnectProxyFactory(self.network, proxy)
            self.network.listenTCP(3128 + number, factory, interface="127.0.0.1")
            self.proxies.append(proxy)
            self.events.append(events)

    def ask(self, target: str = "example.com:443") -> Any:
        """Ask the first of them."""
        client = self.network.connect("127.0.0.1", 3128)
        client.send(connect(target))
        self.network.flush()
        return client

    def stop(self) -> None:
        """All stop, and nothing is left."""
        for proxy in self.proxies:
            proxy.stopService()
        self.network.flush()
        self.network.assertClean()


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("target", ["example.com:443", "192.0.2.1:443"])
def test_ring(chunk: Any, size: int, target: str) -> None:
    """
    [T15] [UP-07] [TU-12] A proxy that is its own parent, two and three in a
    ring: the request ends where it comes back, and all say why.
    """
    ports = [3128 + (number + 1) % size for number in range(size)]
    row = Row(chunk, [f"http://127.0.0.1:{port}" for port in ports])
    client = row.ask(target)
    assert status(client) == 502
    head = client.received.split(b"\r\n\r\n")[0]
    assert b"error=proxy_loop_detected" in head
    # Every proxy on the way is in the trail, the first one at both its ends.
    trail = [b"p%d;error=" % number for number in [0, *range(size - 1, -1, -1)]]
    found = [head.find(name) for name in trail]
    assert head.find(b"p0;error=proxy_loop_detected") >= 0
    assert -1 not in found
    causes = [each.cause for each in row.events[0].refused]
    assert causes == [Cause.LOOP, Cause.PARENT_REFUSED]
    client.end()
    row.stop()


@pytest.mark.parametrize("chunk", CHUNKS)
def test_ringThroughTheDestination(chunk: Any) -> None:
    """[T15] [TU-12] What comes back to a proxy with a direct route ends there."""
    row = Row(chunk, ["http://127.0.0.1:3129", None])
    client = row.ask("127.0.0.1:3129")
    assert status(client) == 502
    assert row.events[1].refused[0].cause is Cause.LOOP
    client.end()
    row.stop()


@pytest.mark.parametrize("chunk", CHUNKS)
def test_row(chunk: Any) -> None:
    """[UP-01] [UP-03] [UP-07] Three in a row make one tunnel."""
    bulk = 4_000 if chunk == 1 else 40_000
    row = Row(chunk, ["http://127.0.0.1:3129", "http://127.0.0.1:3130", None])
    served = row.network.serve("192.0.2.1", 443, banner=b"banner")
    client = row.ask()
    assert body(client) == b"banner"
    client.send(b"x" * bulk)
    client.end()
    row.network.flush()
    assert served.peer.received == b"x" * bulk
    assert served.peer.ended
    served.peer.send(b"y" * bulk)
    served.peer.end()
    row.network.flush()
    assert body(client) == b"banner" + b"y" * bulk
    assert client.ended
    via = row.events[2].closed[0].tunnel.request.headers
    assert [value for name, value in via if name == b"via"] == [b"1.1 p0", b"1.1 p1"]
    row.stop()


def test_causeOfTheFarEnd() -> None:
    """[UP-08] [UP-09] What the last one says reaches the client of the first."""
    row = Row(None, ["http://127.0.0.1:3129", "http://127.0.0.1:3130", None])
    row.network.refuse("192.0.2.1")
    client = row.ask()
    assert status(client) == 502
    line = client.received.split(b"Proxy-Status: ")[1].split(b"\r\n")[0]
    assert line.startswith(b"p2;error=connection_refused, p1;error=")
    assert b", p0;error=destination_unavailable;received-status=502;" in line
    assert [each.refused[0].cause for each in row.events] == [
        Cause.PARENT_REFUSED,
        Cause.PARENT_REFUSED,
        Cause.CONNECTION_REFUSED,
    ]
    client.end()
    row.stop()


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_itselfAsASocksParent(kind: str) -> None:
    """[T15] Whatever is spoken, a proxy that is its own parent ends it."""
    rig = Rig(routes=[f"{kind}://127.0.0.1:3128"], settings={"name": "p"})
    client = rig.client(connect())
    assert status(client) == 502
    rig.proxy.stopService()
    rig.assertOver()
