"""
Early data: the octets that a client sends after its head, ahead of the 200.

They belong to the tunnel if there will be one, and are never read as anything else
(RFC 9931).  Only reading tells that a client has left, so they are held and not left
in the socket; a client that has filled the bound is paused.
"""

from __future__ import annotations


class EarlyData:
    """
    The early data of one request: one piece, because a piece for each read would cost
    a client's single octets many times their size.

    @ivar paused: whether as much is held as may be; one read more may come.
    """

    __slots__ = ("_held", "paused")

    def __init__(self) -> None:
        self._held: bytes | bytearray = b""
        self.paused = False

    @property
    def size(self) -> int:
        """Return the number of octets held."""
        return len(self._held)

    def takeData(self, data: bytes, limit: int) -> bool:
        """
        Hold C{data} after the octets held already.

        @return: whether the client is to be paused now.
        """
        # Mostly there is one read, which is kept as it came.
        if not self._held:
            self._held = data
        elif isinstance(self._held, bytearray):
            self._held += data
        else:
            self._held = bytearray(self._held + data)
        if len(self._held) < limit or self.paused:
            return False
        self.paused = True
        return True

    def release(self) -> bytes:
        """Return the octets held, and hold them no more."""
        held, self._held = self._held, b""
        return bytes(held)
