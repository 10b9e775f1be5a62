"""
A look at whether a parent can be reached: a connection, with TLS where it
speaks that, which asks for nothing and ends.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IHandshakeListener)
class _Probe(Protocol):
    """
    One connection.

    @ivar ended: fires when it has been up, and is gone; fails when it is lost
        before it was up.
    """

    transport: Any = None

    def __init__(self, encrypted: bool) -> None:
        self._encrypted = encrypted
        self._up = False
        self.ended: Deferred[None] = Deferred(
            lambda _: self.transport.abortConnection()
        )

    def connectionMade(self) -> None:
        if not self._encrypted:
            self._isUp()

    def handshakeCompleted(self) -> None:
        """TLS stands, and the parent's certificate is the right one."""
        self._isUp()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self.ended.called:
            return
        if self._up:
            self.ended.callback(None)
        else:
            self.ended.errback(reason)

    def _isUp(self) -> None:
        self._up = True
        if self._encrypted:
            # In order, TLS would wait for the parent's word on it.
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()


def probe(endpoint: IStreamClientEndpoint, encrypted: bool) -> Deferred[None]:
    """
    Connect, and end.

    @param encrypted: whether C{endpoint} speaks TLS.
    @return: fires when all that is over.  Without a deadline of its own;
        cancelling it leaves nothing behind.
    """

    def build() -> _Probe:
        return _Probe(encrypted)

    connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(build))
    return connecting.addCallback(lambda made: made.ended)
