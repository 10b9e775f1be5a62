"""
The common part of the combinators: their members, and the steps at which those
are asked.  See L{txconnect.policy.combinators}.

A combinator provides the interfaces that its members provide.  So one of address
policies alone has no say about names: it need neither allow nor refuse them, and
the proxy, which stops at start-up if no policy judges a step, is not misled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Union

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from zope.interface import directlyProvides
from zope.interface.interface import InterfaceClass

from txconnect.interfaces import (
    IAddressPolicy,
    IDestinationPolicy,
    IPortOpener,
    IUnresolvedPolicy,
)
from txconnect.maybeasync import run
from txconnect.policy.judging import Judgement, Opinion, atTop
from txconnect.values import Decision, IPAddress, MaybeAsync, Named, Request

_Answer = Union[Opinion, "Deferred[Opinion]"]

__all__ = ["Combined", "PolicyMember"]


class PolicyMember:
    """
    One member of a combinator.

    @ivar name: the name in reasons and in the log.
    @ivar policy: the policy itself.
    @ivar asksName: true if the policy is asked at the name step; C{asksAddress}
        and C{asksUnresolved} are the same for the others.
    @ivar opensPorts: true if items of the policy may open ports.
    @ivar rulesName: true if the policy has a rule at the name step, so that it can
        allow or deny; C{rulesAddress} is the same for the address step.
    """

    def __init__(self, member: object) -> None:
        # Any, because the interfaces that it provides are known only at run time.
        named = Named.of(member)
        policy: Any = named.plugin
        self.policy = policy
        self.asksName = IDestinationPolicy.providedBy(policy)
        self.asksAddress = IAddressPolicy.providedBy(policy)
        self.asksUnresolved = IUnresolvedPolicy.providedBy(policy)
        self.opensPorts = IPortOpener.providedBy(policy)
        if not (self.asksName or self.asksAddress):
            raise ValueError(f"{policy!r} is not a policy: it judges neither step")
        self.name = named.name
        # A combinator may be asked at a step only for its reports: without a rule.
        combined = isinstance(policy, Combined)
        self.rulesName = policy.rulesName if combined else self.asksName
        self.rulesAddress = policy.rulesAddress if combined else self.asksAddress
        self._combined = combined

    @property
    def rules(self) -> bool:
        """True if the policy decides at some step, and does not only report."""
        return self.rulesName or self.rulesAddress

    @property
    def nameSuffices(self) -> bool:
        """True if an allowed name is all that the policy has to judge."""
        return not (self.rulesAddress or self.asksUnresolved)

    # The answers of these are objects: a policy may return anything, and only
    # opinionOf decides whether it is an opinion.

    def judgeName(self, request: Request) -> object:
        """Ask the policy about a name."""
        if self._combined:
            return self.policy.judgeName(request)
        return self.policy.decide(request)

    def judgeAddress(self, request: Request, address: IPAddress) -> object:
        """Ask the policy about an address."""
        if self._combined:
            return self.policy.judgeAddress(request, address)
        return self.policy.decideAddress(request, address)

    def judgeUnresolved(self, request: Request) -> object:
        """Ask the policy about a request of which no address is judged."""
        if self._combined:
            return self.policy.judgeUnresolved(request)
        return self.policy.decideUnresolved(request)

    def explainOpinion(self, opinion: Opinion) -> str:
        """Return an opinion's reason with the member's name before it, or nothing."""
        return f"{self.name}: {opinion.reason}" if opinion.reason else ""


class Combined(ABC):
    """
    The base of the combinators: two steps, each run as a judgement, and the one
    that replaces the second if no address will be judged.

    If members are services, so is the combinator: they start and stop with the
    proxy as they would without it.
    """

    name: str

    def __init__(self, members: Sequence[PolicyMember], rules: bool = True) -> None:
        self.members = members
        self.onName = [member for member in members if member.asksName]
        self.onAddress = [member for member in members if member.asksAddress]
        self.rulesName = rules and any(member.rulesName for member in members)
        self.rulesAddress = rules and any(member.rulesAddress for member in members)
        self.onUnresolved = [member for member in members if member.asksUnresolved]
        # Only the interfaces of the members: the proxy asks by interface, and a
        # step without a rule must not look like one that allows.
        provided: list[InterfaceClass] = []
        if self.onName:
            provided.append(IDestinationPolicy)
        if self.onAddress:
            provided.append(IAddressPolicy)
        if self.onUnresolved or self.leansOnAddresses():
            provided.append(IUnresolvedPolicy)
        self._openers = [each.policy for each in members if self.mayOpenPorts(each)]
        if self._openers:
            provided.append(IPortOpener)
        self._services = _servicesOf(members)
        if self._services.services:
            provided.append(IService)
        directlyProvides(self, *provided)

    @property
    def heldPlugins(self) -> list[Any]:
        """Return the policies of the members."""
        return [member.policy for member in self.members]

    def __getattr__(self, name: str) -> object:
        # As a service it is the nameless service of its members: under its own
        # name a proxy could have only one such combinator.
        if name in IService.names():
            return getattr(self._services, name)
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def decide(self, request: Request) -> MaybeAsync[Decision]:
        """Judge a name for the proxy."""
        decision: MaybeAsync[Decision] = run(
            atTop(self.nameJudgement(request), self.rulesName)
        )
        return decision

    def decideAddress(
        self, request: Request, address: IPAddress
    ) -> MaybeAsync[Decision]:
        """Judge an address for the proxy."""
        judgement = atTop(self.addressJudgement(request, address), self.rulesAddress)
        decision: MaybeAsync[Decision] = run(judgement)
        return decision

    def decideUnresolved(self, request: Request) -> MaybeAsync[Decision]:
        """Judge a request without addresses for the proxy."""
        decision: MaybeAsync[Decision] = run(
            atTop(self.unresolvedJudgement(request), hasRule=False)
        )
        return decision

    def judgeName(self, request: Request) -> _Answer:
        """Judge a name for another combinator."""
        return run(self.nameJudgement(request))

    def judgeAddress(self, request: Request, address: IPAddress) -> _Answer:
        """Judge an address for another combinator."""
        return run(self.addressJudgement(request, address))

    def judgeUnresolved(self, request: Request) -> _Answer:
        """Judge a request without addresses for another combinator."""
        return run(self.unresolvedJudgement(request))

    def opensPort(self, request: Request) -> str | None:
        """See L{IPortOpener.opensPort}: the item of a member that opens ports."""
        for opener in self._openers:
            item: str | None = opener.opensPort(request)
            if item is not None:
                return item
        return None

    def mayOpenPorts(self, member: PolicyMember) -> bool:
        """
        Tell whether an item of a member may open a port: never for who could be
        allowed without that member.
        """
        return False

    def leansOnAddresses(self) -> bool:
        """Tell whether a name may pass that only a rule on addresses can allow."""
        return False

    @abstractmethod
    def nameJudgement(self, request: Request) -> Judgement:
        """Judge a name, and return an opinion."""

    @abstractmethod
    def addressJudgement(self, request: Request, address: IPAddress) -> Judgement:
        """Judge an address, and return an opinion."""

    @abstractmethod
    def unresolvedJudgement(self, request: Request) -> Judgement:
        """Judge a request of which no address will be judged here."""


def _servicesOf(members: Sequence[PolicyMember]) -> MultiService:
    """Make one service of all members that are services and have no parent yet."""
    # One with a parent is started elsewhere; it may be in two combinators.
    services = MultiService()
    for member in members:
        if IService.providedBy(member.policy) and member.policy.parent is None:
            member.policy.setServiceParent(services)
    return services
