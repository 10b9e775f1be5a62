"""
The properties that all connections of one port share: found out once a port,
instead of asked of the kernel for each connection.
"""

from __future__ import annotations

import socket
from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IAddress, ITransport
from twisted.protocols.policies import ProtocolWrapper

from txconnect.fronts.accepting import AcceptGuard
from txconnect.ownaddresses import OwnListeners
from txconnect.tunnel.kernel.clientsocket import ClientSocket

_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    # An urgent octet is one of the stream, as RFC 6093, 4 asks for.  Left to
    # the system, it would be dropped.
    (socket.SOL_SOCKET, socket.SO_OOBINLINE),
)


# The transports whose port can be asked.
_WITH_PORT = (tcp.Server, ClientSocket)


class _Port:
    """
    One port.

    @ivar host: the address to which all its connections come, or L{None}
        where it listens on several.
    @ivar inherited: whether its connections begin with the options they need.
    """

    def __init__(self, first: tcp.Server | ClientSocket) -> None:
        host: IAddress = first.getHost()
        self.host = host if first.server.getHost() == host else None
        self._socket: socket.socket = first.server.socket
        self._asked = False
        self.inherited = False

    def prepareSocket(self, handle: socket.socket) -> None:
        """
        Set the options of each connection, until they inherit them from the port.

        On Linux an accepted socket begins with the options that its port had
        when the handshake ended, and is accepted in the order of these ends.
        So after the first that came with them all have them; until then some
        may be older than the port's options.
        """
        if self._asked and all(handle.getsockopt(*option) for option in _OPTIONS):
            self.inherited = True
            return
        for option in _OPTIONS:
            handle.setsockopt(*option, 1)
            if not self._asked:
                self._socket.setsockopt(*option, 1)
        self._asked = True


class Ports:
    """
    The ports of one proxy, by Twisted's port objects.

    @param listeners: gets the address of each.
    @param guard: gets each, and pauses them when descriptors run out.
    """

    def __init__(self, listeners: OwnListeners, guard: AcceptGuard) -> None:
        self._listeners = listeners
        self._guard = guard
        self._known: WeakKeyDictionary[tcp.Port, _Port] = WeakKeyDictionary()

    def prepareAccepted(self, transport: Any) -> IAddress | None:
        """
        Prepare a connection: no delay, keep-alive, urgent octets in line.

        @param transport: just accepted, by any kind of listener.
        @return: the address to which it came, or L{None} where only the
            connection itself knows it, perhaps not yet: see L{hostOf}.
        """
        # A wrapper's connection, or one that was adopted, has no port to ask.
        if type(transport) not in _WITH_PORT or transport.server is None:
            server = _prepareTransport(transport)
            if server is not None and server.server is not None:
                self._guard.watch(server.server)
            return None
        port = self._known.get(transport.server)
        if port is None:
            port = self._known[transport.server] = _Port(transport)
            self.hostOf(transport)
            self._guard.watch(transport.server)
        if not port.inherited:
            port.prepareSocket(transport.getHandle())
        return port.host

    def hostOf(self, transport: ITransport) -> IAddress:
        """
        Return the address of this proxy to which a connection came.

        A wrapper, as for the PROXY protocol, knows it with the first octets.
        """
        host: IAddress = transport.getHost()
        self._listeners.addListener(host)
        return host


def _prepareTransport(transport: object) -> tcp.Server | None:
    """Set the options of a connection; return it without its wrappers."""
    # A wrapper passes nearly all on; the socket below TLS it does not show.
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    if not isinstance(transport, tcp.Server):
        return None
    if not isinstance(transport, unix.Server):
        for option in _OPTIONS:
            transport.getHandle().setsockopt(*option, 1)
    return transport
