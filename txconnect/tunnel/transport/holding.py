"""
The bytes and the end of a leg that wait for its half, while that has paused.

A half pauses its leg to have time: for an answer, or until there are tokens for more.
Meanwhile it must be called with nothing, as otherwise an end, or bytes that had been
read already (early data, the rest of a TLS record), would overtake what it still has to
write.  So they wait here, in order; the bytes as one piece, because a piece each would
cost a client's single octets many times their size.

The leg itself is read on until L{HELD} octets wait, and only then paused: who does not
read learns of no reset.  A reset is never held; it drops what waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol as Shape

from txconnect.tunnel.relay import Pause

HELD = 65536
"""Octets that may wait for a half before its leg is paused; one read more may come."""


class Held(Shape):
    """The side of a relay whose events are held."""

    def passToHalf(self, data: bytes) -> None:
        """Call the half with bytes."""

    def pauseReading(self) -> Pause:
        """Read nothing of the leg."""


class Holding:
    """
    The events of one leg that wait for its half.

    @param side: the leg's side of the relay.
    """

    __slots__ = (
        "_data",
        "_ends",
        "_losses",
        "_passing",
        "_pauses",
        "_reading",
        "_side",
    )

    def __init__(self, side: Held) -> None:
        self._side = side
        self._data = bytearray()
        self._ends = deque[Callable[[], object]]()
        self._losses = deque[Callable[[], object]]()
        self._pauses = 0
        self._passing = False
        # The pause of the leg itself, while enough octets wait.
        self._reading: Pause | None = None

    def pause(self) -> Pause:
        """Call the half with nothing until this, and every other pause, is released."""
        self._pauses += 1
        return Pause(self)

    def unpause(self) -> None:
        """See L{txconnect.tunnel.relay.Pausable}."""
        self._pauses -= 1
        self._passOn()

    def takeData(self, data: bytes) -> bool:
        """
        Hold C{data} if the half is not to be called now.

        @return: whether it is held.
        """
        if not (self._pauses or self._data):
            return False
        self._data += data
        if len(self._data) >= HELD and self._reading is None:
            self._reading = self._side.pauseReading()
        return True

    def endWith(self, *steps: Callable[[], object]) -> None:
        """
        Take the steps of the end of input, behind the bytes that wait: each as soon as
        the half is not paused, so that the half may pause within one to delay the next.
        """
        self._ends.extend(steps)
        self._passOn()

    def loseWith(self, *steps: Callable[[], object]) -> None:
        """Take the steps of a leg that is gone in order, likewise, and behind its end."""
        self._losses.extend(steps)
        self._passOn()

    def drop(self) -> None:
        """
        Hold nothing any more, as the leg is reset, or nobody will have its bytes.  The
        steps of a leg that is gone are taken at once.
        """
        self._data.clear()
        self._ends.clear()
        while self._losses:
            self._losses.popleft()()

    def _passOn(self) -> None:
        if self._passing:
            # The half has paused and resumed within its call: the loop below goes on.
            return
        self._passing = True
        try:
            while not self._pauses and self._passNext():
                pass
        finally:
            self._passing = False

    def _passNext(self) -> bool:
        """Pass on one thing that waits; return whether there was one."""
        if self._data:
            data = bytes(self._data)
            self._data.clear()
            self._side.passToHalf(data)
        elif self._reading is not None:
            reading, self._reading = self._reading, None
            reading.release()
        elif self._ends:
            self._ends.popleft()()
        elif self._losses:
            self._losses.popleft()()
        else:
            return False
        return True
