"""
Taps that hold, end and let go, in the kernel relay.

Under a tap that only looks, and under one that has held and let go, the relay keeps
what every relay promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kernelrig import KernelRig, RealPeer
from relaypromises import *  # noqa: F403 - the tests themselves
from relaypromises import MakeRig, noise
from rig import body
from tappromises import *  # noqa: F403 - the tests themselves
from tappromises import LET_GO, Taps, Waits
from test_kernel_pairs import Pairs

from txconnect.tunnel.kernel import flow as room
from txconnect.tunnel.kernel.flow import Flow
from txconnect.tunnel.kernel.paired import PairedRelay
from txconnect.values import Direction

KINDS = [
    (tap, reactor, legs)
    for tap in ("looks", "lets go")
    for reactor, legs in (("epoll", "sockets"), ("asyncio", "transports"))
]


@pytest.fixture(params=KINDS, ids=" ".join)
def makeRig(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeRig]:
    """Real sockets: the kernel relay serves; chunks are sizes of its reads."""
    made: list[KernelRig] = []
    tap, reactor, legs = request.param
    monkeypatch.setattr(RealPeer, "prompt", True)

    def make(chunk: Any = None, **arguments: Any) -> KernelRig:
        if chunk == 1:
            monkeypatch.setattr(room, "READ", 1)
            monkeypatch.setattr(room, "BULK", 1 << 60)
        elif chunk == "random":
            monkeypatch.setattr(room, "READ", 1000)
            monkeypatch.setattr(room, "BULK", 1)
        see = Waits(1) if tap == "lets go" else lambda direction, data: None
        arguments.setdefault("taps", [Taps(see)])
        made.append(KernelRig(chunk, kind=reactor, legs=legs, **arguments))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def test_theKernelRelayServesFromTheStart(makeRig: MakeRig) -> None:
    """[F54] Once all have let go, bulk goes by C{splice}, and no Python sees it."""
    rig = makeRig(taps=[Taps(Waits(1))])
    client, destination = rig.tunnel()
    relay = rig.relay()
    client.send(b"x")
    rig.flush()
    for flow in (relay._up, relay._down):
        assert flow._gate is None
        assert flow._receive == flow.source.receive
    client.send(noise(5_000_000))
    rig.flush()
    assert destination.received == b"x" + noise(5_000_000)


def test_bulkIsShownToATapThatLooks(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[F54] Nothing goes through a pipe while a tap is there."""

    def splice(flow: Flow) -> bool:
        raise AssertionError("a pipe")

    monkeypatch.setattr(Flow, "_spliceBulk", splice)
    seen: list[bytes] = []
    rig = makeRig(taps=[Taps(lambda direction, data: seen.append(data))])
    client, destination = rig.tunnel()
    client.send(noise(5_000_000))
    rig.flush()
    assert b"".join(seen) == destination.received == noise(5_000_000)


def test_aTapBesideAPair(makeRig: MakeRig) -> None:
    """[F54] Halves that do without the bytes are told of the ends behind the verdict."""
    pairs = Pairs()

    def see(direction: Direction, data: bytes) -> object:
        return LET_GO if b"." in data else TapVerdict.HOLD  # noqa: F405

    rig = makeRig(taps=[Taps(see)], pairFactory=pairs)
    client, destination = rig.tunnel(early=b"early", banner=b"banner")
    assert isinstance(rig.relay(), PairedRelay)
    assert (destination.received, body(client)) == (b"", b"")
    client.send(b" late.")
    rig.flush()
    assert (destination.received, body(client)) == (b"early late.", b"banner")
    client.end()
    rig.flush()
    server, other = pairs.pairs[0]
    assert (server.told, other.told) == (["made", "read"], ["made", "write"])
    destination.end()
    rig.assertOver()
