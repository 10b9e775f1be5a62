"""
An accepted connection that the nested epoll watches from the start.

Most connections carry one head and then a tunnel of the kernel relay.  For these a
transport of the reactor's is only a detour: it is made, registered, read once, taken
out again, and stays in memory for as long as the tunnel.  So a port of the command
accepts here (L{acceptOn}): the connection is read in the nested epoll, its octets go to
its protocol, and the relay takes it over as it is.

Everything else that a transport can do (writing an answer, pausing, closing) is done
by one of Twisted's own, a C{tcp.Server} on the same socket, made when it is first
needed.  So refusals, lingering, taps and pairs take the way that they always took,
and none of it is written twice.

The port stays a C{tcp.Port} of Twisted's.  Only where it is watched, and the class of
its connections, are changed, by the two attributes that are meant for it; accepting,
running out of descriptors and C{stopListening} are Twisted's.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import (
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.tunnel.kernel.nested import IN, NestedEpoll, SocketChannel
from txconnect.values import Closed

READ = 65536
"""Octets that are read at once."""

_DONE = Failure(ConnectionDone())
_ABORTED = Failure(ConnectionAborted())


@implementer(ITCPTransport, IPushProducer)
class ClientSocket(SocketChannel):
    """
    An accepted socket: its protocol's transport, then a channel.

    @ivar server: the port that has accepted it.
    """

    __slots__ = (
        "_address",
        "_number",
        "_peer",
        "_protocol",
        "_reactor",
        "_transport",
        "server",
    )

    def __init__(
        self,
        nested: NestedEpoll,
        skt: Any,
        protocol: IProtocol,
        address: tuple[Any, ...],
        server: tcp.Port,
        number: int,
        reactor: Any,
    ) -> None:
        """
        The parameters but the first are those of a C{tcp.Server}; C{reactor} is
        that of the port.
        """
        skt.setblocking(False)
        super().__init__(nested, skt)
        self.server = server
        self._protocol: Any = protocol
        self._address = address
        self._number = number
        self._reactor = reactor.reactor
        self._peer: IPv4Address | IPv6Address | None = None
        self._transport: tcp.Server | None = None
        nested.watch(self.descriptor, IN, _HeadReader(self))
        self._mask = IN

    # A transport, as far as a tunnel of the kernel relay needs one

    def getPeer(self) -> IPv4Address | IPv6Address:
        """See C{ITransport}."""
        if self._peer is None:
            made = IPv4Address if len(self._address) == 2 else IPv6Address
            self._peer = made("TCP", *self._address)
        return self._peer

    def getHost(self) -> IPv4Address | IPv6Address:
        """See C{ITransport}."""
        address = self.socket.getsockname()
        made = IPv4Address if len(address) == 2 else IPv6Address
        return made("TCP", *address)

    def getHandle(self) -> Any:
        """See C{ITCPTransport}."""
        return self.socket

    # A transport, by one of the reactor's

    @property
    def isBare(self) -> bool:
        """Tell whether no transport of the reactor's has been made of it."""
        return self._transport is None

    def asTransport(self) -> tcp.Server:
        """
        Return the reactor's transport of this socket, which is made once.

        It reads the socket from now on, and calls the protocol.
        """
        transport = self._transport
        if transport is None:
            self.stopWatching()
            transport = self._transport = tcp.Server(
                self.socket,
                self._protocol,
                self._address,
                self.server,
                self._number,
                self._reactor,
            )
        return transport

    def write(self, data: bytes) -> None:
        """See C{ITransport}."""
        self.asTransport().write(data)

    def writeSequence(self, data: Any) -> None:
        """See C{ITransport}."""
        self.asTransport().writeSequence(data)

    def loseConnection(self) -> None:
        """See C{ITransport}."""
        self.asTransport().loseConnection()

    def loseWriteConnection(self) -> None:
        """See C{ITCPTransport}."""
        self.asTransport().loseWriteConnection()

    def abortConnection(self) -> None:
        """See C{ITCPTransport}."""
        self.asTransport().abortConnection()

    def pauseProducing(self) -> None:
        """See C{IPushProducer}."""
        self.asTransport().pauseProducing()

    def resumeProducing(self) -> None:
        """See C{IPushProducer}."""
        self.asTransport().resumeProducing()

    def stopProducing(self) -> None:
        """See C{IPushProducer}."""
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See C{IConsumer}."""
        self.asTransport().registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """See C{IConsumer}."""
        self.asTransport().unregisterProducer()

    def getTcpNoDelay(self) -> bool:
        """See C{ITCPTransport}."""
        return bool(self.asTransport().getTcpNoDelay())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See C{ITCPTransport}."""
        self.asTransport().setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """See C{ITCPTransport}."""
        return bool(self.asTransport().getTcpKeepAlive())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """See C{ITCPTransport}."""
        self.asTransport().setTcpKeepAlive(enabled)

    # A channel

    def takeOver(self, late: object) -> None:
        """See L{Channel.takeOver<txconnect.tunnel.kernel.channel.Channel.takeOver>}."""
        # Watched for input already.
        self._nested.handOver(self.descriptor, self)

    def giveBack(self) -> None:
        """See L{Channel.giveBack<txconnect.tunnel.kernel.channel.Channel.giveBack>}."""
        self._nested.handOver(self.descriptor, _HeadReader(self))

    def closeChannel(self, reset: bool) -> None:
        """See L{Channel.closeChannel<txconnect.tunnel.kernel.channel.Channel.closeChannel>}."""
        self.closeSocket(reset)
        protocol, self._protocol = self._protocol, None
        protocol.connectionLost(_ABORTED if reset else _DONE)

    # Called by the reader

    def connectionBroken(self, reason: Failure) -> None:
        """End it, as of the reactor: it was reset, or its protocol has raised."""
        self.asTransport().connectionLost(reason)


class _HeadReader:
    """Reads a connection for its protocol, until a relay takes it over."""

    __slots__ = ("_client",)

    def __init__(self, client: ClientSocket) -> None:
        self._client = client

    def eventsReady(self, events: int) -> None:
        """Read once, and pass the octets on."""
        client = self._client
        try:
            data = client.receive(READ)
        except BlockingIOError:
            return
        except OSError as error:
            client.connectionBroken(Failure(ConnectionLost(str(error))))
            return
        if data:
            client._protocol.dataReceived(data)
        else:
            # Its transport reads the end once more, and tells the protocol.
            client.asTransport()

    def watchLost(self, reason: Closed) -> None:
        """End the connection: its protocol has raised, or the reactor stops."""
        self._client.connectionBroken(Failure(ConnectionLost(reason.value)))


class _NestedPort:
    """
    The reactor of a port that the nested epoll watches.

    @ivar reactor: the real one, which has all the rest.
    """

    def __init__(self, nested: NestedEpoll) -> None:
        self.reactor = nested.reactor
        self._nested = nested

    def addReader(self, port: tcp.Port) -> None:
        """See C{IReactorFDSet}."""
        self._nested.watch(port.fileno(), IN, _PortReader(port))

    def removeReader(self, port: tcp.Port) -> None:
        """See C{IReactorFDSet}."""
        self._nested.unwatch(port.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reactor, name)


class _PortReader:
    """Has a port accept."""

    def __init__(self, port: tcp.Port) -> None:
        self._port = port

    def eventsReady(self, events: int) -> None:
        """Accept the connections that wait, or some of them."""
        if events & IN:
            self._port.doRead()
        else:
            # Another process has shut the socket that both listen on.
            self._port.connectionLost(_DONE)

    def watchLost(self, reason: Closed) -> None:
        """Close the port: the reactor stops."""
        self._port.connectionLost(_DONE)


def acceptOn(nested: NestedEpoll, port: tcp.Port) -> None:
    """
    Have a port accept in the nested epoll from now on.

    @param port: exactly a C{tcp.Port} that listens, whose factory makes the
        protocols of plain connections.
    """
    port.stopReading()
    port.reactor = _NestedPort(nested)  # type: ignore[assignment]
    port.transport = partial(ClientSocket, nested)  # type: ignore[assignment]
    port.startReading()
