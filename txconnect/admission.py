"""
Steps 3 to 9: from a request's head to a destination that has answered, or to
a refusal.

L{Candidate._steps} is the whole way, read from top to bottom.  Everything
that is asked is asked once; only L{Allow} allows.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator, Sequence
from inspect import iscoroutine
from typing import Any, Protocol as Shape

import attrs
from OpenSSL.crypto import X509
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.consulting import CANCELLED, Steps, bounded, settle
from txconnect.dialing import connectionCause
from txconnect.errors import Refused
from txconnect.lookups import Lookups
from txconnect.ownaddress import OwnAddresses
from txconnect.relay.leg import Leg
from txconnect.relay.sweep import Sweep
from txconnect.relay.transport import Tap
from txconnect.settings import Settings
from txconnect.values import (
    Allow,
    Cause,
    ConnectRequest,
    Deny,
    Event,
    Identity,
    IPAddress,
    Named,
    Route,
    TunnelInfo,
    TunnelRefused,
)
from txconnect.wire.head import Head

# A policy that failed has said nothing: none of the addresses is dialled.
_NOT_JUDGED = {Cause.PLUGIN_ERROR, Cause.PLUGIN_TIMEOUT}

SLOW = 0.25
"""Seconds that plugins may keep the reactor before the log says so."""


class Authenticates(Shape):
    """What admission needs of authentication."""

    def authenticate(
        self, request: ConnectRequest, credentials: bytes | None
    ) -> Identity | Deferred[Identity]:
        """Say who it is, or fail with L{Refused}."""

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        """The challenges of a 407, one for each scheme."""


@attrs.frozen
class Plugins:
    """
    The plugins of one proxy, each under its name and already verified.

    @ivar destination: the policies that judge names.
    @ivar address: the policies that judge addresses.
    """

    destination: tuple[Named, ...]
    address: tuple[Named, ...]
    routers: tuple[Named, ...] = ()
    observers: tuple[Named, ...] = ()
    taps: tuple[Named, ...] = ()
    pairFactory: Named | None = None


class Ids:
    """
    Makes the ids of requests: short, and not used again by another worker or
    after a restart, because they begin with six characters that differ.

    @ivar start: these characters.
    """

    def __init__(self, start: str | None = None) -> None:
        self.start = start or os.urandom(3).hex()
        self._count = 0

    def next(self) -> str:
        """A fresh id."""
        self._count += 1
        return f"{self.start}-{self._count}"


class Admission:
    """
    What admits requests: it lives as long as the proxy's service.

    @param certificateIdentity: who a verified client certificate names, or
        L{None} when it names nobody.
    @ivar settings: how the proxy behaves.
    @ivar sweep: the deadlines of all tunnels.
    """

    _log = Logger()

    def __init__(
        self,
        clock: Any,
        settings: Settings,
        plugins: Plugins,
        lookups: Lookups,
        direct: Route,
        own: OwnAddresses,
        authenticator: Authenticates | None = None,
        certificateIdentity: Callable[[X509], Identity | None] = lambda _: None,
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.plugins = plugins
        self.lookups = lookups
        self.direct = direct
        self.authenticator = authenticator
        self.certificateIdentity = certificateIdentity
        self.ids = Ids()
        self.name = settings.name or f"txconnect-{self.ids.start}"
        self.sweep = Sweep(clock)
        self._own = own
        self._ports: set[int] = set()

    def addListener(self, address: IAddress) -> None:
        """Remember where this proxy listens: what it never dials."""
        port = getattr(address, "port", None)
        if port is not None:
            self._ports.add(port)

    def isSelf(self, address: IPAddress, port: int) -> bool:
        """
        Whether dialling C{address} would reach this proxy (RFC 9110, 7.6).

        Any address of this machine counts, on any port on which it listens.
        """
        return port in self._ports and self._own.isOwn(address)

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        """The challenges for a refusal: some for a 407, else none."""
        if cause.status != 407 or self.authenticator is None:
            return ()
        return self.authenticator.challenges(cause)

    def notify(self, event: Event) -> None:
        """Tell every observer, in order."""
        for observer in self.plugins.observers:
            try:
                observer.plugin.observe(event)
            except Exception:
                self._log.failure("observer {name} failed", name=observer.name)

    def admit(
        self,
        head: Head,
        client: IAddress | None,
        server: IAddress | None,
        certificate: X509 | None,
        decided: Callable[[Admitted | Refused], None],
    ) -> Candidate:
        """
        Take a request up.

        @param decided: called once, perhaps before this returns, unless the
            candidate is given up.
        """
        request = ConnectRequest(
            head.authority,
            head.headers,
            head.httpVersion,
            client,
            server,
            None,
            certificate,
            self.ids.next(),
        )
        return Candidate(self, request, head.credentials, decided)


@attrs.frozen
class Admitted:
    """
    A destination that has answered, and what will stand between.

    @ivar pair: the two halves, or L{None} for the stock ones.
    """

    tunnel: TunnelInfo
    leg: Leg
    taps: tuple[Tap, ...]
    pair: tuple[IProtocol, IProtocol] | None


class Candidate:
    """
    One request on its way.

    @ivar request: as the plugins see it; from authentication on with the
        identity.
    """

    _log = Logger()

    def __init__(
        self,
        admission: Admission,
        request: ConnectRequest,
        credentials: bytes | None,
        decided: Callable[[Admitted | Refused], None],
    ) -> None:
        self._admission = admission
        self.request = request
        self._credentials = credentials
        self._decided = decided
        self._began = admission.clock.seconds()
        self._leg: Leg | None = None
        self._over = False
        self._notes: list[str] = []
        self._work = Steps(self._steps(), self._finished)

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
            return Refused(Cause.INTERNAL, _told(refused))
        return refused

    def _dropLeg(self) -> None:
        leg, self._leg = self._leg, None
        if leg is not None:
            leg.abort()

    def _steps(self) -> Generator[Deferred[Any], Any, Admitted]:
        admission = self._admission
        clock = admission.clock

        yield from self._authenticate()

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
        addresses: Sequence[IPAddress] = ()
        if not route.resolves:
            addresses = yield from self._resolve()
        resolved = clock.seconds()
        if addresses:
            addresses = yield from self._judgeAddresses(addresses)

        dialling = clock.seconds()
        leg, address = yield from self._connect(route, addresses)
        tunnel = TunnelInfo(
            self.request,
            address,
            route.name,
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
            if identity is None and admission.authenticator is None:
                # Verified, but nobody: it must not pass for no certificate.
                reason = "the client's certificate names nobody"
                raise Refused(Cause.POLICY, reason, "certificate")
        if admission.authenticator is not None:
            identity = settle(
                admission.authenticator.authenticate(request, credentials)
            )
            if isinstance(identity, Deferred):
                identity = yield bounded(
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
        authority = self.request.authority
        literal = authority.address
        if literal is not None:
            return (literal,)
        found: Any = self._admission.lookups.lookup(authority.lookupName)
        if isinstance(found, Deferred):
            found = yield found
        return found  # type: ignore[no-any-return]

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
    ) -> Generator[Deferred[Any], Any, tuple[Leg, IPAddress | None]]:
        direct = route is self._admission.direct
        try:
            if direct:
                reached = yield route.connect(self.request, addresses)
            else:
                reached = yield self._through(route, addresses)
            self._leg, address = reached
        except Exception as error:
            if direct or isinstance(error, Refused):
                raise
            self._log.failure(
                "{name} failed over {id}", name=route.name, id=self.request.id
            )
            raise Refused(Cause.PLUGIN_ERROR, _told(error), route.name) from None
        return reached  # type: ignore[no-any-return]

    def _through(
        self, route: Route, addresses: Sequence[IPAddress]
    ) -> Deferred[tuple[Leg, IPAddress | None]]:
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
        return bounded(
            self._admission.clock,
            seconds,
            connecting,
            lambda: Refused(Cause.CONNECTION_TIMEOUT, reason),
        )

    def _inTime(self, reached: tuple[Leg, Any]) -> tuple[Leg, Any]:
        """Reset a leg that comes when nobody waits for it any more."""
        if self._over:
            reached[0].abort()
        return reached

    def _prepare(self, tunnel: TunnelInfo, leg: Leg) -> Admitted:
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
        return Admitted(tunnel, leg, tuple(taps), pair)

    def _ask(self, plugin: Named, hook: Callable[..., Any], *arguments: Any) -> Any:
        """
        Ask a hook.

        @return: its answer, or a Deferred of it that fails with L{Refused}.
        """
        answer = self._call(plugin, _asked, hook, *arguments)
        if not isinstance(answer, Deferred):
            if self._over:
                # The hook itself has stopped the proxy: nothing further is asked.
                raise Refused(Cause.SHUTDOWN)
            return answer
        admission = self._admission
        return bounded(
            admission.clock,
            admission.settings.hookTimeout,
            answer,
            lambda: self._late(plugin.name),
        ).addErrback(self._broken, plugin)

    def _call(self, plugin: Named, hook: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return hook(*arguments)
        except BaseException:
            # SystemExit and asyncio's CancelledError refuse like any other.
            return self._broken(Failure(), plugin)

    def _broken(self, failure: Failure, plugin: Named) -> Any:
        cancelled = self._over and failure.check(*CANCELLED)
        if cancelled or isinstance(failure.value, _Late):
            failure.raiseException()
        self._log.failure(
            "{name} failed over {id}", failure, name=plugin.name, id=self.request.id
        )
        raise Refused(Cause.PLUGIN_ERROR, _told(failure.value), plugin.name)

    def _late(self, name: str) -> Refused:
        seconds = self._admission.settings.hookTimeout
        return _Late(
            Cause.PLUGIN_TIMEOUT, f"no decision within {seconds:g} seconds", name
        )

    def _judged(self, policy: Named, answer: Any) -> None:
        if type(answer) is Allow:
            if answer.reason:
                self._notes.append(f"{policy.name}: {answer.reason}")
            return
        if type(answer) is Deny and self._speakable(answer.cause):
            raise Refused(answer.cause, str(answer.reason), policy.name)
        raise self._wrong(policy, answer, "Allow, or Deny with a cause that fits")

    def _speakable(self, cause: object) -> bool:
        """Whether a plugin may refuse with C{cause}: a client can be told it."""
        if not isinstance(cause, Cause) or cause.error is None:
            return False
        return cause.status != 407 or self._admission.authenticator is not None

    def _routed(self, router: Named, answer: Any) -> Route:
        if type(answer) is not Route:
            raise self._wrong(router, answer, "a Route or None")
        return answer

    def _wrong(self, plugin: Named, answer: Any, wanted: str) -> Refused:
        hint = ""
        if asyncio.isfuture(answer):
            hint = "; wrap an asyncio future with Deferred.fromFuture"
        if iscoroutine(answer):
            # Not left to complain, when it is collected, that nobody awaited it.
            answer.close()
        reason = f"it answered {type(answer).__name__}, not {wanted}{hint}"
        self._log.error(
            "{name} failed over {id}: {reason}",
            name=plugin.name,
            id=self.request.id,
            reason=reason,
        )
        return Refused(Cause.PLUGIN_ERROR, reason, plugin.name)


def _asked(hook: Callable[..., Any], *arguments: Any) -> Any:
    return settle(hook(*arguments))


class _Late(Refused):
    """A hook that did not answer in time."""


def _told(error: BaseException | None) -> str:
    """An exception in words, with the hint that one well-known one needs."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, RuntimeError) and "await wasn't used with future" in text:
        text += "; wrap an asyncio future with Deferred.fromFuture before awaiting it"
    return text
