"""
What the combinators have in common: their members, and the steps at which
those are asked.  See L{txconnect.policy.combinators}.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from twisted.application.service import IService, MultiService
from zope.interface import directlyProvides

from txconnect.interfaces import (
    IAddressPolicy,
    IDestinationPolicy,
    IUnresolvedPolicy,
)
from txconnect.maybeasync import run
from txconnect.policy.judging import Judgement, Opinion, atTop
from txconnect.values import ConnectRequest, Decision, IPAddress, MaybeAsync, Named

__all__ = ["Combined", "Member"]


class Member:
    """
    One member: its name, and at which steps it has a rule (can allow or deny)
    or at least wants to be asked.
    """

    def __init__(self, member: Any) -> None:
        policy = member.plugin if isinstance(member, Named) else member
        self.policy = policy
        self.asksName = IDestinationPolicy.providedBy(policy)
        self.asksAddress = IAddressPolicy.providedBy(policy)
        self.asksUnresolved = IUnresolvedPolicy.providedBy(policy)
        if not (self.asksName or self.asksAddress):
            raise ValueError(f"{policy!r} is no policy: it judges neither step")
        self.name = _nameOf(member, policy)
        combined = isinstance(policy, Combined)
        self.rulesName = policy.rulesName if combined else self.asksName
        self.rulesAddress = policy.rulesAddress if combined else self.asksAddress
        self._combined = combined

    @property
    def rules(self) -> bool:
        """Whether it decides anything, and does not report only."""
        return self.rulesName or self.rulesAddress

    @property
    def isDone(self) -> bool:
        """Whether it has nothing more to say once it has allowed a name."""
        return not (self.rulesAddress or self.asksUnresolved)

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

    def judgeUnresolved(self, request: ConnectRequest) -> Any:
        """Ask about a request without addresses; whatever the member answers."""
        if self._combined:
            return self.policy.judgeUnresolved(request)
        return self.policy.decideUnresolved(request)

    def explain(self, opinion: Opinion) -> str:
        """Whose reason it was, and what reason."""
        return f"{self.name}: {opinion.reason}" if opinion.reason else ""


class Combined(ABC):
    """
    What the three have in common: two steps, each run as a judgement, and the
    one that takes the second's place where no address will be judged.

    Where members are services, it is one: they start and stop with the proxy
    as they would by themselves.
    """

    name: str

    def __init__(self, members: Sequence[Member], rules: bool = True) -> None:
        self.members = members
        self.onName = [member for member in members if member.asksName]
        self.onAddress = [member for member in members if member.asksAddress]
        self.rulesName = rules and any(member.rulesName for member in members)
        self.rulesAddress = rules and any(member.rulesAddress for member in members)
        self.onUnresolved = [member for member in members if member.asksUnresolved]
        provided: list[Any] = []
        if self.onName:
            provided.append(IDestinationPolicy)
        if self.onAddress:
            provided.append(IAddressPolicy)
        if self.onUnresolved or self.leansOnAddresses():
            provided.append(IUnresolvedPolicy)
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

    def decideUnresolved(self, request: ConnectRequest) -> MaybeAsync[Decision]:
        """Judge what will have no address here, as the proxy asks it."""
        decision: MaybeAsync[Decision] = run(
            atTop(self.unresolvedJudgement(request), hasRule=False)
        )
        return decision

    def judgeName(self, request: ConnectRequest) -> Any:
        """Judge the name, as another combinator asks it."""
        return run(self.nameJudgement(request))

    def judgeAddress(self, request: ConnectRequest, address: IPAddress) -> Any:
        """Judge an address, as another combinator asks it."""
        return run(self.addressJudgement(request, address))

    def judgeUnresolved(self, request: ConnectRequest) -> Any:
        """Judge what will have no address here, as another combinator asks it."""
        return run(self.unresolvedJudgement(request))

    def leansOnAddresses(self) -> bool:
        """Whether a name may pass that only a rule on addresses can allow."""
        return False

    @abstractmethod
    def nameJudgement(self, request: ConnectRequest) -> Judgement:
        """How the name is judged."""

    @abstractmethod
    def addressJudgement(
        self, request: ConnectRequest, address: IPAddress
    ) -> Judgement:
        """How an address is judged."""

    @abstractmethod
    def unresolvedJudgement(self, request: ConnectRequest) -> Judgement:
        """How a request is judged that will have no address here."""


def _servicesOf(members: Sequence[Member]) -> MultiService:
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
