"""
The socket below a channel: one end of a socket pair, served by a reactor.

The thread that writes a frame sends it at once, as much as the socket accepts:
so the last lines of a dying process are sent, and those of a thread do not wait
for a blocked reactor.  The rest waits in a queue until the reactor reports room.

The queue is the only state that threads share.  One thread at a time empties
it; a thread that finds another one at it leaves its frame there and goes on.  So
does a thread that interrupts itself (an object that is collected may log): a
blocking lock would wait for its own holder there.
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

from txconnect.workers.channel import MessageChannel
from txconnect.workers.framing import BadMessage

MOST_WAITING = 256
"""The number of queued frames at which lines of a log are dropped."""

_AT_ONCE = 1 << 16


@implementer(IReadWriteDescriptor)
class ChannelSocket:
    """
    The transport of a channel, over a connected stream socket.
    """

    def __init__(
        self, reactor: Any, connection: socket.socket, channel: MessageChannel
    ) -> None:
        """
        @param reactor: provides C{IReactorFDSet} and C{IReactorFromThreads}.
        @param connection: becomes this object's, and non-blocking.
        """
        connection.setblocking(False)
        self._reactor = reactor
        self._connection = connection
        self._channel = channel
        self._queue: deque[memoryview] = deque()
        self._sending = threading.Lock()
        # The socket has accepted less than was offered; nothing is sent until
        # the reactor reports room.
        self._full = False
        self._served = False

    def hasRoom(self) -> bool:
        """Tell whether the other side keeps up with the frames that are written."""
        return len(self._queue) < MOST_WAITING

    def startReading(self) -> None:
        """Begin to receive, and let the reactor send the frames that wait."""
        self._served = True
        self._reactor.addReader(self)
        # A frame may have been written before the reactor served this.
        if self._full:
            self._reactor.addWriter(self)

    def leaveReactor(self) -> None:
        """
        Receive nothing more; frames are still sent, and those that wait are sent
        by L{drain}.
        """
        self._served = False
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)

    def write(self, data: bytes) -> None:
        """Send C{data} after all earlier data; from any thread."""
        self._queue.append(memoryview(data))
        self._flushQueue()

    def drain(self, seconds: float) -> None:
        """
        Wait until all frames are sent, the other side is gone, or C{seconds} have
        passed.  For the end of a process, after its reactor has stopped.
        """
        with self._sending:
            self._connection.settimeout(seconds)
            try:
                while self._queue:
                    self._connection.sendall(self._queue.popleft())
            except OSError:
                self._queue.clear()

    def close(self) -> None:
        """Close the socket, and end the channel."""
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self.connectionLost(Failure(main.CONNECTION_DONE))

    def fileno(self) -> int:
        """Return the descriptor; -1 once it is closed."""
        return self._connection.fileno()

    def logPrefix(self) -> str:
        """Return the name for the reactor's own messages."""
        return "channel"

    def doRead(self) -> Any:
        """
        Read; called by the reactor when there is something to read.

        @return: the exception that is the reason to close, as Twisted's own
            transports return it and against C{IReadDescriptor}; or L{None}.
        """
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

    def doWrite(self) -> None:
        """Send queued frames; called by the reactor when there is room."""
        self._full = False
        self._flushQueue()
        if not self._full:
            self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """End the channel; called by the reactor when the other side is gone."""
        self._served = False
        # Not while a thread writes to the descriptor: the number may soon be that
        # of another file.
        with self._sending:
            self._queue.clear()
            self._connection.close()
        self._channel.connectionLost(reason.value)

    def _flushQueue(self) -> None:
        # The loop looks again once the lock is free: another thread may have left
        # a frame meanwhile.
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
                # The other side is gone; doRead reports that.
                self._queue.clear()
                return
            if rest:
                self._queue.appendleft(rest)

    def _waitForRoom(self) -> None:
        self._full = True
        # A reactor's own methods are not safe to call from other threads.
        self._reactor.callFromThread(self._watchRoom)

    def _watchRoom(self) -> None:
        # The socket may have been closed, or have got room, since.
        if self._served and self._full:
            self._reactor.addWriter(self)
