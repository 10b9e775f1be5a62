"""
The kernel relay with a pair that does without the bytes.

Its halves see none of them, but each is connected to its leg, may write, pause
and close, and is told of the ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IPushProducer,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.tunnel.kernel.end import End
from txconnect.tunnel.kernel.relay import KernelRelay
from txconnect.values import Closed
from txconnect.wire.closing import Happening


class PairedEnd(End):
    """
    An end with a half of a pair.

    @ivar half: the half; set, as the rest here, before the relay begins.
    @ivar transport: what the half is given.
    @ivar gone: what to tell the tunnel when the leg is closed.
    """

    __slots__ = ("gone", "half", "transport")

    _log = Logger()

    half: Any
    transport: LegTransport
    gone: Happening

    def write(self, data: bytes | memoryview) -> None:
        pipe = self.other._pipe
        if pipe is not None and pipe.held:
            # What is in the pipe came first.
            inside = os.read(pipe.exit, pipe.held)
            pipe.held -= len(inside)
            self._pending = bytes(self._pending) + inside
        super().write(data)

    def connect(self) -> None:
        """Give the half its transport."""
        self.tell(self.half.makeConnection, self.transport)

    def breakOff(self) -> None:
        """Reset it, as if its other end had."""
        self._broken()

    def tell(self, call: Callable[..., object], *arguments: object) -> None:
        """Call the half; one that raises ends its tunnel."""
        try:
            call(*arguments)
        except BaseException:
            # CancelledError and SystemExit end this tunnel, and nothing else.
            self._log.failure("a pair failed; its tunnel is cut")
            self._told.cut(Closed.PAIR_FAILED)

    def _endOfInput(self) -> None:
        if IHalfCloseableProtocol.providedBy(self.half):
            self.tell(self.half.readConnectionLost)
        if not self._lost:
            super()._endOfInput()

    def _shut(self) -> None:
        super()._shut()
        if IHalfCloseableProtocol.providedBy(self.half):
            self.tell(self.half.writeConnectionLost)

    def _gone(self, reset: bool) -> None:
        reason = Failure(ConnectionLost() if reset else ConnectionDone())
        self.tell(self.half.connectionLost, reason)
        # News only where the half itself has closed it.
        self._told.happened(self.gone)
        super()._gone(reset)


@implementer(ITransport, IPushProducer)
class LegTransport:
    """
    The transport of one half: its own leg.

    What is written is kept until the leg takes it, behind what the relay still
    has for it, and no chunk is cut by it.
    """

    # Twisted's protocols ask their transports for it.
    disconnecting = False

    def __init__(self, end: PairedEnd, host: IAddress, peer: IAddress) -> None:
        self._end = end
        self._host = host
        self._peer = peer
        self._paused = False

    def write(self, data: bytes) -> None:
        """See C{ITransport}."""
        self._end.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """See C{ITransport}."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close behind what is still to be written; the other leg follows."""
        self.disconnecting = True
        self._end.close()

    def abortConnection(self) -> None:
        """Reset; the other leg is reset too."""
        self.disconnecting = True
        self._end.breakOff()

    def stopProducing(self) -> None:
        """See C{IPushProducer}."""
        self.loseConnection()

    def pauseProducing(self) -> None:
        """Read no more of this leg."""
        if not self._paused:
            self._paused = True
            self._end.hold()

    def resumeProducing(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self._end.release()

    def getPeer(self) -> IAddress:
        """See C{ITransport}."""
        return self._peer

    def getHost(self) -> IAddress:
        """See C{ITransport}."""
        return self._host


class PairedRelay(KernelRelay):
    """See L{txconnect.tunnel.relay.Relay}."""

    _end = PairedEnd
    _client: PairedEnd
    _destination: PairedEnd

    def pair(self, pair: tuple[Any, Any], client: ITransport) -> None:
        """
        Give the relay its pair, joined; called once, before it is started.

        @param client: the client's transport, which says where it comes from.
        """
        server, destination = pair
        leg = self._leg
        address, port = leg.peer
        made = IPv4Address if address.version == 4 else IPv6Address
        _join(
            self._client,
            server,
            Happening.CLIENT_GONE,
            client.getHost(),
            client.getPeer(),
        )
        _join(
            self._destination,
            destination,
            Happening.DESTINATION_GONE,
            made("TCP", *leg.socket.getsockname()[:2]),
            made("TCP", str(address), port),
        )

    def start(self, early: list[bytes]) -> None:
        # The 200, then what the halves say, then what either side has said.
        held, self.held = self.held, ()
        super().start([])
        self.unsent, self.held = b"", held
        self._client.connect()
        self._destination.connect()
        super().start(early)


def _join(
    end: PairedEnd, half: Any, gone: Happening, host: IAddress, peer: IAddress
) -> None:
    end.half, end.gone = half, gone
    end.transport = LegTransport(end, host, peer)
