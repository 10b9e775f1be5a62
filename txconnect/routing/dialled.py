"""
An endpoint on the proxy's own look-ups and dialler, for the connection to a
parent itself.

Not a L{HostnameEndpoint<twisted.internet.endpoints.HostnameEndpoint>}: a
parent shares the cache, the bounds and the errors of the proxy's look-ups, and
its connection becomes a L{Leg}, so that the tunnel gets every octet that the
parent sends after its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.dialing.dialer import Dialer
from txconnect.dialing.lookups import Lookups
from txconnect.transports import wasReset
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Authority, IPAddress, Reached


@implementer(IStreamClientEndpoint)
class DialledEndpoint:
    """
    An endpoint that connects as the proxy connects to a destination: one
    look-up, Happy Eyeballs, one deadline.  No policy judges the address,
    because the operator named it.
    """

    def __init__(self, lookups: Lookups, dialer: Dialer, authority: Authority) -> None:
        """
        @param dialer: opens transports, not sockets.
        """
        self._lookups = lookups
        self._dialer = dialer
        self._authority = authority

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}.

        @return: the protocol.  Fails with L{txconnect.errors.Refused}.
        """
        addresses: Deferred[Any] = maybeDeferred(self._lookupAddresses)
        reached = addresses.addCallback(self._dialer.dial, self._authority.port)
        connected: Deferred[IProtocol] = reached.addCallback(
            _buildProtocol, protocolFactory
        )
        return connected

    def _lookupAddresses(
        self,
    ) -> Sequence[IPAddress] | Deferred[tuple[IPAddress, ...]]:
        address = self._authority.address
        if address is not None:
            return (address,)
        return self._lookups.lookup(self._authority.lookupName)


def _buildProtocol(reached: Reached, factory: IProtocolFactory) -> IProtocol:
    leg: Leg = reached.leg
    transport = leg.transport
    try:
        protocol = factory.buildProtocol(transport.getPeer())
        if protocol is None:
            raise NoProtocol
        protocol.makeConnection(transport)
    except BaseException:
        # Even a KeyboardInterrupt must not leave a connection without an owner.
        leg.abort()
        raise
    leg.adopt(_ProtocolSide(protocol, transport))
    return protocol


class _ProtocolSide:
    """
    The side of a leg that passes the connection's events to a protocol.

    The methods are looked up at each call: a protocol that hands its
    connection on replaces them.
    """

    def __init__(self, protocol: IProtocol, transport: ITCPTransport) -> None:
        self._protocol = protocol
        self._transport = transport
        self._halfCloseable: IHalfCloseableProtocol | None = IHalfCloseableProtocol(
            protocol, None
        )

    def dataReceived(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def readConnectionLost(self) -> None:
        if self._halfCloseable is None:
            # Twisted may report a reset this way too; it must not look like an
            # end of input then.
            if wasReset(self._transport):
                self._transport.abortConnection()
            else:
                self._transport.loseConnection()
        else:
            self._halfCloseable.readConnectionLost()

    def writeConnectionLost(self) -> None:
        if self._halfCloseable is not None:
            self._halfCloseable.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        self._protocol.connectionLost(reason)
