"""
Policies made of policies: C{allOf}, C{anyOf}, C{reportOnly}.

A request is judged at two steps: its name (C{decide}), and then each address
(C{decideAddress}).  A member without a rule at a step I{abstains} there.

  - C{allOf}: every member that has a rule at a step must allow.
  - C{anyOf}: it keeps, for a request, the members that allowed or abstained
    on the name.  An address passes if a kept member allows it, or if a member
    allowed the name and has no address rule.
  - C{reportOnly}: logs what its member would refuse, and refuses nothing.
    Inside C{allOf} and C{anyOf} it is asked, and abstains.

B{All abstaining never allows.}  What a combinator provides follows from its
members: it has a rule at a step where a member has one, and else provides no
interface for it, so that nobody asks.  One whose members abstain at both steps
cannot be made.  At a step where only reports are made it has no opinion: it
abstains within another combinator, and by itself lets pass what every other
policy, and its own other step, must still allow.

The name step of C{anyOf} may pass a request that only an address rule can
still allow.  A route that resolves names elsewhere asks no address rule, so
alternatives for such a route must be rules on names.

C{decideAddress} must be given the very request that C{decide} was given; a
request that C{anyOf} has not passed has no address that passes.  What is kept
is dropped with the request itself.

Answers that come at once are judged at once: no Deferred, no coroutine.  An
exception, or an answer that is no decision, refuses, whatever the other
members would say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import Any

import attrs
from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from zope.interface import directlyProvides

from txconnect.interfaces import IAddressPolicy, IDestinationPolicy
from txconnect.policy.judging import (
    Abstain,
    Judgement,
    Opinion,
    PerRequest,
    abstaining,
    atTop,
    run,
)
from txconnect.values import (
    Allow,
    Cause,
    ConnectRequest,
    Decision,
    Deny,
    IPAddress,
    MaybeAsync,
    Named,
)

__all__ = ["AllOf", "AnyOf", "ReportOnly", "allOf", "anyOf", "reportOnly"]

_log = Logger()


def allOf(*members: Any) -> AllOf:
    """
    A policy that allows what every member allows.

    @param members: policies, or L{Named} policies.
    @raise ValueError: no member can decide anything.
    """
    return AllOf(members)


def anyOf(*members: Any) -> AnyOf:
    """
    A policy that allows what at least one member allows.

    @param members: policies, or L{Named} policies.
    @raise ValueError: no member can decide anything.
    """
    return AnyOf(members)


def reportOnly(member: Any) -> ReportOnly:
    """
    A policy that logs what a member would refuse, and refuses nothing: to try
    a rule before it is enforced.

    @param member: a policy, or a L{Named} policy.
    @raise ValueError: it is no policy.
    """
    return ReportOnly(member)


class _Member:
    """
    One member: its name, and at which steps it has a rule (can allow or deny)
    or at least wants to be asked.
    """

    def __init__(self, member: Any) -> None:
        policy = member.plugin if isinstance(member, Named) else member
        self.policy = policy
        self.asksName = IDestinationPolicy.providedBy(policy)
        self.asksAddress = IAddressPolicy.providedBy(policy)
        if not (self.asksName or self.asksAddress):
            raise ValueError(f"{policy!r} is no policy: it judges neither step")
        self.name = _nameOf(member, policy)
        combined = isinstance(policy, _Combined)
        self.rulesName = policy.rulesName if combined else self.asksName
        self.rulesAddress = policy.rulesAddress if combined else self.asksAddress
        self._combined = combined

    def judgeName(self, request: ConnectRequest) -> Any:
        """Ask about the name; whatever the member answers."""
        if self._combined:
            return self.policy.judgeName(request)
        return self.policy.decide(request)

    def judgeAddress(self, request: ConnectRequest, address: IPAddress) -> Any:
        """Ask about an address; whatever the member answers."""
        if self._combined:
            return self.policy.judgeAddress(request, address)
        return self.policy.decideAddress(request, address)

    def explain(self, opinion: Opinion) -> str:
        """Whose reason it was, and what reason."""
        return f"{self.name}: {opinion.reason}" if opinion.reason else ""


class _Combined(ABC):
    """
    What the three have in common: two steps, each run as a judgement.

    Where members are services, it is one: they start and stop with the proxy
    as they would by themselves.
    """

    name: str

    def __init__(self, members: Sequence[_Member], rules: bool = True) -> None:
        self.members = members
        self.onName = [member for member in members if member.asksName]
        self.onAddress = [member for member in members if member.asksAddress]
        self.rulesName = rules and any(member.rulesName for member in members)
        self.rulesAddress = rules and any(member.rulesAddress for member in members)
        provided: list[Any] = []
        if self.onName:
            provided.append(IDestinationPolicy)
        if self.onAddress:
            provided.append(IAddressPolicy)
        self._services = _servicesOf(members)
        if self._services.services:
            provided.append(IService)
        directlyProvides(self, *provided)

    def __getattr__(self, name: str) -> Any:
        # As a service it is the nameless one of its members: under its own
        # name there could be but one in a proxy.
        if name in IService.names():
            return getattr(self._services, name)
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def decide(self, request: ConnectRequest) -> MaybeAsync[Decision]:
        """Judge the name, as the proxy asks it."""
        decision: MaybeAsync[Decision] = run(
            atTop(self.nameJudgement(request), self.rulesName)
        )
        return decision

    def decideAddress(
        self, request: ConnectRequest, address: IPAddress
    ) -> MaybeAsync[Decision]:
        """Judge an address, as the proxy asks it."""
        judgement = atTop(self.addressJudgement(request, address), self.rulesAddress)
        decision: MaybeAsync[Decision] = run(judgement)
        return decision

    def judgeName(self, request: ConnectRequest) -> Any:
        """Judge the name, as another combinator asks it."""
        return run(self.nameJudgement(request))

    def judgeAddress(self, request: ConnectRequest, address: IPAddress) -> Any:
        """Judge an address, as another combinator asks it."""
        return run(self.addressJudgement(request, address))

    @abstractmethod
    def nameJudgement(self, request: ConnectRequest) -> Judgement:
        """How the name is judged."""

    @abstractmethod
    def addressJudgement(
        self, request: ConnectRequest, address: IPAddress
    ) -> Judgement:
        """How an address is judged."""


class AllOf(_Combined):
    """See L{allOf}."""

    name = "all-of"

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__(_deciding(self.name, members))

    def nameJudgement(self, request: ConnectRequest) -> Judgement:
        """Every member must allow."""
        return _every(self.onName, lambda member: member.judgeName(request))

    def addressJudgement(
        self, request: ConnectRequest, address: IPAddress
    ) -> Judgement:
        """Every member must allow."""
        return _every(
            self.onAddress, lambda member: member.judgeAddress(request, address)
        )


class AnyOf(_Combined):
    """See L{anyOf}."""

    name = "any-of"

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__(_deciding(self.name, members))
        self._kept = PerRequest[_Kept]()

    def nameJudgement(self, request: ConnectRequest) -> Judgement:
        """Keep who allowed or abstained; one must be kept."""
        if not self.rulesName:
            yield from _report(self.onName, lambda one: one.judgeName(request))
            return Abstain()
        kept, denials = [], []
        for member in self.members:
            opinion: Opinion = Abstain()
            if member.asksName:
                opinion = yield member.judgeName(request)
            if isinstance(opinion, Deny):
                denials.append((member, opinion))
            elif isinstance(opinion, Allow) and not member.rulesAddress:
                # Whatever the address: nothing is left for others to allow.
                self._keep(request, _Kept(allowed=True))
                return Allow(member.explain(opinion))
            elif member.rulesAddress:
                kept.append(member)
        if not kept:
            self._kept.drop(request)
            return _together(denials)
        self._keep(request, _Kept(tuple(kept)))
        return Allow()

    def addressJudgement(
        self, request: ConnectRequest, address: IPAddress
    ) -> Judgement:
        """One of those that were kept must allow."""
        reporters = [one for one in self.onAddress if not one.rulesAddress]
        yield from _report(reporters, lambda one: one.judgeAddress(request, address))
        kept = self._keptFor(request)
        if kept is None:
            return Deny("the name of this request was not allowed")
        if kept.allowed:
            return Allow()
        denials = []
        for member in kept.members:
            opinion = yield member.judgeAddress(request, address)
            if isinstance(opinion, Allow):
                return Allow(member.explain(opinion))
            denials.append((member, opinion))
        return _together(denials)

    def _keep(self, request: ConnectRequest, kept: _Kept) -> None:
        if self.onAddress:
            self._kept.keep(request, kept)

    def _keptFor(self, request: ConnectRequest) -> _Kept | None:
        if self.rulesName:
            return self._kept.get(request)
        return _Kept(tuple(one for one in self.onAddress if one.rulesAddress))


class ReportOnly(_Combined):
    """See L{reportOnly}."""

    def __init__(self, member: Any) -> None:
        self._member = _Member(member)
        super().__init__([self._member], rules=False)
        # Never the member's own name: it would take a default's place.
        self.name = f"report-only-{self._member.name}"
        self._refused = PerRequest[bool]()

    def nameJudgement(self, request: ConnectRequest) -> Judgement:
        """Log what would be refused."""
        return self._report(request, lambda: self._member.judgeName(request))

    def addressJudgement(
        self, request: ConnectRequest, address: IPAddress
    ) -> Judgement:
        """Log what would be refused, unless the name was already."""
        if self._refused.get(request):
            return abstaining()
        return self._report(
            request, lambda: self._member.judgeAddress(request, address)
        )

    def _report(self, request: ConnectRequest, ask: Callable[[], Any]) -> Judgement:
        try:
            opinion = yield ask()
        except CancelledError:
            # The client has left, or the proxy's time-out has struck.
            raise
        except Exception as error:
            opinion = Deny(f"it failed: {error!r}")
        if not isinstance(opinion, Deny):
            return Abstain()
        self._refused.keep(request, True)
        _log.warn(
            "report-only: {rule} would refuse {authority} ({id}): {reason!r}",
            rule=self._member.name,
            authority=str(request.authority),
            id=request.id,
            reason=opinion.reason,
        )
        return Abstain(f"would refuse: {opinion.reason}")


@attrs.frozen
class _Kept:
    """Who may still allow an address; C{allowed}: whatever the address."""

    members: tuple[_Member, ...] = ()
    allowed: bool = False


def _deciding(name: str, members: Sequence[Any]) -> list[_Member]:
    made = [_Member(member) for member in members]
    if not any(member.rulesName or member.rulesAddress for member in made):
        raise ValueError(
            f"{name}: no member decides anything, so nothing could be allowed; to "
            "report only, put reportOnly around the whole"
        )
    return made


def _servicesOf(members: Sequence[_Member]) -> MultiService:
    """One service of all members that are services and have no parent yet."""
    services = MultiService()
    for member in members:
        if IService.providedBy(member.policy) and member.policy.parent is None:
            member.policy.setServiceParent(services)
    return services


def _nameOf(member: Any, policy: Any) -> str:
    if isinstance(member, Named):
        return member.name
    return str(getattr(policy, "name", "") or type(policy).__name__)


def _every(members: Sequence[_Member], ask: Callable[[_Member], Any]) -> Judgement:
    """Allow if every member that has an opinion does; abstain if none has."""
    reasons, allowed = [], False
    for member in members:
        opinion = yield ask(member)
        reason = member.explain(opinion)
        if isinstance(opinion, Deny):
            return Deny(reason or member.name, opinion.cause)
        allowed = allowed or isinstance(opinion, Allow)
        reasons.append(reason)
    reason = "; ".join(filter(None, reasons))
    return Allow(reason) if allowed else Abstain(reason)


def _report(
    members: Sequence[_Member], ask: Callable[[_Member], Any]
) -> Generator[Any, Opinion, None]:
    """Let those have their say that decide nothing."""
    for member in members:
        yield ask(member)


def _together(denials: Sequence[tuple[_Member, Opinion]]) -> Deny:
    """One refusal for all; its cause is theirs where they agree."""
    causes = {opinion.cause for _, opinion in denials if isinstance(opinion, Deny)}
    reasons = [member.explain(opinion) or member.name for member, opinion in denials]
    cause = causes.pop() if len(causes) == 1 else Cause.POLICY
    return Deny("; ".join(reasons), cause)
