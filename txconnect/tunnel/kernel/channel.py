"""
A channel: one leg of a kernel relay, of any kind.

The relay knows channels, never sockets.  A plain socket is one
(L{SocketChannel<txconnect.tunnel.kernel.nested.SocketChannel>}); a TLS
connection or a stream of HTTP/2 can be another.  A channel

 - reads and writes without blocking, with the results of a socket: C{b""} is the
   end of input, C{BlockingIOError} means that there is nothing to read or no
   room, and any other C{OSError} that the leg is broken;
 - calls its flows when it can be read or written, but only for the events that
   they want, which it looks up when L{Channel.updateWatch} is called;
 - shuts (a FIN), closes, resets, when the flow that ends there calls it;
 - has a descriptor that C{splice} takes, or none.

A channel without a descriptor calls its flows on its own initiative, after
C{updateWatch} or when data arrive on its carrier.  It does so by
L{Channel.afterBatch} and not from within C{updateWatch}: the flow is in the middle of
its work there.  Octets that have been read and are kept inside, as by a TLS
connection, must be passed on without a new event.

One channel belongs to two flows: it is the source of one and the sink of the
other.  They and the channel refer to each other, and it to the tunnel, until the
channel is gone: that circle is cut in one place, where its flow has closed it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol as Shape

from twisted.internet.interfaces import IAddress

from txconnect.tunnel.kernel.writequeue import Buffer
from txconnect.tunnel.relay import LegHappenings, RelayEvents


class ChannelFlow(Shape):
    """
    One direction, as its channels see it.

    @ivar pauses: the reasons not to read the source now; it is read when there
        is none.
    @ivar blocked: whether octets wait for room in the sink.
    """

    pauses: int
    blocked: bool

    def movePiece(self) -> None:
        """Read a piece of the source, which can be read, and write it."""

    def flushBacklog(self) -> None:
        """Write the octets that wait: the sink has room."""

    def breakSink(self) -> None:
        """Report that the sink's other end has reset it, or answers no more."""


class Channel:
    """
    One leg.  A subclass carries it; the relay that takes it over sets the rest.

    @ivar incoming: the flow of which it is the source.
    @ivar outgoing: the flow of which it is the sink.
    @ivar events: gets the happenings of the leg.
    @ivar happenings: the closing table's happenings of this leg.
    @ivar lost: whether it is closed, or is about to be.
    @ivar descriptor: the descriptor for C{splice}; negative: none.
    @ivar held: octets that were read before a relay took it over.
    @ivar receive: reads up to so many octets, as C{socket.recv}.  A flow looks it
        up once, and C{send} too, so that a socket's own method costs no call of
        Python's.
    @ivar send: writes as many octets as there is room for, and returns their
        number.
    """

    __slots__ = ("events", "happenings", "incoming", "lost", "outgoing")

    incoming: ChannelFlow
    outgoing: ChannelFlow
    events: RelayEvents
    happenings: LegHappenings
    lost: bool
    receive: Callable[[int], bytes]
    send: Callable[[Buffer], int]
    descriptor: int = -1
    held: Sequence[bytes] = ()

    def sendMany(self, buffers: list[Buffer]) -> int:
        """Write several buffers, as far as there is room."""
        raise NotImplementedError

    def takeOver(self, late: Callable[[bytes], object]) -> None:
        """
        Take it over from its former owner, and call the flows from now on, in a
        later turn.

        @param late: called with octets that the former owner has read, and passes
            on only after this call.
        @raise OSError: the epoll has no room for another; it still belongs to its
            former owner.
        """
        raise NotImplementedError

    def giveBack(self) -> None:
        """Undo L{takeOver}: the epoll had no room for the other leg."""
        raise NotImplementedError

    def updateWatch(self) -> None:
        """
        Look up the events that the flows want, as they may have changed; nothing
        where it is lost.
        """
        raise NotImplementedError

    def shutWriting(self) -> None:
        """
        Send FIN.

        @raise OSError: it is broken.
        """
        raise NotImplementedError

    def stopWatching(self) -> None:
        """Call the flows no more, for now or for good."""
        raise NotImplementedError

    def afterBatch(self, call: Callable[[], object]) -> None:
        """Call C{call} at the end of the batch, or at once outside of one."""
        raise NotImplementedError

    def closeChannel(self, reset: bool) -> None:
        """Close it for good, with a reset or in order; it is watched no more then."""
        raise NotImplementedError

    def unacknowledgedOctets(self) -> int:
        """Count the octets written that the other end has not acknowledged."""
        raise NotImplementedError

    def getHost(self) -> IAddress:
        """Return the address of this end."""
        raise NotImplementedError

    def getPeer(self) -> IAddress:
        """Return the address of the other end."""
        raise NotImplementedError
