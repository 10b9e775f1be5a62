"""
Sockets of memory: TCP as a kernel does it, without a kernel.

L{txconnect.testing.network} puts Twisted's own transports on them.  They
follow Linux in all that a proxy can notice: a window of octets in flight each
way, FIN and RST, a RST for an end that closes with bytes unread or writes to a
closed one, and the events that C{epoll} reports.  Octets reach the other end
at once when they are sent; they are read when the network is driven.

Neither Twisted nor the proxy is imported here.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections import deque
from ipaddress import ip_address
from typing import Any, Protocol

from txconnect.testing.addressing import (
    SocketAddress,
    reachedAddress,
    socketAddress,
    sourceFor,
)

IN, OUT = select.POLLIN, select.POLLOUT
ERR, HUP = select.POLLERR, select.POLLHUP

SILENCE = 0
"""The scripted result of a connection that nothing ever answers."""


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class SocketOwner(Protocol):
    """The L{Kernel<txconnect.testing.kernel.Kernel>}, as its sockets see it."""

    windowSize: int
    resetDiscards: bool
    sockets: dict[int, MemorySocket]

    def socket(self, family: int, outside: bool = False) -> MemorySocket:
        """Make another socket."""

    def ephemeralPort(self) -> int:
        """Return a port that is free."""

    def portion(self, available: int) -> int:
        """Return how much of what is there is read at once."""

    def listener(self, host: str, port: int) -> MemorySocket | None:
        """Return the socket that listens there."""

    def fate(self, host: str, port: int) -> int | None:
        """Return the error that a connection there has."""

    def isTaken(self, host: str, port: int) -> bool:
        """Return whether something is bound there."""


class MemorySocket:
    """
    A non-blocking socket, with the part of L{socket.socket} that Twisted's TCP
    transports use.

    @ivar owner: the transport that uses it.
    @ivar listening: true when it accepts connections.
    @ivar finReceived: true when the other end sends no more.
    @ivar resetReceived: true when the other end has sent a RST.
    """

    def __init__(
        self, kernel: SocketOwner, fd: int, family: int, outside: bool
    ) -> None:
        self.family = family
        self.outside = outside
        self.owner: Any = None
        self.local: SocketAddress = ("", 0)
        self.remote: SocketAddress | None = None
        self.listening = False
        self.finReceived = False
        self.resetReceived = False
        self._kernel = kernel
        self._fd = fd
        self._other: MemorySocket | None = None
        self._pending: deque[MemorySocket] = deque()
        self._inbox = bytearray()
        self._options: dict[tuple[int, int], int] = {}
        self._error = 0
        self._waiting = False
        self._readShut = False
        self._writeShut = False
        self._lingers = True
        self._closed = False

    # Methods of every socket.

    def fileno(self) -> int:
        """Return the descriptor: not one of the system's; -1 once closed."""
        return -1 if self._closed else self._fd

    def setblocking(self, flag: bool) -> None:
        """Do nothing: it never blocks."""

    def getsockname(self) -> SocketAddress:
        """Return the address of this end."""
        return self.local

    def getpeername(self) -> SocketAddress:
        """Return the address of the other end."""
        if self.remote is None:
            raise _error(errno.ENOTCONN)
        return self.remote

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Keep an option; of all of them only C{SO_LINGER} does anything."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            on, seconds = struct.unpack("ii", value)  # type: ignore[arg-type]
            self._lingers = not on or bool(seconds)
        else:
            self._options[level, option] = int(value)

    def getsockopt(self, level: int, option: int) -> int:
        """Return an option as it was set; reading C{SO_ERROR} clears it."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            return self._takeError()
        return self._options.get((level, option), 0)

    def pollEvents(self) -> int:
        """Return the events that C{epoll} would report: IN, OUT, ERR and HUP."""
        if self.listening:
            return IN if self._pending else 0
        if self._other is None:
            return 0
        ended = self.finReceived or self._readShut or self.resetReceived
        mute = self._writeShut or self.resetReceived
        events = IN if self._inbox or ended else 0
        # As windowSpace() has it, without a call: this runs at every turn.
        if mute or len(self._other._inbox) < self._kernel.windowSize:
            events |= OUT
        # Linux reports HUP only when both directions have ended.
        if ended and mute:
            events |= HUP
        if self._error:
            events |= ERR
        return events

    # Connecting.

    def bind(self, address: SocketAddress) -> None:
        """Take a local address; port 0 is one of the kernel's choice."""
        host, port = address[:2]
        host = host or "0.0.0.0"
        if port and self._kernel.isTaken(host, port):
            raise _error(errno.EADDRINUSE)
        port = port or self._kernel.ephemeralPort()
        self.local = socketAddress(self.family, str(ip_address(host)), port)

    def listen(self, backlog: int) -> None:
        """Accept connections, however many wait."""
        self.listening = True

    @property
    def pendingCount(self) -> int:
        """Return the number of connections that wait to be accepted."""
        return len(self._pending)

    def accept(self) -> tuple[MemorySocket, SocketAddress]:
        """Take the oldest connection that waits."""
        if not self._pending:
            raise _error(errno.EWOULDBLOCK)
        accepted = self._pending.popleft()
        return accepted, accepted.getpeername()

    def connect_ex(self, address: SocketAddress) -> int:
        """
        Connect; the other end may answer at once, but the result always looks
        as if it took its time.
        """
        if self._other is not None:
            return errno.EISCONN
        if self._waiting:
            return errno.EALREADY
        host, port = reachedAddress(address[0]), address[1]
        fate = self._kernel.fate(host, port)
        if fate:
            return fate
        self.remote = address
        self._bindSource(host)
        if fate == SILENCE:
            # No error and no event will follow: the time-out has to end it.
            self._waiting = True
            return errno.EINPROGRESS
        return self._joinListener(self._kernel.listener(host, port), host, port)

    def _bindSource(self, destination: str) -> None:
        if self.local[1]:
            return
        source = sourceFor(destination)
        self.local = socketAddress(self.family, source, self._kernel.ephemeralPort())

    def _joinListener(self, listener: MemorySocket | None, host: str, port: int) -> int:
        if listener is None:
            return errno.ECONNREFUSED
        accepted = self._kernel.socket(listener.family, True)
        accepted.outside = listener.outside
        accepted.local = socketAddress(listener.family, host, port)
        accepted.remote = socketAddress(
            listener.family, reachedAddress(self.local[0]), self.local[1]
        )
        accepted._other, self._other = self, accepted
        listener._pending.append(accepted)
        return errno.EINPROGRESS

    # Connected.

    @property
    def wasConnected(self) -> bool:
        """Tell whether there is, or was, another end."""
        return self._other is not None

    def windowSpace(self) -> int:
        """Return the number of octets that may still be sent to this end."""
        return max(self._kernel.windowSize - len(self._inbox), 0)

    def recv(self, size: int) -> bytes:
        """
        Read: first what has arrived, then the end of input, then the error.
        """
        if self._inbox:
            wanted = min(size, len(self._inbox))
            # A test's own peers read whole: chunks are for the code under test.
            if not self.outside:
                wanted = self._kernel.portion(wanted)
            data = bytes(self._inbox[:wanted])
            del self._inbox[:wanted]
            return data
        if self.finReceived or self._readShut:
            return b""
        if self._error:
            raise _error(self._takeError())
        if self.resetReceived:
            return b""
        raise _error(errno.EWOULDBLOCK)

    def send(self, data: bytes | memoryview) -> int:
        """Send as many octets as the window has room for."""
        if self._other is None:
            raise _error(errno.ENOTCONN)
        if self._error:
            raise _error(self._takeError())
        if self._writeShut or self.resetReceived:
            raise _error(errno.EPIPE)
        if self._other._closed and data:
            # As TCP does it: the first write is taken, and answered by a RST.
            self._receiveReset()
            return len(data)
        sent = min(len(data), self._other.windowSpace())
        if data and not sent:
            raise _error(errno.EWOULDBLOCK)
        self._other._inbox += data[:sent]
        return sent

    def shutdown(self, how: int) -> None:
        """Shut one direction, or both."""
        # As on Linux, where a reset connection is closed, and so not connected.
        if self._other is None or self.resetReceived:
            raise _error(errno.ENOTCONN)
        if how in (socket.SHUT_WR, socket.SHUT_RDWR) and not self._writeShut:
            self._writeShut = True
            self._other.finReceived = True
        if how in (socket.SHUT_RD, socket.SHUT_RDWR):
            self._readShut = True

    def close(self) -> None:
        """
        Close: by RST with C{SO_LINGER} of 0 or when bytes are left unread, else
        by FIN.
        """
        if self._closed:
            return
        self._closed = True
        self.listening = False
        del self._kernel.sockets[self._fd]
        # Linux resets the connections that a listener has not accepted.
        for waiting in self._pending:
            waiting._lingers = False
            waiting.close()
        if self._other is not None:
            if self._inbox or not self._lingers:
                self._other._receiveReset()
            else:
                self._other.finReceived = True
        self._inbox.clear()

    def _receiveReset(self) -> None:
        if self._closed or self.resetReceived:
            return
        self.resetReceived = True
        if self._kernel.resetDiscards:
            self._inbox.clear()
            self.finReceived = False
        # Linux: tcp_reset reports EPIPE to an end that has had a FIN.
        self._error = errno.EPIPE if self.finReceived else errno.ECONNRESET

    def _takeError(self) -> int:
        number, self._error = self._error, 0
        return number
