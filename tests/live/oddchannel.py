"""
A channel that is no bare socket: it has another inside, keeps what that has
read, and cannot splice.

It reads less than it is asked for, and keeps the rest without any event; takes a
piece of what it is given to write, and then nothing until it says so; and tells
both at the end of a turn, or in the next.  So does TLS, whose records are not
the socket's pieces, and so does a stream of HTTP/2, which has no descriptor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txconnect.tunnel.kernel.channel import Channel
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.kernel.writequeue import Buffer
from txconnect.values import Closed

KEPT = 30_011
"""Octets that it reads at once of the channel inside."""

PIECE = 10_007
"""The most octets that it gives, or takes, at once."""


class OddChannel(Channel):
    """A channel around another."""

    __slots__ = ("_full", "_inside", "_kept", "_over", "_telling")

    def __init__(self, nested: NestedEpoll, inside: Channel) -> None:
        self._inside: Any = inside
        carrier = _Carrier(self)
        inside.incoming = inside.outgoing = carrier
        inside.events = carrier
        inside.lost = False
        self._kept = b""
        # The end of input has been read; it is told behind what is kept.
        self._over = False
        self._full = False
        self._telling = False

    @property
    def held(self) -> Any:
        """See L{Channel}."""
        return self._inside.held

    @property
    def socket(self) -> Any:
        """The socket in the middle of it all, for tests that narrow it."""
        return self._inside.socket

    def receive(self, size: int) -> bytes:
        """See L{Channel}."""
        if not (self._kept or self._over):
            raise BlockingIOError
        data, self._kept = self._kept[:PIECE], self._kept[PIECE:]
        return data

    def send(self, data: Buffer) -> int:
        """See L{Channel}."""
        if self._full:
            raise BlockingIOError
        self._full = True
        sent: int = self._inside.send(memoryview(data)[:PIECE])
        return sent

    def sendMany(self, buffers: list[Buffer]) -> int:
        return self.send(buffers[0])

    def takeOver(self, late: Callable[[bytes], object]) -> None:
        self._inside.takeOver(late)

    def giveBack(self) -> None:
        self._inside.giveBack()

    def updateWatch(self) -> None:
        if not self.lost:
            self._inside.updateWatch()
            if self._canTell and not self._telling:
                self._telling = True
                self.afterBatch(self._tell)

    def shutWriting(self) -> None:
        self._inside.shutWriting()

    def stopWatching(self) -> None:
        self._inside.stopWatching()

    def afterBatch(self, call: Callable[[], object]) -> None:
        self._inside.afterBatch(call)

    def closeChannel(self, reset: bool) -> None:
        self._inside.lost = True
        self._inside.closeChannel(reset)

    def unacknowledgedOctets(self) -> int:
        return len(self._kept) + int(self._inside.unacknowledgedOctets())

    def getHost(self) -> Any:
        return self._inside.getHost()

    def getPeer(self) -> Any:
        return self._inside.getPeer()

    # What the channel inside tells

    @property
    def wantsMore(self) -> bool:
        """Whether the channel inside is to be read."""
        return not (self.incoming.pauses or self._kept or self._over)

    def moveInside(self) -> None:
        """The channel inside can be read: of that, the flow hears later."""
        try:
            self._kept = self._inside.receive(KEPT)
        except BlockingIOError:
            return
        except OSError:
            self.outgoing.breakSink()
            return
        self._over = not self._kept
        self.updateWatch()

    def flushInside(self) -> None:
        """The channel inside has room, and so has this one."""
        self._full = False
        self.outgoing.flushBacklog()

    @property
    def _canTell(self) -> bool:
        return bool(self._kept or self._over) and not self.incoming.pauses

    def _tell(self) -> None:
        self._telling = False
        if not self.lost and self._canTell:
            self.incoming.movePiece()
            self.updateWatch()


class _Carrier:
    """
    Both flows of the channel inside, and its events: the channel around it.
    """

    def __init__(self, around: OddChannel) -> None:
        self._around = around

    @property
    def pauses(self) -> int:
        return not self._around.wantsMore

    @property
    def blocked(self) -> bool:
        return self._around.outgoing.blocked

    def movePiece(self) -> None:
        self._around.moveInside()

    def flushBacklog(self) -> None:
        self._around.flushInside()

    def breakSink(self) -> None:
        self._around.outgoing.breakSink()

    def cut(self, reason: Closed) -> None:
        self._around.events.cut(reason)
