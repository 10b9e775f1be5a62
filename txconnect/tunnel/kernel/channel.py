"""
A channel: one leg of a kernel relay, whatever carries it.

The relay asks for channels, never for sockets.  A plain socket is one
(L{SocketChannel<txconnect.tunnel.kernel.nested.SocketChannel>}); a TLS
connection or a stream of HTTP/2 can be another.  A channel

 - reads and writes without blocking, in the words of a socket: C{b""} is the
   end of input, C{BlockingIOError} says that there is nothing to read or no
   room, and any other C{OSError} that the leg is broken;
 - tells its flows when it can be read or written, but only for what they want,
   which it looks up when L{Channel.updateWatch} is called;
 - shuts (a FIN), closes, resets, when the flow that ends there says so;
 - has a descriptor that C{splice} takes, or none.

Whatever has no descriptor and calls its flows of itself, after C{update} or
when data arrive on what carries it, does so by L{Channel.afterBatch} and not from
within C{update}: the flow is in the middle of its work there.  What has been
read and is kept inside, as by a TLS connection, must be told without a new
event.

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
        """The source can be read: read a piece, and write it."""

    def flushBacklog(self) -> None:
        """The sink has room: write what waits."""

    def breakSink(self) -> None:
        """The sink's other end has reset it, or does not answer any more."""


class Channel:
    """
    One leg.  A subclass carries it; the rest is set by the relay that takes it.

    @ivar incoming: the flow of which it is the source.
    @ivar outgoing: the flow of which it is the sink.
    @ivar events: told of what happens to it.
    @ivar happenings: the words for that.
    @ivar lost: whether it is closed, or is about to be.
    @ivar descriptor: what C{splice} reads and writes; negative: nothing.
    @ivar held: octets that were read before a relay took it.
    @ivar receive: reads up to so many octets, as C{socket.recv}.  A flow asks
        for it once, as for C{send}, so that what is a socket's own costs no
        call of Python's.
    @ivar send: writes what there is room for, and says how much that was.
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
        Take it from its former owner, and have what it reads told from now on,
        in a later turn.

        @param late: called with what the former owner has read, and tells only
            after this.
        @raise OSError: there is no room for another; it is still its former
            owner's.
        """
        raise NotImplementedError

    def giveBack(self) -> None:
        """Undo L{takeOver}: there was no room for the other leg."""
        raise NotImplementedError

    def updateWatch(self) -> None:
        """
        Look up what the flows want, as it may have changed; nothing where it is
        lost.
        """
        raise NotImplementedError

    def shutWriting(self) -> None:
        """
        Send FIN.

        @raise OSError: it is broken.
        """
        raise NotImplementedError

    def stopWatching(self) -> None:
        """Tell nothing more, for now or for good."""
        raise NotImplementedError

    def afterBatch(self, call: Callable[[], object]) -> None:
        """Call C{call} at the end of the turn: at once where there is none."""
        raise NotImplementedError

    def closeChannel(self, reset: bool) -> None:
        """Close it for good, with a reset or in order; called once it has left."""
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
