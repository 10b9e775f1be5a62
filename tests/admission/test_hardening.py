"""
What a hostile reading of the whole has found, each held by a test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rig import ANYTHING, DESTINATION, Rig, body, connect, logging, status
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from txconnect.errors import ConfigurationError, Refused
from txconnect.interfaces import (
    IAddressPolicy,
    IDestinationPolicy,
    IPairFactory,
    IRouter,
    ITrafficTap,
)
from txconnect.policy.hosts import DenyHostsPolicy
from txconnect.policy.networks import NetworksPolicy
from txconnect.proxy import ConnectProxy
from txconnect.testing import MemoryNetwork
from txconnect.tunnel.tunnel import Tunnel
from txconnect.values import (
    Allow,
    Cause,
    Closed,
    Decision,
    Deny,
    Direction,
    Named,
    Reached,
    Route,
    TunnelInfo,
)


@implementer(IDestinationPolicy)
class NamesOnly:
    """Allows every name, and has no say about addresses."""

    def decide(self, request: Any) -> Decision:
        return Allow()


@implementer(IRouter)
class Through:
    """Routes everything one way."""

    def __init__(self, connect: Callable[..., Any], resolves: bool = True) -> None:
        self._route = Route("through", connect, resolves)

    def route(self, request: Any) -> Route:
        return self._route


def test_aNameAloneReplacesNoRule() -> None:
    """[T6] A policy called networks that judges names takes no address rule away."""
    policies = [Named("networks", NamesOnly()), DenyHostsPolicy("x.test")]
    with pytest.raises(ConfigurationError, match="IAddressPolicy"):
        ConnectProxy(MemoryNetwork(), policies=policies)


def test_tlsWithoutCloseNotifyLosesNothing() -> None:
    """[H1-42] [TU-02] A TLS client that just ends: what it sent is delivered."""
    rig = Rig(tlsClient=True)
    client, destination = rig.tunnel()
    destination.pause()
    client.send(b"x" * 100_000)
    rig.flush()
    client.abort()
    rig.flush()
    destination.resume()
    rig.flush()
    assert destination.received == b"x" * 100_000
    assert destination.ended
    assert not destination.reset
    destination.end()
    rig.assertOver()


def test_tricklingClientCannotKeepAClosedTunnel() -> None:
    """[T11] [TU-08] Bytes behind the end of a TLS tunnel renew no deadline."""
    rig = Rig(tlsClient=True, settings={"halfClosedTimeout": 10.0})
    client, destination = rig.tunnel()
    destination.end()
    rig.flush()
    up = rig.proxy.resources.tunnels.allTunnels()[0].relay.up
    for _ in range(8):
        client.send(b"still here")
        rig.network.advance(2)
    assert client.closed
    if not destination.closed:
        destination.end()
    rig.assertOver()
    assert rig.events.closed[0].up == up


def test_connectBehindTheHeadDeadlineIsNotServed() -> None:
    """[H1-26] [T12] TLS delivers on behind our end; it is dropped."""
    rig = Rig(tlsClient=True)
    server = rig.serve()
    client = rig.client()
    rig.network.advance(10.5)
    client.send(connect() + b"early")
    rig.network.advance(6)
    assert not server.peers
    assert rig.events.events == []
    assert client.reset
    rig.assertOver()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("answer", [Reached(object()), None, (None, None)])
def test_routeThatAnswersNoLeg(answer: Any, late: bool) -> None:
    """[H1-32] A plugin's route that answers nonsense refuses, now or later."""
    reached: Deferred[Any] = Deferred()
    rig = Rig(routers=[Through(lambda *_: reached if late else succeed(answer))])
    client = rig.client(connect())
    if late:
        reached.callback(answer)
        rig.flush()
    assert status(client) == 500
    assert [each.cause for each in rig.events.refused] == [Cause.PLUGIN_ERROR]
    client.end()
    rig.assertOver()


@pytest.mark.parametrize(
    "refused",
    [
        Refused(Cause.CLIENT_LEFT),
        Refused(Cause.CREDENTIALS_REFUSED),
        Refused(Cause.DNS_ERROR, parameters={"Next-Hop": "x"}),
    ],
    ids=["never told", "407 without a challenge", "no parameter"],
)
def test_refusalThatCannotBeWritten(refused: Refused) -> None:
    """[H1-37] A route's refusal that has no form on the wire is a 500."""

    def connect_(*_: Any) -> Any:
        raise refused

    rig = Rig(routers=[Through(connect_)], settings={"errors": "full"})
    client = rig.client(connect())
    assert status(client) == 500
    client.end()
    rig.assertOver()


@pytest.mark.parametrize("target", ["169.254.169.254:443", "[::1]:443"])
def test_literalsAreJudgedWhoeverResolves(target: str) -> None:
    """[T6] [TU-11] A route that resolves names still has literals judged here."""
    asked: list[Any] = []

    def reach(*arguments: Any) -> Any:
        asked.append(arguments)
        return Deferred()

    rig = Rig(routers=[Through(reach)], policies=[Named("public", NetworksPolicy())])
    client = rig.client(connect(target))
    assert status(client) == 403
    assert asked == []


def test_oneRequestDialsOnlySoMuchAtOnce() -> None:
    """[TU-09] However many addresses a zone gives, few attempts are under way."""
    addresses = [f"192.0.2.{number}" for number in range(10, 42)]
    rig = Rig(names={"example.com": addresses})
    for address in addresses:
        rig.network.blackhole(address)
    client = rig.client(connect())
    most = 0
    for _ in range(60):
        rig.network.advance(0.25)
        most = max(most, len(rig.network.open) - 1)
    assert 2 <= most <= 6
    rig.network.advance(1)
    assert status(client) == 504
    client.end()
    rig.assertOver()


def test_theLastAddressOfManyIsReached() -> None:
    """[TU-09] Giving the oldest attempt up does not end the race."""
    addresses = [f"192.0.2.{number}" for number in range(10, 20)] + [DESTINATION]
    rig = Rig(names={"example.com": addresses})
    for address in addresses[:-1]:
        rig.network.blackhole(address)
    server = rig.serve()
    client = rig.client(connect())
    rig.network.advance(4)
    assert status(client) == 200
    assert len(server.peers) == 1
    client.abort()
    rig.assertOver()


def test_oneFailingDeadlineHoldsUpNobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """[TU-08] A tunnel whose check raises does not starve those behind it."""
    rig = Rig(settings={"idleTimeout": 10})
    rig.serve()
    failing, other = rig.client(connect()), rig.client(connect())
    bad = rig.proxy.resources.tunnels.allTunnels()[0]
    check = Tunnel.checkDeadlines

    def checked(self: Tunnel, now: float) -> None:
        if self is bad:
            raise RuntimeError("no")
        check(self, now)

    monkeypatch.setattr(Tunnel, "checkDeadlines", checked)
    with logging() as logged:
        rig.network.advance(11)
    assert (failing.reset, other.reset) == (False, True)
    assert "a tunnel's deadline failed" in logged.errors[0]
    failing.abort()
    rig.assertOver()


class Slotted(Protocol):
    """A half that cannot be told its peer."""

    peer = property(lambda self: None)


@implementer(IPairFactory)
class SlottedPairs:
    def buildPair(self, tunnel: TunnelInfo) -> tuple[Protocol, Protocol]:
        return Slotted(), Slotted()


def test_halvesThatTakeNoPeer() -> None:
    """[H1-32] They are found before the 200, as any pair that does not fit."""
    rig = Rig(pairFactory=SlottedPairs())
    rig.serve()
    client = rig.client(connect())
    assert status(client) == 500
    client.end()
    rig.assertOver()


@implementer(ITrafficTap)
class Cancelling:
    def tap(self, tunnel: TunnelInfo) -> Callable[[Direction, bytes], object]:
        def see(direction: Direction, data: bytes) -> None:
            import asyncio

            raise asyncio.CancelledError

        return see


def test_tapThatRaisesACancellation() -> None:
    """[T11] Whatever a tap raises ends its tunnel, and nothing is left."""
    rig = Rig(taps=[Cancelling()])
    rig.serve()
    client = rig.client(connect() + b"early")
    assert client.reset
    rig.assertOver()
    assert [each.reason for each in rig.events.closed] == [Closed.TAP_FAILED]


def test_noSecretOutlivesTheHead() -> None:
    """[AU-05] [T8] A tunnel holds neither the credentials nor the early data."""
    rig = Rig()
    client, _ = rig.tunnel(early=b"early")
    (front,) = rig.proxy.clients.fronts
    # What held them is gone.
    assert front._head is None
    assert front._exchange._early is None
    assert front._exchange._decision is None
    assert body(client) == b""


@implementer(IAddressPolicy)
class Never:
    def decideAddress(self, request: Any, address: Any) -> Decision:
        return Deny("never")


def test_bothJudgesOfAReplacedDefault() -> None:
    """[T6] One that does judge addresses replaces networks, as it says."""
    proxy = ConnectProxy(MemoryNetwork(), policies=[Named("networks", Never())])
    names = [policy.name for policy in proxy.policies]
    assert names == ["ports", "networks"]
    assert len(ANYTHING) == 2
