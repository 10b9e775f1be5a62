"""
The pair: the two protocols between which a tunnel's bytes pass.

Subclass them to see or change bytes, and hand them out by an
L{IPairFactory<txconnect.interfaces.IPairFactory>}.  Closing is not theirs:
the tunnel passes FIN and reset on by its closing table after it has told the
pair.

A class that wants to know of its tunnel and not see the bytes says so with
C{kernelRelay = True}; see L{_Half.kernelRelay}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from zope.interface import implementer


@implementer(IHalfCloseableProtocol)
class _Half(Protocol):
    """
    The part that both halves have in common.

    @ivar peer: the other half; set before C{connectionMade}.
    @cvar kernelRelay: C{True} where the class itself does without
        C{dataReceived}, which is then never called, so that the kernel relay
        may serve.  Subclasses must opt in again.  The rest is called as ever;
        the transport has the methods of
        L{HalfTransport<txconnect.tunnel.halftransport.HalfTransport>} and no
        other.
    """

    kernelRelay = False
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


def join(server: Any, client: Any) -> None:
    """Make two halves each other's peers: once, before they are connected."""
    server.peer = client
    client.peer = server
