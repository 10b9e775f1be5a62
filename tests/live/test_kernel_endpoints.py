"""
Routes of client endpoints on real sockets: which relay serves, and that it serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernelrig import KernelRig, Serving
from relaypromises import noise
from rig import ESTABLISHED, body, connect
from test_kernel_pairs import Pairs
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from zope.interface import implementer

from txconnect.client import ConnectEndpoint
from txconnect.interfaces import IRouter
from txconnect.tunnel.kernel.paired import PairedRelay
from txconnect.tunnel.kernel.relay import KernelRelay
from txconnect.tunnel.transport.relay import TransportRelay
from txconnect.values import Route

MakeRig = Callable[..., KernelRig]


@implementer(IRouter)
class Always:
    """One route for all."""

    made: Any = None

    def route(self, request: Any) -> Any:
        return self.made


@pytest.fixture(params=["epoll", "asyncio"])
def makeRig(request: pytest.FixtureRequest) -> Iterator[MakeRig]:
    made: list[KernelRig] = []

    def make(**arguments: Any) -> KernelRig:
        made.append(KernelRig(kind=request.param, **arguments))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def routed(makeRig: MakeRig, **arguments: Any) -> tuple[KernelRig, Always]:
    router = Always()
    return makeRig(routers=[router], **arguments), router


def portOf(rig: KernelRig) -> int:
    return int(rig.servers[-1].getHost().port)


def relayOf(rig: KernelRig) -> Any:
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    return tunnel.relay


@pytest.mark.parametrize("pairs", [None, Pairs()], ids=["plain", "pair"])
def test_plainTCPIsTheKernels(makeRig: MakeRig, pairs: Pairs | None) -> None:
    """[F52] [K8] Whatever the endpoint has read by then comes first; bulk both ways."""
    rig, router = routed(makeRig, pairFactory=pairs)
    server = rig.serve(banner=b"banner")
    router.made = Route.through(
        "line", TCP4ClientEndpoint(rig.reactor, "127.0.0.1", portOf(rig))
    )
    client = rig.client(connect() + b"early")
    peer = server.peers[-1]
    relay = relayOf(rig)
    assert type(relay) is (KernelRelay if pairs is None else PairedRelay)
    up, down = noise(300_000), noise(400_000)
    client.send(up)
    client.end()
    peer.send(down)
    peer.end()
    rig.flush()
    assert peer.received == b"early" + up
    assert body(client) == b"banner" + down
    assert (client.ended, peer.ended) == (True, True)
    rig.assertOver()
    # 127.0.0.1 is where the name leads here, too: so it shows in the log.
    assert str(rig.events.closed[0].tunnel.address) == "127.0.0.1"


def test_throughAParentIsTheKernels(makeRig: MakeRig) -> None:
    """[F52] [UP-03] The proxy's client has spoken on it first."""
    rig, router = routed(makeRig)
    server = rig.serve()
    parent = TCP4ClientEndpoint(rig.reactor, "127.0.0.1", portOf(rig))
    router.made = Route.through(
        "parent",
        ConnectEndpoint(parent, "far.example", 443, clock=rig.clock),
        resolves=True,
    )
    client = rig.client(connect("far.example:443") + b"early")
    peer = server.peers[-1]
    assert peer.take().startswith(b"CONNECT far.example:443 HTTP/1.1\r\n")
    peer.send(ESTABLISHED + b"banner")
    rig.flush()
    assert type(relayOf(rig)) is KernelRelay
    assert body(client) == b"banner"
    assert peer.take() == b"early"
    peer.abort()
    rig.flush()
    assert client.reset
    rig.assertOver()


def test_aUnixSocketIsTheTransports(makeRig: MakeRig, tmp_path: Path) -> None:
    """[F52] [TU-03] With half-close, as TCP."""
    rig, router = routed(makeRig)
    serving = Serving(rig, banner=b"banner")
    path = str(tmp_path / "gateway")
    rig.servers.append(rig.reactor.listenUNIX(path, serving))
    router.made = Route.through("gateway", UNIXClientEndpoint(rig.reactor, path))
    client = rig.client(connect() + b"early")
    assert type(relayOf(rig)) is TransportRelay
    client.end()
    rig.flush()
    peer = serving.peers[-1]
    assert peer.received == b"early"
    peer.send(b" and more")
    peer.end()
    rig.flush()
    assert body(client) == b"banner and more"
    assert client.ended
    rig.assertOver()


def test_aUnixSocketThatIsNotThere(makeRig: MakeRig, tmp_path: Path) -> None:
    """[F52] The next hop cannot be reached, and no plugin has made a mistake."""
    rig, router = routed(makeRig)
    path = str(tmp_path / "none")
    router.made = Route.through("gateway", UNIXClientEndpoint(rig.reactor, path))
    client = rig.client(connect())
    assert client.received.startswith(b"HTTP/1.1 503 ")
    assert "No such file" in rig.events.refused[0].reason
    client.close()
    rig.assertOver()


def test_whoRefuses(makeRig: MakeRig) -> None:
    """[F52] A port that nobody listens on, by the system's own word."""
    rig, router = routed(makeRig)
    rig.serve()
    number = portOf(rig)
    rig.servers.pop().stopListening()
    router.made = Route.through(
        "line", TCP4ClientEndpoint(rig.reactor, "127.0.0.1", number)
    )
    client = rig.client(connect())
    assert client.received.startswith(b"HTTP/1.1 502 ")
    assert rig.events.refused[0].cause.label == "connection-refused"
    client.close()
    rig.assertOver()
