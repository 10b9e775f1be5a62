"""
The destination's connection, from the moment it is up.

Between the dialler and the tunnel nothing may be lost: what arrives before a
tunnel adopts the leg is held (one read, then the transport is paused) and
told again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol as Shape

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer


class Side(Shape):
    """One side of a relay: what a connection tells once it is adopted."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes have arrived."""

    def readConnectionLost(self) -> None:
        """FIN has arrived; the connection can still be written to."""

    def writeConnectionLost(self) -> None:
        """Our FIN has left; the connection can still be read."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""


@implementer(IHalfCloseableProtocol)
class Leg(Protocol):
    """
    The destination's leg.  It stays its transport's protocol for good.

    @ivar ended: whether the FIN of the other end has been read.
    @ivar lost: why the connection is gone already, or L{None}.
    """

    # Any connected stream transport, of the reactor or of a wrapper.
    transport: Any = None

    def __init__(self) -> None:
        self._side: Side | None = None
        self._held: list[bytes] = []
        # Told of bytes alone; the side's own, where there is one.
        self._late: Callable[[bytes], object] | None = None
        self.ended = False
        self.lost: Failure | None = None

    @property
    def paused(self) -> bool:
        """Tell whether it holds something, and is not read for that."""
        return bool(self._held) and self.lost is None and not self.ended

    def handOver(self, late: Callable[[bytes], object]) -> list[bytes]:
        """
        Let somebody else read the connection from now on, and see its ends.

        @param late: called with what is told here all the same.
        @return: what was held so far.
        """
        self._late = late
        self.dataReceived = late  # type: ignore[method-assign,assignment]
        held, self._held = self._held, []
        return held

    def adopt(self, side: Side, resume: Callable[[], object] | None = None) -> None:
        """
        Tell C{side} everything from now on, and what was held so far.

        Called once, by the relay, when it is ready to be told.

        @param resume: reads on where it is L{paused}, in place of the
            transport's own.
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
        """Reset the connection; nobody wants it any more."""
        if self.lost is None and self.transport is not None:
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._late is not None:
            # Whoever handed the connection on has remembered this method.
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
