"""
The pair: the two protocols between which a tunnel's bytes pass.

Subclass them to see or change bytes, and hand them out by an
L{IPairFactory<txconnect.interfaces.IPairFactory>}.  They need not close their legs:
the tunnel passes FIN and reset on by its closing table after it has called the
pair.

A half that waits for something pauses its transport: it is called with neither bytes
nor the end of its leg until it resumes
(L{txconnect.tunnel.halftransport}).

A class that does without the bytes sets C{kernelRelay = True}, so that the kernel
relay can serve its tunnels; see L{_Half.kernelRelay}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from zope.interface import implementer

if TYPE_CHECKING:
    from txconnect.tunnel.halftransport import HalfTransport


@implementer(IHalfCloseableProtocol)
class _Half(Protocol):
    """
    The part that both halves share.

    @ivar peer: the other half; set before C{connectionMade}.
    @ivar transport: this half's own leg; set as C{connectionMade} is called.
    @cvar kernelRelay: C{True} where the class itself does without
        C{dataReceived}, which is then never called, so that the kernel relay
        may serve.  Subclasses must opt in again.  The rest is called as ever;
        the transport has the methods of
        L{HalfTransport<txconnect.tunnel.halftransport.HalfTransport>} and no
        other.
    """

    kernelRelay = False
    peer: _Half
    transport: HalfTransport

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes of this leg on to the other."""
        self.peer.transport.write(data)

    def readConnectionLost(self) -> None:
        """
        The other end of this leg has sent FIN.  Bytes that are written to the
        peer's transport here go out before the FIN is passed on.  One that pauses its
        own transport here holds the FIN until it resumes.
        """

    def writeConnectionLost(self) -> None:
        """FIN has been sent on this leg: nothing more can be written to it."""


class ProxyServer(_Half):
    """The client's half: its C{dataReceived} gets the bytes that the client sends."""


class ProxyClient(_Half):
    """The destination's half: its C{dataReceived} gets the destination's bytes."""


def join(server: Any, client: Any) -> None:
    """Make two halves each other's peers: once, before they are connected."""
    server.peer = client
    client.peer = server
