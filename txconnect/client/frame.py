"""
The protocol of a connection to a proxy: first for what is said to the proxy, then
for the caller's protocol.  See L{txconnect.client.negotiation}.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Protocol as Shape

from twisted.internet.error import ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IReadDescriptor,
)
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer


class Attempt(Shape):
    """What a L{Talk} tells, and asks."""

    def begin(self, talk: Talk) -> bool:
        """There is a connection; answers whether it is wanted."""

    def received(self, data: bytes) -> None:
        """The connection has brought octets."""

    def ended(self, clean: bool) -> None:
        """The connection has ended, or its input has."""

    def establish(self, talk: Talk, trailing: bytes) -> None:
        """The connection is the tunnel."""

    def fail(self, failure: Failure) -> None:
        """There will be no tunnel."""

    def again(self) -> None:
        """Another connection is wanted."""


@implementer(IHalfCloseableProtocol)
class Talk:
    """
    A connection to the proxy until it is a tunnel, or is dropped: a
    L{Line<txconnect.client.negotiation.Line>}.
    """

    def __init__(self, frame: Frame, attempt: Attempt) -> None:
        self.frame = frame
        self._attempt = attempt
        self._over = False
        self._ended = False

    # What the frame says.

    def connectionMade(self) -> None:
        """There is a connection."""
        if not self._attempt.begin(self):
            self.drop()

    def dataReceived(self, data: bytes) -> None:
        """Octets of the proxy."""
        if not self._over:
            self._attempt.received(data)

    def readConnectionLost(self) -> None:
        """The proxy has ended its side."""
        self._endOnce(True)

    def writeConnectionLost(self) -> None:
        """Cannot be: nobody has ended ours."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone, perhaps because TLS has failed."""
        if reason.check(ConnectionClosed) is not None:
            self._endOnce(reason.check(ConnectionDone) is not None)
        elif not self._over:
            self._over = True
            self._attempt.fail(reason)

    def _endOnce(self, clean: bool) -> None:
        if not self._ended:
            self._ended = True
            if not self._over:
                self._attempt.ended(clean)

    # What the dialogue says.

    def send(self, data: bytes) -> None:
        """Send octets."""
        if not (self._over or self._ended):
            self.frame.transport.write(data)

    def establish(self, trailing: bytes) -> None:
        """Make it the tunnel."""
        if not self._over:
            self._over = True
            self._attempt.establish(self, trailing)

    def fail(self, error: Exception | Failure) -> None:
        """Give up."""
        if not self._over:
            failure = error if isinstance(error, Failure) else Failure(error)
            self._attempt.fail(failure)

    def again(self) -> None:
        """Take another connection."""
        if not self._over:
            self._attempt.again()

    def drop(self) -> None:
        """Break the connection off, if it is not gone already."""
        self._over = True
        if not self.frame.lost:
            transport = self.frame.transport
            # Not every transport can: a process that is the proxy's endpoint.
            getattr(transport, "abortConnection", transport.loseConnection)()


@implementer(IHalfCloseableProtocol)
class Frame(Protocol):
    """
    The protocol of one connection to the proxy, for as long as that lives.

    It provides L{IHalfCloseableProtocol} from the start, because wrappers look
    only then; what the caller's protocol provides decides what comes of it.  It
    can provide nothing else: of several interfaces the wrapper of Twisted's own
    endpoints keeps the last one, and forgets half-close for IHandshakeListener.

    @ivar lost: whether the connection is gone.
    """

    # Any connected stream transport, of the reactor or of a wrapper.
    transport: Any = None
    lost = False

    # The receiver's own, looked up each time, by C code alone: that of a proxy
    # within this one, or of a protocol which rebinds it, is not missed, and
    # however many frames are nested none of them is called.
    dataReceived: Any = property(attrgetter("_receiver.dataReceived"))

    def __init__(self, attempt: Attempt) -> None:
        self._receiver: Any = Talk(self, attempt)
        self._factory: IProtocolFactory | None = None

    def adopt(self, protocol: IProtocol, factory: IProtocolFactory) -> None:
        """
        Be the caller's protocol's from now on.

        @param factory: is stopped when the connection is lost.
        """
        self._receiver = protocol
        self._factory = factory
        protocol.makeConnection(self.transport)

    def deliver(self, trailing: bytes) -> None:
        """Tell the caller's protocol what came behind the proxy's answer."""
        if trailing and not (
            self.lost or getattr(self.transport, "disconnecting", False)
        ):
            self._receiver.dataReceived(trailing)

    # What the transport says.

    def connectionMade(self) -> None:
        self._receiver.connectionMade()

    def readConnectionLost(self) -> None:
        if IHalfCloseableProtocol.providedBy(self._receiver):
            self._receiver.readConnectionLost()
        else:
            self._closeAtEnd()

    def writeConnectionLost(self) -> None:
        if IHalfCloseableProtocol.providedBy(self._receiver):
            self._receiver.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = True
        factory, self._factory = self._factory, None
        try:
            self._receiver.connectionLost(reason)
        finally:
            if factory is not None:
                factory.doStop()

    def _closeAtEnd(self) -> None:
        """
        Do at the end of input what Twisted's own transports do for a protocol
        that knows no half-close: the connection is gone, at once.
        """
        transport = self.transport
        # Wrappers claim to provide whatever the transport below them does.
        if IReadDescriptor.providedBy(transport) and not IProtocol.providedBy(
            transport
        ):
            transport.connectionLost(Failure(ConnectionDone()))
        else:
            transport.loseConnection()
