"""
The pair: the two protocols between which a tunnel's bytes pass.

Subclass them to see or change bytes, and hand them out by an
L{IPairFactory<txconnect.interfaces.IPairFactory>}.  Closing is not theirs:
the tunnel passes FIN and reset on by its closing table after it has told the
pair.
"""

from __future__ import annotations

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from zope.interface import implementer


@implementer(IHalfCloseableProtocol)
class _Half(Protocol):
    """
    What both halves have in common.

    @ivar peer: the other half; set before C{connectionMade}.
    """

    peer: Protocol

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes of this leg on to the other."""
        self.peer.transport.write(data)  # type: ignore[union-attr]

    def readConnectionLost(self) -> None:
        """
        This leg has sent its last byte.  What is written to the peer's
        transport here goes out before the end is passed on.
        """

    def writeConnectionLost(self) -> None:
        """This leg will be sent nothing more."""


class ProxyServer(_Half):
    """The client's leg: its C{dataReceived} gets what the client sends."""


class ProxyClient(_Half):
    """The destination's leg: its C{dataReceived} gets what the destination sends."""
