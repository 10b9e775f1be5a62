"""
The kernel relay over a leg that a protocol has spoken on before: a tunnel
through a parent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Any

import pytest
from kernelrig import KernelRig
from rig import ESTABLISHED, connect
from test_kernel_pairs import Pairs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from txconnect.tunnel.kernel.paired import PairedRelay
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import TunnelClosed, TunnelEstablished

MakeRig = Callable[..., KernelRig]


@pytest.fixture(params=["epoll", "asyncio"])
def makeRig(request: pytest.FixtureRequest) -> Iterator[MakeRig]:
    made: list[KernelRig] = []

    def make(**arguments: Any) -> KernelRig:
        made.append(KernelRig(kind=request.param, legs="transports", **arguments))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def reading(rig: KernelRig, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """Each leg has read a banner, and tells before its tunnel stands or behind."""

    def opened(*arguments: Any, **options: Any) -> Deferred[Leg]:
        outcome: Deferred[Leg] = Deferred()

        def read(leg: Leg) -> None:
            if not late:
                leg.dataReceived(b"banner ")
            outcome.callback(leg)
            if late:
                leg.dataReceived(b"banner ")

        opening(*arguments, **options).addCallbacks(read, outcome.errback)
        return outcome

    opening = rig.proxy.dialer._open
    monkeypatch.setattr(rig.proxy.dialer, "_open", opened)


@pytest.mark.parametrize("pairs", [None, Pairs()], ids=["plain", "pair"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_whatWasReadBehindTheParentsAnswer(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch, pairs: Pairs | None, late: bool
) -> None:
    """
    [UP-03] [K8] Behind our 200, ahead of what comes later, and counted; whether
    the leg is told of it before the tunnel stands or right after.
    """
    rig = makeRig(pairFactory=pairs)
    reading(rig, monkeypatch, late)
    client, destination = rig.tunnel(early=b"early")
    destination.send(b"and more")
    rig.flush()
    assert client.received == ESTABLISHED + b"banner and more"
    assert destination.received == b"early"
    relay = rig.relay()
    assert isinstance(relay, PairedRelay) is (pairs is not None)
    assert (relay.up, relay.down) == (5, 15)


@pytest.mark.parametrize("who", ["client", "destination"])
def test_toldInOrderWhereATunnelEndsAsItBegins(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """
    [T16] That it was established comes first, also where a leg has been reset
    by then, which the first write finds out: an observer that counts what is
    open would never come back to none.
    """
    rig = makeRig()
    opening = rig.proxy.dialer._open

    def opened(*arguments: Any, **options: Any) -> Any:
        def reset(leg: Leg) -> Leg:
            if who == "client":
                rig.peers[0].transport.connectionLost(Failure(ConnectionAborted()))
            else:
                accepted, _ = rig.servers[0].socket.accept()
                accepted.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
                accepted.close()
            return leg

        return opening(*arguments, **options).addCallback(reset)

    monkeypatch.setattr(rig.proxy.dialer, "_open", opened)
    rig.serve()
    if who == "destination":
        # The reactor would take the connection before the test can.
        rig.servers[0].stopReading()
    rig.client(connect() + b"early")
    rig.assertOver()
    told = [type(event) for event in rig.events.events]
    assert told == [TunnelEstablished, TunnelClosed]


def test_aPairKnowsBothEnds(makeRig: MakeRig) -> None:
    """Its small transport says where the parent's connection leads."""
    pairs = Pairs()
    rig = makeRig(pairFactory=pairs)
    _, destination = rig.tunnel()
    ((_, client),) = pairs.pairs
    assert client.transport.getPeer() == destination.host
    assert client.transport.getHost() == destination.peer


@pytest.mark.parametrize("which", [0, 1], ids=["destination", "client"])
def test_noAnswerWhenNoMoreCanBeWatched(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """[K3] Whichever leg it is: refused, and nothing is watched any more."""
    rig = makeRig()
    rig.watchesNoMore(monkeypatch, which)
    server = rig.serve()
    client = rig.client(connect())
    assert client.received.startswith(b"HTTP/1.1 503 ")
    assert server.peers[0].reset
    assert len(rig.kernel.nested) == 0
    client.end()
    rig.assertOver()
    assert rig.events.established == []


def test_theReactorHasNothingToDoWithIt(makeRig: MakeRig) -> None:
    """Neither leg is the reactor's while the tunnel stands, and both are given back."""
    rig = makeRig()
    client, destination = rig.tunnel()
    ours = partial(_socketsOf, rig, client, destination)
    assert ours() == []
    client.close()
    rig.flush()
    destination.close()
    rig.assertOver()
    assert ours() == []


def _socketsOf(rig: KernelRig, *peers: Any) -> list[Any]:
    """The transports of the proxy that the reactor reads or writes."""
    others = {peer.transport for peer in peers}
    listening = {rig.port, *rig.servers, rig.kernel.nested}
    everything = {*rig.reactor.getReaders(), *rig.reactor.getWriters()}
    return [
        each
        for each in everything - others - listening
        if not each.__class__.__name__.endswith("Waker")
    ]
