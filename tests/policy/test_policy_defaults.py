"""The default ports, which give way to an item that names one."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest
from rig import Rig, connect, status
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txconnect.interfaces import IDestinationPolicy, IPortOpener
from txconnect.policy import (
    DenyHostsPolicy,
    HostsPolicy,
    NetworksPolicy,
    PortsPolicy,
    UsersPolicy,
    allOf,
    anyOf,
    defaultPolicies,
    reportOnly,
)
from txconnect.policy.defaults import DefaultPortsPolicy
from txconnect.testing import checkPolicy, makeRequest
from txconnect.values import Allow, Deny, Named


def asked(policy: DefaultPortsPolicy, target: str) -> Allow | Deny:
    return policy.decide(makeRequest(target))


def test_withoutAnItem() -> None:
    """Port 443 is open, and what no item names is not. [H1-25]"""
    for given in ([], [HostsPolicy("a.test")], [DenyHostsPolicy("b.test:22")]):
        policy = DefaultPortsPolicy(given)
        assert asked(policy, "a.test:443") == Allow()
        assert isinstance(asked(policy, "a.test:22"), Deny)
        assert isinstance(asked(policy, "b.test:22"), Deny)


def test_itemOpensItsPort() -> None:
    """An item with a port opens it for that host, and the reason says which. [F31]"""
    policy = DefaultPortsPolicy([Named("staff", HostsPolicy("*.a.test:22", "b.test"))])
    assert asked(policy, "x.a.test:22") == Allow("staff names *.a.test:22")
    for target in ("x.a.test:23", "a.test:22", "b.test:22"):
        assert asked(policy, target) == Deny(
            f"port {target[-2:]} is not among the allowed ports (443), and no item "
            f"names {target}"
        )


def outcomes(policies: list[Any], *targets: str) -> list[str]:
    """For each target 200, or the policy that refuses it, by a whole proxy."""
    rig = Rig(names={"one.test": ["192.0.2.1"], "inside.test": ["10.0.0.5"]})
    rules = rig.proxy.makeRules(policies=policies, observers=[rig.events])
    rig.proxy.replaceRules(rules)
    found = []
    for port in {int(target.rpartition(":")[2]) for target in targets}:
        rig.serve(port=port)
    for target in targets:
        answer = status(rig.client(connect(target)))
        found.append("200" if answer == 200 else rig.events.refused[-1].rule)
    return found


def test_itemOpensNothingElse() -> None:
    """The list must still allow, and its item with a port covers no other. [F31]"""
    policies = [HostsPolicy("one.test:22", "two.test"), NetworksPolicy("any")]
    targets = ["one.test:22", "one.test:443", "two.test:22", "six.test:443"]
    assert outcomes(policies, *targets) == ["200", "hosts", "ports", "hosts"]


def test_withPortsBothMustAllow() -> None:
    """Where ports were given, an item opens nothing. [F31]"""
    listed = HostsPolicy("one.test:22", "one.test:8443")
    policies = [listed, PortsPolicy(22), NetworksPolicy("any")]
    targets = ["one.test:22", "one.test:8443", "one.test:443"]
    assert outcomes(policies, *targets) == ["200", "ports", "hosts"]


def test_twoLists() -> None:
    """An item of one list opens a port, and every list must allow. [F31] [F14]"""
    policies = [
        HostsPolicy("one.test:22"),
        HostsPolicy("one.test:23"),
        Named("staff", HostsPolicy("one.test:22", "one.test:24")),
        DenyHostsPolicy("one.test:25"),
        NetworksPolicy("any"),
    ]
    targets = ["one.test:22", "one.test:23", "one.test:24", "one.test:25"]
    assert outcomes(policies, *targets) == ["200", "staff", "hosts", "ports"]


def test_networksJudgeAllTheSame() -> None:
    """A listed host is still judged by its address. [F31]"""
    policies = [HostsPolicy("10.0.0.5:22", "inside.test:22")]
    targets = ["10.0.0.5:22", "inside.test:22"]
    assert outcomes(policies, *targets) == ["networks", "networks"]


LIST = HostsPolicy("db.test:5432")
ADA = UsersPolicy("ada")


@pytest.mark.parametrize(
    ("policy", "opens", "sentence"),
    [
        (allOf(LIST, ADA), True, "all must allow, so whoever passes, the list lets"),
        (anyOf(LIST, ADA), True, "the list would let everyone"),
        (anyOf(anyOf(LIST), ADA), True, "however deep"),
        (allOf(anyOf(LIST, ADA), ADA), True, "in either"),
        (anyOf(allOf(LIST, ADA), UsersPolicy("bob")), False, "bob is not ada"),
        (anyOf(allOf(LIST, ADA)), False, "even if he is not asked"),
        (reportOnly(LIST), False, "a trial opens nothing"),
        (allOf(reportOnly(LIST), ADA), False, "wherever it is"),
        (
            allOf(DenyHostsPolicy("db.test:5432"), ADA),
            False,
            "what denies opens nothing",
        ),
        (ADA, False, "nor what names no port"),
    ],
)
def test_combinators(policy: object, opens: bool, sentence: str) -> None:
    """A list in a combinator opens a port where only it could let one in. [F31]"""
    assert IPortOpener.providedBy(policy) == opens, sentence
    if opens:
        assert verifyObject(IPortOpener, policy)
    decision = asked(DefaultPortsPolicy([policy]), "db.test:5432")
    assert isinstance(decision, Allow) == opens, sentence
    assert isinstance(asked(DefaultPortsPolicy([policy]), "db.test:5433"), Deny)


@implementer(IDestinationPolicy, IPortOpener)
@attrs.frozen
class Opens:
    """Answers as it is told to."""

    answer: Any

    def decide(self, request: Any) -> Any:
        return Allow()

    def opensPort(self, request: Any) -> Any:
        return self.answer


async def coroutine() -> str:
    return "item"


@pytest.mark.parametrize(
    "answer", [True, 1, b"item", Allow(), succeed("item"), Deferred(), ["item"]]
)
def test_onlyAnItemOpens(answer: Any) -> None:
    """What is no item opens nothing: it is a failure of the policy's. [F31]"""
    with pytest.raises(TypeError, match="not an item or None"):
        asked(DefaultPortsPolicy([Opens(answer)]), "a.test:22")


def test_coroutineOpensNothing() -> None:
    """A coroutine is no item either. [F31]"""
    waiting = coroutine()
    with pytest.raises(TypeError, match="Opens answered coroutine"):
        asked(DefaultPortsPolicy([Opens(waiting)]), "a.test:22")
    assert asyncio.run(waiting) == "item"


def test_noItem() -> None:
    """An empty text is no item, and after None the next policy is asked. [F31]"""
    policy = DefaultPortsPolicy([Opens(None), Opens("item")])
    assert asked(policy, "a.test:22") == Allow("Opens names item")
    with pytest.raises(TypeError, match="Opens answered str"):
        asked(DefaultPortsPolicy([Opens(""), Opens("item")]), "a.test:22")


def test_contract() -> None:
    """The defaults keep their contracts."""
    for policy in defaultPolicies([HostsPolicy("a.test:22")]):
        checkPolicy(policy)
