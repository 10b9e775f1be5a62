"""
The kernel relay: two plain sockets, and nobody who looks at their bytes.

Both are watched by the nested epoll, so that a chunk costs neither the reactor's
bookkeeping nor a protocol's call.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from txconnect.tunnel.kernel.end import End
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.kernel.pipes import Pipes
from txconnect.tunnel.kernel.socketleg import SocketLeg
from txconnect.tunnel.kernel.transportleg import TransportLeg
from txconnect.tunnel.relay import Told
from txconnect.values import Direction
from txconnect.wire.closing import Action, Happening


class Kernel:
    """
    What all kernel relays of a proxy share.

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

    @param client: the client's socket; nobody else watches it any more.
    @param loseClient: closes it; told whether with a reset, and whether a FIN
        has left already.
    @param leg: the destination's.
    @ivar unsent: what of the 200 has not left yet; set before L{start}.
    @ivar held: what has been read of the destination already; goes behind it.
    """

    __slots__ = ("__weakref__", "_client", "_destination", "_leg", "held", "unsent")

    canEndClient = True
    canEndDestination = True

    _end: type[End] = End

    def __init__(
        self,
        kernel: Kernel,
        told: Told,
        client: socket.socket,
        loseClient: Callable[[bool, bool], object],
        leg: SocketLeg | TransportLeg,
    ) -> None:
        nested, pipes, end = kernel.nested, kernel.pipes, self._end
        self._client = end(nested, pipes, told, client, _CLIENT, loseClient)
        self._destination = end(nested, pipes, told, leg.socket, _DESTINATION, leg.lose)
        self._client.other = self._destination
        self._destination.other = self._client
        self._leg = leg
        self.unsent = b""
        self.held: Sequence[bytes] = leg.held

    @property
    def up(self) -> int:
        return self._client.count

    @property
    def down(self) -> int:
        return self._destination.count

    def watch(self) -> None:
        """
        Have both sockets watched, for what comes behind L{start}.

        @raise OSError: no more can be watched; the leg is still its owner's.
        """
        self._destination.begin(self._leg.mask)
        try:
            self._client.begin(None)
        except OSError:
            self._destination.leave()
            raise
        self._leg.handOver(self._downward)

    def start(self, early: list[bytes]) -> None:
        client, destination = self._client, self._destination
        if self.unsent:
            client.write(self.unsent)
        for data in self.held:
            self._downward(data)
        for data in early:
            client.count += len(data)
            destination.write(data)

    def _downward(self, data: bytes) -> None:
        """Pass on what somebody else has read of the destination."""
        self._destination.count += len(data)
        self._client.write(data)

    def perform(self, action: Action) -> None:
        direction, what = _PERFORM[action]
        what(self._begins(direction))

    def hold(self, direction: Direction) -> None:
        """Read nothing of C{direction} until as many L{release}s."""
        self._begins(direction).hold()

    def release(self, direction: Direction) -> None:
        """Take one L{hold} back."""
        self._begins(direction).release()

    def _begins(self, direction: Direction) -> End:
        """The end at which a direction begins."""
        return self._client if direction is Direction.UP else self._destination


_CLIENT = (Happening.CLIENT_ENDED, Happening.CLIENT_RESET)
_DESTINATION = (Happening.DESTINATION_ENDED, Happening.DESTINATION_RESET)

_PERFORM: dict[Action, tuple[Direction, Callable[[End], None]]] = {
    Action.END_CLIENT: (Direction.UP, End.end),
    Action.CLOSE_CLIENT: (Direction.UP, End.close),
    Action.ABORT_CLIENT: (Direction.UP, End.abort),
    Action.END_DESTINATION: (Direction.DOWN, End.end),
    Action.CLOSE_DESTINATION: (Direction.DOWN, End.close),
    Action.ABORT_DESTINATION: (Direction.DOWN, End.abort),
}
