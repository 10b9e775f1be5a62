"""
The transport relay: two transports as each other's producers.

It serves what the kernel relay cannot: TLS legs, taps, pairs of one's own,
and systems without epoll.  The bytes in flight are bounded by Twisted's own
write buffers: one that is over 64 KiB pauses the transport that fills it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.transports import canHalfClose, wasReset
from txconnect.tunnel.relay import Told
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Closed, Direction
from txconnect.wire.closing import Action, Happening

Tap = Callable[[Direction, bytes], object]


class _Side:
    """
    One leg's side of the relay: counts what arrives and hands it to a half of
    the pair.
    """

    _log = Logger()

    def __init__(
        self,
        told: Told,
        transport: Any,
        half: Any,
        direction: Direction,
        taps: tuple[Tap, ...],
    ) -> None:
        self._told = told
        self.transport = transport
        self.half = half
        self._direction = direction
        self._taps = taps
        self.count = 0
        self.gone = False
        self._aborted = False
        self._closing = False
        up = direction is Direction.UP
        self._ended = Happening.CLIENT_ENDED if up else Happening.DESTINATION_ENDED
        self._closed = Happening.CLIENT_GONE if up else Happening.DESTINATION_GONE
        self._reset = Happening.CLIENT_RESET if up else Happening.DESTINATION_RESET

    def dataReceived(self, data: bytes) -> None:
        if self._aborted or self._closing:
            # A TLS transport reads on behind its end, until the peer's.
            return
        self.count += len(data)
        for tap in self._taps:
            try:
                tap(self._direction, data)
            except BaseException:
                self._failed("a tap failed; its tunnel is cut", Closed.TAP_FAILED)
                return
        self._guarded(self.half.dataReceived, data)

    def readConnectionLost(self) -> None:
        if wasReset(self.transport):
            # Its connectionLost will say so, and the other leg is reset too.
            self.abort()
            return
        if IHalfCloseableProtocol.providedBy(self.half):
            self._guarded(self.half.readConnectionLost)
        self._told.happened(self._ended)

    def writeConnectionLost(self) -> None:
        if IHalfCloseableProtocol.providedBy(self.half):
            self._guarded(self.half.writeConnectionLost)

    def connectionLost(self, reason: Failure) -> None:
        self.gone = True
        self._guarded(self.half.connectionLost, reason)
        clean = reason.check(ConnectionDone) is not None
        if reason.check(ConnectionLost) and hasattr(
            self.transport, "getPeerCertificate"
        ):
            # TLS without close_notify: many a client just ends (RFC 9112, 9.8).
            # What it sent is delivered.  That of our own parents knows a reset.
            clean = not getattr(self.transport, "broken", False)
        self._told.happened(self._closed if clean else self._reset)
        self._told.legLost()

    def end(self) -> None:
        """Send FIN behind what is still to be written."""
        if not self.gone:
            # A producer that is paused just now would swallow the half-close:
            # doWrite resumes it, and never comes back to the end.
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def close(self) -> None:
        """Close behind what is still to be written."""
        self._closing = True
        if not self.gone:
            # A TLS transport with a producer never shuts down.
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        """Reset."""
        if not self.gone and not self._aborted:
            self._aborted = True
            self.transport.unregisterProducer()
            self.transport.abortConnection()

    def guardedConnection(self) -> None:
        """Give the half its transport."""
        self._guarded(self.half.makeConnection, self.transport)

    def _guarded(self, call: Callable[..., object], *arguments: Any) -> None:
        try:
            call(*arguments)
        except BaseException:
            # CancelledError and SystemExit end this tunnel, and nothing else.
            self._failed("a pair failed; its tunnel is cut", Closed.PAIR_FAILED)

    def _failed(self, what: str, reason: Closed) -> None:
        self._log.failure(what)
        self._told.cut(reason)


class TransportRelay:
    """
    See L{txconnect.tunnel.relay.Relay}.

    @param adoptClient: called with the client's side when the relay starts;
        the front tells it everything from then on.
    """

    def __init__(
        self,
        told: Told,
        client: Any,
        adoptClient: Callable[[Any], None],
        leg: Leg,
        pair: tuple[IProtocol, IProtocol],
        taps: tuple[Tap, ...] = (),
    ) -> None:
        server, destination = pair
        self._client = _Side(told, client, server, Direction.UP, taps)
        self._destination = _Side(
            told, leg.transport, destination, Direction.DOWN, taps
        )
        self._adoptClient = adoptClient
        self._leg = leg
        self.canEndClient = canHalfClose(client)
        self.canEndDestination = canHalfClose(leg.transport)

    @property
    def up(self) -> int:
        return self._client.count

    @property
    def down(self) -> int:
        return self._destination.count

    def start(self, early: list[bytes]) -> None:
        client, destination = self._client, self._destination
        if not self._leg.lost:
            # A transport that is gone would stop its new producer at once.
            client.transport.registerProducer(destination.transport, True)
            destination.transport.registerProducer(client.transport, True)
        client.guardedConnection()
        destination.guardedConnection()
        self._adoptClient(client)
        for data in early:
            client.dataReceived(data)
        self._leg.adopt(destination)

    def perform(self, action: Action) -> None:
        side, what = _PERFORM[action]
        what(self._client if side is Direction.UP else self._destination)


_PERFORM: dict[Action, tuple[Direction, Callable[[_Side], None]]] = {
    Action.END_CLIENT: (Direction.UP, _Side.end),
    Action.CLOSE_CLIENT: (Direction.UP, _Side.close),
    Action.ABORT_CLIENT: (Direction.UP, _Side.abort),
    Action.END_DESTINATION: (Direction.DOWN, _Side.end),
    Action.CLOSE_DESTINATION: (Direction.DOWN, _Side.close),
    Action.ABORT_DESTINATION: (Direction.DOWN, _Side.abort),
}
