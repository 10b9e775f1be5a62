"""
Early data: what a client sends behind its head, ahead of the 200.

It belongs to the tunnel if there will be one, and to nobody else (RFC 9931).
Reading on is also how a client that leaves is noticed, so it is held and not left
in the socket; one that has filled the bound is paused.
"""

from __future__ import annotations


class EarlyData:
    """
    The early data of one request.

    @ivar paused: whether as much is held as may be; one read more may come.
    """

    __slots__ = ("_held", "_size", "paused")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self.paused = False

    @property
    def size(self) -> int:
        """How many octets are held."""
        return self._size

    def takeData(self, data: bytes, limit: int) -> bool:
        """
        Hold C{data} behind what is held.

        @return: whether the client is to be paused now.
        """
        self._held.append(data)
        self._size += len(data)
        if self._size < limit or self.paused:
            return False
        self.paused = True
        return True

    def release(self) -> list[bytes]:
        """Let go of what is held, in order."""
        held, self._held = self._held, []
        return held
