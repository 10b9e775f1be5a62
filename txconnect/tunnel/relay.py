"""
The one face behind which a relay moves bytes, and what it tells its tunnel.
"""

from __future__ import annotations

from typing import Protocol as Shape

from txconnect.values import Closed
from txconnect.wire.closing import Action, Happening


class Relay(Shape):
    """
    Two legs, and the bytes between them.

    @ivar up: bytes taken from the client so far, early data included.
    @ivar down: bytes taken from the destination so far.
    @ivar canEndClient: whether the client's leg can be sent a FIN and still
        be read.
    @ivar canEndDestination: the same of the destination's.
    """

    @property
    def up(self) -> int: ...

    @property
    def down(self) -> int: ...

    canEndClient: bool
    canEndDestination: bool

    def start(self, early: list[bytes]) -> None:
        """
        Begin.  The client has been sent its 200; C{early} is what it sent
        ahead, which goes to the destination before all else.
        """

    def perform(self, action: Action) -> None:
        """Do what the closing table says; nothing where the leg is gone."""


class Told(Shape):
    """What a relay tells its tunnel."""

    def happened(self, happening: Happening) -> None:
        """The end of a direction, or of a leg; see the closing table."""

    def legLost(self) -> None:
        """A leg is gone for good; told once a leg, after L{happened}."""

    def cut(self, reason: Closed) -> None:
        """The relay cannot go on: a tap or a half of the pair has failed."""
