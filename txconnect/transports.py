"""
Capabilities and states of a Twisted transport that its interfaces do not tell.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from typing import Any, Protocol

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableDescriptor,
    IPushProducer,
)
from twisted.protocols.policies import ProtocolWrapper

_INT = struct.Struct("i")


class StreamTransport(Protocol):
    """
    A connected stream transport, of the reactor or of a wrapper; see
    C{ITransport}, C{ITCPTransport}, C{IConsumer} and C{IPushProducer}.  No
    interface of Twisted's has all that a tunnel uses of one.
    """

    def write(self, data: bytes, /) -> object:
        """See C{ITransport}."""

    def loseConnection(self) -> object:
        """See C{ITransport}."""

    def loseWriteConnection(self) -> object:
        """See C{ITCPTransport}."""

    def abortConnection(self) -> object:
        """See C{ITCPTransport}."""

    def pauseProducing(self) -> object:
        """See C{IPushProducer}."""

    def resumeProducing(self) -> object:
        """See C{IPushProducer}."""

    def registerProducer(self, producer: IPushProducer, streaming: bool, /) -> object:
        """See C{IConsumer}."""

    def unregisterProducer(self) -> object:
        """See C{IConsumer}."""

    def getHost(self) -> IAddress:
        """See C{ITransport}."""

    def getPeer(self) -> IAddress:
        """See C{ITransport}."""


class PromptWriter:
    """
    A plain TCP transport, written to at once as long as nothing waits in it.

    Twisted's own C{write} leaves all to a later turn of the reactor: an event, and two
    changes of the epoll, for each piece that a relay passes on.
    """

    __slots__ = ("_transport",)

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    @classmethod
    def of(cls, transport: StreamTransport) -> StreamTransport | PromptWriter:
        """Return the writer for a transport: itself, where it is no plain TCP."""
        isPlain = isinstance(transport, tcp.Connection) and not transport.TLS
        return cls(transport) if isPlain else transport

    def write(self, data: bytes) -> None:
        """Write what the socket takes, and leave the rest to the transport."""
        transport = self._transport
        # As in countUndelivered, it has no other words for what waits; and neither for
        # a FIN that has been asked for.
        waits = transport.dataBuffer or transport._tempDataLen
        ends = transport.disconnecting or transport._writeDisconnecting
        if transport.connected and not (waits or ends or transport._writeDisconnected):
            sent = transport.writeSomeData(data)
            # An exception otherwise, which the transport will meet itself.
            if isinstance(sent, int):
                data = data[sent:]
        if data:
            transport.write(data)


def canHalfClose(transport: object) -> bool:
    """
    Tell whether a FIN can be sent on C{transport} while it is still read.

    Wrappers, TLS among them, claim the abilities of the transport inside, but
    would shut it before data that they still hold has left.
    """
    return (
        IHalfCloseableDescriptor.providedBy(transport)
        and not isinstance(transport, ProtocolWrapper)
        and not getattr(transport, "TLS", False)
    )


def wasReset(transport: Any) -> bool:
    """
    Tell whether the end of input that C{transport} has just reported is a reset.

    Twisted's poll and epoll reactors take an event of C{ERR} without C{IN}
    for a clean end.  Linux reports exactly that when it is asked in the middle
    of a reset, which would make a stream that was cut off look complete.
    """
    if not canHalfClose(transport):
        return False
    handle = transport.getHandle()
    return bool(handle.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def countUnacknowledged(skt: object) -> int:
    """
    Count the octets written to a socket that its other end has not acknowledged.

    Only Linux tells.  Elsewhere, and for anything but a socket of the system,
    there are none.
    """
    if not isinstance(skt, socket.socket) or sys.platform != "linux":
        return 0
    try:
        answer = fcntl.ioctl(skt.fileno(), termios.TIOCOUTQ, _INT.pack(0))
    except (OSError, ValueError):
        # No kind of socket that counts, or closed.
        return 0
    return int(_INT.unpack(answer)[0])


def countUndelivered(transport: object) -> int:
    """
    Count the octets that a transport has still to write, and those that its
    other end has not acknowledged.  One that does not tell has none.
    """
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    if not isinstance(transport, FileDescriptor):
        return 0
    # It has no other words for it, in no release of Twisted so far.
    waiting = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    getHandle = getattr(transport, "getHandle", None)
    return waiting + (0 if getHandle is None else countUnacknowledged(getHandle()))
