"""
The one face behind which a relay moves bytes, and the events of its tunnel.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol as Shape

from txconnect.values import Closed, Direction
from txconnect.wire.closing import Action, Happening


class Pausable(Shape):
    """A direction that several may pause."""

    def unpause(self) -> None:
        """Take one pause back; called once for each."""


class Pause:
    """
    One party's wish that a direction is not read.

    Back-pressure, a rate limit and a half of a pair each have their own: a
    direction is read on when the last of them is released, so none undoes
    another's.
    """

    __slots__ = ("_paused",)

    def __init__(self, paused: Pausable) -> None:
        self._paused: Pausable | None = paused

    def release(self) -> None:
        """Take it back.  A second time does nothing, as after the tunnel's end."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.unpause()


class Relay(Shape):
    """
    Two legs, and the bytes between them.

    @ivar up: bytes taken from the client so far, early data included.
    @ivar down: bytes taken from the destination so far.
    @ivar activity: a number that grows whenever bytes have been read from a
        leg or written to one.
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

    def start(self, early: list[bytes]) -> None:
        """
        Begin.  The client has been sent its 200; C{early} is what it sent
        ahead, which goes to the destination before all else.
        """

    def perform(self, action: Action) -> None:
        """Do what the closing table says; nothing where the leg is gone."""

    def pause(self, direction: Direction) -> Pause:
        """
        Read nothing of C{direction} until the pause, and every other, is
        released.  What has been read already still goes on, and a reset is
        noticed as it is where back-pressure pauses.
        """

    def undelivered(self) -> int:
        """
        Count the bytes that have been read, and that the other ends have not
        acknowledged.  It costs system calls: for a tunnel that looks idle.
        """


class RelayEvents(Shape):
    """The events of a relay; its tunnel listens."""

    def happened(self, happening: Happening) -> None:
        """The end of a direction, or of a leg; see the closing table."""

    def legLost(self) -> None:
        """A leg is gone for good; called once a leg, after L{happened}."""

    def cut(self, reason: Closed) -> None:
        """The relay cannot go on: a tap or a half of the pair has failed."""


class LegHappenings(NamedTuple):
    """The words for what happens to one leg; see the closing table."""

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
