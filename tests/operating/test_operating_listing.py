"""
The list of open tunnels in the log: what a line says, and how many there are.
"""

from __future__ import annotations

import attrs
from rig import DESTINATION, Rig, logging
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import formatEvent

from txconnect.operating.listing import MOST, PAUSE, PORTION, Listing
from txconnect.testing import makeTunnel
from txconnect.tunnel.registry import LiveTunnel
from txconnect.values import Identity, TunnelInfo
from txconnect.wire.closing import State

TUNNEL = makeTunnel()


class Proxy:
    """So many tunnels, as a proxy and all that leads to its registry."""

    def __init__(self, tunnels: list[LiveTunnel]) -> None:
        self._tunnels = tunnels
        self.resources = self.tunnels = self
        self.connections = len(tunnels) + 2

    def live(self) -> list[LiveTunnel]:
        return self._tunnels


def liveTunnel(tunnel: TunnelInfo = TUNNEL, up: int = 0) -> LiveTunnel:
    """An open tunnel, one second old."""
    return LiveTunnel(tunnel, 1.0, up, 0, State.OPEN)


def lines(clock: Clock, listing: Listing) -> list[list[str | None]]:
    """What is written at once, and after each pause."""
    written = []
    with logging() as logged:
        listing.beginList()
        while True:
            written.append([formatEvent(event) for event in logged.events])
            logged.events.clear()
            if not clock.getDelayedCalls():
                return written
            clock.advance(PAUSE)


def test_aLineHasEveryFigure() -> None:
    """[F10] Who, where to, by which way, for how long, and how much."""
    rig = Rig()
    client, destination = rig.tunnel()
    client.send(b"x" * 7)
    destination.send(b"y" * 11)
    waiting = rig.client()
    rig.network.advance(2.5)
    with logging() as logged:
        Listing(rig.network, rig.proxy).beginList()
    count, line = [formatEvent(event) for event in logged.events]
    assert count == "open tunnels: 1; connections of clients: 2"
    (established,) = rig.events.events
    request = established.tunnel.request
    assert line == (
        f"tunnel {request.id} 127.0.0.1:{request.client.port} -> example.com:443 "
        f"[{DESTINATION}]  direct  2.5 s  up 7 B  down 11 B"
    )
    client.close()
    destination.close()
    waiting.close()
    rig.flush()
    assert rig.proxy.resources.tunnels.live() == []


def test_whatComesFromOutsideIsEscapedAndCut() -> None:
    """A balancer's word for an address, a user's name, a router's for a route."""
    request = attrs.evolve(
        TUNNEL.request,
        client=IPv4Address("TCP", "a\nb" * 100, 1),
        identity=Identity("u\n" * 200, "x"),
    )
    tunnel = attrs.evolve(TUNNEL, request=request, address=None, route="r\n" * 100)
    clock = Clock()
    ((_, line),) = lines(clock, Listing(clock, Proxy([liveTunnel(tunnel)])))
    assert line is not None and line.isprintable()
    assert "u\\nu\\n" in line and "a\\nb" in line and "r\\nr" in line
    assert len(line) < 700


def test_theListIsBoundedAndComesInPortions() -> None:
    """[F10] A pipe to a parent that is busy must not lose lines."""
    tunnels = [liveTunnel(up=each) for each in range(MOST + 234)]
    clock = Clock()
    first, *portions = lines(clock, Listing(clock, Proxy(tunnels)))
    assert first[0] == "open tunnels: 1234; connections of clients: 1236"
    portions.insert(0, first[1:])
    assert max(map(len, portions)) == PORTION
    *every, last = [line or "" for portion in portions for line in portion]
    assert [line.partition(" up ")[2].split()[0] for line in every] == [
        str(each) for each in range(MOST)
    ]
    assert last == "open tunnels that are not listed: 234"


def test_oneListAtATime() -> None:
    """A second request while a list is written is told of, a later one answered."""
    clock = Clock()
    proxy = Proxy([liveTunnel()] * (PORTION + 1))
    listing = Listing(clock, proxy)
    listing.beginList()
    said = lines(clock, listing)
    assert said[0] == ["the list of tunnels before this one is still being written"]
    assert [len(each) for each in lines(clock, listing)] == [PORTION + 1, 1]
