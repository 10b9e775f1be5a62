"""
The destination's connection, from the moment it is up.

Between the dialler and the tunnel no octet may be lost: octets that arrive before a
tunnel adopts the leg are held (one read, then the transport is paused) and passed on
later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol as Shape

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer


class Side(Shape):
    """One side of a relay: it gets the events of a connection that it adopted."""

    def dataReceived(self, data: bytes) -> None:
        """Take bytes that have arrived."""

    def readConnectionLost(self) -> None:
        """Note that FIN has arrived; the connection can still be written to."""

    def writeConnectionLost(self) -> None:
        """Note that our FIN has left; the connection can still be read."""

    def connectionLost(self, reason: Failure) -> None:
        """Note that the connection is gone."""


@implementer(IHalfCloseableProtocol)
class Leg(Protocol):
    """
    The destination's leg.  It stays its transport's protocol for good, because
    C{transport.protocol} cannot be changed through TLS and other wrappers.

    @ivar ended: whether the FIN of the other end has been read.
    @ivar lost: the reason why the connection is gone already, or L{None}.
    """

    # Any connected stream transport, of the reactor or of a wrapper.
    transport: Any = None

    def __init__(self) -> None:
        self._side: Side | None = None
        self._held: list[bytes] = []
        # Gets bytes alone; the side's own dataReceived, where there is a side.
        self._late: Callable[[bytes], object] | None = None
        self.ended = False
        self.lost: Failure | None = None

    @property
    def paused(self) -> bool:
        """Tell whether it holds octets, and is not read because of them."""
        return bool(self._held) and self.lost is None and not self.ended

    def handOver(self, late: Callable[[bytes], object]) -> list[bytes]:
        """
        Let the caller read the connection from now on, and see its ends.

        @param late: called with octets that arrive here all the same.
        @return: the octets that were held so far.
        """
        self._late = late
        self.dataReceived = late  # type: ignore[method-assign,assignment]
        held, self._held = self._held, []
        return held

    def adopt(self, side: Side, resume: Callable[[], object] | None = None) -> None:
        """
        Pass all events to C{side} from now on, and the octets held so far.

        Called once, by the relay, when it is ready.

        @param resume: reads on where it is L{paused}, in place of the
            transport's C{resumeProducing}.
        """
        self._side = side
        paused = self.paused
        for data in self.handOver(side.dataReceived):
            side.dataReceived(data)
        if self.lost is not None:
            side.connectionLost(self.lost)
        elif self.ended:
            side.readConnectionLost()
        elif paused:
            (resume or self.transport.resumeProducing)()

    def abort(self) -> None:
        """Reset the connection: no tunnel will have it."""
        if self.lost is None and self.transport is not None:
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._late is not None:
            # The code that handed the connection on has kept this bound method.
            self._late(data)
            return
        self._held.append(data)
        self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        self.ended = True
        if self._side is not None:
            self._side.readConnectionLost()

    def writeConnectionLost(self) -> None:
        if self._side is not None:
            self._side.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = reason
        if self._side is not None:
            self._side.connectionLost(reason)
