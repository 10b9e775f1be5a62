"""
The destination's leg as a transport of the reactor's, in the place of a bare
socket: a tunnel through a parent, to whom a protocol has spoken first.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet import tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.python.failure import Failure

from txconnect.tunnel.transport.leg import Leg
from txconnect.values import IPAddress

_PLAIN = (tcp.Client, tcp.Server)
_DONE = Failure(ConnectionDone())
_ABORTED = Failure(ConnectionAborted())


def loseTransport(transport: Any, reset: bool, ended: bool) -> None:
    """
    Close a transport whose socket a kernel relay serves: the relay is its
    reactor now, and says what has happened.

    @param reset: it is set to reset the connection when it is closed.
    @param ended: a FIN has left already; the transport sees to that itself.
    """
    transport.connectionLost(_ABORTED if reset else _DONE)


def isPlain(leg: Leg) -> bool:
    """
    Whether a leg's bytes are those of its socket: the transport is exactly one
    of TCP without TLS, still whole, with nothing of ours left to be sent.
    """
    transport = leg.transport
    return (
        type(transport) in _PLAIN
        and not transport.TLS
        and not transport.disconnecting
        and not leg.lost
        and not leg.ended
        and transport not in transport.reactor.getWriters()
    )


class _Late:
    """See L{txconnect.tunnel.transport.leg.Side}; a kernel relay sees the ends itself."""

    def __init__(self, late: Callable[[bytes], object]) -> None:
        self._late = late

    def dataReceived(self, data: bytes) -> None:
        self._late(data)

    def readConnectionLost(self) -> None:
        pass

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        pass


class TransportLeg:
    """
    See L{txconnect.tunnel.kernel.socketleg.SocketLeg}.

    @ivar held: what has been read already.
    """

    __slots__ = ("_leg", "_transport", "held", "peer", "socket")

    mask = None

    def __init__(self, leg: Leg) -> None:
        """
        @param leg: one that L{isPlain}.
        """
        self._leg = leg
        transport = self._transport = leg.transport
        peer = transport.getPeer()
        self.held = leg.takeHeld()
        self.peer: tuple[IPAddress, int] = (ip_address(peer.host), peer.port)
        self.socket = transport.getHandle()

    def handOver(self, late: Callable[[bytes], object]) -> None:
        """
        A kernel relay has it from now on, and has it watched.

        @param late: is told what has been read, and comes only now: an
            endpoint says that there is a tunnel before it says what stood
            behind the parent's answer.
        """
        self._transport.stopReading()
        self._leg.adopt(_Late(late))

    def lose(self, reset: bool, ended: bool) -> None:
        """Close it; nobody watches it any more."""
        loseTransport(self._transport, reset, ended)
