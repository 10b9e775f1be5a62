"""
Opening one address: what an opener is, and the one that makes transports of the
reactor's.

The other opens sockets for the kernel relay
(L{openSocket<txconnect.tunnel.kernel.socketleg.openSocket>}).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from txconnect.maybeasync import Awaited
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import IPAddress

__all__ = ["Open", "setSocketOptions", "transportOpener"]

Open = Callable[[IPAddress, int], Awaited]
"""
Open a connection to one address and port.  The result, a Deferred or lighter, can be
cancelled, and fails with an exception whose C{osError} is the errno where there is
one.
"""


def setSocketOptions(transport: Any) -> None:
    """
    Set the options of every destination's leg.

    @param transport: a C{tcp.Client}.
    """
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)


class _LegFactory(ClientFactory):
    """Makes one leg, and fires a Deferred with it."""

    noisy = False

    def __init__(self, opened: Deferred[Leg]) -> None:
        self._opened: Deferred[Leg] | None = opened

    def buildProtocol(self, addr: IAddress | None) -> _OpeningLeg:
        return _OpeningLeg(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.tellOutcome(reason)

    def tellOutcome(self, outcome: Leg | Failure) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.callback(outcome)


class _OpeningLeg(Leg):
    """A leg that tells its factory when it is up."""

    def __init__(self, factory: _LegFactory) -> None:
        super().__init__()
        self._opening = factory

    def connectionMade(self) -> None:
        setSocketOptions(self.transport)
        self._opening.tellOutcome(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        # Lost before it was up for its factory: setting an option had failed.
        self._opening.tellOutcome(reason)
        super().connectionLost(reason)


def transportOpener(reactor: Any, bindAddress: tuple[str, int] | None = None) -> Open:
    """
    Open addresses as the reactor's transports.

    C{connectTCP} rather than an endpoint: the leg itself is the transport's
    protocol, with no wrapper in the path of the bytes.

    @param reactor: provides C{IReactorTCP}.
    """

    def openTransport(address: IPAddress, port: int) -> Deferred[Leg]:
        def stop(_: Deferred[Leg]) -> None:
            connector.disconnect()

        opened: Deferred[Leg] = Deferred(stop)
        connector = reactor.connectTCP(
            str(address),
            port,
            _LegFactory(opened),
            # The race has one deadline for all attempts together.
            timeout=None,
            bindAddress=bindAddress,
        )
        return opened

    return openTransport
