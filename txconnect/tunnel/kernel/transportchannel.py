"""
A channel that is the socket of a transport of the reactor's: the client's leg,
and the destination's where a parent was reached, to whom a protocol has spoken
first.

The transport stays what it is, and the front or the L{Leg} stays its protocol.
The relay is its reactor now: it reads and writes the socket itself, and in the
end says what has happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure

from txconnect.tunnel.kernel.channel import SocketChannel
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.transport.leg import Leg

_PLAIN = (tcp.Client, tcp.Server)
_DONE = Failure(ConnectionDone())
_ABORTED = Failure(ConnectionAborted())


def isPlain(leg: Leg) -> bool:
    """
    Tell whether a leg's bytes are those of its socket: the transport is exactly one
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


class TransportChannel(SocketChannel):
    """
    The socket of a transport.

    @ivar transport: exactly a C{tcp.Server} or C{tcp.Client} without TLS.
    """

    __slots__ = ("transport",)

    def __init__(self, nested: NestedEpoll, transport: Any) -> None:
        super().__init__(nested, transport.getHandle())
        self.transport = transport

    def takeOver(self, late: Callable[[bytes], object]) -> None:
        """See L{Channel.takeOver<txconnect.tunnel.kernel.channel.Channel.takeOver>}."""
        self.transport.stopReading()

    def lose(self, reset: bool) -> None:
        """See L{Channel.lose<txconnect.tunnel.kernel.channel.Channel.lose>}."""
        if reset:
            self.makeReset()
        # It shuts the connection down itself.
        self.transport.connectionLost(_ABORTED if reset else _DONE)

    def getHost(self) -> IAddress:
        """See L{Channel.getHost<txconnect.tunnel.kernel.channel.Channel.getHost>}."""
        host: IAddress = self.transport.getHost()
        return host

    def getPeer(self) -> IAddress:
        """See L{Channel.getPeer<txconnect.tunnel.kernel.channel.Channel.getPeer>}."""
        peer: IAddress = self.transport.getPeer()
        return peer


class _Late:
    """See L{txconnect.tunnel.transport.leg.Side}; the relay sees the ends itself."""

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


class ParentChannel(TransportChannel):
    """
    The socket of a leg that L{isPlain}.

    @ivar held: what the leg has read already.
    """

    __slots__ = ("_leg", "held")

    def __init__(self, nested: NestedEpoll, leg: Leg) -> None:
        super().__init__(nested, leg.transport)
        self._leg = leg
        self.held = leg.takeHeld()

    def takeOver(self, late: Callable[[bytes], object]) -> None:
        """
        See L{Channel.takeOver<txconnect.tunnel.kernel.channel.Channel.takeOver>}.

        An endpoint says that there is a tunnel before it says what stood behind
        the parent's answer.
        """
        super().takeOver(late)
        self._leg.adopt(_Late(late))
