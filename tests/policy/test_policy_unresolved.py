"""
Combinators where no address will be judged, because a route's far end looks
the name up.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from rig import Rig, connect, logging, status
from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txconnect.errors import ConfigurationError, Refused
from txconnect.interfaces import (
    IAddressPolicy,
    IDestinationPolicy,
    IRouter,
    IUnresolvedPolicy,
)
from txconnect.policy.combinators import allOf, anyOf, reportOnly
from txconnect.policy.hosts import DenyHostsPolicy, HostsPolicy
from txconnect.policy.networks import NetworksPolicy
from txconnect.policy.ports import PortsPolicy
from txconnect.testing import makeRequest
from txconnect.values import Allow, Cause, Decision, Deny, Named, Route

LISTED = HostsPolicy("example.com")
OTHERS = HostsPolicy("other.test")
NETWORKS = NetworksPolicy("198.51.100.0/24")


@implementer(IAddressPolicy, IUnresolvedPolicy)
class Strict:
    """Judges addresses, and says what it thinks of having none."""

    def __init__(self, unresolved: Any) -> None:
        self._unresolved = unresolved

    def decideAddress(self, request: Any, address: Any) -> Decision:
        return Allow()

    def decideUnresolved(self, request: Any) -> Any:
        return self._unresolved


@implementer(IDestinationPolicy, IUnresolvedPolicy)
class Named2:
    """Allows every name, and then thinks again."""

    def __init__(self, unresolved: Any) -> None:
        self._unresolved = unresolved

    def decide(self, request: Any) -> Decision:
        return Allow()

    def decideUnresolved(self, request: Any) -> Any:
        return self._unresolved


YES, NO = Allow(), Deny("no")

TABLE: list[tuple[Any, bool, str]] = [
    (anyOf(OTHERS, NETWORKS), False, "only an address could have been allowed"),
    (anyOf(LISTED, NETWORKS), True, "the name was allowed"),
    (anyOf(NETWORKS, LISTED), True, "in any order"),
    (anyOf(OTHERS, DenyHostsPolicy("x.test")), True, "by one that judges both"),
    (anyOf(NETWORKS), True, "addresses alone, as if they stood alone"),
    (anyOf(NETWORKS, NETWORKS), True, "addresses alone, several"),
    (anyOf(OTHERS, anyOf(NETWORKS)), False, "addresses alone, within another"),
    (anyOf(OTHERS, allOf(NETWORKS, NETWORKS)), False, "within all of them"),
    (anyOf(OTHERS, anyOf(OTHERS, NETWORKS)), False, "within another with names"),
    (anyOf(OTHERS, anyOf(LISTED, NETWORKS)), True, "allowed within another"),
    (allOf(PortsPolicy("443"), anyOf(OTHERS, NETWORKS)), False, "all of, one not"),
    (allOf(PortsPolicy("443"), anyOf(LISTED, NETWORKS)), True, "all of, all do"),
    (anyOf(OTHERS, allOf(LISTED, anyOf(OTHERS, NETWORKS))), False, "all of, within"),
    (reportOnly(anyOf(OTHERS, NETWORKS)), True, "reported only"),
    (anyOf(LISTED, reportOnly(anyOf(OTHERS, NETWORKS))), True, "reported within"),
    (anyOf(OTHERS, Strict(YES)), True, "a member that says so"),
    (anyOf(OTHERS, Strict(NO)), False, "a member that does not"),
    (anyOf(Strict(NO), Strict(NO)), False, "addresses alone, all strict"),
    (anyOf(Strict(NO), NETWORKS), True, "addresses alone, one strict"),
    (anyOf(Strict(NO), Strict(YES)), True, "addresses alone, one says so"),
    (anyOf(OTHERS, Named2(NO)), False, "a name allowed, and refused then"),
    (anyOf(OTHERS, Named2(YES)), True, "a name allowed, and again"),
    (allOf(LISTED, Strict(NO)), False, "all of, one strict"),
    (allOf(LISTED, Strict(YES)), True, "all of, one strict that allows"),
]


def outcome(policy: Any) -> bool:
    """Whether the proxy would go on, on a route that resolves."""
    request = makeRequest()
    if IDestinationPolicy.providedBy(policy):
        if type(policy.decide(request)) is not Allow:
            return False
    if IUnresolvedPolicy.providedBy(policy):
        return type(policy.decideUnresolved(request)) is Allow
    return True


@pytest.mark.parametrize(
    ("policy", "allowed"), [pytest.param(*row[:2], id=row[2]) for row in TABLE]
)
def test_table(policy: Any, allowed: bool) -> None:
    """What passes without an address is what is allowed by name."""
    with logging():
        assert outcome(policy) is allowed
    if IUnresolvedPolicy.providedBy(policy):
        verifyObject(IUnresolvedPolicy, policy)


def test_whoHasNothingToSayIsNotAsked() -> None:
    """Without a rule on addresses there is nothing to make up for."""
    for policy in (anyOf(LISTED, OTHERS), allOf(LISTED, NETWORKS)):
        assert not IUnresolvedPolicy.providedBy(policy)


def test_nameThatWasNotAllowed() -> None:
    """A request that was never passed has no say later."""
    policy = anyOf(OTHERS, anyOf(OTHERS, NETWORKS), Named2(NO))
    assert isinstance(policy.decideUnresolved(makeRequest()), Deny)


def test_reasonNamesWhoCouldNotBeAsked() -> None:
    """The log can be understood."""
    policy = anyOf(OTHERS, Named("office", NETWORKS))
    request = makeRequest()
    policy.decide(request)
    answer = policy.decideUnresolved(request)
    assert answer == Deny(
        "office: it judges addresses, and has none to judge on this route"
    )


def test_reportsAreMade() -> None:
    """What is only reported is reported at this step too, and once."""
    for policy in (
        reportOnly(anyOf(OTHERS, NETWORKS)),
        anyOf(LISTED, reportOnly(anyOf(OTHERS, NETWORKS))),
        reportOnly(anyOf(OTHERS, Named2(NO), NETWORKS)),
    ):
        with logging() as logged:
            outcome(policy)
        lines = [str(each.get("log_format")) for each in logged.events]
        assert [line[:11] for line in lines] == ["report-only"] * len(lines)
        assert len(lines) <= 1


def test_memberWithNamesOnlyStillAllowsAddresses() -> None:
    """Thinking again is for routes that resolve; any address passes here."""
    policy = anyOf(OTHERS, Named2(NO), NETWORKS)
    request = makeRequest()
    assert policy.decide(request) == Allow()
    assert policy.decideAddress(request, ip_address("192.0.2.1")) == Allow()


@implementer(IRouter)
class Through:
    """Routes everything one way, and looks nothing up."""

    def __init__(self, connect: Callable[..., Any], resolves: bool) -> None:
        self._route = Route("through", connect, resolves)

    def route(self, request: Any) -> Route:
        return self._route


class Way:
    """A way that ends at once, and who came along it."""

    def __init__(self) -> None:
        self.came = 0

    def connect(self, request: Any, addresses: Any) -> Deferred[Any]:
        self.came += 1
        waiting: Deferred[Any] = Deferred()
        waiting.errback(Refused(Cause.CONNECTION_REFUSED))
        return waiting


@pytest.mark.parametrize(
    ("resolves", "target", "answer"),
    [
        (True, "example.com:443", 403),
        (True, "198.51.100.7:443", 502),
        (False, "example.com:443", 502),
    ],
)
def test_proxyAsks(resolves: bool, target: str, answer: int) -> None:
    """
    [TU-11] On a route that resolves, a name that only its address could have
    allowed is refused; where there are addresses, they decide.
    """
    way = Way()
    rig = Rig(
        names={"example.com": ["198.51.100.7"]},
        policies=[Named("office", anyOf(OTHERS, NETWORKS))],
        routers=[Through(way.connect, resolves)],
    )
    client = rig.client(connect(target))
    assert status(client) == answer
    assert way.came == (answer == 502)
    refused = rig.events.refused[0]
    assert refused.rule == ("office" if answer == 403 else "connection-refused")
    client.end()
    rig.assertOver()


@pytest.mark.parametrize("answer", [None, "allow", RuntimeError("broken")])
def test_whatIsNoAnswerRefuses(answer: Any) -> None:
    """Fail closed: here as at every step."""

    def decideUnresolved(request: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    policy = Strict(None)
    policy.decideUnresolved = decideUnresolved  # type: ignore[method-assign]
    way = Way()
    rig = Rig(policies=[Named("strict", policy)], routers=[Through(way.connect, True)])
    with logging():
        client = rig.client(connect())
    assert status(client) == 500
    assert way.came == 0


def test_lateAnswer() -> None:
    """A policy may take its time."""
    waiting: Deferred[Decision] = Deferred()
    way = Way()
    rig = Rig(
        policies=[Named("strict", Strict(waiting))],
        routers=[Through(way.connect, True)],
    )
    client = rig.client(connect())
    assert client.received == b""
    waiting.callback(Deny("no"))
    rig.flush()
    assert status(client) == 403


def test_halfAPolicyStopsStartUp() -> None:
    """One that says it judges, and cannot, is found before anything listens."""

    @implementer(IDestinationPolicy, IUnresolvedPolicy)
    class Half:
        name = "half"

        def decide(self, request: Any) -> Decision:
            return Allow()

    with pytest.raises(ConfigurationError, match="decideUnresolved"):
        Rig(policies=[Half()])
