"""
One request on its way: steps 3 to 9.

L{Candidate._steps} is the whole way, read from top to bottom.  Everything
that is asked is asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from txconnect.admission.hooks import Asking, told
from txconnect.dialing.dialer import connectionCause
from txconnect.errors import Refused
from txconnect.maybeasync import GeneratorRunner, settle, withTimeout
from txconnect.tunnel.kernel.socketleg import SocketLeg
from txconnect.tunnel.pair import join
from txconnect.tunnel.transport.leg import Leg
from txconnect.tunnel.transport.relay import Tap
from txconnect.values import (
    Cause,
    ConnectRequest,
    IPAddress,
    Route,
    TunnelInfo,
    TunnelRefused,
)
from txconnect.wire.forwarding import hasPassed

if TYPE_CHECKING:
    from txconnect.admission.admission import Admission

# A policy that failed has said nothing: none of the addresses is dialled.
_NOT_JUDGED = {Cause.PLUGIN_ERROR, Cause.PLUGIN_TIMEOUT}

SLOW = 0.25
"""Seconds that plugins may keep the reactor before the log says so."""


@attrs.frozen
class Admitted:
    """
    A destination that has answered, and what will stand between.

    @ivar pair: the two halves, or L{None} for the stock ones.
    """

    tunnel: TunnelInfo
    leg: Leg | SocketLeg
    taps: tuple[Tap, ...]
    pair: tuple[IProtocol, IProtocol] | None


class Candidate(Asking):
    """
    One request on its way.

    @ivar request: as the plugins see it; from authentication on with the
        identity.
    """

    def __init__(
        self,
        admission: Admission,
        request: ConnectRequest,
        credentials: bytes | None,
        decided: Callable[[Admitted | Refused], None],
    ) -> None:
        super().__init__(admission, request)
        self._credentials = credentials
        self._decided = decided
        self._began = admission.clock.seconds()
        self._leg: Leg | SocketLeg | None = None
        self._work = GeneratorRunner(self._steps(), self._finished)

    def run(self) -> None:
        """Begin; called once, by the front."""
        self._work.run()
        seconds = self._admission.clock.seconds() - self._began
        if seconds > SLOW:
            self._log.warn(
                "plugins kept the reactor for {seconds:.2f} s over {id}",
                seconds=seconds,
                id=self.request.id,
            )

    def giveUp(self, cause: Cause) -> None:
        """
        The client has left, or the proxy stops: cancel the step under way.
        """
        self._over = True
        self._work.cancel()
        self._dropLeg()
        self.tell(Refused(cause))

    def tell(self, refused: Refused) -> None:
        """Tell the observers that this request becomes no tunnel."""
        admission = self._admission
        admission.notify(
            TunnelRefused(
                refused.cause,
                refused.rule,
                refused.reason,
                self.request.id,
                self.request,
                self.request.client,
                admission.clock.seconds() - self._began,
            )
        )

    def _finished(self, result: Any) -> None:
        self._over = True
        if isinstance(result, Failure):
            self._dropLeg()
            result = self._refusal(result)
        self._decided(result)

    def _refusal(self, failure: Failure) -> Refused:
        refused = failure.value
        if not isinstance(refused, Refused):
            self._log.failure("{id} failed", failure, id=self.request.id)
            return Refused(Cause.INTERNAL, told(refused))
        if not self._speakable(refused.cause):
            reason = f"{refused.cause!r} is nothing that a client can be told here"
            return Refused(Cause.PLUGIN_ERROR, reason, refused.rule)
        return refused

    def _dropLeg(self) -> None:
        leg, self._leg = self._leg, None
        if leg is not None:
            leg.abort()

    def _steps(self) -> Generator[Deferred[Any], Any, Admitted]:
        admission = self._admission
        clock = admission.clock

        if admission.authenticator is not None or self.request.certificate is not None:
            yield from self._authenticate()
        self._credentials = None
        if hasPassed(self.request.headers, admission.pseudonym):
            raise Refused(Cause.LOOP, "Via names this proxy already")

        for policy in admission.plugins.destination:
            answer = self._ask(policy, policy.plugin.decide, self.request)
            if isinstance(answer, Deferred):
                answer = yield answer
            self._judged(policy, answer)

        route = admission.direct
        for router in admission.plugins.routers:
            answer = self._ask(router, router.plugin.route, self.request)
            if isinstance(answer, Deferred):
                answer = yield answer
            if answer is not None:
                route = self._routed(router, answer)
                break

        began = clock.seconds()
        # A literal needs no look-up, so it is judged whoever resolves names.
        literal = self.request.authority.address
        addresses: Sequence[IPAddress] = () if literal is None else (literal,)
        if literal is None and not route.resolves:
            addresses = yield from self._resolve()
        resolved = clock.seconds()
        if addresses:
            addresses = yield from self._judgeAddresses(addresses)
        else:
            yield from self._judgeUnresolved()

        dialling = clock.seconds()
        leg, address, *taken = yield from self._connect(route, addresses)
        tunnel = TunnelInfo(
            self.request,
            address,
            str(taken[0]) if taken else route.name,
            resolved - began,
            clock.seconds() - dialling,
            tuple(self._notes),
        )
        return self._prepare(tunnel, leg)

    def _authenticate(self) -> Generator[Deferred[Any], Any, None]:
        admission, request = self._admission, self.request
        credentials, self._credentials = self._credentials, None
        identity: Any = None
        if request.certificate is not None:
            identity = admission.certificateIdentity(request.certificate)
            if identity is None:
                # Verified, but nobody: it must not pass for no certificate.
                reason = "the client's certificate names nobody"
                raise Refused(Cause.POLICY, reason, "certificate")
        if admission.authenticator is not None:
            identity = settle(
                admission.authenticator.authenticate(request, credentials)
            )
            if isinstance(identity, Deferred):
                identity = yield withTimeout(
                    admission.clock,
                    admission.settings.hookTimeout,
                    identity,
                    lambda: self._late("authentication"),
                )
        if identity is not None:
            self.request = attrs.evolve(request, identity=identity)

    def _resolve(
        self,
    ) -> Generator[Deferred[Any], Any, tuple[IPAddress, ...]]:
        name = self.request.authority.lookupName
        found: Any = self._admission.lookups.lookup(name)
        if isinstance(found, Deferred):
            found = yield found
        return found  # type: ignore[no-any-return]

    def _judgeUnresolved(self) -> Generator[Deferred[Any], Any, None]:
        for policy in self._admission.plugins.unresolved:
            answer = self._ask(policy, policy.plugin.decideUnresolved, self.request)
            if isinstance(answer, Deferred):
                answer = yield answer
            self._judged(policy, answer)

    def _judgeAddresses(
        self, addresses: Sequence[IPAddress]
    ) -> Generator[Deferred[Any], Any, list[IPAddress]]:
        """Keep the addresses that all allow; refuse when none is left."""
        refusals: list[Refused] = []
        allowed: list[IPAddress] = []
        for address in addresses:
            try:
                yield from self._judgeAddress(address)
            except Refused as refused:
                if refused.cause in _NOT_JUDGED:
                    raise
                refusals.append(refused)
                self._notes.append(
                    f"{refused.rule}: dropped {address}: {refused.reason}"
                )
            else:
                allowed.append(address)
        if not allowed:
            first = refusals[0]
            reasons = dict.fromkeys(refused.reason for refused in refusals)
            raise Refused(first.cause, "; ".join(reasons), first.rule)
        return allowed

    def _judgeAddress(self, address: IPAddress) -> Generator[Deferred[Any], Any, None]:
        admission = self._admission
        for policy in admission.plugins.address:
            answer = self._ask(
                policy, policy.plugin.decideAddress, self.request, address
            )
            if isinstance(answer, Deferred):
                answer = yield answer
            self._judged(policy, answer)
        try:
            own = admission.isSelf(address, self.request.authority.port)
        except OSError as error:
            reason = f"whether {address} is this proxy's own is not known: {error}"
            raise Refused(connectionCause(error), reason) from None
        if own:
            raise Refused(Cause.LOOP, f"{address} is this proxy's own listener")

    def _connect(
        self, route: Route, addresses: Sequence[IPAddress]
    ) -> Generator[Deferred[Any], Any, tuple[Any, ...]]:
        direct = route is self._admission.direct
        try:
            if direct:
                reached = yield route.connect(self.request, addresses)
            else:
                reached = yield self._through(route, addresses)
            leg, _, *_ = reached
            if not isinstance(leg, (Leg, SocketLeg)):
                raise TypeError(f"it answered {type(leg).__name__}, not a leg")
            self._leg = leg
        except Exception as error:
            if direct or isinstance(error, Refused):
                raise
            self._log.failure(
                "{name} failed over {id}", name=route.name, id=self.request.id
            )
            raise Refused(Cause.PLUGIN_ERROR, told(error), route.name) from None
        return reached  # type: ignore[no-any-return]

    def _through(
        self, route: Route, addresses: Sequence[IPAddress]
    ) -> Deferred[tuple[Leg | SocketLeg, IPAddress | None]]:
        """Connect by a plugin's route, which may know no deadline of its own."""
        settings = self._admission.settings
        seconds = settings.connectTimeout
        if route.resolves:
            seconds += settings.lookupTimeout
        connecting = settle(
            route.connect(self.request, addresses).addCallback(self._inTime)
        )
        if not isinstance(connecting, Deferred):
            return succeed(connecting)
        reason = f"route {route.name}: no answer within {seconds:g} seconds"
        return withTimeout(
            self._admission.clock,
            seconds,
            connecting,
            lambda: Refused(Cause.CONNECTION_TIMEOUT, reason),
        )

    def _inTime(
        self, reached: tuple[Leg | SocketLeg, Any]
    ) -> tuple[Leg | SocketLeg, Any]:
        """Reset a leg that comes when nobody waits for it any more."""
        if self._over:
            reached[0].abort()
        return reached

    def _prepare(self, tunnel: TunnelInfo, leg: Leg | SocketLeg) -> Admitted:
        """Make the tap and the pair, before the client is told anything."""
        plugins = self._admission.plugins
        taps = []
        for plugin in plugins.taps:
            tap = self._call(plugin, plugin.plugin.tap, tunnel)
            if tap is not None:
                if not callable(tap):
                    raise self._wrong(plugin, tap, "a callable or None")
                taps.append(tap)
        pair = None
        factory = plugins.pairFactory
        if factory is not None:
            pair = self._call(factory, factory.plugin.buildPair, tunnel)
            if not (
                isinstance(pair, tuple)
                and len(pair) == 2
                and all(IProtocol.providedBy(half) for half in pair)
            ):
                raise self._wrong(factory, pair, "a pair of protocols")
            self._call(factory, join, *pair)
        return Admitted(tunnel, leg, tuple(taps), pair)
