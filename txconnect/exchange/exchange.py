"""
One request on one client stream, from its head to its end.

An exchange does the steps of a request, once, in this order: decide, reach, make
the taps and the pair, establish or refuse.  L{Exchange._steps} is that way, from
top to bottom; L{txconnect.exchange.reaching} and L{txconnect.exchange.preparing} have
two of them.  It speaks no protocol: a front does that, and gives each exchange a
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

from collections.abc import Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.admission.decision import Decision
from txconnect.admission.hooks import inWords, tellObservers
from txconnect.admission.rules import Rules
from txconnect.errors import Refused, causeOf
from txconnect.exchange.preparing import Prepared, prepareTunnel
from txconnect.exchange.reaching import reachDestination
from txconnect.exchange.resources import Resources
from txconnect.maybeasync import GeneratorRunner, Steps
from txconnect.tunnel.early import EarlyData
from txconnect.tunnel.kernel.socketleg import SocketLeg
from txconnect.tunnel.relay import Relay
from txconnect.tunnel.transport.leg import Leg
from txconnect.tunnel.tunnel import Tunnel
from txconnect.values import (
    Cause,
    Closed,
    Event,
    Request,
    TunnelClosed,
    TunnelEstablished,
    TunnelInfo,
    TunnelRefused,
)

__all__ = ["ClientStream", "Exchange"]

_log = Logger()


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
            self._finishRefused(refused)
            self._stream.refuse(refused, self)

    def giveUp(self, cause: Cause) -> None:
        """
        End it without an answer: the client has left, or the proxy stops.

        @param cause: one that is never answered.
        """
        if not self._finished:
            self._finishRefused(Refused(cause))

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
        reached = yield from reachDestination(decision, admitted, self._resources)
        self._leg = reached.leg
        info = TunnelInfo(
            admitted.request,
            reached.address,
            reached.route or admitted.route.name,
            admitted.lookupSeconds,
            clock.seconds() - dialling,
            admitted.notes,
        )
        return prepareTunnel(decision, info, reached.leg)

    def _requestDecided(self, result: Prepared | Failure) -> None:
        self._runner = None
        if isinstance(result, Failure):
            decision: Any = self._decision
            self.refuse(decision.refusalFor(result))
            return
        self._establishTunnel(result)

    def _establishTunnel(self, prepared: Prepared) -> None:
        resources = self._resources
        early = b"" if self._early is None else self._takeEarly(self._early)
        tunnel = Tunnel(
            prepared.info,
            resources.clock,
            self.rules.settings,
            resources.tunnels,
            self,
            prepared.gate,
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

    def _finishRefused(self, refused: Refused) -> None:
        decision, resources = self._decision, self._resources
        attempted = refused.attempted
        if decision is not None:
            attempted = decision.claims(attempted)
        event = TunnelRefused(
            refused.cause,
            refused.rule,
            refused.reason,
            self.id,
            self.request,
            self._stream.client,
            resources.clock.seconds() - self._began,
            attempted,
            () if decision is None else tuple(decision.notes),
        )
        self._finish(resources.refusals.mark(event))

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
