"""
One direction of a kernel relay, from its source to its sink.

A piece is read and written at once: C{recv}, then C{send}.  The octets that the sink
does not take wait in the flow, and until they are gone the source is not read.  So
back-pressure needs no buffer that grows: at most one piece waits, or a pipe full, and
the octets that a half of a pair has written beside it.

A direction whose reads are large is bulk, and goes through a pipe without
entering Python's heap (L{txconnect.tunnel.kernel.pipes}).  The pipe is lent for
a turn, or until it is empty again, so that an idle direction never holds one.

Every reason not to read a source is counted as a pause: a
L{Pause<txconnect.tunnel.relay.Pause>}, octets that wait for the sink, the end of
input, and that the source itself is to be closed.  It is read where there is none.

A flow ends its sink, once (L{SinkState}), and only the flow that ends at a channel
closes it, because only that flow knows whether octets still wait.

Rejected: to read on while the sink is full, up to a bound.  It saves no call, as
the sink takes more only after an event, and it is a second buffer to bound and
to account for.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol as Shape

from txconnect.tunnel.kernel.channel import Channel
from txconnect.tunnel.kernel.pipes import Pipes
from txconnect.tunnel.kernel.writequeue import Backlog, Buffer
from txconnect.tunnel.relay import Pause

READ = 65536
"""Octets that are read at once."""

BULK = 3
"""
Large reads in a row that make a direction bulk: each at least a quarter of L{READ}.
A smaller one ends it.
"""


class SinkState(Enum):
    """The progress of a flow in ending its sink."""

    OPEN = "open"
    ENDING = "ending"
    """FIN is to be sent after the octets that wait."""
    ENDED = "ended"
    """FIN has been sent."""
    CLOSING = "closing"
    """It is closed after the octets that wait, and is not read any more either."""
    RESET = "reset"


class FlowGate(Shape):
    """The L{DirectionGate<txconnect.tunnel.taps.DirectionGate>} of this direction."""

    def takeData(self, data: bytes) -> None:
        """Take octets, which come back by L{Flow.passOn}, now or later."""

    def takeEnd(self) -> None:
        """Pass on what is held, or end the tunnel: the input has ended."""


class Flow:
    """
    One direction; see L{ChannelFlow<txconnect.tunnel.kernel.channel.ChannelFlow>}.

    @ivar source: the channel that it reads.
    @ivar sink: the channel that it writes to.
    @ivar state: its progress in ending the sink.
    @ivar taken: octets taken from the source so far.
    @ivar later: octets written otherwise than with the read that brought them.
    @ivar whenDrained: called once, when no octets wait any more.
    @ivar whenShut: called once, when FIN has been sent to the sink.
    """

    __slots__ = (
        "_backlog",
        "_bulk",
        "_gate",
        "_pipes",
        "_receive",
        "_send",
        "blocked",
        "later",
        "pauses",
        "sink",
        "source",
        "state",
        "taken",
        "whenDrained",
        "whenShut",
    )

    whenDrained: Callable[[], object] | None
    whenShut: Callable[[], object] | None

    def __init__(self, source: Channel, sink: Channel, pipes: Pipes) -> None:
        self.source = source
        self.sink = sink
        source.incoming = self
        sink.outgoing = self
        sink.lost = False
        # Looked up once, and not for each piece.
        self._receive = source.receive
        self._send = sink.send
        canSplice = source.descriptor >= 0 and sink.descriptor >= 0
        self._pipes = pipes if canSplice else None
        # Made only where octets wait: an idle flow has none.
        self._backlog: Backlog | None = None
        self._bulk = 0
        self._gate: FlowGate | None = None
        self.blocked = False
        self.pauses = 0
        self.state = SinkState.OPEN
        self.taken = 0
        self.later = 0
        self.whenDrained = self.whenShut = None

    @property
    def waitingOctets(self) -> int:
        """Return the number of octets that wait for room in the sink."""
        return 0 if self._backlog is None else self._backlog.size

    # From its source to its sink

    def movePiece(self) -> None:
        """Read a piece of the source, which can be read, and write it."""
        # A pipe is two more system calls, which only large pieces pay back.
        if self._bulk >= BULK and self._spliceBulk():
            return
        try:
            data = self._receive(READ)
        except BlockingIOError:
            return
        except OSError:
            self.source.outgoing.breakSink()
            return
        size = len(data)
        if not size:
            self._endOfInput()
            return
        self.taken += size
        self._bulk = self._bulk + 1 if size * 4 >= READ else 0
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.breakSink()
            return
        if sent < size:
            self._keepBacklog(Backlog(memoryview(data)[sent:]))

    def _spliceBulk(self) -> bool:
        """
        Read into a pipe, and empty it into the sink as far as there is room.

        @return: whether that was this turn's work; if not, C{recv} is to be called.
        """
        pipes = self._pipes
        if pipes is None:
            return False
        try:
            pipe = pipes.lendFilled(self.source.descriptor)
        except OSError:
            # The error is reported once: recv() would return the end of input.
            self.source.outgoing.breakSink()
            return True
        if pipe is None:
            # Tried again only after as many large reads.
            self._bulk = 0
            return False
        self.taken += pipe.held
        if pipe.held * 4 < READ:
            self._bulk = 0
        try:
            self.later += pipe.drainInto(self.sink.descriptor)
        except OSError:
            pipes.returnPipe(pipe)
            self.breakSink()
            return True
        if pipe.held:
            self._keepBacklog(Backlog(b"", pipe, pipes))
        else:
            pipes.returnPipe(pipe)
        return True

    def _endOfInput(self) -> None:
        source = self.source
        self.pauses += 1
        source.events.happened(source.happenings.ended)
        # Only now, as the happening may have closed it.
        if not source.lost:
            source.updateWatch()

    def takeData(self, data: bytes) -> None:
        """Pass on octets that the source's former owner has read."""
        self.taken += len(data)
        if self._gate is None:
            self.writeSink(data)
        else:
            self._gate.takeData(data)

    def writeSink(self, data: Buffer) -> None:
        """Write to the sink, after all that waits; octets without room wait too."""
        if self.sink.lost or self.state is not SinkState.OPEN:
            return
        if self._backlog is not None:
            self._backlog.append(data)
            return
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.breakSink()
            return
        self.later += sent
        if sent < len(data):
            self._keepBacklog(Backlog(memoryview(data)[sent:]))

    def pauseSource(self) -> Pause:
        """Read nothing until this, and every other pause, is released."""
        self.pauses += 1
        self.source.updateWatch()
        return Pause(self)

    def unpause(self) -> None:
        """See L{txconnect.tunnel.relay.Pausable}."""
        self.pauses -= 1
        self.source.updateWatch()

    # A gate, where there are taps

    def closeGate(self, gate: FlowGate) -> None:
        """Show all octets to C{gate} from now on; it passes them on."""
        self._gate = gate
        # In place of the source's own, so that nothing is tested for each piece.
        self._receive = self._receiveGated

    def passOn(self, data: bytes) -> None:
        """See L{Gated<txconnect.tunnel.taps.Gated>}."""
        self.writeSink(data)

    def openGate(self) -> None:
        """See L{Gated<txconnect.tunnel.taps.Gated>}."""
        self._gate = None
        self._receive = self.source.receive

    def _receiveGated(self, size: int) -> bytes:
        """
        Show the gate what the source has.

        @return: the end of input, and nothing else: octets go by the gate.  So none
            are counted as bulk, which L{splice<Flow._spliceBulk>} would show nobody.
        """
        data = self.source.receive(size)
        if data:
            self.takeData(data)
            raise BlockingIOError
        if self._gate is not None:
            self._gate.takeEnd()
            if self.source.lost:
                # The gate has ended the tunnel.
                raise BlockingIOError
        return data

    # Octets that wait

    def _keepBacklog(self, backlog: Backlog) -> None:
        """Keep C{backlog} until the sink has room."""
        self._backlog = backlog
        self.blocked = True
        self.pauses += 1
        self.source.updateWatch()
        self.sink.updateWatch()

    def flushBacklog(self) -> None:
        """Write the octets that wait: the sink has room."""
        backlog, sink = self._backlog, self.sink
        if backlog is None:
            return
        try:
            self.later += backlog.writeSome(sink.descriptor, sink.sendMany)
        except BlockingIOError:
            return
        except OSError:
            self.breakSink()
            return
        if not backlog.size:
            self._backlogWritten()

    def _backlogWritten(self) -> None:
        """Follow the last waiting octet: close the sink, send FIN, or read on."""
        self._dropBacklog()
        if self.state is SinkState.CLOSING:
            self._loseSink()
            return
        if self.state is SinkState.ENDING:
            self._shutSink()
            if self.sink.lost:
                return
        drained, self.whenDrained = self.whenDrained, None
        if drained is not None:
            drained()
        self.source.updateWatch()
        self.sink.updateWatch()

    def _dropBacklog(self) -> None:
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            backlog.dropPipe()
            self.blocked = False
            self.pauses -= 1

    # The end of the sink

    def sendFin(self) -> None:
        """Send FIN to the sink, after the octets that wait for it."""
        if not self.sink.lost and self.state is SinkState.OPEN:
            self.state = SinkState.ENDING
            if not self.blocked:
                self._shutSink()

    def _shutSink(self) -> None:
        try:
            self.sink.shutWriting()
        except OSError:
            self.breakSink()
            return
        self.state = SinkState.ENDED
        shut, self.whenShut = self.whenShut, None
        if shut is not None:
            shut()

    def closeSink(self) -> None:
        """Close the sink after the octets that wait for it."""
        if self.sink.lost or self.state is SinkState.CLOSING:
            return
        self.state = SinkState.CLOSING
        if self.blocked:
            self.sink.incoming.pauses += 1
            self.sink.updateWatch()
        else:
            self._loseSink()

    def resetSink(self) -> None:
        """Reset the sink: the tunnel's own action, so no happening is reported."""
        if not self.sink.lost:
            self.state = SinkState.RESET
            self._loseSink()

    def breakSink(self) -> None:
        """Report that the sink's other end has reset it, or answers no more."""
        sink = self.sink
        if not sink.lost:
            # First, as the actions that follow may abort it.
            sink.lost = True
            sink.events.happened(sink.happenings.reset)
            self.state = SinkState.RESET
            self._loseSink()

    def _loseSink(self) -> None:
        """Drop the octets that wait and all later ones, and close the sink."""
        self.sink.lost = True
        self._dropBacklog()
        self._pipes = None
        # Takes all octets and drops them, so that no write needs to test.
        self._send = len
        self.sink.stopWatching()
        # Its number may not be given out again in this batch.
        self.sink.afterBatch(self._sinkLeft)

    def _sinkLeft(self) -> None:
        sink = self.sink
        sink.closeChannel(self.state is SinkState.RESET)
        sink.events.legLost()
        # Circles of references otherwise, which only the collector breaks.
        self.whenDrained = self.whenShut = None
        del sink.incoming, sink.outgoing, sink.events
