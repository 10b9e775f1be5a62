"""
A pair that throttles: so many octets a second in each direction of each tunnel.

    txconnect --pair ./throttling_pair.py:ThrottlingPair:100000

Tokens come with the time, one for each octet, and at most those of one second are
saved up.  A half that has fewer tokens than octets pauses its leg until the rest has
left: it gets no more bytes until then, nor the end of its leg, so nothing is overtaken
and no more than one read waits here.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from txconnect import ProxyClient, ProxyServer, TunnelInfo
from txconnect.interfaces import IPairFactory

PIECES = 10
"""Pieces a second, while there is more than can leave."""


class Throttled:
    """The part that both halves share."""

    peer: Any
    transport: Any

    def __init__(self, clock: Any, rate: int) -> None:
        self._clock, self._rate = clock, rate
        self._tokens, self._counted = float(rate), clock.seconds()
        self._rest = b""
        self._next: IDelayedCall | None = None

    def dataReceived(self, data: bytes) -> None:
        self._rest = data
        self.transport.pauseProducing()
        self._writePiece()

    def _writePiece(self) -> None:
        now = self._clock.seconds()
        earned = (now - self._counted) * self._rate
        self._tokens, self._counted = min(self._rate, self._tokens + earned), now
        piece = self._rest[: int(self._tokens)]
        self._rest = self._rest[len(piece) :]
        self._tokens -= len(piece)
        self.peer.transport.write(piece)
        if self._rest:
            self._next = self._clock.callLater(1 / PIECES, self._writePiece)
        else:
            self._next = None
            self.transport.resumeProducing()

    def connectionLost(self, reason: object = None) -> None:
        # A reset does not wait: what has not left by now never will.
        if self._next is not None:
            self._next.cancel()


class ThrottledServer(Throttled, ProxyServer):
    """The client's leg."""


class ThrottledClient(Throttled, ProxyClient):
    """The destination's leg."""


@implementer(IPairFactory)
class ThrottlingPair:
    """
    Made once, with the octets a second.

    @ivar clock: the running reactor when not set.
    """

    clock: Any = None

    def __init__(self, rate: str) -> None:
        if not (rate.isascii() and rate.isdigit()) or int(rate) == 0:
            raise ValueError(f"{rate!r} is no number of octets a second, above 0")
        self._rate = int(rate)

    def buildPair(self, tunnel: TunnelInfo) -> tuple[ProxyServer, ProxyClient]:
        if self.clock is None:
            # Here and not above: a plugin is made before the reactor is chosen.
            from twisted.internet import reactor

            self.clock = reactor
        return (
            ThrottledServer(self.clock, self._rate),
            ThrottledClient(self.clock, self._rate),
        )
