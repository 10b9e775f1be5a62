"""
The kernel relay with a pair that does without the bytes.

Its halves see none of the bytes, but each is connected to its leg, may write, pause
and close, and is called at the ends: a L{PairedLeg} gets the events of a channel in
place of the tunnel, and calls its half before it passes them on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocol,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.tunnel.halftransport import BUFFER, HalfTransport
from txconnect.tunnel.kernel.channel import Channel
from txconnect.tunnel.kernel.flow import Flow, SinkState
from txconnect.tunnel.kernel.pipes import Pipes
from txconnect.tunnel.kernel.relay import KernelRelay
from txconnect.tunnel.relay import Pause, RelayEvents
from txconnect.values import Closed
from txconnect.wire.closing import Action, Happening


class LegTransport(HalfTransport):
    """
    See L{HalfTransport}.

    @param incoming: the flow that begins at the leg.
    @param flow: the one that ends there.
    """

    def __init__(self, leg: PairedLeg, incoming: Flow, flow: Flow) -> None:
        super().__init__()
        self._leg = leg
        self._incoming = incoming
        self._flow = flow
        self._host = flow.sink.getHost()
        self._peer = flow.sink.getPeer()
        # Octets of a producer that is pulled, written in this turn.
        self._burst = 0

    @property
    def disconnecting(self) -> bool:
        """See L{HalfTransport.disconnecting}."""
        return self._flow.state is SinkState.CLOSING or self._flow.sink.lost

    def getPeer(self) -> IAddress:
        """See C{ITransport}."""
        return self._peer

    def getHost(self) -> IAddress:
        """See C{ITransport}."""
        return self._host

    def bufferDrained(self) -> None:
        """See L{HalfTransport.bufferDrained}."""
        self._burst = 0
        super().bufferDrained()

    def _writeToLeg(self, data: bytes) -> None:
        flow = self._flow
        flow.writeSink(data)
        if self._full:
            return
        self._burst += len(data)
        if flow.waitingOctets > BUFFER:
            flow.whenDrained = self.bufferDrained
            self.bufferFull()
        elif self._burst > BUFFER and not self._streaming:
            # The leg takes it all at once: a pull producer without an end would
            # keep the reactor, so the others have their turns between.
            self.bufferFull()
            self._leg.nextTurn(self.bufferDrained)

    def _closeLeg(self) -> None:
        self._flow.closeSink()

    def _resetLeg(self) -> None:
        self._flow.breakSink()

    @property
    def isPaused(self) -> bool:
        """Tell whether the half has paused its leg."""
        return self._pause is not None

    def resumeProducing(self) -> None:
        """See L{HalfTransport.resumeProducing}."""
        super().resumeProducing()
        self._leg.passEnd()

    def _pauseReading(self) -> Pause:
        return self._incoming.pauseSource()

    def _callHalf(self, call: Callable[..., object], *arguments: object) -> None:
        self._leg.callHalf(call, *arguments)

    def _cutOverflowed(self) -> None:
        self._leg.cut(Closed.PAIR_FAILED)


class PairedLeg:
    """
    A leg and its half: see L{txconnect.tunnel.relay.RelayEvents}.

    @param legs: the legs of the relay that are not gone, by the flow that ends
        there.
    @param events: the tunnel's.
    @param incoming: the flow that begins at the leg.
    @param flow: the one that ends there.
    @ivar half: the half, until the leg is gone.
    @ivar transport: the half's.
    """

    _log = Logger()

    half: Any

    def __init__(
        self,
        legs: dict[Flow, PairedLeg],
        events: RelayEvents,
        half: IProtocol,
        incoming: Flow,
        flow: Flow,
        reactor: IReactorTime,
    ) -> None:
        legs[flow] = self
        self._legs = legs
        self._events = events
        self._flow = flow
        self._reactor = reactor
        self._heldEnd: Happening | None = None
        self.half = half
        self.transport = LegTransport(self, incoming, flow)
        flow.whenShut = self._finSent

    def happened(self, happening: Happening) -> None:
        channel = self._flow.sink
        if happening is channel.happenings.ended:
            if IHalfCloseableProtocol.providedBy(self.half):
                self.callHalf(self.half.readConnectionLost)
            if channel.lost:
                return
            if self.transport.isPaused:
                # It has more to write ahead of the end.
                self._heldEnd = happening
                return
        self._events.happened(happening)

    def passEnd(self) -> None:
        """Pass on the end that the half has held, if it did."""
        held, self._heldEnd = self._heldEnd, None
        if held is not None:
            self._events.happened(held)

    def _finSent(self) -> None:
        if IHalfCloseableProtocol.providedBy(self.half):
            self.callHalf(self.half.writeConnectionLost)

    def legLost(self) -> None:
        self._heldEnd = None
        self.transport.writingEnded()
        half = self.half
        # Circles of references otherwise, which only the collector breaks.
        del self.half, self._legs[self._flow]
        reset = self._flow.state is SinkState.RESET
        reason = Failure(ConnectionLost() if reset else ConnectionDone())
        self.callHalf(half.connectionLost, reason)
        # The table has it already, unless the half itself has closed the leg.
        self._events.happened(self._flow.sink.happenings.gone)
        self._events.legLost()

    def cut(self, reason: Closed) -> None:
        self._events.cut(reason)

    def callHalf(self, call: Callable[..., object], *arguments: object) -> None:
        """Call a half's code; an exception of it ends the tunnel."""
        try:
            call(*arguments)
        except BaseException:
            # CancelledError and SystemExit end this tunnel, and nothing else.
            self._log.failure("a pair failed; its tunnel is cut")
            self.cut(Closed.PAIR_FAILED)

    def nextTurn(self, call: Callable[[], object]) -> None:
        """Call C{call} in the reactor's next turn."""
        self._reactor.callLater(0, call)


class PairedRelay(KernelRelay):
    """
    See L{txconnect.tunnel.relay.Relay}.

    @param pair: the two halves, joined.
    """

    __slots__ = ("_legs",)

    def __init__(
        self,
        pipes: Pipes,
        events: RelayEvents,
        client: Channel,
        destination: Channel,
        pair: tuple[IProtocol, IProtocol],
        reactor: IReactorTime,
    ) -> None:
        super().__init__(pipes, events, client, destination)
        up, down, (server, far) = self._up, self._down, pair
        legs = self._legs = dict[Flow, PairedLeg]()
        client.events = PairedLeg(legs, events, server, up, down, reactor)
        destination.events = PairedLeg(legs, events, far, down, up, reactor)

    def start(self, early: bytes) -> None:
        # The 200, then octets of the halves, then those that either leg has sent.
        if self.unsent:
            self._down.writeSink(self.unsent)
            self.unsent = b""
        # A half may end both legs at once; the other is connected all the same.
        for leg, half in [(leg, leg.half) for leg in self._legs.values()]:
            leg.callHalf(half.makeConnection, leg.transport)
        super().start(early)

    def perform(self, action: Action) -> None:
        leg = self._legs.get(self._down if action in _ON_CLIENT else self._up)
        super().perform(action)
        if leg is not None:
            leg.transport.writingEnded()


_ON_CLIENT = (Action.END_CLIENT, Action.CLOSE_CLIENT, Action.ABORT_CLIENT)
