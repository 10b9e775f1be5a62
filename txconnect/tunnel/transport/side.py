"""
One leg's side of the transport relay: its bytes, its pauses and its end.

A transport has one switch for reading, and several parties use it: back-pressure, a
rate limit, a half of the pair.  So a side counts pauses, and is the only one to call
the transport's C{pauseProducing}.  The producer that is registered with a transport is
not the other transport, which would then be read on in spite of another party's pause
(F51), but a L{BackPressure}, whose pause is one of those counted.  That costs no call a
chunk: Twisted calls it for a full buffer and for an empty one only.  What arrives while
a half has paused waits for it: see L{txconnect.tunnel.transport.holding}.

A transport is half-closed or closed only after its producer is unregistered.  One with
a paused producer resumes it when the buffer is empty, and then never comes back to the
half-close; a TLS transport with a producer never shuts down.

The end of a TLS connection without C{close_notify} is an end and no reset, because
many clients end so, and the bytes that they sent are delivered first.  Twisted reports
a reset under TLS in the same way, so that one looks like an end too; TLS inside the
tunnel still shows a truncation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IPushProducer,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from txconnect.transports import StreamTransport, wasReset
from txconnect.tunnel.halftransport import HalfTransport
from txconnect.tunnel.relay import CLIENT, DESTINATION, Pause, RelayEvents
from txconnect.tunnel.taps import DirectionGate, TapGate
from txconnect.tunnel.transport.holding import Holding
from txconnect.values import Closed, Direction
from txconnect.wire.closing import Happening


class RelaySide:
    """
    One leg's side of the relay: counts what arrives and hands it to a half of
    the pair.

    @ivar count: bytes taken from the leg.
    @ivar written: bytes that a half of a factory's pair has written to it.
    @ivar backPressure: the producer of the transport.
    @ivar holding: what waits for a half of a factory's pair; L{None} for a stock half.
    """

    _log = Logger()

    backPressure: BackPressure

    def __init__(
        self,
        events: RelayEvents,
        transport: StreamTransport,
        half: Any,
        direction: Direction,
        isStock: bool,
    ) -> None:
        """
        @param isStock: whether the half is one of the proxy's own, which has
            nothing to do at the ends.
        """
        self._events = events
        self.transport = transport
        self.half = half
        self._direction = direction
        self._gate: DirectionGate | None = None
        self._pauses = 0
        self.count = 0
        self.written = 0
        self.gone = False
        self._inputEnded = False
        self._aborted = False
        self._closing = False
        self._hearsEnds = not isStock and IHalfCloseableProtocol.providedBy(half)
        # Of a factory's half, which may pause.
        self.holding: Holding | None = None
        self._happenings = CLIENT if direction is Direction.UP else DESTINATION

    @property
    def isClosed(self) -> bool:
        """Tell whether it is gone, or is about to be."""
        return self.gone or self._closing or self._aborted

    # The leg calls these

    def dataReceived(self, data: bytes) -> None:
        if self._aborted or self._closing:
            # A TLS transport reads on after its own end, until the peer's.
            return
        self.count += len(data)
        if self._gate is not None:
            self._gate.takeData(data)
            return
        holding = self.holding
        if holding is None or not holding.takeData(data):
            self.callHalf(self.half.dataReceived, data)

    def readConnectionLost(self) -> None:
        if wasReset(self.transport):
            # Its connectionLost will say so, and the other leg is reset too.
            self.resetLeg()
            return
        self._inputEnded = True
        if self._gate is not None:
            self._gate.takeEnd()
            if self.isClosed:
                # The gate has ended the tunnel.
                return
        if self.holding is None:
            self._tellEnd()
        else:
            self.holding.endWith(self._tellHalfOfEnd, self._tellEnd)

    def _tellHalfOfEnd(self) -> None:
        if self._hearsEnds:
            self.callHalf(self.half.readConnectionLost)

    def _tellEnd(self) -> None:
        self._events.happened(self._happenings.ended)

    def writeConnectionLost(self) -> None:
        if self._hearsEnds:
            self.callHalf(self.half.writeConnectionLost)

    def connectionLost(self, reason: Failure) -> None:
        self.gone = True
        clean = reason.check(ConnectionDone) is not None
        if reason.check(ConnectionLost) and hasattr(
            self.transport, "getPeerCertificate"
        ):
            # TLS without close_notify: many a client just ends (RFC 9112, 9.8).
            # Only the TLS to our own parents knows a reset.
            clean = not getattr(self.transport, "broken", False)
        if clean and self._gate is not None:
            self._gate.takeEnd()
        happenings = self._happenings
        happening = happenings.gone if clean else happenings.reset
        tellHalf = partial(self.callHalf, self.half.connectionLost, reason)
        holding = self.holding
        if holding is None:
            tellHalf()
            self._tellGone(happening)
        elif clean and not (self._closing or self._aborted):
            # A TLS leg ends so: what waits for the half is whole.
            holding.loseWith(tellHalf, partial(self._tellGone, happening))
        else:
            holding.drop()
            tellHalf()
            self._tellGone(happening)

    def _tellGone(self, happening: Happening) -> None:
        self._events.happened(happening)
        self._events.legLost()

    # A gate, where there are taps

    def closeGate(self, gate: TapGate) -> None:
        """Show all octets to taps, until they let go."""
        self._gate = gate.guard(self._direction, self)

    def passOn(self, data: bytes) -> None:
        """See L{Gated<txconnect.tunnel.taps.Gated>}."""
        holding = self.holding
        if holding is None or not holding.takeData(data):
            self.callHalf(self.half.dataReceived, data)

    def openGate(self) -> None:
        """See L{Gated<txconnect.tunnel.taps.Gated>}."""
        self._gate = None

    # Reading

    def holdReading(self) -> None:
        """Count a pause: it is not read until L{unpause} was called as often."""
        self._pauses += 1
        if self._pauses == 1 and not self.isClosed:
            self.transport.pauseProducing()

    def unpause(self) -> None:
        """See L{txconnect.tunnel.relay.Pausable}."""
        self._pauses -= 1
        # One that is read again after its end would report the end again.
        if not (self._pauses or self._inputEnded or self.isClosed):
            self.transport.resumeProducing()

    def pauseReading(self) -> Pause:
        """Read nothing until this, and every other pause, is released."""
        self.holdReading()
        return Pause(self)

    def pauseDirection(self) -> Pause:
        """Likewise, and pass on nothing that waits for the half."""
        reading, holding = self.pauseReading(), self.holding
        return (
            reading if holding is None else Pause(_BothPaused(reading, holding.pause()))
        )

    # The closing table's actions

    def sendFin(self) -> None:
        """Send FIN after the bytes that are still to be written."""
        if not self.gone:
            # A producer that is paused just now would swallow the half-close:
            # doWrite resumes it, and never comes back to the end.
            self._unregisterProducer()
            self.transport.loseWriteConnection()

    def closeLeg(self) -> None:
        """Close after the bytes that are still to be written."""
        self._closing = True
        self._dropHeld()
        if not self.gone:
            # A TLS transport with a producer never shuts down.
            self._unregisterProducer()
            self.transport.loseConnection()

    def resetLeg(self) -> None:
        """Reset."""
        self._dropHeld()
        if not self.gone and not self._aborted:
            self._aborted = True
            self._unregisterProducer()
            self.transport.abortConnection()

    def _dropHeld(self) -> None:
        if self.holding is not None:
            self.holding.drop()

    def _unregisterProducer(self) -> None:
        self.transport.unregisterProducer()
        self.backPressure.stopProducing()

    # The half

    def passToHalf(self, data: bytes) -> None:
        """See L{txconnect.tunnel.transport.holding.Held}."""
        self.callHalf(self.half.dataReceived, data)

    def connectHalf(self, transport: object) -> None:
        """Give the half its transport."""
        self.callHalf(self.half.makeConnection, transport)

    def callHalf(self, call: Callable[..., object], *arguments: object) -> None:
        """Call a half's code; an exception of it ends the tunnel."""
        try:
            call(*arguments)
        except BaseException:
            # CancelledError and SystemExit end this tunnel, and nothing else.
            self._cutFailed("a pair failed; its tunnel is cut", Closed.PAIR_FAILED)

    def cutTunnel(self, reason: Closed) -> None:
        """End the tunnel."""
        self._events.cut(reason)

    def _cutFailed(self, what: str, reason: Closed) -> None:
        self._log.failure(what)
        self.cutTunnel(reason)


class _BothPaused:
    """A direction of which neither the leg is read nor the half called."""

    def __init__(self, *pauses: Pause) -> None:
        self._pauses = pauses

    def unpause(self) -> None:
        for pause in self._pauses:
            pause.release()


@implementer(IPushProducer)
class BackPressure:
    """
    The producer of a transport: the side whose bytes are written to it, and
    the producer of the half that may write to it.

    @ivar half: the half's transport, if it is one of ours.
    """

    def __init__(self, source: RelaySide) -> None:
        self._source = source
        self._pausing = False
        self.half: HalfTransport | None = None

    def pauseProducing(self) -> None:
        """Pause the source: the write buffer is full."""
        if not self._pausing:
            self._pausing = True
            self._source.holdReading()
        if self.half is not None:
            self.half.bufferFull()

    def resumeProducing(self) -> None:
        """Resume the source: the write buffer is empty."""
        self._liftPause()
        if self.half is not None:
            self.half.bufferDrained()

    def stopProducing(self) -> None:
        """Resume the source: the transport is written to no more."""
        self._liftPause()
        if self.half is not None:
            self.half.writingEnded()

    def _liftPause(self) -> None:
        if self._pausing:
            self._pausing = False
            self._source.unpause()


class SideTransport(HalfTransport):
    """
    See L{HalfTransport}.  Other attributes are those of the leg's transport.
    """

    def __init__(self, side: RelaySide) -> None:
        super().__init__()
        self._side = side
        self._holding = side.holding = Holding(side)
        directlyProvides(self, providedBy(side.transport))
        side.backPressure.half = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._side.transport, name)

    @property
    def disconnecting(self) -> bool:
        """See L{HalfTransport.disconnecting}."""
        return self._side.isClosed

    def getHost(self) -> IAddress:
        """See C{ITransport}."""
        return self._side.transport.getHost()

    def getPeer(self) -> IAddress:
        """See C{ITransport}."""
        return self._side.transport.getPeer()

    def _writeToLeg(self, data: bytes) -> None:
        side = self._side
        if not side.isClosed:
            side.written += len(data)
            side.transport.write(data)

    def _closeLeg(self) -> None:
        if not self._side.isClosed:
            self._side.closeLeg()

    def _resetLeg(self) -> None:
        self._side.resetLeg()

    def _pauseReading(self) -> Pause:
        return self._holding.pause()

    def _callHalf(self, call: Callable[..., object], *arguments: object) -> None:
        self._side.callHalf(call, *arguments)

    def _cutOverflowed(self) -> None:
        self._side.cutTunnel(Closed.PAIR_FAILED)
