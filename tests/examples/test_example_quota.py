"""
The example that judges and observes: it gives back exactly what it has taken.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from exampleprograms import EXAMPLES, plugin, program
from rig import Rig, connect, status
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred
from zope.interface import implementer

from txconnect.interfaces import IAddressPolicy, IDestinationPolicy, IPairFactory
from txconnect.plugins import OBSERVER, POLICY
from txconnect.testing import checkObserver, checkPolicy, decide
from txconnect.values import Allow, Cause, Closed, Deny, Identity

TODAY = [date(2026, 11, 29)]


def quota(tunnels: str = "1", octets: str | None = None) -> Any:
    TODAY[0] = date(2026, 11, 29)
    return program("quota").Quota(tunnels, octets, lambda: TODAY[0])


@implementer(ICredentialsChecker)
class Everybody:
    """Takes every user by name."""

    credentialInterfaces = (IUsernamePassword,)

    def requestAvatarId(self, credentials: Any) -> Any:
        return Identity(credentials.username.decode(), "test")


ADA = "Proxy-Authorization: Basic YWRhOng="
EVE = "Proxy-Authorization: Basic ZXZlOng="


def limited(made: Any, **arguments: Any) -> Rig:
    """A proxy with one object in both roles, and a second policy behind it."""
    policies = [made, *arguments.pop("policies", ())]
    return Rig(policies=policies, observers=[made], **arguments)


def nothingIsTaken(rig: Rig, made: Any) -> bool:
    rig.assertOver()
    return not made.open


# Its arguments


def test_itPassesBothChecks() -> None:
    """[F53] As what it is in either role."""
    checkPolicy(quota())
    checkObserver(quota())


def test_itIsMadeOfItsArgument() -> None:
    """[F53] By either option, and by whatever loads one object for both."""
    made = plugin(POLICY, "quota.py:Quota:2,octets=100")
    assert (made._tunnels, made._octets) == (2, 100)
    assert plugin(OBSERVER, "quota.py:Quota:2")._octets is None
    for wrong in ("", "0", "many", "1,octets=-1", "1,octets="):
        with pytest.raises(ValueError, match="no number above 0|does not fit"):
            plugin(POLICY, f"quota.py:Quota:{wrong}")
    assert (EXAMPLES / "quota.py").exists()


def test_decisions() -> None:
    """[F53] Users have nothing to do with each other."""
    made = quota("2")
    for _ in range(2):
        assert decide(made, user="ada") == Allow()
    assert decide(made, user="ada") == Deny("ada has 2 tunnels already", Cause.LIMIT)
    assert decide(made, user="eve") == Allow()
    assert decide(made, client="192.0.2.5") == Allow()
    assert made.open == {"ada": 2, "eve": 1, "address 192.0.2.5": 1}


# Slots


def test_aSlotIsFreedWithItsTunnel() -> None:
    """[F53] And one that was refused frees none."""
    made = quota("1")
    rig = limited(made, checkers=[Everybody()])
    rig.serve()
    first = rig.client(connect("example.com:443", ADA))
    assert status(first) == 200
    for _ in range(3):
        assert status(rig.client(connect("example.com:443", ADA))) == 503
    assert made.open == {"ada": 1}
    assert status(rig.client(connect("example.com:443", EVE))) == 200
    first.abort()
    rig.flush()
    assert made.open == {"eve": 1}
    assert status(rig.client(connect("example.com:443", ADA))) == 200
    rig.proxy.stopService()
    rig.flush()
    assert made.open == {}


@implementer(IDestinationPolicy)
class Later:
    """A policy behind the quota, which a test answers."""

    def __init__(self) -> None:
        self.answer: Deferred[Any] = Deferred()

    def decide(self, request: Any) -> Any:
        return self.answer


@implementer(IAddressPolicy)
class NoAddress:
    """Denies them all."""

    def decideAddress(self, request: Any, address: Any) -> Any:
        return Deny("not there")


def test_aLaterPolicyRefuses() -> None:
    """[F53] After the slot was taken: it is freed."""
    later, made = Later(), quota()
    rig = limited(made, policies=[later])
    client = rig.client(connect())
    assert sum(made.open.values()) == 1
    later.answer.callback(Deny("no"))
    rig.flush()
    assert status(client) == 403
    client.end()
    assert nothingIsTaken(rig, made)


def test_itsAddressIsDenied() -> None:
    """[F53] The same, a step later."""
    made = quota()
    rig = limited(made, policies=[NoAddress()])
    client = rig.client(connect())
    assert status(client) == 403
    client.end()
    assert nothingIsTaken(rig, made)


@pytest.mark.parametrize("fate", ["refuse", "blackhole", "unknown"])
def test_theDestinationIsNotReached(fate: str) -> None:
    """[F53] By a refusal, the time-out, or the look-up."""
    made = quota()
    rig = limited(made)
    target = "example.com:443"
    if fate == "unknown":
        target = "unknown.example:443"
    else:
        getattr(rig.network, fate)("192.0.2.1")
    client = rig.client(connect(target))
    if fate == "blackhole":
        assert sum(made.open.values()) == 1
        rig.network.advance(60)
    assert status(client) in (502, 504)
    client.end()
    assert nothingIsTaken(rig, made)


def test_theClientLeavesMeanwhile() -> None:
    """[F53] While another policy judges, or the dial is under way."""
    later, made = Later(), quota()
    rig = limited(made, policies=[later])
    client = rig.client(connect())
    client.abort()
    assert nothingIsTaken(rig, made)
    made = quota()
    rig = limited(made)
    rig.network.blackhole("192.0.2.1")
    client = rig.client(connect())
    assert sum(made.open.values()) == 1
    client.abort()
    assert nothingIsTaken(rig, made)


@implementer(IPairFactory)
class Broken:
    """Fails behind the dial."""

    def buildPair(self, tunnel: Any) -> Any:
        raise ValueError("broken")


def test_aPluginFails() -> None:
    """[F53] A 500 behind the dial frees it, too."""
    made = quota()
    rig = limited(made, pairFactory=Broken())
    rig.serve()
    client = rig.client(connect())
    assert status(client) == 500
    client.end()
    assert nothingIsTaken(rig, made)


@pytest.mark.parametrize("how", ["resets", "idle", "operator", "shutdown"])
def test_everyEndOfATunnelFreesIt(how: str) -> None:
    """[F53] Once each, or the next request would have two."""
    made = quota()
    rig = limited(made, settings={"idleTimeout": 10.0})
    client, destination = rig.tunnel()
    if how == "resets":
        destination.abort()
    elif how == "idle":
        rig.network.advance(30)
    elif how == "operator":
        (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
        tunnel.cut(Closed.OPERATOR)
    else:
        rig.proxy.stopService()
    assert nothingIsTaken(rig, made)
    assert made.open == {}


def test_aHeadThatCannotBeRead() -> None:
    """[F53] An event without a request frees nothing."""
    made = quota()
    rig = limited(made)
    rig.tunnel()
    client = rig.client(b"nonsense\r\n\r\n")
    assert status(client) == 400
    assert sum(made.open.values()) == 1


def test_twoQuotasInOneProxy() -> None:
    """[F53] Each frees its own: the second refuses, and the first has taken."""
    first, second = quota("5"), quota("1")
    rig = Rig(policies=[first, second], observers=[first, second])
    client, _ = rig.tunnel()
    assert status(rig.client(connect())) == 503
    assert sum(first.open.values()) == 1
    client.abort()
    rig.flush()
    assert (first.open, second.open) == ({}, {})


# Octets


def test_octetsOfADay() -> None:
    """[F53] Counted as its tunnels end; the next day begins with none."""
    made = quota("5", "10")
    rig = limited(made)
    client, destination = rig.tunnel()
    client.send(b"123456")
    destination.send(b"7890")
    rig.flush()
    assert status(rig.client(connect())) == 200
    client.abort()
    rig.flush()
    refused = rig.client(connect())
    assert status(refused) == 403
    reason = rig.events.refused[-1].reason
    assert reason == "address 127.0.0.1 has moved 10 octets today"
    TODAY[0] = date(2026, 11, 30)
    assert status(rig.client(connect())) == 200
    assert made.moved == {}
