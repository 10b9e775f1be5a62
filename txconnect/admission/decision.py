"""
The decision about one request: may it go, by which route, to which addresses.

The steps, in this order, each once: authenticate, judge the name, choose the
route, look the name up, judge each address.  The outcome is a value:
L{Admitted}, or L{Refused<txconnect.errors.Refused>}, which holds a row of the
refusals table.

Only L{Allow} allows: C{None}, another type, an exception and a time-out refuse, so
adding a policy can only narrow.  A name is looked up once, and only addresses that
every address policy has judged are dialled, never the name: a second look-up could
answer otherwise.  The name is judged before the look-up, so that a refused one costs
no query, and tells the resolver nothing.

Nothing is dialled and nothing is acquired: no slot, no connection, no descriptor.
So a decision needs no client.  The exchange uses it for a request that has
come, and the testing kit for one that a test has made up.  Slots, if any, are the
exchange's to acquire, once a request was allowed.

It is a generator (see L{txconnect.maybeasync}), so that L{Decision.steps} can be
read from top to bottom, and policies that answer at once cost a call each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime

from txconnect.admission.hooks import HookCaller
from txconnect.admission.rules import AUTHENTICATION, Rules
from txconnect.errors import Refused, causeOf
from txconnect.maybeasync import Steps, settle
from txconnect.values import (
    Allow,
    Attempted,
    Cause,
    Identity,
    IPAddress,
    Request,
    Route,
)
from txconnect.wire.forwarding import hasPassed

if TYPE_CHECKING:
    from OpenSSL.crypto import X509

# A policy that failed has judged nothing: none of the addresses is dialled.
_NOT_JUDGED = frozenset((Cause.PLUGIN_ERROR, Cause.PLUGIN_TIMEOUT))


class LooksUp(Protocol):
    """The part of the look-ups that the decision uses."""

    def lookup(
        self, name: str
    ) -> tuple[IPAddress, ...] | Deferred[tuple[IPAddress, ...]]:
        """Return the addresses of a name, or fail with L{Refused}."""


class KnowsItself(Protocol):
    """
    The listeners of this proxy: an
    L{OwnListeners<txconnect.ownaddresses.OwnListeners>}.
    """

    def addListener(self, host: IAddress) -> None:
        """Remember a listener."""

    def isSelf(self, address: IPAddress, port: int) -> bool:
        """
        Tell whether a connection would reach this proxy.

        @raise OSError: that cannot be found out.
        """


@attrs.frozen
class Surroundings:
    """
    The resources of the process that a decision uses.

    @ivar clock: provides C{IReactorTime}.
    @ivar direct: the route that is taken where no router names another.
    """

    clock: IReactorTime
    lookups: LooksUp
    listeners: KnowsItself
    direct: Route


@attrs.frozen
class Admitted:
    """
    A request that may go.

    @ivar request: with the identity.
    @ivar addresses: those that every policy allowed; empty where the route looks
        the name up itself.
    @ivar notes: the reasons of the policies that allowed, C{"rule: reason"}.
    @ivar lookupSeconds: the duration of the look-up; C{0.0} for a literal.
    """

    request: Request
    route: Route
    addresses: tuple[IPAddress, ...]
    notes: tuple[str, ...]
    lookupSeconds: float


class Decision(HookCaller):
    """One decision about one request."""

    def __init__(
        self,
        rules: Rules,
        surroundings: Surroundings,
        request: Request,
        credentials: bytes | None = None,
    ) -> None:
        """
        @param credentials: the value of C{Proxy-Authorization}.
        """
        self.rules = rules
        self.clock = surroundings.clock
        self.request = request
        self.notes = []
        self.over = False
        self._surroundings = surroundings
        self._credentials = credentials

    def steps(self) -> Steps[Admitted]:
        """
        Decide; for L{txconnect.maybeasync.run}.

        @raise Refused: the request may not go.
        """
        rules = self.rules
        if rules.authenticator is not None or self.request.certificate is not None:
            yield from self._authenticateRequest()
        # No plugin from here on sees Proxy-Authorization.
        self._credentials = None
        # It would come round again, and again, each time as a new request.
        if hasPassed(self.request.headers, rules.pseudonym):
            raise Refused(Cause.LOOP, "Via names this proxy already")
        yield from self.judgeName()
        route = self._surroundings.direct
        if rules.routers:
            route = yield from self._chooseRoute()
        if self.request.kind not in route.carries:
            raise Refused(
                Cause.NOT_CARRIED, f"route {route.name} carries no {self.request.kind}"
            )
        # A literal needs no look-up, so it is judged on every route.
        literal = self.request.authority.address
        seconds = 0.0
        addresses: Sequence[IPAddress] = () if literal is None else (literal,)
        if literal is None and not route.resolves:
            began = self.clock.seconds()
            addresses = yield from self._lookUpName()
            seconds = self.clock.seconds() - began
        if addresses:
            addresses = yield from self.judgeAddresses(addresses)
        else:
            yield from self._judgeUnresolved()
        return Admitted(
            self.request, route, tuple(addresses), tuple(self.notes), seconds
        )

    def claims(self, attempted: Attempted | None) -> Attempted | None:
        """
        Return what the event of a refusal tells of the request beside its authority,
        proved by nothing.

        @param attempted: what the refusal itself tells of it.
        """
        return attempted

    def judgeName(self) -> Steps[None]:
        """Go on if every policy allows the name."""
        for policy in self.rules.destination:
            answer = self.askHook(policy, policy.plugin.decide, self.request)
            if isinstance(answer, Deferred):
                answer = yield answer
            # A bare Allow, nearly every answer, costs no call.
            if type(answer) is not Allow or answer.reason:
                self.judgeAnswer(policy, answer)

    def judgeAddresses(self, addresses: Sequence[IPAddress]) -> Steps[list[IPAddress]]:
        """
        Return the addresses that every policy allows.

        @raise Refused: there is none.
        """
        refusals: list[Refused] = []
        allowed: list[IPAddress] = []
        for address in addresses:
            try:
                yield from self._judgeAddress(address)
            except Refused as refused:
                if refused.cause in _NOT_JUDGED:
                    raise
                refusals.append(refused)
                self.notes.append(
                    f"{refused.rule}: dropped {address}: {refused.reason}"
                )
            else:
                allowed.append(address)
        if not allowed:
            # One row of the table for all: the first address's, as the resolver
            # put it first.
            first = refusals[0]
            reasons = dict.fromkeys(refused.reason for refused in refusals)
            raise Refused(first.cause, "; ".join(reasons), first.rule)
        return allowed

    def _judgeAddress(self, address: IPAddress) -> Steps[None]:
        for policy in self.rules.address:
            answer = self.askHook(
                policy, policy.plugin.decideAddress, self.request, address
            )
            if isinstance(answer, Deferred):
                answer = yield answer
            if type(answer) is not Allow or answer.reason:
                self.judgeAnswer(policy, answer)
        listeners = self._surroundings.listeners
        try:
            own = listeners.isSelf(address, self.request.authority.port)
        except OSError as error:
            reason = f"whether {address} is this proxy's own is not known: {error}"
            raise Refused(causeOf(error), reason) from None
        if own:
            raise Refused(Cause.LOOP, f"{address} is this proxy's own listener")

    def _judgeUnresolved(self) -> Steps[None]:
        for policy in self.rules.unresolved:
            answer = self.askHook(policy, policy.plugin.decideUnresolved, self.request)
            if isinstance(answer, Deferred):
                answer = yield answer
            if type(answer) is not Allow or answer.reason:
                self.judgeAnswer(policy, answer)

    def _authenticateRequest(self) -> Steps[None]:
        credentials, self._credentials = self._credentials, None
        identity: Identity | None = None
        certificate = self.request.certificate
        if certificate is not None:
            identity = self._certificateIdentity(certificate)
        if self.rules.authenticator is not None:
            authenticate: Callable[..., object] = self.rules.authenticator.authenticate
            if AUTHENTICATION in self.rules.watched:
                authenticate = self._timed(AUTHENTICATION, authenticate)
            answer = settle(authenticate(self.request, credentials))
            if isinstance(answer, Deferred):
                answer = yield self.inTime(answer, AUTHENTICATION)
            identity = answer
        if identity is not None:
            self.request = self.request.withIdentity(identity)

    def _certificateIdentity(self, certificate: X509) -> Identity:
        identity = self.rules.certificateIdentity(certificate)
        if identity is None:
            # Verified, but without an identity: it must not pass for none at all.
            reason = "the client's certificate names nobody"
            raise Refused(Cause.POLICY, reason, "certificate")
        return identity

    def _chooseRoute(self) -> Steps[Route]:
        for router in self.rules.routers:
            answer = self.askHook(router, router.plugin.route, self.request)
            if isinstance(answer, Deferred):
                answer = yield answer
            if type(answer) is Route:
                return answer
            if answer is not None:
                raise self.wrongAnswer(router, answer, "a Route or None")
        return self._surroundings.direct

    def _lookUpName(self) -> Steps[tuple[IPAddress, ...]]:
        found: Any = self._surroundings.lookups.lookup(
            self.request.authority.lookupName
        )
        if isinstance(found, Deferred):
            found = yield found
        return found  # type: ignore[no-any-return]
