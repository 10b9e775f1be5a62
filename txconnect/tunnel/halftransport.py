"""
The transport of one half of a pair: its own leg, for either relay.

A half is one of several parties that write to a leg and pause it: the other leg's
bytes are written to it, and back-pressure and rate limits pause it.  So a half
gets this transport instead of the leg's own:

 - C{pauseProducing} takes one L{Pause<txconnect.tunnel.relay.Pause>}, which
   C{resumeProducing} releases, and no other.  Between these the half is called with
   neither bytes nor the end of its leg, and an end that it was just told of is not
   passed on: so it may wait for an answer, and write that ahead of all that follows.
   A reset is told at once;
 - a producer may be registered, of either kind: a push producer is paused when
   more than L{BUFFER} octets wait for the leg, and resumed when none does; a pull
   producer is resumed as long as it writes and the leg takes it; either is
   stopped when the leg is written to no more;
 - octets that are written in spite of a pause are kept, until L{WRITE_LIMIT} octets
   have been written to a leg that takes no more.  That is a pair's failure: its
   tunnel is cut, as no bound could be kept otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IPushProducer,
    ITransport,
)
from twisted.logger import Logger
from zope.interface import implementer

from txconnect.tunnel.relay import Pause

BUFFER = 65536
"""Octets that may wait for a leg before its half's producer is paused."""

WRITE_LIMIT = 32 << 20
"""Octets that a half may write to a leg that takes no more."""


@implementer(ITransport, IPushProducer, IConsumer)
class HalfTransport:
    """
    The part that both relays share; a subclass does the leg's work.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._pause: Pause | None = None
        self._producer: Any = None
        self._streaming = True
        self._full = False
        # Octets that were written while it was full.
        self._excess = 0
        self._pulling = False
        self._wrote = False

    # A subclass provides these

    @property
    def disconnecting(self) -> bool:
        """Tell whether it is closed, or is about to be."""
        raise NotImplementedError

    def getHost(self) -> IAddress:
        """See C{ITransport}."""
        raise NotImplementedError

    def getPeer(self) -> IAddress:
        """See C{ITransport}."""
        raise NotImplementedError

    def _writeToLeg(self, data: bytes) -> None:
        """Write to the leg; L{bufferFull} and L{bufferDrained} are called as that goes."""
        raise NotImplementedError

    def _closeLeg(self) -> None:
        """Close the leg after the octets that wait for it."""
        raise NotImplementedError

    def _resetLeg(self) -> None:
        """Reset the leg, as if its other end had."""
        raise NotImplementedError

    def _pauseReading(self) -> Pause:
        """Pause the direction that begins at the leg."""
        raise NotImplementedError

    def _callHalf(self, call: Callable[..., object], *arguments: object) -> None:
        """Call the half's code; an exception of it ends the tunnel."""
        raise NotImplementedError

    def _cutOverflowed(self) -> None:
        """End the tunnel: more was written than is kept."""
        raise NotImplementedError

    # ITransport

    def write(self, data: bytes) -> None:
        """Write after the octets that the relay has for this leg already."""
        self._wrote = True
        self._writeToLeg(data)
        if self._full:
            self._excess += len(data)
            if self._excess > WRITE_LIMIT:
                self._excess = 0
                self._log.error("a pair wrote more than a leg takes; its tunnel is cut")
                self._cutOverflowed()
        elif not self._streaming:
            self._pullProducer()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """See C{ITransport}."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close after the octets that wait for the leg; the other leg follows."""
        self.writingEnded()
        self._closeLeg()

    def abortConnection(self) -> None:
        """Reset; the other leg is reset too."""
        self.writingEnded()
        self._resetLeg()

    # IPushProducer

    def stopProducing(self) -> None:
        """See C{IPushProducer}."""
        self.loseConnection()

    def pauseProducing(self) -> None:
        """Read no more of this leg, and hold its end; see the head of the module."""
        if self._pause is None:
            self._pause = self._pauseReading()

    def resumeProducing(self) -> None:
        """Release this half's pause; the leg is read if there is no other."""
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.release()

    # IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See C{IConsumer}.

        @raise RuntimeError: there is one already.
        """
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} was never unregistered")
        self._producer = producer
        self._streaming = streaming
        if not streaming:
            self._wrote = True
            self._pullProducer()
        elif self._full:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """See C{IConsumer}."""
        self._producer = None
        self._streaming = True

    # The relay calls these

    def bufferFull(self) -> None:
        """Pause the producer: too many octets wait; called once or several times."""
        if self._full:
            return
        self._full = True
        self._excess = 0
        if self._producer is not None and self._streaming:
            self._callHalf(self._producer.pauseProducing)

    def bufferDrained(self) -> None:
        """Resume the producer: no octets wait for the leg any more."""
        self._full = False
        if self._producer is not None:
            call = (
                self._producer.resumeProducing
                if self._streaming
                else self._pullProducer
            )
            self._callHalf(call)

    def writingEnded(self) -> None:
        """Stop the producer: the leg is written to no more; once or several times."""
        producer = self._producer
        self.unregisterProducer()
        if producer is not None:
            self._callHalf(producer.stopProducing)

    def _pullProducer(self) -> None:
        """Resume a pull producer as often as the leg takes its octets."""
        if self._pulling:
            # It writes from within resumeProducing: one loop, not a recursion.
            return
        self._pulling = True
        try:
            # One that has unregistered itself counts as a push producer.
            while self._wrote and not (self._streaming or self._full):
                self._wrote = False
                self._producer.resumeProducing()
        finally:
            self._pulling = False
