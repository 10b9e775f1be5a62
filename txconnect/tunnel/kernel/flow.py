"""
A flow: one direction of a kernel relay, from its source to its sink.

A piece is read and written at once: C{recv}, then C{send}.  What the sink does
not take waits in the flow, and until that is gone the source is not read.  So
back-pressure needs no buffer that grows: what waits is at most one piece, or a
pipe full, and what a half of a pair has written beside it.

A direction whose reads are large is bulk, and goes through a pipe by
C{splice}, without entering Python's heap.  The pipe is lent for a turn, or
until it is empty again: a direction that rests keeps nobody from having one.
Octets wait in the pipe or in the queue; those in the pipe came first only
until something is written beside them, and then they move to the queue.

What C{splice} says is never believed as an end (F01).  In front of TCP's
urgent mark it returns 0, as at the end of input, and EAGAIN where only the
mark is in its way, with octets behind it.  C{recv} is asked then, which steps
over the mark.  EAGAIN with octets in the pipe means that the sink is full
(K5).

The sink ends once: C{OPEN}; C{ENDING}, a FIN is to follow what waits;
C{ENDED}, it has left; C{CLOSING}, the sink is to be closed behind what waits,
and is not read any more either.  What decides is not here: the closing table
does (L{txconnect.wire.closing}).

Rejected:

 - to read on while the sink is full, up to a bound: it saves no call, as the
   sink takes more only when it tells so, and it is a second buffer to bound
   and to account for;
 - a pipe for each direction of its own: two descriptors more a direction, for
   each idle tunnel;
 - edge-triggered events, which save the change of what is watched for, but
   want every turn to read until EAGAIN: one call more a piece.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from enum import Enum

from txconnect.tunnel.kernel.channel import Channel
from txconnect.tunnel.kernel.pipes import Pipe, Pipes
from txconnect.tunnel.kernel.writequeue import Buffer, WriteQueue
from txconnect.tunnel.relay import Pause

READ = 65536
"""Octets that are read at once."""

BULK = 3
"""
Large reads in a row that make a direction bulk: at least a quarter of what could
be read.  One that is not ends it.
"""

# What splice() says where it is forbidden or missing, as in some sandboxes.
_UNABLE = {errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP}


class SinkState(Enum):
    """The end of the sink; see the head of this module."""

    OPEN = "open"
    ENDING = "ending"
    ENDED = "ended"
    CLOSING = "closing"


class Flow:
    """
    One direction.

    @ivar source: the channel that it reads.
    @ivar sink: the channel that it writes to.
    @ivar taken: octets taken from the source so far.
    @ivar later: octets written otherwise than with the read that brought them.
    @ivar whenDrained: called once, when nothing waits any more.
    """

    __slots__ = (
        "_bulk",
        "_inputEnded",
        "_pauses",
        "_pipe",
        "_pipes",
        "_queue",
        "_receive",
        "_send",
        "_state",
        "closing",
        "later",
        "sink",
        "source",
        "taken",
        "whenDrained",
    )

    whenDrained: Callable[[], object] | None

    def __init__(self, source: Channel, sink: Channel, pipes: Pipes) -> None:
        self.source = source
        self.sink = sink
        source.incoming = self
        sink.outgoing = self
        self._receive = source.receive
        self._send = sink.send
        canSplice = source.descriptor >= 0 and sink.descriptor >= 0
        self._pipes = pipes if canSplice else None
        # None, but for what waits.
        self._queue: WriteQueue | None = None
        self._pipe: Pipe | None = None
        self._bulk = 0
        self._pauses = 0
        self._inputEnded = False
        self._state = SinkState.OPEN
        self.closing = False
        self.taken = 0
        self.later = 0
        self.whenDrained = None

    @property
    def blocked(self) -> bool:
        """See L{ChannelFlow<txconnect.tunnel.kernel.channel.ChannelFlow>}."""
        return self._queue is not None or self._pipe is not None

    @property
    def reading(self) -> bool:
        """See L{ChannelFlow<txconnect.tunnel.kernel.channel.ChannelFlow>}."""
        return not (
            self._inputEnded
            or self._pauses
            or self._queue is not None
            or self._pipe is not None
            or self.source.outgoing.closing
        )

    @property
    def waiting(self) -> int:
        """The octets that wait for room in the sink."""
        queued = 0 if self._queue is None else self._queue.size
        return queued if self._pipe is None else queued + self._pipe.held

    # What the relay does with it

    def write(self, data: Buffer) -> None:
        """Write to the sink, behind all that waits; what does not fit waits too."""
        if self.sink.lost or self._state is not SinkState.OPEN:
            return
        if self._pipe is not None:
            # It came first.
            self._wait(self._pipe.empty())
            self._unpipe()
        if self._queue is not None:
            self._queue.append(data)
            return
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.sink.broken()
            return
        self.later += sent
        if sent < len(data):
            self._wait(memoryview(data)[sent:])

    def take(self, data: bytes) -> None:
        """Pass on what somebody else has read of the source."""
        self.taken += len(data)
        self.write(data)

    def pause(self) -> Pause:
        """Read nothing until this, and every other pause, is released."""
        self._pauses += 1
        self.source.update()
        return Pause(self)

    def unpause(self) -> None:
        """See L{txconnect.tunnel.relay.Pausable}."""
        self._pauses -= 1
        self.source.update()

    def sendFin(self) -> None:
        """Send FIN to the sink, behind what waits for it."""
        if not self.sink.lost and self._state is SinkState.OPEN:
            self._state = SinkState.ENDING
            if not self.blocked:
                self._shut()

    def closeSink(self) -> None:
        """Close the sink behind what waits for it."""
        if not self.sink.lost:
            self._state = SinkState.CLOSING
            self.closing = True
            if self.blocked:
                # It is not read any more either.
                self.sink.update()
            else:
                self.sink.close()

    def resetSink(self) -> None:
        """Reset the sink."""
        self.sink.reset()

    # What its channels tell

    def move(self) -> None:
        """See L{ChannelFlow<txconnect.tunnel.kernel.channel.ChannelFlow>}."""
        if self._bulk >= BULK and self._splice():
            return
        try:
            data = self._receive(READ)
        except BlockingIOError:
            return
        except OSError:
            self.source.broken()
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
            self.sink.broken()
            return
        if sent < size:
            self._wait(memoryview(data)[sent:])

    def flush(self) -> None:
        """See L{ChannelFlow<txconnect.tunnel.kernel.channel.ChannelFlow>}."""
        try:
            if self._queue is not None:
                self.later += self._queue.write(self.sink.sendMany)
                if not self._queue.size:
                    self._queue = None
            elif self._pipe is not None:
                self.later += self._pipe.drain(self.sink.descriptor)
                if not self._pipe.held:
                    self._unpipe()
        except BlockingIOError:
            return
        except OSError:
            self.sink.broken()
            return
        if not self.blocked:
            self._settle()

    def sinkLost(self) -> None:
        """See L{ChannelFlow<txconnect.tunnel.kernel.channel.ChannelFlow>}."""
        self._queue = None
        if self._pipe is not None:
            self._unpipe()
        self._pipes = None
        # Takes all there is: whatever is still read is dropped.
        self._send = len

    # Within

    def _wait(self, data: Buffer) -> None:
        """Keep C{data} until the sink has room."""
        self._queue = WriteQueue()
        self._queue.append(data)
        self._update()

    def _update(self) -> None:
        self.source.update()
        self.sink.update()

    def _settle(self) -> None:
        """Do what waited for the last octet, which has left."""
        if self.closing:
            self.sink.close()
            return
        if self._state is SinkState.ENDING and not self._shut():
            return
        drained, self.whenDrained = self.whenDrained, None
        if drained is not None:
            drained()
        self._update()

    def _shut(self) -> bool:
        """Send FIN; whether the sink is still there."""
        try:
            self.sink.shut()
        except OSError:
            self.sink.broken()
            return False
        self._state = SinkState.ENDED
        self.sink.finSent = True
        if self.sink.owner.hearsFin:
            self.sink.owner.finSent(self.sink)
        return not self.sink.lost

    def _endOfInput(self) -> None:
        self._inputEnded = True
        self.source.owner.inputEnded(self.source)
        # Only now, as it may be over.
        self.source.update()

    def _splice(self) -> bool:
        """
        Read into a pipe, and empty it into the sink as far as there is room.

        @return: whether that was this turn's work; if not, it is to be read.
        """
        pipes = self._pipes
        pipe = None if pipes is None else pipes.take()
        if pipes is None or pipe is None:
            return False
        self._pipe = pipe
        try:
            size = pipe.fill(self.source.descriptor)
        except OSError as error:
            return self._unspliced(pipes, error.errno)
        if not size:
            return self._unspliced(pipes, errno.EAGAIN)
        self.taken += size
        if size * 4 < READ:
            self._bulk = 0
        try:
            self.later += pipe.drain(self.sink.descriptor)
        except OSError:
            self.sink.broken()
            return True
        if pipe.held:
            self._update()
        else:
            self._pipe = None
            pipes.giveBack(pipe)
        return True

    def _unspliced(self, pipes: Pipes, number: int | None) -> bool:
        """Nothing was spliced, for this reason: perhaps it can be read."""
        self._unpipe()
        self._bulk = 0
        if number in _UNABLE:
            pipes.forgo()
        elif number != errno.EAGAIN:
            # Told once: recv() would say that it is the end.
            self.source.broken()
            return True
        return False

    def _unpipe(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None and self._pipes is not None:
            self._pipes.giveBack(pipe)
