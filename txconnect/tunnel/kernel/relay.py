"""
The kernel relay: two channels and two flows, for bytes that no Python code looks at.

All channels of a process are watched by one nested epoll, whose descriptor is a
single reader to the reactor (L{txconnect.tunnel.kernel.nested}), so that a chunk is a
C{recv} and a C{send} and no trip through a reactor's bookkeeping.  A
L{Flow<txconnect.tunnel.kernel.flow.Flow>} moves the octets of one direction.

The channel reports the happenings of its leg to its events, which are the tunnel; the
tunnel follows the closing table (L{txconnect.wire.closing}), whose actions come back
to L{KernelRelay.perform}.  C{END_CLIENT} is thus a FIN by the I{down} flow: the one
that ends at the client.
"""

from __future__ import annotations

from collections.abc import Callable

from txconnect.tunnel.kernel.channel import Channel
from txconnect.tunnel.kernel.flow import Flow
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.kernel.pipes import Pipes
from txconnect.tunnel.relay import CLIENT, DESTINATION, Pause, RelayEvents
from txconnect.tunnel.taps import TapGate
from txconnect.values import Direction
from txconnect.wire.closing import Action


class KernelResources:
    """
    The resources that all kernel relays of a proxy share.

    @ivar nested: watches their sockets.
    @ivar pipes: lends them pipes.
    """

    def __init__(self, nested: NestedEpoll) -> None:
        self.nested = nested
        self.pipes = Pipes()

    def closePipes(self) -> None:
        """Close the pipes; all relays have ended."""
        self.pipes.close()


class KernelRelay:
    """
    See L{txconnect.tunnel.relay.Relay}.  An action on a leg is one on the flow
    that ends there.

    @ivar unsent: the rest of the 200 that has not left yet; set before L{start}.
    """

    __slots__ = ("__weakref__", "_down", "_up", "unsent")

    canEndClient = True
    canEndDestination = True

    def __init__(
        self, pipes: Pipes, events: RelayEvents, client: Channel, destination: Channel
    ) -> None:
        self._up = Flow(client, destination, pipes)
        self._down = Flow(destination, client, pipes)
        client.events = destination.events = events
        client.happenings, destination.happenings = CLIENT, DESTINATION
        self.unsent = b""

    @property
    def up(self) -> int:
        return self._up.taken

    @property
    def down(self) -> int:
        return self._down.taken

    @property
    def activity(self) -> int:
        up, down = self._up, self._down
        return up.taken + up.later + down.taken + down.later

    def closeGate(self, gate: TapGate) -> None:
        """Show all octets to taps, until they let go; called before L{takeChannels}."""
        for direction, flow in ((Direction.UP, self._up), (Direction.DOWN, self._down)):
            flow.closeGate(gate.guard(direction, flow))

    def takeChannels(self) -> None:
        """
        Take both channels over; octets that they read come after L{start}.

        @raise OSError: no more can be watched; both still belong to their owners.
        """
        client, destination = self._up.source, self._up.sink
        client.takeOver(self._up.takeData)
        try:
            destination.takeOver(self._down.takeData)
        except OSError:
            client.giveBack()
            raise

    def start(self, early: bytes) -> None:
        if self.unsent:
            self._down.writeSink(self.unsent)
        for data in self._down.source.held:
            self._down.takeData(data)
        if early:
            self._up.takeData(early)

    def perform(self, action: Action) -> None:
        direction, act = _PERFORM[action]
        act(self._up if direction is Direction.UP else self._down)

    def pause(self, direction: Direction) -> Pause:
        return (self._up if direction is Direction.UP else self._down).pauseSource()

    def undelivered(self) -> int:
        return sum(
            flow.waitingOctets + flow.sink.unacknowledgedOctets()
            for flow in (self._up, self._down)
        )


_PERFORM: dict[Action, tuple[Direction, Callable[[Flow], None]]] = {
    # By the flow that ends at the leg.
    Action.END_CLIENT: (Direction.DOWN, Flow.sendFin),
    Action.CLOSE_CLIENT: (Direction.DOWN, Flow.closeSink),
    Action.ABORT_CLIENT: (Direction.DOWN, Flow.resetSink),
    Action.END_DESTINATION: (Direction.UP, Flow.sendFin),
    Action.CLOSE_DESTINATION: (Direction.UP, Flow.closeSink),
    Action.ABORT_DESTINATION: (Direction.UP, Flow.resetSink),
}
