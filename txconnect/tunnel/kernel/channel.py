"""
A channel: one leg of a kernel relay, whatever carries it.

The relay asks for channels, never for sockets.  A plain socket is one,
L{SocketChannel}; a TLS connection or a stream of HTTP/2 can be another.  A
channel

 - reads and writes without blocking, in the words of a socket: C{b""} is the
   end of input, C{BlockingIOError} says that there is nothing to read or no
   room, and any other C{OSError} that the leg is broken;
 - tells when it can be read or written: it calls its flows, but only for what
   they want, which it looks up when L{Channel.update} is called;
 - shuts (a FIN), closes, resets;
 - has a descriptor that C{splice} takes, or none.

Whatever has no descriptor and calls its flows of itself, after C{update} or
when data arrive on what carries it, does so by
L{ChannelOwner.later<ChannelOwner>} and not from within C{update}: the flow is
in the middle of its work there.  What has been read and is kept inside, as by
a TLS connection, must be told without a new event.

One channel belongs to two flows: it is the source of one and the sink of the
other.  They, the channel and their owner refer to each other, until the
channel is gone: that circle is cut in one place, L{Channel._gone}.

Of a socket, Linux reports HUP and ERR however little is watched for, and again
and again.  So a reset is taken note of where the socket is not read, and
otherwise the descriptor leaves the epoll until something can be done with it
(K2).
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol as Shape

from twisted.internet.interfaces import IAddress

from txconnect.transports import countUnacknowledged
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.kernel.writequeue import Buffer
from txconnect.values import Closed

IN, OUT = select.EPOLLIN, select.EPOLLOUT
BROKEN = select.EPOLLERR | select.EPOLLHUP

RESET = struct.pack("ii", 1, 0)
"""C{SO_LINGER} for a socket that is to be reset when it is closed."""


class ChannelFlow(Shape):
    """
    One direction, as its channels see it.

    @ivar closing: whether the sink is to be closed behind the octets that wait.
    """

    closing: bool

    @property
    def reading(self) -> bool:
        """Tell whether the source is to be read now."""

    @property
    def blocked(self) -> bool:
        """Tell whether octets wait for room in the sink."""

    def move(self) -> None:
        """The source can be read: read a piece, and write it."""

    def flush(self) -> None:
        """The sink has room: write what waits."""

    def sinkLost(self) -> None:
        """The sink is gone: drop what waits for it, and what is still to come."""


class ChannelOwner(Shape):
    """
    The relay, as its channels see it.

    @ivar hearsFin: whether L{finSent} is to be called.
    """

    @property
    def hearsFin(self) -> bool: ...

    def inputEnded(self, channel: Channel) -> None:
        """The other end of a channel has sent its last octet."""

    def finSent(self, channel: Channel) -> None:
        """Our FIN has left on a channel."""

    def broken(self, channel: Channel) -> None:
        """A channel was reset, or its other end does not answer any more."""

    def gone(self, channel: Channel, reset: bool) -> None:
        """A channel is closed; nothing more comes from it."""

    def cut(self, reason: Closed) -> None:
        """The relay cannot go on."""

    def later(self, call: Callable[[], object]) -> None:
        """Call C{call} at the end of the turn: at once where there is none."""


class Channel:
    """
    One leg.  A subclass carries it.

    @ivar incoming: the flow of which it is the source.
    @ivar outgoing: the flow of which it is the sink.
    @ivar owner: set, like the flows, by the relay that takes it.
    @ivar lost: whether it is closed, or is about to be.
    @ivar descriptor: what C{splice} reads and writes; negative: nothing.
    @ivar held: octets that were read before a relay took it.
    @ivar receive: reads up to so many octets, as C{socket.recv}.  A flow asks
        for it once, as for C{send}, so that what is a socket's own costs no
        call of Python's.
    @ivar send: writes what there is room for, and says how much that was.
    """

    __slots__ = ("finSent", "incoming", "lost", "outgoing", "owner")

    incoming: ChannelFlow
    outgoing: ChannelFlow
    owner: ChannelOwner
    receive: Callable[[int], bytes]
    send: Callable[[Buffer], int]
    descriptor: int = -1
    held: Sequence[bytes] = ()

    def __init__(self) -> None:
        self.lost = False
        self.finSent = False

    # What a subclass does

    def sendMany(self, buffers: list[Buffer]) -> int:
        """Write several buffers, as far as there is room."""
        raise NotImplementedError

    def begin(self) -> None:
        """
        Have what it reads told from now on, in a later turn.

        @raise OSError: there is no room for another; it is still its former
            owner's.
        """
        raise NotImplementedError

    def takeOver(self, late: Callable[[bytes], object]) -> None:
        """
        Take it from its former owner: both channels of a relay have begun.

        @param late: called with what the former owner has read, and tells
            only after this.
        """
        raise NotImplementedError

    def update(self) -> None:
        """Look up what the flows want: it may have changed."""
        raise NotImplementedError

    def shut(self) -> None:
        """
        Send FIN.

        @raise OSError: it is broken.
        """
        raise NotImplementedError

    def leave(self) -> None:
        """Tell nothing more, for now or for good."""
        raise NotImplementedError

    def lose(self, reset: bool) -> None:
        """Close it for good, with a reset or in order."""
        raise NotImplementedError

    def unacknowledged(self) -> int:
        """Count the octets written that the other end has not acknowledged."""
        raise NotImplementedError

    def getHost(self) -> IAddress:
        """Return the address of this end."""
        raise NotImplementedError

    def getPeer(self) -> IAddress:
        """Return the address of the other end."""
        raise NotImplementedError

    # What all have in common

    def reset(self) -> None:
        """Reset it: the proxy's own doing, of which nobody has to be told."""
        if not self.lost:
            self._giveUp(reset=True)

    def close(self) -> None:
        """Close it; all has been written."""
        if not self.lost:
            self._giveUp(reset=False)

    def broken(self) -> None:
        """Its other end has reset it, or does not answer any more."""
        if not self.lost:
            # First, as what follows may abort it.
            self.lost = True
            self.owner.broken(self)
            self._giveUp(reset=True)

    def _giveUp(self, reset: bool) -> None:
        self.lost = True
        self.outgoing.sinkLost()
        self.leave()
        # Its number may not be given out again in this batch.
        self.owner.later(partial(self._gone, reset))

    def _gone(self, reset: bool) -> None:
        self.lose(reset)
        self.owner.gone(self, reset)
        # A circle of references otherwise, which only the collector breaks.
        del self.incoming, self.outgoing, self.owner


class SocketChannel(Channel):
    """
    A socket that does not block.

    @ivar socket: the socket; nobody else watches it once the relay has it.
    """

    __slots__ = ("_mask", "_nested", "descriptor", "receive", "send", "socket")

    def __init__(self, nested: NestedEpoll, skt: socket.socket) -> None:
        super().__init__()
        self._nested = nested
        self.socket = skt
        self.descriptor = skt.fileno()
        self.receive = skt.recv
        self.send = skt.send
        # What the epoll watches for; None: the descriptor is not in it.
        self._mask: int | None = None

    def sendMany(self, buffers: list[Buffer]) -> int:
        """See L{Channel.sendMany}."""
        return self.socket.sendmsg(buffers)

    def begin(self) -> None:
        """See L{Channel.begin}."""
        self._ask(IN)

    def takeOver(self, late: Callable[[bytes], object]) -> None:
        """See L{Channel.takeOver}; nobody else has read from it."""

    def update(self) -> None:
        """Have the epoll watch for what can be done now, and nothing else."""
        if self.lost:
            return
        mask = (IN if self.incoming.reading else 0) | (
            OUT if self.outgoing.blocked else 0
        )
        if mask != self._mask:
            self._ask(mask)

    def shut(self) -> None:
        """See L{Channel.shut}."""
        self.socket.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """See L{Channel.leave}."""
        if self._mask is not None:
            self._nested.unwatch(self.descriptor)
            self._mask = None

    def unacknowledged(self) -> int:
        """See L{Channel.unacknowledged}."""
        return 0 if self.lost else countUnacknowledged(self.socket)

    def makeReset(self) -> None:
        """Have the connection reset when the socket is closed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    # What the epoll tells

    def ready(self, events: int) -> None:
        """See L{txconnect.tunnel.kernel.nested.Watched}."""
        mask = self._mask
        if events & OUT and mask and mask & OUT:
            self.outgoing.flush()
            if self.lost:
                return
            mask = self._mask
        # What it is watched for, whatever has been read earlier in this batch.
        if mask and mask & IN:
            if events & ~OUT:
                self.incoming.move()
        elif events & BROKEN:
            self._brokenUnread(events)

    def watchLost(self, reason: Closed) -> None:
        """See L{txconnect.tunnel.kernel.nested.Watched}."""
        self.owner.cut(reason)

    def _ask(self, mask: int) -> None:
        if self._mask is None:
            self._nested.watch(self.descriptor, mask, self)
        else:
            self._nested.change(self.descriptor, mask, self)
        self._mask = mask

    def _brokenUnread(self, events: int) -> None:
        """HUP or ERR, unasked; see the head of this module."""
        if events & select.EPOLLERR and self.socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_ERROR
        ):
            self.broken()
        elif not self.outgoing.blocked:
            self.leave()
