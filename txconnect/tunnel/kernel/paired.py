"""
The kernel relay with a pair that does without the bytes.

Its halves see none of them, but each is connected to its leg, may write, pause
and close, and is told of the ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.tunnel.halftransport import BUFFER, HalfTransport
from txconnect.tunnel.kernel.channel import Channel
from txconnect.tunnel.kernel.flow import Flow
from txconnect.tunnel.kernel.relay import KernelRelay
from txconnect.tunnel.relay import Pause
from txconnect.values import Closed, Direction
from txconnect.wire.closing import Action, Happening


class LegTransport(HalfTransport):
    """
    See L{HalfTransport}.

    @param direction: the one that begins at the leg.
    @param flow: the one that ends there.
    """

    def __init__(self, relay: PairedRelay, direction: Direction, flow: Flow) -> None:
        super().__init__()
        self._relay = relay
        self._direction = direction
        self._flow = flow
        self._host = flow.sink.getHost()
        self._peer = flow.sink.getPeer()
        # Octets of a producer that is pulled, written in this turn.
        self._burst = 0

    @property
    def disconnecting(self) -> bool:
        """See L{HalfTransport.disconnecting}."""
        return self._flow.closing or self._flow.sink.lost

    def getPeer(self) -> IAddress:
        """See C{ITransport}."""
        return self._peer

    def getHost(self) -> IAddress:
        """See C{ITransport}."""
        return self._host

    def drained(self) -> None:
        """See L{HalfTransport.drained}."""
        self._burst = 0
        super().drained()

    def _send(self, data: bytes) -> None:
        flow = self._flow
        flow.write(data)
        if self._full:
            return
        self._burst += len(data)
        if flow.waiting > BUFFER:
            flow.whenDrained = self.drained
            self.full()
        elif self._burst > BUFFER and not self._streaming:
            # The leg takes it all: the others have their turns between.
            self.full()
            self._relay.nextTurn(self.drained)

    def _close(self) -> None:
        self._flow.closeSink()

    def _reset(self) -> None:
        self._flow.sink.broken()

    def _pauseReading(self) -> Pause:
        return self._relay.pause(self._direction)

    def _guarded(self, call: Callable[..., object], *arguments: Any) -> None:
        self._relay.tell(call, *arguments)

    def _overflowed(self) -> None:
        self._relay.cut(Closed.PAIR_FAILED)


class PairedRelay(KernelRelay):
    """See L{txconnect.tunnel.relay.Relay}."""

    __slots__ = ("_sides",)

    hearsFin = True

    _log = Logger()

    # A half, and its transport.
    _sides: dict[Channel, tuple[Any, LegTransport]]

    def pair(self, pair: tuple[Any, Any]) -> None:
        """Give the relay its pair, joined; called once, before it is started."""
        server, client = pair
        self._sides = {
            self._up.source: (server, LegTransport(self, Direction.UP, self._down)),
            self._up.sink: (client, LegTransport(self, Direction.DOWN, self._up)),
        }

    def start(self, early: list[bytes]) -> None:
        # The 200, then what the halves say, then what either side has said.
        if self.unsent:
            self._down.write(self.unsent)
            self.unsent = b""
        for half, transport in list(self._sides.values()):
            self.tell(half.makeConnection, transport)
        super().start(early)

    def perform(self, action: Action) -> None:
        side = self._sides.get(self.legOf(action))
        super().perform(action)
        if side is not None:
            side[1].lost()

    def inputEnded(self, channel: Channel) -> None:
        half, _ = self._sides[channel]
        if IHalfCloseableProtocol.providedBy(half):
            self.tell(half.readConnectionLost)
        if not channel.lost:
            super().inputEnded(channel)

    def finSent(self, channel: Channel) -> None:
        half, _ = self._sides[channel]
        if IHalfCloseableProtocol.providedBy(half):
            self.tell(half.writeConnectionLost)

    def gone(self, channel: Channel, reset: bool) -> None:
        half, transport = self._sides.pop(channel)
        transport.lost()
        reason = Failure(ConnectionLost() if reset else ConnectionDone())
        self.tell(half.connectionLost, reason)
        # News only where the half itself has closed it.
        isClient = channel is self._up.source
        self._events.happened(
            Happening.CLIENT_GONE if isClient else Happening.DESTINATION_GONE
        )
        super().gone(channel, reset)

    def tell(self, call: Callable[..., object], *arguments: object) -> None:
        """Call what is a half's; what raises ends the tunnel."""
        try:
            call(*arguments)
        except BaseException:
            # CancelledError and SystemExit end this tunnel, and nothing else.
            self._log.failure("a pair failed; its tunnel is cut")
            self.cut(Closed.PAIR_FAILED)

    def nextTurn(self, call: Callable[[], object]) -> None:
        """Call C{call} in the reactor's next turn."""
        self._kernel.nested.reactor.callLater(0, call)
