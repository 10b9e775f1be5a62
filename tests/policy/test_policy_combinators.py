"""Combinators: two steps, abstaining, answers that come late, failures."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import attrs
import pytest
from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txconnect.interfaces import IAddressPolicy, IDestinationPolicy
from txconnect.policy.combinators import allOf, anyOf, reportOnly
from txconnect.policy.hosts import HostsPolicy
from txconnect.policy.judging import Abstain
from txconnect.policy.networks import NetworksPolicy
from txconnect.values import (
    Allow,
    Authority,
    Cause,
    Decision,
    Deny,
    Named,
    Request,
)

ADDRESS = ip_address("192.0.2.1")


def request() -> Request:
    return Request(Authority("example.com", 443), id="7f3a-1")


class Scripted:
    """What all scripted policies do: answer, and count how often."""

    def __init__(self, answer: Any, name: str = "it") -> None:
        self.answer = answer
        self.name = name
        self.asked = 0

    def _answer(self) -> Any:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer() if callable(self.answer) else self.answer


@implementer(IDestinationPolicy)
class Name(Scripted):
    """Judges the name."""

    def decide(self, request: Request) -> Any:
        return self._answer()


@implementer(IAddressPolicy)
class Address(Scripted):
    """Judges addresses."""

    def decideAddress(self, request: Request, address: Any) -> Any:
        return self._answer()


@implementer(IDestinationPolicy, IAddressPolicy)
class Both:
    """Judges the name in one way and addresses in another."""

    def __init__(self, name: Decision, address: Decision) -> None:
        self.answers = (name, address)

    def decide(self, request: Request) -> Decision:
        return self.answers[0]

    def decideAddress(self, request: Request, address: Any) -> Decision:
        return self.answers[1]


YES, NO, NOT = Allow(), Deny("no"), Deny("not", Cause.ADDRESS)


def settled(answer: Any) -> Any:
    """The decision, however it comes."""
    if not isinstance(answer, Deferred):
        return answer
    got: list[Any] = []
    answer.addCallback(got.append)
    return got[0]


def outcome(policy: Any) -> str:
    """Judge as the proxy does: steps that are provided, name first."""
    asked = request()
    if IDestinationPolicy.providedBy(policy):
        if type(settled(policy.decide(asked))) is not Allow:
            return "name refused"
    if IAddressPolicy.providedBy(policy):
        if type(settled(policy.decideAddress(asked, ADDRESS))) is not Allow:
            return "address refused"
    return "allowed"


def late(decision: Decision) -> Any:
    async def answer() -> Decision:
        return decision

    return answer


FORMS = [
    pytest.param(lambda decision: decision, id="at once"),
    pytest.param(lambda decision: lambda: succeed(decision), id="deferred"),
    pytest.param(late, id="coroutine"),
]

TABLE = [
    (lambda a: allOf(Name(a(YES)), Address(a(YES))), "allowed", "all allow"),
    (lambda a: allOf(Name(a(YES)), Name(a(NO))), "name refused", "one refuses"),
    (lambda a: allOf(Name(a(NO)), Name(a(YES))), "name refused", "in any order"),
    (lambda a: allOf(Name(a(YES)), Address(a(NOT))), "address refused", "each step"),
    (lambda a: allOf(Address(a(YES)), Address(a(YES))), "allowed", "addresses only"),
    (lambda a: allOf(Address(a(NOT))), "address refused", "addresses only, refused"),
    (lambda a: anyOf(Name(a(NO)), Name(a(YES))), "allowed", "one allows"),
    (lambda a: anyOf(Name(a(NO)), Name(a(NO))), "name refused", "none allows"),
    (lambda a: anyOf(Address(a(NOT)), Address(a(YES))), "allowed", "one address"),
    (lambda a: anyOf(Address(a(NOT))), "address refused", "no address"),
    (
        lambda a: anyOf(Name(a(YES)), Address(a(NOT))),
        "allowed",
        "a member that allowed the name and has no address rule allows any address",
    ),
    (
        lambda a: anyOf(Address(a(NOT)), Name(a(YES))),
        "allowed",
        "in any order",
    ),
    (
        lambda a: anyOf(Name(a(NO)), Address(a(YES))),
        "allowed",
        "a member that abstained on the name may allow the address",
    ),
    (
        lambda a: anyOf(Name(a(NO)), Address(a(NOT))),
        "address refused",
        "and may refuse it",
    ),
    (
        lambda a: anyOf(Both(NO, YES), Address(a(NOT))),
        "address refused",
        "a member that refused the name is not kept for the address",
    ),
    (
        lambda a: anyOf(Both(YES, NOT), Both(YES, YES)),
        "allowed",
        "every member that allowed the name is kept",
    ),
    (
        lambda a: anyOf(Both(YES, NOT), Both(NO, YES)),
        "address refused",
        "one allows the name and another the address: neither allows the request",
    ),
    (
        lambda a: anyOf(allOf(Name(a(YES)), Address(a(NOT))), Name(a(NO))),
        "address refused",
        "a nested allOf keeps its address rule",
    ),
    (
        lambda a: anyOf(allOf(Name(a(YES)), Address(a(NOT))), Address(a(YES))),
        "allowed",
        "and an alternative is still one",
    ),
    (
        lambda a: allOf(anyOf(Name(a(NO)), Address(a(YES))), Name(a(YES))),
        "allowed",
        "a nested anyOf keeps its members",
    ),
    (
        lambda a: allOf(anyOf(Name(a(YES)), Name(a(NO))), Address(a(NOT))),
        "address refused",
        "a nested anyOf widens nothing outside",
    ),
    (
        lambda a: anyOf(anyOf(Name(a(NO)), Address(a(NOT))), Name(a(NO))),
        "address refused",
        "anyOf in anyOf",
    ),
    (lambda a: reportOnly(Name(a(NO))), "allowed", "a report refuses nothing"),
    (lambda a: reportOnly(Address(a(NOT))), "allowed", "at no step"),
    (
        lambda a: allOf(reportOnly(Name(a(NO))), Address(a(YES))),
        "allowed",
        "a report in allOf refuses nothing",
    ),
    (
        lambda a: allOf(reportOnly(Name(a(YES))), Name(a(NO))),
        "name refused",
        "and allows nothing",
    ),
    (
        lambda a: anyOf(reportOnly(Name(a(YES))), Name(a(NO))),
        "name refused",
        "a report in anyOf allows nothing",
    ),
    (
        lambda a: anyOf(reportOnly(Name(a(YES))), Address(a(NOT))),
        "address refused",
        "not even beside a member that abstains",
    ),
    (
        lambda a: anyOf(Name(a(YES)), reportOnly(Address(a(NOT)))),
        "allowed",
        "and refuses nothing",
    ),
    (
        lambda a: anyOf(Name(a(NO)), reportOnly(Address(a(YES)))),
        "name refused",
        "a report is no alternative",
    ),
    (
        lambda a: anyOf(allOf(reportOnly(Name(a(YES))), Address(a(NOT))), Name(a(NO))),
        "address refused",
        "a member that only reports on the name abstains there",
    ),
    (
        lambda a: anyOf(anyOf(reportOnly(Name(a(YES))), Address(a(NOT))), Name(a(NO))),
        "address refused",
        "however deep",
    ),
    (
        lambda a: reportOnly(anyOf(Both(NO, NO), Name(a(NO)))),
        "allowed",
        "a report of a combinator",
    ),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("build", "expected", "sentence"), TABLE)
def test_table(build: Any, expected: str, sentence: str, form: Any) -> None:
    """What is allowed does not depend on how an answer comes. [T7]"""
    assert outcome(build(form)) == expected, sentence


@pytest.mark.parametrize("build", [row[0] for row in TABLE])
def test_atOnceStaysAtOnce(build: Any) -> None:
    """Answers that are there make no Deferred and no coroutine."""
    policy, asked = build(lambda decision: decision), request()
    if IDestinationPolicy.providedBy(policy):
        assert type(policy.decide(asked)) in (Allow, Deny)
    if IAddressPolicy.providedBy(policy):
        assert type(policy.decideAddress(asked, ADDRESS)) in (Allow, Deny)


@pytest.mark.parametrize(
    ("policy", "steps"),
    [
        (allOf(Name(YES)), {IDestinationPolicy}),
        (anyOf(Address(YES)), {IAddressPolicy}),
        (anyOf(Name(YES), Address(YES)), {IDestinationPolicy, IAddressPolicy}),
        (reportOnly(Address(YES)), {IAddressPolicy}),
        (
            allOf(reportOnly(Name(YES)), Address(YES)),
            {IDestinationPolicy, IAddressPolicy},
        ),
    ],
)
def test_stepsFollowFromMembers(policy: Any, steps: set[Any]) -> None:
    """Nobody asks at a step where every member abstains, so nobody allows."""
    for step in (IDestinationPolicy, IAddressPolicy):
        assert step.providedBy(policy) == (step in steps)
        if step in steps:
            assert verifyObject(step, policy)


@pytest.mark.parametrize("combine", [allOf, anyOf])
@pytest.mark.parametrize(
    "members",
    [(), (reportOnly(Name(YES)),), (reportOnly(Name(YES)), reportOnly(Address(YES)))],
)
def test_allAbstainingNeverAllows(combine: Any, members: tuple[Any, ...]) -> None:
    """Members that decide nothing make no policy."""
    with pytest.raises(ValueError, match="no member decides anything"):
        combine(*members)


@pytest.mark.parametrize("combine", [allOf, anyOf, reportOnly])
def test_membersArePolicies(combine: Any) -> None:
    """What judges neither step is no member."""
    with pytest.raises(ValueError, match="is not a policy"):
        combine(object())


def test_reasons() -> None:
    """Whose reason it was stands before it; the cause is the member's."""
    no, address = Name(NO, "a"), Address(NOT, "b")
    assert allOf(no).decide(request()) == Deny("a: no", Cause.POLICY)
    assert allOf(address).decideAddress(request(), ADDRESS) == Deny(
        "b: not", Cause.ADDRESS
    )
    assert anyOf(no, Named("c", Name(NO))).decide(request()) == Deny("a: no; c: no")
    mixed = anyOf(address, Address(NO, "c"), Address(Deny("")))
    assert mixed.decideAddress(request(), ADDRESS) == Deny("b: not; c: no; it")
    assert allOf(Name(Deny("", Cause.LIMIT))).decide(request()) == Deny(
        "it", Cause.LIMIT
    )
    assert allOf(Name(Allow("x"), "a"), Name(YES), Name(Allow("y"), "b")).decide(
        request()
    ) == Allow("a: x; b: y")
    both = anyOf(Address(Allow("fine"), "a"))
    assert both.decideAddress(request(), ADDRESS) == Allow("a: fine")


def test_names() -> None:
    """A report never goes by its member's name: it would replace a default."""
    assert reportOnly(NetworksPolicy()).name == "report-only-networks"
    assert allOf(Name(YES)).name == "all-of"
    assert anyOf(Name(YES)).name == "any-of"
    unnamed = Both(YES, YES)
    assert allOf(unnamed, Name(YES)).members[0].name == "Both"


def test_firstRefusalEndsAllOf() -> None:
    """Members behind a refusal are not asked."""
    behind = Name(YES)
    allOf(Name(NO), behind).decide(request())
    assert behind.asked == 0


def test_anyOfAsksNoMoreThanItMust() -> None:
    """Behind a member that allows every address nobody is asked, at either step."""
    behind = Name(YES)
    address = Address(YES)
    policy, asked = anyOf(address, Name(YES), behind), request()
    policy.decide(asked)
    policy.decideAddress(asked, ADDRESS)
    assert (behind.asked, address.asked) == (0, 0)


BROKEN = [
    pytest.param(RuntimeError("boom"), RuntimeError, id="raises"),
    pytest.param(lambda: fail(RuntimeError("boom")), RuntimeError, id="fails"),
    pytest.param(None, TypeError, id="None"),
    pytest.param(True, TypeError, id="True"),
    pytest.param("yes", TypeError, id="text"),
    pytest.param(lambda: Allow, TypeError, id="the class"),
    pytest.param(lambda: succeed(None), TypeError, id="None, late"),
]


@pytest.mark.parametrize("combine", [allOf, anyOf])
@pytest.mark.parametrize(("answer", "error"), BROKEN)
def test_brokenMembersRefuse(combine: Any, answer: Any, error: type) -> None:
    """A member that fails refuses, whatever another would allow. [T7]"""
    for policy, step in (
        (combine(Name(answer), Name(YES)), "decide"),
        (combine(Address(answer), Address(YES)), "decideAddress"),
    ):
        arguments = (request(),) if step == "decide" else (request(), ADDRESS)
        failures: list[Any] = []
        try:
            result = getattr(policy, step)(*arguments)
        except error:
            continue
        Deferred.fromCoroutine(result).addErrback(failures.append)
        assert failures[0].check(error)


def test_aSubclassIsNoDecision() -> None:
    """The proxy takes exactly Allow; a combinator is no way around that."""

    class Nearly(Allow):
        pass

    with pytest.raises(TypeError):
        anyOf(Name(Nearly())).decide(request())


def test_onlyCombinatorsAbstain() -> None:
    """A policy that says it abstains where it must decide allows nothing."""
    with pytest.raises(TypeError):
        allOf(Name(Abstain())).decide(request())


def test_waitingCanBeCancelled() -> None:
    """The client leaves while a member is asked: the member is told. [TU-05]"""
    waiting: Deferred[Decision] = Deferred()
    answer = anyOf(Name(NO), Name(lambda: waiting)).decide(request())
    assert isinstance(answer, Deferred)
    result = answer
    failures: list[Any] = []
    result.addErrback(failures.append)
    result.cancel()
    assert failures[0].check(CancelledError)
    assert waiting.called


def test_lateAnswersGoOnAtOnce() -> None:
    """After a wait the members behind are asked, in order."""
    first: Deferred[Decision] = Deferred()
    behind = Name(YES)
    answer = allOf(Name(lambda: first), behind).decide(request())
    assert isinstance(answer, Deferred)
    results: list[Any] = []
    answer.addCallback(results.append)
    assert (results, behind.asked) == ([], 0)
    first.callback(YES)
    assert (results, behind.asked) == ([Allow()], 1)


def test_addressWithoutItsName() -> None:
    """An address whose request was never passed by name does not pass. [T7]"""
    policy = anyOf(Both(YES, YES))
    assert isinstance(policy.decideAddress(request(), ADDRESS), Deny)


def test_requestsAreToldApart() -> None:
    """Requests that are equal in value are not the same request. [T7]"""
    answers = iter([YES, NO])
    policy = anyOf(
        allOf(Name(lambda: next(answers)), Address(YES)),
        Both(NO, YES),
    )
    first, second = request(), request()
    assert first == second
    assert policy.decide(first) == Allow()
    assert isinstance(policy.decide(second), Deny)
    assert isinstance(policy.decideAddress(second, ADDRESS), Deny)
    assert isinstance(policy.decideAddress(first, ADDRESS), Allow)


def test_aLaterRefusalForgets() -> None:
    """What was passed once and is refused now has no address that passes."""
    answers = iter([YES, NO])
    policy, asked = anyOf(allOf(Name(lambda: next(answers)), Address(YES))), request()
    policy.decide(asked)
    policy.decide(asked)
    assert isinstance(policy.decideAddress(asked, ADDRESS), Deny)


@pytest.mark.parametrize(
    "policy",
    [anyOf(Name(YES), Address(YES)), anyOf(Both(YES, YES)), reportOnly(Both(NO, NO))],
)
def test_nothingIsLeftBehind(policy: Any) -> None:
    """What is kept for a request goes with it, though no second step comes."""
    kept = policy._refused if policy.name.startswith("report") else policy._kept
    requests = [attrs.evolve(request(), id=str(number)) for number in range(100)]
    for each in requests:
        policy.decide(each)
    assert len(kept) == 100
    del requests, each
    gc.collect()
    assert len(kept) == 0


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """The events of the log."""
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def test_reports(logged: list[Any]) -> None:
    """A report says which rule would refuse what, and why, on one line. [T16]"""
    policy = reportOnly(Name(Deny("because\r\nof it"), "hosts"))
    assert policy.decide(request()) == Allow("would refuse: because\r\nof it")
    (event,) = [each for each in logged if "rule" in each]
    text = event["log_format"].format(**event)
    assert text == (
        "report-only: hosts would refuse example.com:443 (7f3a-1): "
        r"'because\r\nof it'"
    )


def test_noReportOfWhatPasses(logged: list[Any]) -> None:
    """What would be allowed is not worth a line, nor a note."""
    assert reportOnly(Name(Allow("fine"))).decide(request()) == Allow()
    assert [each for each in logged if "rule" in each] == []


def test_oneReportARequest(logged: list[Any]) -> None:
    """What would be refused by name would never be asked for its address."""
    policy, asked = reportOnly(allOf(Name(NO), Address(NOT))), request()
    policy.decide(asked)
    assert policy.decideAddress(asked, ADDRESS) == Allow()
    assert len([each for each in logged if "rule" in each]) == 1


@pytest.mark.parametrize(("answer", "error"), BROKEN)
def test_aBrokenReportRefusesNothing(
    answer: Any, error: type, logged: list[Any]
) -> None:
    """A rule on trial that fails would refuse: that is reported, and no more."""
    decision = settled(reportOnly(Name(answer)).decide(request()))
    assert isinstance(decision, Allow)
    assert error.__name__ in decision.reason
    assert len([each for each in logged if "rule" in each]) == 1


def test_cancelledReports() -> None:
    """A client that has left is not passed by a report."""
    waiting: Deferred[Decision] = Deferred()
    answer = reportOnly(Name(lambda: waiting)).decide(request())
    assert isinstance(answer, Deferred)
    result = answer
    failures: list[Any] = []
    result.addErrback(failures.append)
    result.cancel()
    assert failures[0].check(CancelledError)


def test_memberServicesLiveWithTheProxy() -> None:
    """Members that are services start and stop once, under two combinators too."""

    @implementer(IDestinationPolicy)
    class Served(Service):
        name = "served"

        def decide(self, request: Request) -> Decision:
            return YES

    member = Served()
    proxy = MultiService()
    for policy in (anyOf(allOf(member)), anyOf(Name(NO), allOf(member)), anyOf(member)):
        if IService.providedBy(policy):
            policy.setServiceParent(proxy)
    proxy.startService()
    assert member.running
    proxy.stopService()
    assert not member.running
    assert not IService.providedBy(allOf(Name(YES)))
    with pytest.raises(AttributeError, match="AllOf has no 'nonesuch'"):
        allOf(Name(YES)).nonesuch  # noqa: B018


def test_stockPolicies() -> None:
    """Known hosts anywhere, or anything in one network: as an operator has it."""
    policy = anyOf(HostsPolicy("*.example.com"), NetworksPolicy("10.0.0.0/8"))
    for host, address, passes in (
        ("a.example.com", "192.0.2.1", True),
        ("elsewhere.test", "10.1.2.3", True),
        ("elsewhere.test", "192.0.2.1", False),
    ):
        asked = Request(Authority(host, 443))
        assert policy.decide(asked) == Allow()
        decision = policy.decideAddress(asked, ip_address(address))
        assert isinstance(decision, Allow) == passes
