"""Two lists of one name are one list, on the command line and embedded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from zope.interface import implementer

from txconnect import ConnectProxy
from txconnect.admission.assembling import joinedLists
from txconnect.configuration import Configuration
from txconnect.configuration.pluginset import buildPluginSet
from txconnect.errors import ConfigurationError
from txconnect.interfaces import IDestinationPolicy
from txconnect.policy import (
    ClientsPolicy,
    DenyHostsPolicy,
    HostsPolicy,
    NetworksPolicy,
    PortsPolicy,
    UsersPolicy,
    anyOf,
    reportOnly,
)
from txconnect.testing import decide, makeRequest
from txconnect.values import Allow, Deny, Named

Makes = Callable[..., Any]


def fromObjects(*texts: str) -> tuple[Named, ...]:
    """The policies of a proxy that is given objects."""
    kinds = {
        each.name: each
        for each in (
            HostsPolicy,
            DenyHostsPolicy,
            PortsPolicy,
            ClientsPolicy,
            UsersPolicy,
            NetworksPolicy,
        )
    }
    policies = []
    for text in texts:
        name, _, argument = text.partition(":")
        policies.append(kinds[name](*argument.split(",")))
    return ConnectProxy(None, policies=policies).policies


def fromStrings(*texts: str) -> tuple[Named, ...]:
    """The policies of a proxy of the command line."""
    plugins = buildPluginSet(Configuration(policies=texts), print)
    return ConnectProxy(None, policies=plugins.policies).policies


ways = pytest.mark.parametrize("policiesOf", [fromObjects, fromStrings])


def allows(policies: tuple[Named, ...], name: str, **asked: Any) -> bool:
    """Tell whether the one policy of a name allows a request."""
    [policy] = [each for each in policies if each.name == name]
    return isinstance(decide(policy, **asked), Allow)


@ways
@pytest.mark.parametrize(
    ("first", "second", "allowed", "refused"),
    [
        ("hosts:a.test", "hosts:b.test", ["a.test", "b.test"], ["c.test"]),
        ("hosts:a.test", "hosts:*.a.test,a.test", ["a.test", "x.a.test"], ["b.test"]),
        ("deny-hosts:a.test", "deny-hosts:b.test", ["c.test"], ["a.test", "b.test"]),
    ],
)
def test_hosts(
    policiesOf: Makes, first: str, second: str, allowed: list[str], refused: list[str]
) -> None:
    """[F14] Both lists' hosts, and no other."""
    policies = policiesOf(first, second)
    name = first.partition(":")[0]
    for host in (*allowed, *refused):
        found = allows(policies, name, target=f"{host}:443")
        assert found == (host in allowed), host


@ways
def test_ports(policiesOf: Makes) -> None:
    """[F14] Both lists' ports, and no default."""
    policies = policiesOf("ports:9100", "ports:443,8000-8010", "ports:9100")
    for port, allowed in [(443, True), (8005, True), (9100, True), (22, False)]:
        assert allows(policies, "ports", target=f"a.test:{port}") == allowed
    assert not allows(policiesOf("ports:9100"), "ports", target="a.test:443")


@ways
def test_clientsAndUsers(policiesOf: Makes) -> None:
    """[F14] Both lists' clients, and both lists' users."""
    policies = policiesOf(
        "clients:10.0.0.0/8", "users:ada", "clients:192.0.2.1", "users:bob"
    )
    for client in ("10.1.1.1", "192.0.2.1", "192.0.2.2"):
        found = allows(policies, "clients", client=client)
        assert found == (client != "192.0.2.2")
    for user in ("ada", "bob", "eve"):
        assert allows(policies, "users", user=user) == (user != "eve")


@ways
def test_networks(policiesOf: Makes) -> None:
    """[F14] Both lists' networks; what is public stays so if either says it."""
    policies = policiesOf("networks:public", "networks:10.0.0.0/8")
    for address, allowed in [
        ("93.184.215.14", True),
        ("10.0.0.1", True),
        ("192.168.0.1", False),
    ]:
        assert allows(policies, "networks", addresses=[address]) == allowed
    private = policiesOf("networks:10.0.0.0/8", "networks:192.168.0.0/16")
    assert not allows(private, "networks", addresses=["93.184.215.14"])


@ways
@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("networks:any", "networks:public", "'any' allows every address already"),
        ("networks:10.0.0.0/8", "networks:any", "'any' allows every address already"),
        ("ports:any", "ports:443", "'any' allows every port already"),
    ],
)
def test_noList(policiesOf: Makes, first: str, second: str, words: str) -> None:
    """[F14] Two that contradict each other stop start-up, which says why."""
    with pytest.raises(ConfigurationError) as caught:
        policiesOf(first, second)
    name = first.partition(":")[0]
    start = f"policy {name!r} is given twice, which makes one list: "
    assert str(caught.value).startswith(start + words)


@ways
def test_twiceTheSame(policiesOf: Makes) -> None:
    """[F14] What is said twice is said once."""
    assert allows(policiesOf("networks:any", "networks:any"), "networks")
    assert allows(policiesOf("ports:any", "ports:any"), "ports", target="a.test:1")


def test_threeInOrder() -> None:
    """[F14] Any number, at the place of the first; others keep theirs."""
    given = [HostsPolicy("a.test"), UsersPolicy("ada"), HostsPolicy("b.test")]
    found = joinedLists(map(Named.of, [*given, HostsPolicy("c.test")]))
    assert [each.name for each in found] == ["hosts", "users"]
    assert found[1].plugin is given[1]
    for host in ("a.test", "b.test", "c.test"):
        assert found[0].plugin.decide(makeRequest(f"{host}:443")) == Allow()


def test_givenNames() -> None:
    """[F14] The name counts that a list was given: under two, both must allow."""
    staff = Named("staff", HostsPolicy("a.test"))
    assert len(joinedLists([staff, Named("hosts", HostsPolicy("b.test"))])) == 2
    [one] = joinedLists([staff, Named("staff", HostsPolicy("b.test"))])
    assert one.name == "staff"
    assert one.plugin.decide(makeRequest("b.test:443")) == Allow()


@implementer(IDestinationPolicy)
class Odd:
    """Allows nothing, and is no list."""

    name = "odd"

    def decide(self, request: object) -> Deny:
        return Deny("no")


def test_othersAreNoLists() -> None:
    """[F14] Policies of one name that are no lists must all allow, as ever."""
    both = [Odd(), anyOf(HostsPolicy("a.test")), Odd(), anyOf(HostsPolicy("b.test"))]
    assert [each.plugin for each in joinedLists(map(Named.of, both))] == both
    trials = [reportOnly(HostsPolicy("a.test")), reportOnly(HostsPolicy("b.test"))]
    assert len(joinedLists(map(Named.of, trials))) == 2


class MyHosts(HostsPolicy):
    """May mean something else by its items."""


@pytest.mark.parametrize("second", [Odd(), UsersPolicy("ada"), MyHosts("b.test")])
@pytest.mark.parametrize("turned", [False, True])
def test_oneNameForTwoKinds(second: Any, turned: bool) -> None:
    """[F14] A list and something else of its name stop start-up."""
    given = [Named("hosts", HostsPolicy("a.test")), Named("hosts", second)]
    kinds = sorted(type(each.plugin).__name__ for each in given)
    with pytest.raises(ConfigurationError) as caught:
        ConnectProxy(None, policies=given[::-1] if turned else given)
    assert "policy 'hosts' is given twice, as " in str(caught.value)
    assert "give one of them another name" in str(caught.value)
    for kind in kinds:
        assert kind in str(caught.value)


def test_ownAddressesAreKept() -> None:
    """[F14] The joined networks know this machine as the first ones did."""

    class Owning:
        def isOwn(self, address: Any) -> bool:
            return str(address) == "93.184.215.14"

    own: Any = Owning()
    joined = NetworksPolicy(own=own).joinedWith(NetworksPolicy("10.0.0.0/8"))
    assert isinstance(decide(joined, addresses=["93.184.215.14"]), Deny)
    assert decide(joined, addresses=["93.184.215.15"]) == Allow()
