"""
Early data: the octets that a client sends after its head, ahead of the 200.

They belong to the tunnel if there will be one, and are never read as anything else
(RFC 9931).  Only reading tells that a client has left, so they are held and not left
in the socket; a client that has filled the bound is paused.
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
        """Return the number of octets held."""
        return self._size

    def takeData(self, data: bytes, limit: int) -> bool:
        """
        Hold C{data} after the octets held already.

        @return: whether the client is to be paused now.
        """
        self._held.append(data)
        self._size += len(data)
        if self._size < limit or self.paused:
            return False
        self.paused = True
        return True

    def release(self) -> list[bytes]:
        """Return the octets held, in order, and hold them no more."""
        held, self._held = self._held, []
        return held
