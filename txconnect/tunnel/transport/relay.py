"""
The transport relay: two transports, and a pair of protocols between them.

It serves the tunnels that the kernel relay cannot: TLS legs, pairs of a
factory's, C{unix:} listeners, and systems without epoll.  The bytes in flight are
bounded by Twisted's own write buffers: one that is over 64 KiB pauses the side that
fills it (L{txconnect.tunnel.transport.side}).

The stock pair gets the transports themselves, which it only writes to; each half of
a factory's pair gets a L{SideTransport}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IProtocol

from txconnect.transports import (
    PromptWriter,
    StreamTransport,
    canHalfClose,
    countUndelivered,
)
from txconnect.tunnel.relay import Pause, RelayEvents
from txconnect.tunnel.taps import TapGate
from txconnect.tunnel.transport.leg import Leg, Side
from txconnect.tunnel.transport.side import (
    BackPressure,
    RelaySide,
    SideTransport,
)
from txconnect.values import Direction
from txconnect.wire.closing import Action


class TransportRelay:
    """
    See L{txconnect.tunnel.relay.Relay}.

    @param adoptClient: called with the client's side when the relay starts;
        the front passes all events to it from then on.
    @param isStock: whether the pair is the proxy's own: it only writes to its
        transports, so that these may be the legs', and is not called at ends.
    @param inputEnded: whether the client's FIN was read before the relay was made:
        it comes behind the early data.
    """

    def __init__(
        self,
        events: RelayEvents,
        client: StreamTransport,
        adoptClient: Callable[[Side], None],
        leg: Leg,
        pair: tuple[IProtocol, IProtocol],
        gate: TapGate | None = None,
        isStock: bool = False,
        inputEnded: bool = False,
    ) -> None:
        server, destination = pair
        self._client = RelaySide(events, client, server, Direction.UP, isStock)
        self._destination = RelaySide(
            events, leg.transport, destination, Direction.DOWN, isStock
        )
        if gate is not None:
            self._client.closeGate(gate)
            self._destination.closeGate(gate)
        self._client.backPressure = BackPressure(self._destination)
        self._destination.backPressure = BackPressure(self._client)
        self._adoptClient = adoptClient
        self._leg = leg
        self._isStock = isStock
        self._inputEnded = inputEnded
        self.canEndClient = canHalfClose(client)
        self.canEndDestination = canHalfClose(leg.transport)

    @property
    def up(self) -> int:
        return self._client.count

    @property
    def down(self) -> int:
        return self._destination.count

    @property
    def activity(self) -> int:
        client, destination = self._client, self._destination
        return client.count + client.written + destination.count + destination.written

    def start(self, early: bytes) -> None:
        client, destination = self._client, self._destination
        # Both before a half is connected: its first write may fill a buffer.
        for side in (client, destination):
            side.transport.registerProducer(side.backPressure, True)
        for side in (client, destination):
            side.connectHalf(
                PromptWriter.of(side.transport)
                if self._isStock
                else SideTransport(side)
            )
        self._adoptClient(client)
        if early:
            client.dataReceived(early)
        # Octets that it has read already have paused it; the halves may have, too.
        reading = destination.pauseReading() if self._leg.paused else None
        self._leg.adopt(destination, None if reading is None else reading.release)
        if self._inputEnded and not client.isClosed:
            client.readConnectionLost()

    def perform(self, action: Action) -> None:
        direction, act = _PERFORM[action]
        act(self._sideOf(direction))

    def pause(self, direction: Direction) -> Pause:
        return self._sideOf(direction).pauseDirection()

    def undelivered(self) -> int:
        return sum(
            countUndelivered(side.transport)
            for side in (self._client, self._destination)
            if not side.gone
        )

    def _sideOf(self, direction: Direction) -> RelaySide:
        """Return the side at which a direction begins."""
        return self._client if direction is Direction.UP else self._destination


_PERFORM: dict[Action, tuple[Direction, Callable[[RelaySide], None]]] = {
    Action.END_CLIENT: (Direction.UP, RelaySide.sendFin),
    Action.CLOSE_CLIENT: (Direction.UP, RelaySide.closeLeg),
    Action.ABORT_CLIENT: (Direction.UP, RelaySide.resetLeg),
    Action.END_DESTINATION: (Direction.DOWN, RelaySide.sendFin),
    Action.CLOSE_DESTINATION: (Direction.DOWN, RelaySide.closeLeg),
    Action.ABORT_DESTINATION: (Direction.DOWN, RelaySide.resetLeg),
}
