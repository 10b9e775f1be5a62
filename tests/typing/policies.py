"""
Policies as their writers write them: mypy, strict, must take each.

It is read by the type checker alone, and run by nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from txconnect.interfaces import (
    IAddressPolicy,
    IDestinationPolicy,
    ITrafficObserver,
)
from txconnect.values import (
    Allow,
    Decision,
    Deny,
    Event,
    IPAddress,
    MaybeAsync,
    Request,
    TunnelClosed,
)


@implementer(IDestinationPolicy)
class Sync:
    """Answers at once."""

    def decide(self, request: Request) -> Decision:
        return Allow() if request.authority.port == 443 else Deny("443 only")


@implementer(IDestinationPolicy)
class Later:
    """Answers with a Deferred."""

    def decide(self, request: Request) -> Deferred[Decision]:
        answer: Decision = Deny(f"{request.authority} is unknown")
        return succeed(answer)


@implementer(IDestinationPolicy, IAddressPolicy)
class Awaited:
    """Coroutines, at both steps."""

    async def decide(self, request: Request) -> Decision:
        return Allow("asked") if request.identity else Deny("who are you?")

    async def decideAddress(self, request: Request, address: IPAddress) -> Decision:
        return Deny("private") if address.is_private else Allow()


@implementer(ITrafficObserver)
class Total:
    """Narrows an event to its kind."""

    def __init__(self) -> None:
        self.octets = 0

    def observe(self, event: Event) -> None:
        if isinstance(event, TunnelClosed):
            self.octets += event.up + event.down


def either(request: Request) -> MaybeAsync[Decision]:
    """One hook, one of three kinds of answer."""
    kinds: Sequence[IDestinationPolicy] = (
        IDestinationPolicy(Sync()),
        IDestinationPolicy(Later()),
        IDestinationPolicy(Awaited()),
    )
    return kinds[request.authority.port % 3].decide(request)
