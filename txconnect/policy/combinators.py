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
still allow.  A route that resolves names elsewhere asks no address rule: there
C{decideUnresolved} has the last word, and refuses what no member has allowed
by its name.

C{decideAddress} and C{decideUnresolved} must be given the very request that C{decide} was given; a
request that C{anyOf} has not passed has no address that passes.  What is kept
is dropped with the request itself.

Answers that come at once are judged at once: no Deferred, no coroutine.  An
exception, or an answer that is no decision, refuses, whatever the other
members would say.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from txconnect.policy.combined import Combined, Member
from txconnect.policy.judging import (
    Abstain,
    Judgement,
    Opinion,
    PerRequest,
    abstaining,
    opinionOf,
)
from txconnect.values import Allow, Cause, ConnectRequest, Deny, IPAddress

__all__ = ["AllOf", "AnyOf", "ReportOnly", "allOf", "anyOf", "reportOnly"]

_log = Logger()

_NOT_NAMED = Deny("the name of this request was not allowed")
_NO_ADDRESS = Abstain("it judges addresses, and has none to judge on this route")


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


class AllOf(Combined):
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

    def unresolvedJudgement(self, request: ConnectRequest) -> Judgement:
        """Every member must allow."""
        return _every(self.onUnresolved, lambda member: member.judgeUnresolved(request))


class AnyOf(Combined):
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
        kept, named, denials = [], [], []
        for member in self.members:
            opinion: Opinion = Abstain()
            if member.asksName:
                opinion = yield from opinionOf(member.judgeName(request))
            if isinstance(opinion, Deny):
                denials.append((member, opinion))
            elif isinstance(opinion, Allow) and member.isDone:
                # Whatever the address: nothing is left for others to allow.
                self._keep(request, _Kept(allowed=True))
                return Allow(member.explain(opinion))
            elif isinstance(opinion, Allow):
                kept.append(member)
                named.append(member)
            elif member.rulesAddress:
                kept.append(member)
        if not kept:
            self._kept.drop(request)
            return _together(denials)
        self._keep(request, _Kept(tuple(kept), tuple(named)))
        return Allow()

    def addressJudgement(
        self, request: ConnectRequest, address: IPAddress
    ) -> Judgement:
        """One of those that were kept must allow."""
        reporters = [one for one in self.onAddress if not one.rulesAddress]
        yield from _report(reporters, lambda one: one.judgeAddress(request, address))
        kept = self._keptFor(request)
        if kept is None:
            return _NOT_NAMED
        if kept.allowed or any(not member.rulesAddress for member in kept.members):
            return Allow()
        denials = []
        for member in kept.members:
            opinion = yield from opinionOf(member.judgeAddress(request, address))
            if isinstance(opinion, Allow):
                return Allow(member.explain(opinion))
            denials.append((member, opinion))
        return _together(denials)

    def unresolvedJudgement(self, request: ConnectRequest) -> Judgement:
        """One of those that were kept must have allowed by the name."""
        reporters = [one for one in self.onUnresolved if not one.rules]
        yield from _report(reporters, lambda one: one.judgeUnresolved(request))
        kept = self._keptFor(request)
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
            # Rules on addresses alone, none of which is asked.
            return Abstain()
        return _together(opinions)

    def leansOnAddresses(self) -> bool:
        """Whether a name may pass that only a rule on addresses can allow."""
        return self.rulesName and self.rulesAddress

    def _keep(self, request: ConnectRequest, kept: _Kept) -> None:
        if self.onAddress or self.onUnresolved:
            self._kept.keep(request, kept)

    def _keptFor(self, request: ConnectRequest) -> _Kept | None:
        if self.rulesName:
            return self._kept.get(request)
        return _Kept(tuple(one for one in self.onAddress if one.rulesAddress))


class ReportOnly(Combined):
    """See L{reportOnly}."""

    def __init__(self, member: Any) -> None:
        self._member = Member(member)
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

    def unresolvedJudgement(self, request: ConnectRequest) -> Judgement:
        """Log what would be refused, unless the name was already."""
        if self._refused.get(request):
            return abstaining()
        return self._report(request, lambda: self._member.judgeUnresolved(request))

    def _report(self, request: ConnectRequest, ask: Callable[[], Any]) -> Judgement:
        try:
            opinion = yield from opinionOf(ask())
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
    """
    Who may still allow an address; C{allowed}: whatever the address.

    @ivar named: those of them that have allowed the name.
    """

    members: tuple[Member, ...] = ()
    named: tuple[Member, ...] = ()
    allowed: bool = False


def _deciding(name: str, members: Sequence[Any]) -> list[Member]:
    made = [Member(member) for member in members]
    if not any(member.rulesName or member.rulesAddress for member in made):
        raise ValueError(
            f"{name}: no member decides anything, so nothing could be allowed; to "
            "report only, put reportOnly around the whole"
        )
    return made


def _every(members: Sequence[Member], ask: Callable[[Member], Any]) -> Judgement:
    """Allow if every member that has an opinion does; abstain if none has."""
    reasons, allowed = [], False
    for member in members:
        opinion = yield from opinionOf(ask(member))
        reason = member.explain(opinion)
        if isinstance(opinion, Deny):
            return Deny(reason or member.name, opinion.cause)
        allowed = allowed or isinstance(opinion, Allow)
        reasons.append(reason)
    reason = "; ".join(filter(None, reasons))
    return Allow(reason) if allowed else Abstain(reason)


def _report(
    members: Sequence[Member], ask: Callable[[Member], Any]
) -> Generator[Deferred[Any], Any, None]:
    """Ask those members that decide nothing."""
    for member in members:
        yield from opinionOf(ask(member))


def _together(denials: Sequence[tuple[Member, Opinion]]) -> Deny:
    """One refusal for all; its cause is theirs where they agree."""
    causes = {opinion.cause for _, opinion in denials if isinstance(opinion, Deny)}
    reasons = [member.explain(opinion) or member.name for member, opinion in denials]
    cause = causes.pop() if len(causes) == 1 else Cause.POLICY
    return Deny("; ".join(reasons), cause)
