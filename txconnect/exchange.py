"""
One request on one client stream, from its head to its end.

An exchange does the steps of a request, once, in this order: decide, reach, make
the taps and the pair, establish or refuse.  L{Exchange._steps} is that way, from
top to bottom.  It speaks no protocol: a front does that, and gives each exchange a
L{ClientStream}.  An HTTP/1.1 connection carries one at a time; a front with many
streams on a connection holds as many.

It has B{one way out}.  Every end (a refusal, a client that leaves, the proxy's
stop, the end of its tunnel) comes to L{Exchange._finish}, which gives back all that
the exchange has acquired, tells the observers, and lets the stream go.  Nothing is
given back anywhere else.  So every request ends in one C{TunnelRefused}, or in one
C{TunnelEstablished} and one C{TunnelClosed}.

A client that leaves before its 200, by a reset, is noticed by reading on, up to the
bound of early data, as its transport does that anyway.  Only a client that has filled
the bound, or has sent FIN, is not read any more, and then, on a plain socket, watched
for its leaving, and for a FIN that nobody reads (L{txconnect.tunnel.kernel.leaving}).
TLS and other wrapped clients that have filled the bound may leave unseen until a
deadline.

A FIN is no leaving, unless ends are not carried: the exchange does not hear of it.  Its
front goes on reading nothing, sends whatever the answer is, and hands the end over to
the tunnel's relay.

Two other designs were tried before.  The front did these steps itself: then each
protocol would have its own.  A tunnel finished by another path than a request: then
each slot needed two places that give it back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IProtocol, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.admission.answering import fieldsFor
from txconnect.admission.decision import Admitted, Decision, Surroundings
from txconnect.admission.events import RefusalEvents
from txconnect.admission.hooks import ASYNC_CALLABLE, inWords, tellObservers
from txconnect.admission.rules import Rules
from txconnect.dialing.dialer import Dialer
from txconnect.errors import Refused, causeOf
from txconnect.maybeasync import GeneratorRunner, Steps, withTimeout
from txconnect.naming import RequestIds
from txconnect.roles import isCoroutineFunction
from txconnect.timers import Timeouts
from txconnect.tunnel.early import EarlyData
from txconnect.tunnel.kernel.leaving import LeaveWatch
from txconnect.tunnel.kernel.relay import KernelResources
from txconnect.tunnel.kernel.socketleg import SocketLeg
from txconnect.tunnel.pair import join
from txconnect.tunnel.registry import LiveTunnels
from txconnect.tunnel.relay import Relay
from txconnect.tunnel.taps import NamedTap, TapGate
from txconnect.tunnel.transport.leg import Leg
from txconnect.tunnel.tunnel import Tunnel
from txconnect.values import (
    Cause,
    Closed,
    Event,
    IPAddress,
    Reached,
    Request,
    Route,
    TunnelClosed,
    TunnelEstablished,
    TunnelInfo,
    TunnelRefused,
)
from txconnect.wire.answerfields import Fields

_log = Logger()


@attrs.frozen
class Resources:
    """
    The objects that live as long as the process; the rules may change meanwhile.

    @ivar clock: provides C{IReactorTime}.
    @ivar surroundings: the part of them that decisions use.
    @ivar dialer: reaches the addresses of the direct route.
    @ivar refusals: sees the event of every refusal.
    @ivar kernel: the resources of kernel relays, or L{None} where there are none.
    @ivar leaving: watches clients whose transport is paused.
    @ivar connectBy: connects by a router's route:
        L{txconnect.routing.connecting.connectBy}.
    """

    clock: IReactorTime
    surroundings: Surroundings
    dialer: Dialer
    ids: RequestIds
    refusals: RefusalEvents
    timeouts: Timeouts
    tunnels: LiveTunnels
    kernel: KernelResources | None
    leaving: LeaveWatch
    connectBy: Callable[[Route, Request, Sequence[IPAddress]], Any]


@attrs.define
class Prepared:
    """
    A destination that has answered, and the taps and the pair of its tunnel.

    @ivar pair: the two halves, or L{None} for the stock ones.
    @ivar fields: further fields of the 200.
    """

    info: TunnelInfo
    leg: Leg | SocketLeg
    taps: tuple[NamedTap, ...]
    pair: tuple[IProtocol, IProtocol] | None
    fields: Fields = ()


class ClientStream(Protocol):
    """
    One request's stream, which its front provides.

    @ivar client: the address from which the client's connection comes.
    """

    @property
    def client(self) -> IAddress | None: ...

    def pauseReading(self) -> None:
        """
        Read no more of the client: it has sent as much early data as is held.

        The front watches for its reset where that is possible.
        """

    def resumeReading(self) -> None:
        """Read on, and watch no more."""

    def accept(self, tunnel: Tunnel, prepared: Prepared) -> Relay:
        """
        Send the answer that establishes the tunnel, and hand the stream over.

        @return: the relay, not started yet.
        @raise OSError: there are no descriptors left; nothing has been sent.
        """

    def refuse(self, refused: Refused, exchange: Exchange) -> None:
        """Send a refusal; the exchange is over."""

    def abort(self) -> None:
        """Reset the stream."""

    def exchangeFinished(self) -> None:
        """The exchange is over, and has given everything back; called once."""


class Exchange:
    """
    One request on one client stream.

    @ivar id: the request's id.
    @ivar rules: the rules that it began with, kept to its end.
    """

    # Thousands may be idle with their tunnels: they are kept small.
    __slots__ = (
        "__weakref__",
        "_began",
        "_decision",
        "_early",
        "_established",
        "_finished",
        "_leg",
        "_resources",
        "_runner",
        "_stream",
        "_tunnel",
        "id",
        "rules",
    )

    def __init__(
        self, rules: Rules, resources: Resources, stream: ClientStream, began: float
    ) -> None:
        """
        @param began: the time by the clock since which its front waited for the
            head.
        """
        self.rules = rules
        self.id = resources.ids.nextId()
        self._resources = resources
        self._stream = stream
        self._began = began
        self._decision: Decision | None = None
        self._runner: GeneratorRunner | None = None
        self._leg: Leg | SocketLeg | None = None
        self._tunnel: Tunnel | None = None
        self._early: EarlyData | None = None
        self._established = False
        self._finished = False

    @property
    def sentEarly(self) -> bool:
        """Tell whether the client has sent early data."""
        return self._early is not None

    @property
    def request(self) -> Request | None:
        """Return the request, from authentication on with the identity."""
        return None if self._decision is None else self._decision.request

    # Called by the front

    def begin(
        self,
        request: Request,
        credentials: bytes | None,
        notes: Sequence[str] = (),
        *,
        decide: type[Decision] = Decision,
    ) -> None:
        """
        Begin the request's steps; called at most once.

        @param notes: what the front has found in the head, for the log.
        @param decide: makes the decision.
        """
        self._began = self._resources.clock.seconds()
        self._decision = decide(
            self.rules, self._resources.surroundings, request, credentials
        )
        if notes:
            self._decision.notes.extend(notes)
        runner = self._runner = GeneratorRunner(
            self._steps(self._decision), self._requestDecided
        )
        runner.run()

    def earlyReceived(self, data: bytes) -> None:
        """Hold the octets that the client sends after its head, ahead of the 200."""
        if self._early is None:
            self._early = EarlyData()
        if self._early.takeData(data, self.rules.settings.earlyDataLimit):
            self._stream.pauseReading()

    def refuse(self, refused: Refused) -> None:
        """Refuse it for a reason that its front has found."""
        if not self._finished:
            event = self._refusalEvent(refused)
            self._finish(self._resources.refusals.mark(event))
            self._stream.refuse(refused, self)

    def giveUp(self, cause: Cause) -> None:
        """
        End it without an answer: the client has left, or the proxy stops.

        @param cause: one that is never answered.
        """
        if not self._finished:
            event = self._refusalEvent(Refused(cause))
            self._finish(self._resources.refusals.mark(event))

    def stop(self) -> bool:
        """
        End it, as the proxy stops.

        @return: whether it has reset the stream itself.
        """
        if self._tunnel is None:
            self.giveUp(Cause.SHUTDOWN)
            return False
        self._tunnel.cut(Closed.SHUTDOWN)
        return True

    # The way of a request

    def _steps(self, decision: Decision) -> Steps[Prepared]:
        clock = self._resources.clock
        admitted = yield from decision.steps()
        dialling = clock.seconds()
        reached = yield from self._reachDestination(decision, admitted)
        info = TunnelInfo(
            admitted.request,
            reached.address,
            reached.route or admitted.route.name,
            admitted.lookupSeconds,
            clock.seconds() - dialling,
            admitted.notes,
        )
        return self._prepareTapsAndPair(decision, info, reached.leg)

    def _reachDestination(
        self, decision: Decision, admitted: Admitted
    ) -> Steps[Reached]:
        """Connect to the destination, or by a route to it."""
        route = admitted.route
        if route is self._resources.surroundings.direct:
            reached = yield self._resources.dialer.begin(
                admitted.addresses, admitted.request.authority.port
            )
            self._leg = reached.leg
            return reached  # type: ignore[no-any-return]
        try:
            reached = yield self._connectBy(admitted)
            if type(reached) is not Reached or not isinstance(
                reached.leg, (Leg, SocketLeg)
            ):
                kind = type(reached).__name__
                raise TypeError(f"it answered {kind}, not Reached or an endpoint")
            if isinstance(reached.leg, Leg) and reached.leg.transport is None:
                raise TypeError("its leg is not connected")
            self._leg = reached.leg
        except Refused:
            raise
        except Exception as error:
            _log.failure("{name} failed over {id}", name=route.name, id=self.id)
            raise Refused(Cause.PLUGIN_ERROR, inWords(error), route.name) from None
        return reached

    def _connectBy(self, admitted: Admitted) -> Deferred[Reached]:
        """Connect by a plugin's route, which may have no time-out of its own."""
        settings, route = self.rules.settings, admitted.route
        seconds = settings.connectTimeout
        if route.resolves:
            seconds += settings.lookupTimeout
        connecting = self._resources.connectBy(
            route, admitted.request, admitted.addresses
        )
        if not isinstance(connecting, Deferred):
            return succeed(connecting)
        connecting.addCallback(self._inTime)
        reason = f"route {route.name}: no answer within {seconds:g} seconds"
        return withTimeout(
            self._resources.clock,
            seconds,
            connecting,
            lambda: Refused(Cause.CONNECTION_TIMEOUT, reason),
        )

    def _inTime(self, reached: object) -> object:
        """Reset a leg that comes when the exchange is over."""
        if self._finished and type(reached) is Reached:
            reached.leg.abort()
        return reached

    # After the connect and before the 200, so that a tap or a pair that raises is
    # still a 500 to the client, and not a tunnel that breaks.
    def _prepareTapsAndPair(
        self, decision: Decision, info: TunnelInfo, leg: Leg | SocketLeg
    ) -> Prepared:
        """Make the taps and the pair, before the client is sent anything."""
        taps: list[NamedTap] = []
        for plugin in self.rules.taps:
            tap = decision.callHook(plugin, plugin.plugin.tap, info)
            if tap is not None:
                if not callable(tap):
                    raise decision.wrongAnswer(plugin, tap, "a callable or None")
                if isCoroutineFunction(tap):
                    raise decision.pluginFailed(plugin, ASYNC_CALLABLE)
                taps.append((plugin.name, tap))
        factory, pair = self.rules.pairFactory, None
        if factory is not None:
            pair = decision.callHook(factory, factory.plugin.buildPair, info)
            if not (
                isinstance(pair, tuple)
                and len(pair) == 2
                and all(IProtocol.providedBy(half) for half in pair)
            ):
                raise decision.wrongAnswer(factory, pair, "a pair of protocols")
            decision.callHook(factory, join, *pair)
        fields = fieldsFor(decision, info) if self.rules.tunnelFields else ()
        return Prepared(info, leg, tuple(taps), pair, fields)

    def _requestDecided(self, result: Prepared | Failure) -> None:
        self._runner = None
        if isinstance(result, Failure):
            self.refuse(self._refusedFor(result))
            return
        self._establishTunnel(result)

    def _refusedFor(self, failure: Failure) -> Refused:
        refused = failure.value
        if not isinstance(refused, Refused):
            _log.failure("{id} failed", failure, id=self.id)
            return Refused(Cause.INTERNAL, inWords(refused))
        decision = self._decision
        if decision is not None and not decision.isTellable(refused.cause):
            # A plugin's Refused may bear any cause, such as one for the log alone.
            reason = f"{refused.cause!r} is nothing that a client can be told here"
            return Refused(Cause.PLUGIN_ERROR, reason, refused.rule)
        return refused

    def _establishTunnel(self, prepared: Prepared) -> None:
        resources = self._resources
        early = b"" if self._early is None else self._takeEarly(self._early)
        settings = self.rules.settings
        gate = None
        if prepared.taps:
            limit = settings.tapHoldLimit
            gate = TapGate(prepared.taps, self.id, limit, resources.clock)
        tunnel = Tunnel(
            prepared.info, resources.clock, settings, resources.tunnels, self, gate
        )
        try:
            relay = self._stream.accept(tunnel, prepared)
        except OSError as error:
            # No descriptor was left for the destination's transport.
            self.refuse(Refused(causeOf(error), str(error)))
            return
        except Exception as error:
            _log.failure("{id} could not be accepted", id=self.id)
            self.refuse(Refused(Cause.INTERNAL, inWords(error)))
            return
        # The tunnel owns the leg from now on; the decision and the early data would
        # only keep their memory for the tunnel's life.
        self._leg = self._decision = self._early = None
        self._tunnel = tunnel
        try:
            tunnel.begin(relay, early)
        except Exception:
            # The 200 has left: it is a tunnel, and it ends visibly.
            _log.failure("{id}: its relay could not begin", id=self.id)
            tunnel.abandonTunnel()
            self._stream.abort()
            return
        if not self._established:
            self._tellEstablished(prepared.info)

    def _tellEstablished(self, info: TunnelInfo) -> None:
        """Tell the observers of the tunnel, once and before its end."""
        self._established = True
        tellObservers(self.rules, TunnelEstablished(info))

    def tunnelClosed(self, closed: TunnelClosed) -> None:
        """Both legs are gone; called by the tunnel."""
        if not self._established:
            # The first write has found that a leg has been reset.
            self._tellEstablished(closed.tunnel)
        self._tunnel = None
        self._finish(closed)

    def _refusalEvent(self, refused: Refused) -> TunnelRefused:
        decision, attempted = self._decision, refused.attempted
        if decision is not None:
            attempted = decision.claims(attempted)
        return TunnelRefused(
            refused.cause,
            refused.rule,
            refused.reason,
            self.id,
            self.request,
            self._stream.client,
            self._resources.clock.seconds() - self._began,
            attempted,
            () if decision is None else tuple(decision.notes),
        )

    # The one way out

    def _finish(self, event: Event) -> None:
        """
        Give everything back, and tell the observers.

        A look-up, a hook and a dial that are under way are cancelled, and their
        timers with them; a leg that no tunnel owns is reset.
        """
        self._finished = True
        if self._decision is not None:
            # A hook may have ended the exchange from within its own call: no
            # further hook is called when it returns.
            self._decision.over = True
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.cancel()
        leg, self._leg = self._leg, None
        if leg is not None:
            leg.abort()
        if self._early is not None:
            self._takeEarly(self._early)
        tellObservers(self.rules, event)
        self._stream.exchangeFinished()

    def _takeEarly(self, early: EarlyData) -> bytes:
        """Let go of the early data, and read on."""
        if early.paused:
            early.paused = False
            self._stream.resumeReading()
        return early.release()
