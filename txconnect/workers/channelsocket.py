"""
The socket below a channel: one end of a pair, served by a reactor.

Each frame is sent at once, by the thread that writes it, as far as the socket
takes it: so the last lines of a process that dies are there, and those of a
thread do not wait for a reactor that is held up.  The rest waits in a queue
until the reactor sees room.

The queue is the only state that threads share.  One thread at a time empties
it; one that finds another at it leaves its frame there and goes on, and so does
one that interrupts itself (an object that is collected may log).
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from typing import Any

from twisted.internet import main
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.workers.channel import Channel
from txconnect.workers.framing import BadMessage

MOST_WAITING = 256
"""Frames in the queue from which on lines of a log are dropped."""

_AT_ONCE = 1 << 16


@implementer(IReadWriteDescriptor)
class ChannelSocket:
    """
    Carries a channel over a connected stream socket.
    """

    def __init__(
        self, reactor: Any, connection: socket.socket, channel: Channel
    ) -> None:
        """
        @param reactor: provides C{IReactorFDSet} and C{IReactorFromThreads}.
        @param connection: is owned, and made not to block.
        """
        connection.setblocking(False)
        self._reactor = reactor
        self._connection = connection
        self._channel = channel
        self._queue: deque[memoryview] = deque()
        self._sending = threading.Lock()
        self._full = False
        self._served = False

    def hasRoom(self) -> bool:
        """Whether the other side keeps up with what is written."""
        return len(self._queue) < MOST_WAITING

    def startReading(self) -> None:
        """Begin to hear, and let the reactor send what has to wait."""
        self._served = True
        self._reactor.addReader(self)
        if self._full:
            self._reactor.addWriter(self)

    def leaveReactor(self) -> None:
        """
        Hear nothing more; frames are still sent, and those that have to wait by
        L{drain}.
        """
        self._served = False
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)

    def write(self, data: bytes) -> None:
        """Send C{data} behind all before it; from any thread."""
        self._queue.append(memoryview(data))
        self._flush()

    def drain(self, seconds: float) -> None:
        """
        Wait until everything is sent, the other side is gone, or C{seconds} are
        over.  For the end of a process, after its reactor.
        """
        with self._sending:
            self._connection.settimeout(seconds)
            try:
                while self._queue:
                    self._connection.sendall(self._queue.popleft())
            except OSError:
                self._queue.clear()

    def close(self) -> None:
        """Close the socket, and tell the channel."""
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self.connectionLost(Failure(main.CONNECTION_DONE))

    def fileno(self) -> int:
        """The descriptor; -1 once it is closed."""
        return self._connection.fileno()

    def logPrefix(self) -> str:
        """Its name in the reactor's own messages."""
        return "channel"

    def doRead(self) -> Any:
        """Called by the reactor when there is something to read."""
        try:
            data = self._connection.recv(_AT_ONCE)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not data:
            return main.CONNECTION_DONE
        try:
            self._channel.dataReceived(data)
        except BadMessage as error:
            return error
        return None

    def doWrite(self) -> Any:
        """Called by the reactor when there is room."""
        self._full = False
        self._flush()
        if not self._full:
            self._reactor.removeWriter(self)
        return None

    def connectionLost(self, reason: Failure) -> None:
        """Called by the reactor when the other side is gone."""
        self._served = False
        # Not while a thread writes to the descriptor, which may soon be another's.
        with self._sending:
            self._queue.clear()
            self._connection.close()
        self._channel.connectionLost(reason.value)

    def _flush(self) -> None:
        # Asked again once the lock is free: a frame may have come meanwhile.
        while self._queue and not self._full:
            if not self._sending.acquire(blocking=False):
                return
            try:
                self._sendQueue()
            finally:
                self._sending.release()

    def _sendQueue(self) -> None:
        while self._queue:
            data = self._queue.popleft()
            try:
                rest = data[self._connection.send(data) :]
            except BlockingIOError:
                self._queue.appendleft(data)
                self._waitForRoom()
                return
            except OSError:
                # The other side is gone, of which the reading end hears.
                self._queue.clear()
                return
            if rest:
                self._queue.appendleft(rest)

    def _waitForRoom(self) -> None:
        self._full = True
        self._reactor.callFromThread(self._watchRoom)

    def _watchRoom(self) -> None:
        if self._served and self._full:
            self._reactor.addWriter(self)
