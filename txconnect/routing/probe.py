"""
A probe of a parent: a connection, with TLS where the parent speaks that, which
requests nothing and ends.

No CONNECT is sent: the proxy would have to choose a destination, and a parent
would log, count and perhaps refuse a request that no client has made.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IHandshakeListener)
class _ProbeProtocol(Protocol):
    """
    The connection of one probe.

    @ivar ended: fires when the connection has been up, and is gone; fails when
        it is lost before it was up.
    """

    # TCP or TLS; Protocol declares an ITransport, which cannot be aborted.
    transport: Any = None

    def __init__(self, encrypted: bool) -> None:
        self._encrypted = encrypted
        self._up = False
        self.ended: Deferred[None] = Deferred(
            lambda _: self.transport.abortConnection()
        )

    def connectionMade(self) -> None:
        if not self._encrypted:
            self._endConnection()

    def handshakeCompleted(self) -> None:
        """End the connection: the parent's certificate is the right one."""
        self._endConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self.ended.called:
            return
        if self._up:
            self.ended.callback(None)
        else:
            self.ended.errback(reason)

    def _endConnection(self) -> None:
        self._up = True
        if self._encrypted:
            # loseConnection would wait for the parent's close_notify.
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()


def probeEndpoint(endpoint: IStreamClientEndpoint, encrypted: bool) -> Deferred[None]:
    """
    Connect to an endpoint, and end the connection.

    @param encrypted: true when C{endpoint} speaks TLS.
    @return: fires when the connection is gone.  Has no deadline; cancelling it
        leaves nothing open.
    """

    def buildProbe() -> _ProbeProtocol:
        return _ProbeProtocol(encrypted)

    connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(buildProbe))
    return connecting.addCallback(lambda connected: connected.ended)
