"""
The nested epoll: one reader to the reactor, however many descriptors; and the
channel that is a socket in it.

Its own descriptor becomes readable when one of those inside is ready, under
every reactor that can watch a descriptor.  What is inside costs no trip through
the reactor's bookkeeping: a bounded batch is served in one loop.

Of a socket, Linux reports HUP and ERR however little is watched for, and again
and again.  So a reset is taken note of where the socket is not read, and
otherwise the descriptor leaves the epoll until something can be done with it
(K2).

Rejected: edge-triggered events, which save the change of what is watched for, but
want every turn to read until EAGAIN: one call more a piece.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol as Shape

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.transports import countUnacknowledged
from txconnect.tunnel.kernel.channel import Channel
from txconnect.tunnel.kernel.writequeue import Buffer
from txconnect.values import Closed

IN, OUT = select.EPOLLIN, select.EPOLLOUT
BROKEN = select.EPOLLERR | select.EPOLLHUP

RESET = struct.pack("ii", 1, 0)
"""C{SO_LINGER} for a socket that is to be reset when it is closed."""

BATCH = 128
"""The most descriptors that are served in one turn of the reactor."""


class Watched(Shape):
    """The owner of a descriptor that is watched."""

    def eventsReady(self, events: int) -> None:
        """C{events} (C{EPOLLIN} and so on) have happened."""

    def watchLost(self, reason: Closed) -> None:
        """
        L{eventsReady} has raised, which was logged, or the reactor stops: give the
        descriptor up, and whatever hangs on it.
        """


@implementer(IReadDescriptor)
class NestedEpoll:
    """
    Watches descriptors.

    @ivar reactor: provides C{IReactorFDSet}.
    """

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self._epoll: Any = None
        self._watched: dict[int, Watched] = {}
        self._queued: deque[Callable[[], object]] = deque()
        self._serving = False

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, descriptor: int, events: int, watched: Watched) -> None:
        """Call C{watched.eventsReady} for C{events}, and always for HUP and ERR."""
        if self._epoll is None:
            self._epoll = select.epoll()
            # The reactor asks behind every batch: so it costs no call of Python's.
            self.fileno = self._epoll.fileno  # type: ignore[method-assign]
            self.reactor.addReader(self)
        self._epoll.register(descriptor, events)
        self._watched[descriptor] = watched

    def changeWatch(self, descriptor: int, events: int, watched: Watched) -> None:
        """Watch for other events from now on, or for somebody else."""
        self._epoll.modify(descriptor, events)
        self._watched[descriptor] = watched

    def isWatchedBy(self, descriptor: int, watched: Watched) -> bool:
        """Tell whether a descriptor's events go to C{watched}."""
        return self._watched.get(descriptor) is watched

    def unwatch(self, descriptor: int) -> None:
        """
        Watch it no more.  Before it is closed: a copy of the descriptor would
        keep its events coming, and nobody could stop them.
        """
        if self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def afterBatch(self, call: Callable[[], object]) -> None:
        """
        Call C{call} at the end of the batch, in the order of these calls; also
        those that are queued by one of them.  Where there is no batch: now.

        So a descriptor is closed: a number that is free before may be given
        out again, and then an event of the old one hits the new.
        """
        self._queued.append(call)
        if not self._serving:
            self._serving = True
            self._serveQueued()
            self._serving = False

    def stop(self) -> None:
        """End whatever is watched, and give the epoll's descriptor back."""
        # What ends may have others watched in its place: a dial its next address.
        while self._watched:
            descriptor, watched = next(iter(self._watched.items()))
            self._callGuarded(watched.watchLost, Closed.SHUTDOWN)
            if self._watched.get(descriptor) is watched:
                self.unwatch(descriptor)
        if self._epoll is not None:
            self.reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None
            del self.fileno

    def fileno(self) -> int:
        """See C{IFileDescriptor}; there is none yet, or none any more."""
        return -1

    # See C{ILoggingContext}; asked for as often.
    logPrefix = "txconnect".__str__

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops: no event will come any more."""
        self.stop()

    def doRead(self) -> None:
        """Serve one batch.  Nothing leaves here: the reactor would drop it all."""
        watched = self._watched
        self._serving = True
        for descriptor, events in self._epoll.poll(0, BATCH):
            one = watched.get(descriptor)
            if one is None:
                # Taken out earlier in this batch.
                continue
            try:
                one.eventsReady(events)
            except BaseException:
                # Whatever it is: the reactor would drop its reader for it.
                self._log.failure("a descriptor's turn failed; it alone is ended")
                self._callGuarded(one.watchLost, Closed.INTERNAL)
        if self._queued:
            self._serveQueued()
        self._serving = False

    def _serveQueued(self) -> None:
        """End a batch: make all calls that are queued for then."""
        queued = self._queued
        while queued:
            self._callGuarded(queued.popleft())

    def _callGuarded(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            call(*arguments)
        except BaseException:
            # Whatever it is, as above.
            self._log.failure("ending a descriptor failed")


class SocketChannel(Channel):
    """
    A socket that does not block.

    @ivar socket: the socket; nobody else watches it once the relay has it.
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
        # What the epoll watches for; None: the descriptor is not in it.
        self._mask: int | None = None

    def sendMany(self, buffers: list[Buffer]) -> int:
        """See L{Channel.sendMany}."""
        return self.socket.sendmsg(buffers)

    def takeOver(self, late: Callable[[bytes], object]) -> None:
        """See L{Channel.takeOver}; nobody else has read from it."""
        self._watchFor(IN)

    def giveBack(self) -> None:
        """See L{Channel.giveBack}."""
        self.stopWatching()

    def updateWatch(self) -> None:
        """Have the epoll watch for what can be done now, and nothing else."""
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

    def makeReset(self) -> None:
        """Have the connection reset when the socket is closed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def eventsReady(self, events: int) -> None:
        """See L{Watched}."""
        mask = self._mask
        if events & OUT and mask and mask & OUT:
            self.outgoing.flushBacklog()
            if self.lost:
                return
            mask = self._mask
        # What it is watched for, whatever has been read earlier in this batch.
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
        """HUP or ERR, unasked; see the head of this module."""
        if events & select.EPOLLERR and self.socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_ERROR
        ):
            self.outgoing.breakSink()
        elif not self.outgoing.blocked:
            self.stopWatching()
