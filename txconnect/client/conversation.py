"""
Carrying bytes between a connection and two streams, for
L{txconnect.client.nc}.

Half-close goes both ways: the end of the input is sent on, and what still
comes is written; the other side's end ends the output, and what is still read
is sent.
"""

from __future__ import annotations

from typing import Any, Protocol as Shape

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.transports import canHalfClose, wasReset

__all__ = ["Conversation", "IStreams"]


class IStreams(Shape):
    """What L{Conversation} asks of L{StandardStreams}."""

    def isInteractive(self) -> bool: ...
    def read(self) -> Deferred[bytes]: ...
    def write(self, data: bytes) -> Deferred[None]: ...
    def end(self) -> Deferred[None]: ...


@implementer(IHalfCloseableProtocol, IPushProducer)
class Conversation(Protocol):
    """
    Carries a connection's bytes to and from two streams, and never holds more
    than one piece of either.

    @ivar finished: fires with L{None} when both directions have ended and all
        is written; fails with L{ConnectionLost} or L{OSError}.
    """

    def __init__(self, streams: IStreams) -> None:
        self.finished: Deferred[None] = Deferred()
        self._streams = streams
        self._paused = self._reading = False
        self._inputEnded = False
        self._remoteEnded = False
        # What is not written yet; while there is any, the connection is paused.
        self._unwritten: list[bytes] = []
        self._writing = False
        self._lost: Failure | None = None
        self._finished = False

    @property
    def _transport(self) -> Any:
        return self.transport

    # From the input to the connection

    def connectionMade(self) -> None:
        self._transport.registerProducer(self, True)
        self._read()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._read()

    def stopProducing(self) -> None:
        """The connection is lost, and says so itself."""
        self._paused = True

    def _read(self) -> None:
        if not (self._paused or self._reading or self._inputEnded):
            self._reading = True
            self._streams.read().addCallbacks(self._wasRead, self._failed)

    def _wasRead(self, data: bytes) -> None:
        self._reading = False
        if self._lost is not None:
            return
        if data:
            self._transport.write(data)
            self._read()
            return
        self._inputEnded = True
        self._transport.unregisterProducer()
        if self._remoteEnded:
            self._transport.loseConnection()
        elif canHalfClose(self._transport):
            self._transport.loseWriteConnection()
        # TLS cannot tell the other side, and closing would lose its answer.

    # From the connection to the output

    def dataReceived(self, data: bytes) -> None:
        self._unwritten.append(data)
        self._transport.pauseProducing()
        self._write()

    def _write(self) -> None:
        if not self._writing:
            self._writing = True
            data = b"".join(self._unwritten)
            self._unwritten.clear()
            self._streams.write(data).addCallbacks(self._wasWritten, self._failed)

    def _wasWritten(self, result: None) -> None:
        self._writing = False
        if self._unwritten:
            self._write()
        elif self._lost is not None:
            self._finish(self._lost)
        elif self._remoteEnded:
            self._endOutput()
        else:
            self._transport.resumeProducing()

    # The ends

    def readConnectionLost(self) -> None:
        """The other side sends no more."""
        if wasReset(self._transport):
            self._transport.abortConnection()
            return
        self._remoteEnded = True
        # It may come together with what was behind the proxy's answer.
        if not self._writing:
            self._endOutput()

    def _endOutput(self) -> None:
        if self._inputEnded or self._streams.isInteractive():
            # Nobody has to type just to be given the prompt back.
            self._transport.unregisterProducer()
            self._transport.loseConnection()
        else:
            self._streams.end().addErrback(self._failed)

    def writeConnectionLost(self) -> None:
        """The end of the input has been sent."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = reason
        if not self._writing:
            self._finish(reason)

    def _failed(self, failure: Failure) -> None:
        if self._lost is None:
            self._lost = failure
            self._transport.abortConnection()
        self._finish(failure)

    def _finish(self, reason: Failure) -> None:
        if self._finished:
            return
        self._finished = True
        if reason.check(ConnectionDone) or self._isBareEnd(reason):
            self.finished.callback(None)
        else:
            self.finished.errback(reason)

    def _isBareEnd(self, reason: Failure) -> bool:
        """TLS that just ends, as many a proxy's does (RFC 9112, 9.8)."""
        return bool(reason.check(ConnectionLost)) and hasattr(
            self._transport, "getPeerCertificate"
        )
