"""
The types of the arguments that are plugins, for type checkers.

Each is a union of four: an object that has the interface's method, so that a checker
that knows nothing of zope.interface takes a plugin as well; the interface itself, for
values that are annotated with it; a L{Named}; and a text, as on the command line.  A checker then tells a policy from
an observer.  That a class has to say C{@implementer} no structural type can tell: the
proxy verifies it when it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, Protocol, TypeVar, Union

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.interfaces import IProtocol, IReactorTCP, IReactorTime
from twisted.internet.protocol import Protocol as StreamProtocol

from txconnect.interfaces import (
    IAddressPolicy,
    IAuthScheme,
    IDestinationPolicy,
    IPairFactory,
    IRequestHandler,
    IRouter,
    ITrafficObserver,
    ITrafficTap,
    ITunnelFields,
)
from txconnect.values import (
    Answer,
    AuthAttempt,
    ChallengeReason,
    Decision,
    Direction,
    Event,
    IPAddress,
    MaybeAsync,
    Named,
    Request,
    Route,
    TunnelInfo,
)

__all__ = [
    "AnyChecker",
    "AnyHandler",
    "AnyObserver",
    "AnyPairFactory",
    "AnyPolicy",
    "AnyReactor",
    "AnyRouter",
    "AnyScheme",
    "AnyTap",
    "AnyTunnelFields",
    "Several",
]

_Member = TypeVar("_Member", covariant=True)

# The parameters are positional only: a plugin may call its own as it likes.


class DecidesNames(Protocol):
    """An object with the method of L{IDestinationPolicy}."""

    def decide(self, request: Request, /) -> MaybeAsync[Decision]:
        """See L{IDestinationPolicy.decide}."""


class DecidesAddresses(Protocol):
    """An object with the method of L{IAddressPolicy}."""

    def decideAddress(
        self, request: Request, address: IPAddress, /
    ) -> MaybeAsync[Decision]:
        """See L{IAddressPolicy.decideAddress}."""


class ChoosesRoutes(Protocol):
    """An object with the method of L{IRouter}."""

    def route(self, request: Request, /) -> MaybeAsync[Route | None]:
        """See L{IRouter.route}."""


class HearsEvents(Protocol):
    """An object with the method of L{ITrafficObserver}."""

    def observe(self, event: Event, /) -> None:
        """See L{ITrafficObserver.observe}."""


class TapsTunnels(Protocol):
    """An object with the method of L{ITrafficTap}."""

    def tap(self, tunnel: TunnelInfo, /) -> Callable[[Direction, bytes], object] | None:
        """See L{ITrafficTap.tap}."""


PairHalf = Union[IProtocol, StreamProtocol]
"""One of a pair: only a checker that knows zope sees that the second is the first."""


class BuildsPairs(Protocol):
    """An object with the method of L{IPairFactory}."""

    def buildPair(self, tunnel: TunnelInfo, /) -> tuple[PairHalf, PairHalf]:
        """See L{IPairFactory.buildPair}."""


class ReadsCredentials(Protocol):
    """An object with the attributes of L{IAuthScheme}."""

    @property
    def name(self) -> str:
        """See L{IAuthScheme}."""

    def challenge(self, reason: ChallengeReason, realm: str, /) -> bytes:
        """See L{IAuthScheme.challenge}."""

    # Any: what a scheme's author makes of credentials, such as IUsernamePassword,
    # is an ICredentials only to a checker that knows zope.
    def parse(self, attempt: AuthAttempt, /) -> Any:
        """See L{IAuthScheme.parse}."""


class ChecksCredentials(Protocol):
    """An object with the attributes of L{ICredentialsChecker}."""

    @property
    def credentialInterfaces(self) -> Any:
        """See L{ICredentialsChecker}."""

    def requestAvatarId(self, credentials: Any, /) -> Any:
        """See L{ICredentialsChecker.requestAvatarId}."""


class HandlesRequests(Protocol):
    """An object with the method of L{IRequestHandler}."""

    def handle(self, request: Request, /) -> MaybeAsync[Answer | None]:
        """See L{IRequestHandler.handle}."""


class AddsFields(Protocol):
    """An object with the method of L{ITunnelFields}."""

    def tunnelFields(
        self, tunnel: TunnelInfo, /
    ) -> Iterable[tuple[str | bytes, str | bytes]]:
        """See L{ITunnelFields.tunnelFields}."""


class RunsProxies(Protocol):
    """An object with the methods of a reactor that no proxy can do without."""

    @property
    def callLater(self) -> Callable[..., Any]:
        """See L{IReactorTime.callLater}."""

    @property
    def connectTCP(self) -> Callable[..., Any]:
        """See L{IReactorTCP.connectTCP}."""


class HasMembers(Protocol[_Member]):
    """
    A list, tuple, set or the like.  A text, which has members too, is none: it asks
    what it contains for a text, and these for any object.
    """

    def __iter__(self) -> Iterator[_Member]:
        """Return the members."""

    def __contains__(self, member: object, /) -> bool:
        """Tell whether C{member} is one."""


Several = Union[HasMembers[_Member], Iterator[_Member]]
AnyPolicy = Union[
    DecidesNames, DecidesAddresses, IDestinationPolicy, IAddressPolicy, Named, str
]
AnyRouter = Union[ChoosesRoutes, IRouter, Named, str]
AnyObserver = Union[HearsEvents, ITrafficObserver, Named, str]
AnyTap = Union[TapsTunnels, ITrafficTap, Named, str]
AnyPairFactory = Union[BuildsPairs, IPairFactory, Named, str]
AnyScheme = Union[ReadsCredentials, IAuthScheme, Named, str]
AnyHandler = Union[HandlesRequests, IRequestHandler, Named]
AnyTunnelFields = Union[AddsFields, ITunnelFields, Named]
AnyChecker = Union[ChecksCredentials, ICredentialsChecker, Named, str]
# Checkers see the module in "from twisted.internet import reactor", not the object
# that replaces it.
AnyReactor = Union[RunsProxies, IReactorTime, IReactorTCP, ModuleType]
