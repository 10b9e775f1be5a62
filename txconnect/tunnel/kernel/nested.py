"""
The nested epoll: one reader to the reactor for any number of descriptors; and the
channel that is a socket in it.

Its own descriptor becomes readable when one of those inside is ready, under
every reactor that can watch a descriptor.  The descriptors inside cost no trip
through the reactor's bookkeeping: a bounded batch is served in one loop.

Of a socket, Linux reports HUP and ERR even with an empty mask, and again and again.
So a reset is taken note of where the socket is not read, and otherwise the descriptor
leaves the epoll until something can be done with it (K2).

Descriptors are closed at the end of a batch.  Closed within it, a number may be given
out again, and an event of the old socket that is still in the batch would hit the new
one.

Rejected: edge-triggered events, which save the changes of the mask, but require every
turn to read until EAGAIN: one call more a piece.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol as Shape

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.transports import countUnacknowledged
from txconnect.tunnel.kernel.channel import Channel
from txconnect.tunnel.kernel.writequeue import Buffer
from txconnect.values import Closed

IN, OUT = select.EPOLLIN, select.EPOLLOUT
BROKEN = select.EPOLLERR | select.EPOLLHUP

Events = list[tuple[int, int]]
"""Pairs of a descriptor and its events."""

RESET = struct.pack("ii", 1, 0)
"""C{SO_LINGER} for a socket that is to be reset when it is closed."""

BATCH = 128
"""The most descriptors that are served in one turn of the reactor."""


class Watched(Shape):
    """The owner of a descriptor that is watched."""

    def eventsReady(self, events: int) -> None:
        """Act on C{events} (C{EPOLLIN} and so on)."""

    def watchLost(self, reason: Closed) -> None:
        """
        Give the descriptor up, and all that depends on it: L{eventsReady} has
        raised, which was logged, or the reactor stops.
        """


@implementer(IReadDescriptor)
class NestedEpoll:
    """
    Watches descriptors in an epoll inside the reactor's.

    @ivar reactor: provides C{IReactorFDSet}.
    """

    _log = Logger()

    def __init__(self, reactor: PosixReactorBase) -> None:
        self.reactor = reactor
        self._epoll: Any = None
        self._watched: dict[int, Watched] = {}
        self._queued: deque[Callable[[], object]] = deque()
        self._serving = False
        self._shared = False

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, descriptor: int, events: int, watched: Watched) -> None:
        """Call C{watched.eventsReady} for C{events}, and always for HUP and ERR."""
        if self._epoll is None:
            self._openEpoll()
        self._epoll.register(descriptor, events)
        self._watched[descriptor] = watched

    def changeWatch(self, descriptor: int, events: int, watched: Watched) -> None:
        """Watch for other events from now on, or for another owner."""
        self._epoll.modify(descriptor, events)
        self._watched[descriptor] = watched

    def handOver(self, descriptor: int, watched: Watched) -> None:
        """Have another owner from now on, for the same events."""
        self._watched[descriptor] = watched

    def isWatchedBy(self, descriptor: int, watched: Watched) -> bool:
        """Tell whether a descriptor's events go to C{watched}."""
        return self._watched.get(descriptor) is watched

    def unwatch(self, descriptor: int) -> None:
        """
        Watch it no more.  Call this before it is closed: a copy of the descriptor
        would keep its events coming, and nothing could stop them.
        """
        if self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def afterBatch(self, call: Callable[[], object]) -> None:
        """
        Call C{call} at the end of the batch, in the order of these calls; also
        those that are queued by one of them.  Outside of a batch: at once.

        A descriptor is closed by this; see the head of this module.
        """
        self._queued.append(call)
        if not self._serving:
            self._serving = True
            self._serveQueued()
            self._serving = False

    def stop(self) -> None:
        """End all that is watched, and close the epoll's own descriptor."""
        # One that ends may have another watched: a dial its next address.
        while self._watched:
            descriptor, watched = next(iter(self._watched.items()))
            self._callGuarded(watched.watchLost, Closed.SHUTDOWN)
            if self._watched.get(descriptor) is watched:
                self.unwatch(descriptor)
        if self._epoll is not None:
            self._closeEpoll()

    def _openEpoll(self) -> None:
        """Share the reactor's epoll if it has one to share, else nest one."""
        share = getattr(self.reactor, "shareEpoll", None)
        self._epoll = None if share is None else share(self)
        self._shared = self._epoll is not None
        if not self._shared:
            self._epoll = select.epoll()
            # The reactor calls it after every batch: epoll's own costs no call of
            # Python's.
            self.fileno = self._epoll.fileno  # type: ignore[method-assign]
            self.reactor.addReader(self)

    def _closeEpoll(self) -> None:
        if self._shared:
            self.reactor.leaveEpoll()  # type: ignore[attr-defined]
        else:
            self.reactor.removeReader(self)
            self._epoll.close()
            del self.fileno
        self._epoll = None

    def fileno(self) -> int:
        """See C{IFileDescriptor}; the epoll is not open."""
        return -1

    # See C{ILoggingContext}; the reactor calls it as often.
    logPrefix = "txconnect".__str__

    def connectionLost(self, reason: Failure) -> None:
        """End all that is watched: the reactor stops, and no event will come."""
        self.stop()

    def doRead(self) -> None:
        """Serve one batch.  It never raises: the reactor would drop its reader."""
        # Without waiting: the reactor does that.
        self.serveBatch(self._epoll.poll(0, BATCH))

    def serveBatch(self, batch: Events) -> Events:
        """
        Serve the descriptors that are watched here.

        @return: the pairs of other descriptors, which are the reactor's where its
            epoll is shared, and otherwise were taken out earlier in this batch.
        """
        owner = self._watched.get
        others: Events = []
        self._serving = True
        for pair in batch:
            descriptor, events = pair
            one = owner(descriptor)
            if one is None:
                others.append(pair)
                continue
            try:
                one.eventsReady(events)
            except BaseException:
                # SystemExit too: the reactor would drop its reader for it.
                self._log.failure("a descriptor's turn failed; it alone is ended")
                self._callGuarded(one.watchLost, Closed.INTERNAL)
        if self._queued:
            self._serveQueued()
        self._serving = False
        return others

    def _serveQueued(self) -> None:
        """End a batch: make all calls that are queued for its end."""
        queued = self._queued
        while queued:
            self._callGuarded(queued.popleft())

    def _callGuarded(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            call(*arguments)
        except BaseException:
            # SystemExit too, as above.
            self._log.failure("ending a descriptor failed")


class SocketChannel(Channel):
    """
    A socket that does not block.

    @ivar socket: the socket; the relay alone watches it from L{takeOver} on.
    @ivar finSent: whether FIN has been sent on it.
    """

    __slots__ = (
        "_mask",
        "_nested",
        "descriptor",
        "finSent",
        "receive",
        "send",
        "socket",
    )

    def __init__(self, nested: NestedEpoll, skt: socket.socket) -> None:
        self._nested = nested
        self.socket = skt
        self.descriptor = skt.fileno()
        self.receive = skt.recv
        self.send = skt.send
        self.finSent = False
        # The epoll's mask for it; None: the descriptor is not in the epoll.
        self._mask: int | None = None

    def sendMany(self, buffers: list[Buffer]) -> int:
        """See L{Channel.sendMany}."""
        return self.socket.sendmsg(buffers)

    def takeOver(self, late: Callable[[bytes], object]) -> None:
        """See L{Channel.takeOver}; it has no former owner that has read from it."""
        self._watchFor(IN)

    def giveBack(self) -> None:
        """See L{Channel.giveBack}."""
        self.stopWatching()

    def updateWatch(self) -> None:
        """Have the epoll watch for the events that the flows want, and no others."""
        if self.lost:
            return
        mask = (0 if self.incoming.pauses else IN) | (
            OUT if self.outgoing.blocked else 0
        )
        if mask != self._mask:
            self._watchFor(mask)

    def shutWriting(self) -> None:
        """See L{Channel.shutWriting}."""
        self.socket.shutdown(socket.SHUT_WR)
        self.finSent = True

    def stopWatching(self) -> None:
        """See L{Channel.stopWatching}."""
        if self._mask is not None:
            self._nested.unwatch(self.descriptor)
            self._mask = None

    def afterBatch(self, call: Callable[[], object]) -> None:
        """See L{Channel.afterBatch}."""
        self._nested.afterBatch(call)

    def unacknowledgedOctets(self) -> int:
        """See L{Channel.unacknowledgedOctets}."""
        return 0 if self.lost else countUnacknowledged(self.socket)

    def closeSocket(self, reset: bool) -> None:
        """Close the socket, with a reset or in order."""
        if reset:
            self.makeReset()
        elif not self.finSent:
            # Closing alone would send no FIN while a child process has a copy.
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                # The other end has closed it first.
                pass
        self.socket.close()

    def makeReset(self) -> None:
        """Make the system reset the connection when the socket is closed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def eventsReady(self, events: int) -> None:
        """See L{Watched}."""
        mask = self._mask
        if events & OUT and mask and mask & OUT:
            self.outgoing.flushBacklog()
            if self.lost:
                return
            mask = self._mask
        # By the mask of now: it may have changed earlier in this batch.
        if mask and mask & IN:
            if events & ~OUT:
                self.incoming.movePiece()
        elif events & BROKEN:
            self._brokenUnread(events)

    def watchLost(self, reason: Closed) -> None:
        """See L{Watched}."""
        self.events.cut(reason)

    def _watchFor(self, mask: int) -> None:
        if self._mask is None:
            self._nested.watch(self.descriptor, mask, self)
        else:
            self._nested.changeWatch(self.descriptor, mask, self)
        self._mask = mask

    def _brokenUnread(self, events: int) -> None:
        """Act on a HUP or ERR that is not in the mask; see the head of this module."""
        if events & select.EPOLLERR and self.socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_ERROR
        ):
            self.outgoing.breakSink()
        elif not self.outgoing.blocked:
            self.stopWatching()
