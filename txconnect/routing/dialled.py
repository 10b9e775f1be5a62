"""
An endpoint for the look-ups and the dialler of the proxy: how a parent itself
is reached.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.dialing.dialer import Dialer
from txconnect.dialing.lookups import Lookups
from txconnect.transports import wasReset
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Authority, Reached


@implementer(IStreamClientEndpoint)
class DialledEndpoint:
    """
    Connects as the proxy connects to a destination: one look-up, Happy
    Eyeballs, one deadline.  No policy is asked: the operator named the place.
    """

    def __init__(self, lookups: Lookups, dialer: Dialer, authority: Authority) -> None:
        """
        @param dialer: opens transports, not sockets.
        """
        self._lookups = lookups
        self._dialer = dialer
        self._authority = authority

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        See L{IStreamClientEndpoint.connect}.

        @return: the protocol.  Fails with L{txconnect.errors.Refused}.
        """
        addresses: Deferred[Any] = maybeDeferred(self._addresses)
        reached = addresses.addCallback(self._dialer.dial, self._authority.port)
        return reached.addCallback(_connected, protocolFactory)

    def _addresses(self) -> Any:
        address = self._authority.address
        if address is not None:
            return (address,)
        return self._lookups.lookup(self._authority.lookupName)


def _connected(reached: Reached, factory: IProtocolFactory) -> Any:
    leg: Leg = reached.leg
    transport = leg.transport
    try:
        protocol = factory.buildProtocol(transport.getPeer())
        if protocol is None:
            raise NoProtocol
        protocol.makeConnection(transport)
    except BaseException:
        leg.abort()
        raise
    leg.adopt(_Onward(protocol, transport))
    return protocol


class _Onward:
    """
    Tells a protocol what its connection tells the leg.

    The methods are looked up at each call: a protocol that hands its
    connection on replaces them.
    """

    def __init__(self, protocol: Any, transport: Any) -> None:
        self._protocol = protocol
        self._transport = transport
        self._halfCloseable: Any = IHalfCloseableProtocol(protocol, None)

    def dataReceived(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def readConnectionLost(self) -> None:
        if self._halfCloseable is None:
            # A reset may be told so too, and must not look like an end then.
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
