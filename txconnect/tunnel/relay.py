"""
The interface of both relays, and the events that a relay reports to its tunnel.

A relay moves the bytes of one tunnel between its two legs.  It decides nothing about
ends: it reports them (L{RelayEvents}), the tunnel looks them up in the closing table,
and the table's actions come back to L{Relay.perform}.

A direction is paused by a token (L{Pause}) and read on when the last one is released.
Rejected: a flag, which several parties would clear for one another.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol as Shape

from txconnect.values import Closed, Direction
from txconnect.wire.closing import Action, Happening


class Pausable(Shape):
    """A direction that several parties may pause."""

    def unpause(self) -> None:
        """Release one pause; called once for each."""


class Pause:
    """
    One party's request not to read a direction.

    Back-pressure, a rate limit and a half of a pair each have their own: a
    direction is read on when the last of them is released, so none undoes
    another's.
    """

    __slots__ = ("_paused",)

    def __init__(self, paused: Pausable) -> None:
        self._paused: Pausable | None = paused

    def release(self) -> None:
        """Release it.  A second time does nothing, as after the tunnel's end."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.unpause()


class Relay(Shape):
    """
    Two legs, and the bytes between them.

    @ivar up: bytes taken from the client so far, early data included.
    @ivar down: bytes taken from the destination so far.
    @ivar activity: a number that grows whenever bytes have been read from a
        leg or written to one: a reader that takes its time is not idle.
    @ivar canEndClient: whether the client's leg can be sent a FIN and still
        be read.
    @ivar canEndDestination: the same of the destination's.
    """

    @property
    def up(self) -> int: ...

    @property
    def down(self) -> int: ...

    @property
    def activity(self) -> int: ...

    canEndClient: bool
    canEndDestination: bool

    def start(self, early: bytes) -> None:
        """
        Begin.  The client has been sent its 200; C{early} is its early data, which
        goes to the destination before all else.
        """

    def perform(self, action: Action) -> None:
        """Perform an action of the closing table; nothing where the leg is gone."""

    def pause(self, direction: Direction) -> Pause:
        """
        Read nothing of C{direction} until the pause, and every other, is
        released.  Octets read already are still written, and a reset is noticed
        as it is where back-pressure pauses.
        """

    def undelivered(self) -> int:
        """
        Count the bytes that have been read, and that the other ends have not
        acknowledged.  It costs system calls: only for a tunnel that looks idle.
        """


class RelayEvents(Shape):
    """The events of a relay; its tunnel listens."""

    def happened(self, happening: Happening) -> None:
        """Report the end of a direction, or of a leg; see the closing table."""

    def legLost(self) -> None:
        """Report that a leg is gone for good; called once a leg, after L{happened}."""

    def cut(self, reason: Closed) -> None:
        """End the tunnel: a half of the pair has failed."""


class LegHappenings(NamedTuple):
    """The closing table's happenings of one leg."""

    ended: Happening
    gone: Happening
    reset: Happening


CLIENT = LegHappenings(
    Happening.CLIENT_ENDED, Happening.CLIENT_GONE, Happening.CLIENT_RESET
)
DESTINATION = LegHappenings(
    Happening.DESTINATION_ENDED,
    Happening.DESTINATION_GONE,
    Happening.DESTINATION_RESET,
)
