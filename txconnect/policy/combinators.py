"""
Policies made of policies: C{allOf}, C{anyOf}, C{reportOnly}.

A request is judged at two steps: its name (C{decide}), and then each address
(C{decideAddress}).  A member without a rule at a step I{abstains} there.

  - C{allOf}: every member that has a rule at a step must allow.
  - C{anyOf}: for each request it keeps the members that allowed the name or
    abstained on it.  An address passes if a kept member allows it, or if a
    member allowed the name and has no address rule.
  - C{reportOnly}: it logs the refusals of its member, and refuses nothing.
    Inside C{allOf} and C{anyOf} it runs its member, and abstains.

B{If all members abstain, the request is not allowed.}  The interfaces of a
combinator follow from its members: it has a rule at a step if a member has one,
and without a member at a step it provides no interface for it, so that the proxy
skips it there.  A combinator whose members abstain at both steps cannot be made.
At a step with reports alone it has no opinion: within another combinator it
abstains, and outside it lets a request pass, which every other policy, and its
own other step, must still allow.

The name step of C{anyOf} may pass a request that only an address rule can
still allow.  A route that resolves names elsewhere runs no address rule: there
C{decideUnresolved} has the last word, and refuses a request of which no member
has allowed the name.

C{decideAddress} and C{decideUnresolved} must get the very request that C{decide}
got; a request that C{anyOf} has not passed has no address that passes.  The
members that are kept for a request are dropped with it.

Answers that come at once are judged at once: no Deferred, no coroutine.  An
exception, or an answer that is not a decision, refuses the request, whatever
the other members would decide.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from txconnect.policy.combined import Combined, PolicyMember
from txconnect.policy.judging import (
    Abstain,
    Judgement,
    Opinion,
    PerRequest,
    abstainingJudgement,
    opinionOf,
)
from txconnect.values import Allow, Cause, Deny, IPAddress, Request

__all__ = ["AllOf", "AnyOf", "ReportOnly", "allOf", "anyOf", "reportOnly"]

_log = Logger()

_NOT_NAMED = Deny("the name of this request was not allowed")
_NO_ADDRESS = Abstain("it judges addresses, and has none to judge on this route")


def allOf(*members: object) -> AllOf:
    """
    Make a policy that allows a request if every member allows it.

    @param members: policies, or L{Named} policies.
    @raise ValueError: no member can decide anything.
    """
    return AllOf(members)


def anyOf(*members: object) -> AnyOf:
    """
    Make a policy that allows a request if at least one member allows it.

    @param members: policies, or L{Named} policies.
    @raise ValueError: no member can decide anything.
    """
    return AnyOf(members)


def reportOnly(member: object) -> ReportOnly:
    """
    Make a policy that logs the refusals of a member, and refuses nothing: to try
    a rule before it is enforced.

    @param member: a policy, or a L{Named} policy.
    @raise ValueError: it is not a policy.
    """
    return ReportOnly(member)


class AllOf(Combined):
    """See L{allOf}."""

    name = "all-of"

    def __init__(self, members: Sequence[object]) -> None:
        super().__init__(_decidingMembers(self.name, members))

    def nameJudgement(self, request: Request) -> Judgement:
        """Allow if every member allows the name."""
        return _judgeEvery(self.onName, lambda member: member.judgeName(request))

    def addressJudgement(self, request: Request, address: IPAddress) -> Judgement:
        """Allow if every member allows the address."""
        return _judgeEvery(
            self.onAddress, lambda member: member.judgeAddress(request, address)
        )

    def mayOpenPorts(self, member: PolicyMember) -> bool:
        """Tell whether a member opens ports: the others must allow as well."""
        return member.opensPorts

    def unresolvedJudgement(self, request: Request) -> Judgement:
        """Allow if every member allows the request without addresses."""
        return _judgeEvery(
            self.onUnresolved, lambda member: member.judgeUnresolved(request)
        )


class AnyOf(Combined):
    """See L{anyOf}."""

    name = "any-of"

    def __init__(self, members: Sequence[object]) -> None:
        super().__init__(_decidingMembers(self.name, members))
        self._kept = PerRequest[_Kept]()

    def nameJudgement(self, request: Request) -> Judgement:
        """Keep the members that allow or abstain, and deny if there are none."""
        # After one has allowed, the others are asked all the same: a member with an
        # address rule may still allow an address that the first one denies.
        if not self.rulesName:
            yield from _askReporters(self.onName, lambda one: one.judgeName(request))
            return Abstain()
        kept, named, denials = [], [], []
        for member in self.members:
            opinion: Opinion = Abstain()
            if member.asksName:
                opinion = yield from opinionOf(member.judgeName(request))
            if isinstance(opinion, Deny):
                denials.append((member, opinion))
            elif isinstance(opinion, Allow) and member.nameSuffices:
                # The address does not matter to it, so no other member is needed.
                self._keepMembers(request, _Kept(allowed=True))
                return Allow(member.explainOpinion(opinion))
            elif isinstance(opinion, Allow):
                kept.append(member)
                named.append(member)
            elif member.rulesAddress:
                kept.append(member)
        if not kept:
            self._kept.drop(request)
            return _combineDenials(denials)
        self._keepMembers(request, _Kept(tuple(kept), tuple(named)))
        return Allow()

    def addressJudgement(self, request: Request, address: IPAddress) -> Judgement:
        """Allow if one of the kept members allows the address."""
        reporters = [one for one in self.onAddress if not one.rulesAddress]
        yield from _askReporters(
            reporters, lambda one: one.judgeAddress(request, address)
        )
        kept = self._keptMembers(request)
        if kept is None:
            return _NOT_NAMED
        if kept.allowed or any(not member.rulesAddress for member in kept.members):
            return Allow()
        denials = []
        for member in kept.members:
            opinion = yield from opinionOf(member.judgeAddress(request, address))
            if isinstance(opinion, Allow):
                return Allow(member.explainOpinion(opinion))
            denials.append((member, opinion))
        return _combineDenials(denials)

    def unresolvedJudgement(self, request: Request) -> Judgement:
        """Allow if one of the kept members has allowed the name."""
        reporters = [one for one in self.onUnresolved if not one.rules]
        yield from _askReporters(reporters, lambda one: one.judgeUnresolved(request))
        kept = self._keptMembers(request)
        if kept is None:
            return _NOT_NAMED
        if kept.allowed:
            return Allow()
        opinions = []
        for member in kept.members:
            opinion: Opinion = _NO_ADDRESS
            if member.asksUnresolved:
                opinion = yield from opinionOf(member.judgeUnresolved(request))
            named = member in kept.named and not isinstance(opinion, Deny)
            if named or isinstance(opinion, Allow):
                return Allow()
            opinions.append((member, opinion))
        if not self.rulesName and any(each is _NO_ADDRESS for _, each in opinions):
            # With rules on addresses alone, none of which runs on this route, it
            # has no opinion, as a single policy on addresses has none.
            return Abstain()
        return _combineDenials(opinions)

    def mayOpenPorts(self, member: PolicyMember) -> bool:
        """
        Tell whether a member opens ports: not an C{allOf}, as another member could
        allow the port's host to those whom the C{allOf} refuses.
        """
        return member.opensPorts and not isinstance(member.policy, AllOf)

    def leansOnAddresses(self) -> bool:
        """Tell whether a name may pass that only a rule on addresses can allow."""
        return self.rulesName and self.rulesAddress

    def _keepMembers(self, request: Request, kept: _Kept) -> None:
        # Without a second step nothing would ever read it.
        if self.onAddress or self.onUnresolved:
            self._kept.keep(request, kept)

    def _keptMembers(self, request: Request) -> _Kept | None:
        if self.rulesName:
            return self._kept.get(request)
        return _Kept(tuple(one for one in self.onAddress if one.rulesAddress))


class ReportOnly(Combined):
    """See L{reportOnly}."""

    def __init__(self, member: object) -> None:
        self._member = PolicyMember(member)
        super().__init__([self._member], rules=False)
        # Never the member's own name: with that of a default policy, the report
        # would replace the default, and so the rule that it only reports on.
        self.name = f"report-only-{self._member.name}"
        self._refused = PerRequest[bool]()

    def nameJudgement(self, request: Request) -> Judgement:
        """Log a refusal of the member."""
        return self._reportRefusal(request, lambda: self._member.judgeName(request))

    def addressJudgement(self, request: Request, address: IPAddress) -> Judgement:
        """Log a refusal of the member, unless it has refused the name already."""
        if self._refused.get(request):
            return abstainingJudgement()
        return self._reportRefusal(
            request, lambda: self._member.judgeAddress(request, address)
        )

    def unresolvedJudgement(self, request: Request) -> Judgement:
        """Log a refusal of the member, unless it has refused the name already."""
        if self._refused.get(request):
            return abstainingJudgement()
        return self._reportRefusal(
            request, lambda: self._member.judgeUnresolved(request)
        )

    def _reportRefusal(self, request: Request, ask: Callable[[], object]) -> Judgement:
        try:
            opinion = yield from opinionOf(ask())
        except CancelledError:
            # The client has left, or the proxy's time-out has struck.
            raise
        except Exception as error:
            # Enforced, a failure would refuse, so that is what the log has to say.
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
    """
    The members that may still allow an address.

    @ivar members: the kept members.
    @ivar named: those of them that have allowed the name.
    @ivar allowed: true if every address is allowed already.
    """

    members: tuple[PolicyMember, ...] = ()
    named: tuple[PolicyMember, ...] = ()
    allowed: bool = False


def _decidingMembers(name: str, members: Sequence[object]) -> list[PolicyMember]:
    made = [PolicyMember(member) for member in members]
    if not any(member.rulesName or member.rulesAddress for member in made):
        raise ValueError(
            f"{name}: no member decides anything, so nothing could be allowed; to "
            "report only, put reportOnly around the whole"
        )
    return made


def _judgeEvery(
    members: Sequence[PolicyMember], ask: Callable[[PolicyMember], object]
) -> Judgement:
    """Allow if every member with an opinion does; abstain if none has one."""
    # In order, and no further than the first refusal, as the proxy asks policies.
    reasons, allowed = [], False
    for member in members:
        opinion = yield from opinionOf(ask(member))
        reason = member.explainOpinion(opinion)
        if isinstance(opinion, Deny):
            return Deny(reason or member.name, opinion.cause)
        allowed = allowed or isinstance(opinion, Allow)
        reasons.append(reason)
    reason = "; ".join(filter(None, reasons))
    return Allow(reason) if allowed else Abstain(reason)


def _askReporters(
    members: Sequence[PolicyMember], ask: Callable[[PolicyMember], object]
) -> Generator[Deferred[object], object, None]:
    """Ask members for their reports; their opinions do not count."""
    for member in members:
        yield from opinionOf(ask(member))


def _combineDenials(denials: Sequence[tuple[PolicyMember, Opinion]]) -> Deny:
    """Make one refusal of several; its cause is theirs if they agree on one."""
    causes = {opinion.cause for _, opinion in denials if isinstance(opinion, Deny)}
    reasons = [
        member.explainOpinion(opinion) or member.name for member, opinion in denials
    ]
    cause = causes.pop() if len(causes) == 1 else Cause.POLICY
    return Deny("; ".join(reasons), cause)
