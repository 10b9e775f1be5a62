"""
The kernel relay: two channels at whose bytes nobody looks, and two flows.

Where both are sockets, a piece costs neither the reactor's bookkeeping nor a
protocol's call: see L{txconnect.tunnel.kernel.flow} for how it moves, and
L{txconnect.tunnel.kernel.channel} for what carries it.

The relay says what happens, its tunnel follows the closing table, and the
table's actions come back to L{KernelRelay.perform}.  An action on a leg is one
on the flow that ends there: it has to wait for what that flow still holds.
"""

from __future__ import annotations

from collections.abc import Callable

from txconnect.tunnel.kernel.channel import Channel
from txconnect.tunnel.kernel.flow import Flow
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.kernel.pipes import Pipes
from txconnect.tunnel.relay import Pause, RelayEvents
from txconnect.values import Closed, Direction
from txconnect.wire.closing import Action, Happening


class Kernel:
    """
    The things that all kernel relays of a proxy share.

    @ivar nested: watches their sockets.
    @ivar pipes: lends them pipes.
    """

    def __init__(self, nested: NestedEpoll) -> None:
        self.nested = nested
        self.pipes = Pipes()

    def stop(self) -> None:
        """Give the pipes back; all relays have ended."""
        self.pipes.close()


class KernelRelay:
    """
    See L{txconnect.tunnel.relay.Relay}.

    It owns its channels: see
    L{ChannelOwner<txconnect.tunnel.kernel.channel.ChannelOwner>}.

    @ivar unsent: what of the 200 has not left yet; set before L{start}.
    """

    __slots__ = ("__weakref__", "_down", "_events", "_kernel", "_legs", "_up", "unsent")

    canEndClient = True
    canEndDestination = True
    hearsFin = False

    def __init__(
        self,
        kernel: Kernel,
        events: RelayEvents,
        client: Channel,
        destination: Channel,
    ) -> None:
        self._kernel = kernel
        self._events = events
        self._up = Flow(client, destination, kernel.pipes)
        self._down = Flow(destination, client, kernel.pipes)
        client.owner = destination.owner = self
        self._legs = 2
        self.unsent = b""

    # What the tunnel does with it

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

    def watch(self) -> None:
        """
        Take both channels; what they read comes behind L{start}.

        @raise OSError: no more can be watched; both are still their owners'.
        """
        client, destination = self._up.source, self._up.sink
        destination.begin()
        try:
            client.begin()
        except OSError:
            destination.leave()
            raise
        destination.takeOver(self._down.take)
        client.takeOver(self._up.take)

    def start(self, early: list[bytes]) -> None:
        if self.unsent:
            self._down.write(self.unsent)
        for data in self._down.source.held:
            self._down.take(data)
        for data in early:
            self._up.take(data)

    def perform(self, action: Action) -> None:
        direction, what = _PERFORM[action]
        what(self._up if direction is Direction.UP else self._down)

    def pause(self, direction: Direction) -> Pause:
        return (self._up if direction is Direction.UP else self._down).pause()

    def undelivered(self) -> int:
        return sum(
            flow.waiting + flow.sink.unacknowledged() for flow in (self._up, self._down)
        )

    def legOf(self, action: Action) -> Channel:
        """Return the leg that an action is about."""
        direction, _ = _PERFORM[action]
        return (self._up if direction is Direction.UP else self._down).sink

    # What its channels tell

    def inputEnded(self, channel: Channel) -> None:
        isClient = channel is self._up.source
        self._events.happened(
            Happening.CLIENT_ENDED if isClient else Happening.DESTINATION_ENDED
        )

    def finSent(self, channel: Channel) -> None:
        """Not called: see L{hearsFin}."""

    def broken(self, channel: Channel) -> None:
        isClient = channel is self._up.source
        self._events.happened(
            Happening.CLIENT_RESET if isClient else Happening.DESTINATION_RESET
        )

    def gone(self, channel: Channel, reset: bool) -> None:
        events = self._events
        self._legs -= 1
        if not self._legs:
            # The tunnel refers to its relay as well.
            del self._events
        events.legLost()

    def cut(self, reason: Closed) -> None:
        self._events.cut(reason)

    def later(self, call: Callable[[], object]) -> None:
        self._kernel.nested.later(call)


_PERFORM: dict[Action, tuple[Direction, Callable[[Flow], None]]] = {
    # By the flow that ends at the leg.
    Action.END_CLIENT: (Direction.DOWN, Flow.sendFin),
    Action.CLOSE_CLIENT: (Direction.DOWN, Flow.closeSink),
    Action.ABORT_CLIENT: (Direction.DOWN, Flow.resetSink),
    Action.END_DESTINATION: (Direction.UP, Flow.sendFin),
    Action.CLOSE_DESTINATION: (Direction.UP, Flow.closeSink),
    Action.ABORT_DESTINATION: (Direction.UP, Flow.resetSink),
}
