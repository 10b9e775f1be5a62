"""
A channel that is the socket of a transport of the reactor's: the client's leg, and
the leg to a parent, with which a protocol has spoken first.

The transport and its protocol, the front or the L{Leg}, stay.  The relay takes the
reactor's place: it reads and writes the socket itself, and in the end calls the
transport's C{connectionLost}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure

from txconnect.tunnel.kernel.nested import NestedEpoll, SocketChannel
from txconnect.tunnel.transport.leg import Leg

_DONE = Failure(ConnectionDone())
_ABORTED = Failure(ConnectionAborted())


class TransportChannel(SocketChannel):
    """
    The socket of a transport.

    @ivar transport: exactly a C{tcp.Server} or C{tcp.Client} without TLS.
    """

    __slots__ = ("transport",)

    def __init__(self, nested: NestedEpoll, transport: tcp.Connection) -> None:
        super().__init__(nested, transport.getHandle())
        self.transport = transport

    def takeOver(self, late: Callable[[bytes], object]) -> None:
        """See L{Channel.takeOver<txconnect.tunnel.kernel.channel.Channel.takeOver>}."""
        # First, as the reactor's epoll may be the one that watches from now on.
        self.transport.stopReading()
        try:
            super().takeOver(late)
        except OSError:
            self.transport.startReading()
            raise

    def giveBack(self) -> None:
        """See L{Channel.giveBack<txconnect.tunnel.kernel.channel.Channel.giveBack>}."""
        super().giveBack()
        self.transport.startReading()

    def closeChannel(self, reset: bool) -> None:
        """See L{Channel.closeChannel<txconnect.tunnel.kernel.channel.Channel.closeChannel>}."""
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


class ParentChannel(TransportChannel):
    """
    The socket of a plain leg.

    @ivar held: octets that the leg has read already; taken from it by L{takeOver}.
    """

    __slots__ = ("_leg", "held")

    def __init__(self, nested: NestedEpoll, leg: Leg) -> None:
        super().__init__(nested, leg.transport)
        self._leg = leg

    def takeOver(self, late: Callable[[bytes], object]) -> None:
        """
        See L{Channel.takeOver<txconnect.tunnel.kernel.channel.Channel.takeOver>}.

        An endpoint fires with the tunnel before it passes on the octets that came
        after the parent's answer.
        """
        super().takeOver(late)
        self.held = self._leg.handOver(late)
