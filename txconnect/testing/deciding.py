"""
A policy's test in one line: its decision as the proxy would get it.

The proxy's own decision judges here too, with one policy as its only rule, so
that a policy which passes its test passes in the proxy, and one that answers
with a wrong type fails with the proxy's own sentence.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import Interface

from txconnect.admission.decision import Decision as ProxyDecision, Surroundings
from txconnect.admission.hooks import HookFailed
from txconnect.admission.rules import Rules
from txconnect.errors import ConfigurationError, Refused
from txconnect.interfaces import IAddressPolicy, IDestinationPolicy
from txconnect.maybeasync import Steps, run
from txconnect.roles import missingRole, verifyRole
from txconnect.testing.kit import PUBLIC_ADDRESS, makeRequest, nameOf, serviceHint
from txconnect.values import (
    Allow,
    Cause,
    Decision,
    Deny,
    Identity,
    IPAddress,
    Named,
    Request,
    Route,
)

if TYPE_CHECKING:
    pass

Step = Literal["name", "address"]
"""One of the two steps at which policies judge."""


def decide(
    policy: object,
    target: str | Request = "example.com:443",
    *,
    addresses: Iterable[str] = (PUBLIC_ADDRESS,),
    at: Step | None = None,
    **request: Any,
) -> Decision:
    """
    Ask a policy about one request, as the proxy would::

        assert decide(OfficeHours(), "example.com:443", user="ada") == Allow()

    It judges first the name, then each address; a step that the policy has no
    rule for is skipped.  A denied address is dropped, and the request is denied
    when none is left.  Reasons are joined by semicolons.

    @param policy: provides L{IDestinationPolicy}, L{IAddressPolicy} or both.
    @param target: the destination, C{host:port}, or a whole request.
    @param addresses: the addresses of the name; of no use where C{target} is
        an address itself.
    @param at: judge at this step only.
    @param request: further arguments of L{makeRequest}, such as C{user}.
    @raise AssertionError: the policy raised, gave no decision, or has not
        answered yet; the message says so as the proxy's log would.
    """
    answered: list[Decision | Failure] = []
    decision, waiting = _startJudging(policy, target, addresses, at, request)
    waiting.addBoth(answered.append)
    if not answered:
        decision.cancelWaiting(waiting)
        raise AssertionError(
            f"{nameOf(policy)} has not answered yet: it waits for a Deferred that "
            "nothing has fired, or for a thread.  Fire it first, or use decideAsync"
        )
    answer = answered[0]
    if isinstance(answer, Failure):
        answer.raiseException()
    return answer


def decideAsync(
    policy: object,
    target: str | Request = "example.com:443",
    *,
    addresses: Iterable[str] = (PUBLIC_ADDRESS,),
    at: Step | None = None,
    **request: Any,
) -> Deferred[Decision]:
    """
    Ask a policy that may answer later; as L{decide} in everything else.  Where an
    asyncio loop runs, the policy may use what needs one.

    @return: fires with the decision, or fails with L{AssertionError}.
    """
    return _startJudging(policy, target, addresses, at, request)[1]


def _startJudging(
    policy: object,
    target: str | Request,
    addresses: Iterable[str],
    at: Step | None,
    request: dict[str, Any],
) -> tuple[PolicyDecision, Deferred[Decision]]:
    if isinstance(target, Request):
        if request:
            raise TypeError("give a whole request, or the arguments of one, not both")
        made = target
    else:
        made = makeRequest(target, **request)
    literal = made.authority.address
    candidates = (
        [ip_address(each) for each in addresses] if literal is None else [literal]
    )
    decision = PolicyDecision(policy, made)
    judging: Any = _judgeSteps(policy, decision, candidates, at)
    return decision, maybeDeferred(run, judging)


def _judgeSteps(
    policy: object,
    decision: PolicyDecision,
    addresses: list[IPAddress],
    at: Step | None,
) -> Steps[Decision]:
    asked = policy.plugin if isinstance(policy, Named) else policy
    names = at != "address" and IDestinationPolicy.providedBy(asked)
    judges = at != "name" and IAddressPolicy.providedBy(asked)
    if not (names or judges):
        roles = tuple(_INTERFACES.values()) if at is None else (_INTERFACES[at],)
        lacking = missingRole(roles, asked)
        raise AssertionError(f"{nameOf(policy)} has no rule to ask: {lacking}")
    _verifySteps(policy, names, judges)
    if judges and not addresses:
        raise AssertionError("there is no address to ask about")
    try:
        if names:
            yield from decision.judgeName()
        if judges:
            yield from decision.judgeAddresses(addresses)
    except HookFailed as failed:
        raise AssertionError(failureOf(policy, failed)) from failed.error
    except Refused as refused:
        return Deny(refused.reason, refused.cause)
    # A policy has mostly one reason for all addresses of a name.
    return Allow("; ".join(dict.fromkeys(decision.reasons)))


def failureOf(plugin: object, failed: HookFailed) -> str:
    """Return the sentence about a hook that has failed."""
    hint = ""
    if "no running event loop" in failed.reason:
        hint = "; in a test, await decideAsync in a running loop"
    return f"{nameOf(plugin)}: {failed.reason}{hint}{serviceHint(plugin)}"


def _verifySteps(policy: object, names: bool, judges: bool) -> None:
    """Verify a policy at its steps, as the proxy does when it starts."""
    named = Named.of(policy)
    asked = {IDestinationPolicy: names, IAddressPolicy: judges}
    for role in (each for each, wanted in asked.items() if wanted):
        try:
            verifyRole(role, named.plugin)
        except ConfigurationError as error:
            raise AssertionError(f"{named.name}: {error}") from error


_INTERFACES: dict[Step, type[Interface]] = {
    "name": IDestinationPolicy,
    "address": IAddressPolicy,
}


class PolicyDecision(ProxyDecision):
    """
    The proxy's own decision, with one policy as its only rule.

    @ivar reasons: the policy's reasons to allow.
    """

    def __init__(self, policy: object, request: Request) -> None:
        named = Named.of(policy)
        rules = Rules(
            destination=(named,),
            address=(named,),
            unresolved=(named,),
            # A policy may refuse with a 407 only where there are challenges.
            authenticator=_StandInAuthenticator(),
        )
        surroundings = Surroundings(Clock(), _NoNetwork(), _NoNetwork(), _DIRECT)
        super().__init__(rules, surroundings, request)
        self.reasons: list[str] = []

    def noteAllowed(self, policy: Named, reason: str) -> None:
        """Keep a policy's reason to allow, without its name."""
        self.reasons.append(reason)

    def cancelWaiting(self, waiting: Deferred[Any]) -> None:
        """Cancel what waits for this decision; a hook that ends by it has not failed."""
        self.over = True
        waiting.addErrback(lambda _: None)
        waiting.cancel()


class _NoNetwork:
    """
    A stand-in for look-ups and listeners: judging a policy needs neither.
    """

    def lookup(self, name: str) -> tuple[IPAddress, ...]:
        raise AssertionError("a policy alone has no name looked up")

    def addListener(self, host: IAddress) -> None:
        raise AssertionError("a policy alone listens nowhere")

    def isSelf(self, address: IPAddress, port: int) -> bool:
        return False


class _StandInAuthenticator:
    """A stand-in for the authenticator that a proxy with this policy would have."""

    def authenticate(self, request: Request, credentials: bytes | None) -> Identity:
        raise AssertionError("a policy alone authenticates nobody")

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        return (b"Basic",)


_DIRECT = Route("direct", lambda request, addresses: Deferred())
