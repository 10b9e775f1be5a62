"""
The copying of bytes between a connection and two streams, for
L{txconnect.client.nc}.

Half-close goes both ways: the end of the input is sent on, and bytes that still
arrive are written; the other side's end ends the output, and bytes that are
still read are sent.
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
    """The methods of L{StandardStreams} that L{Conversation} calls."""

    def isInteractive(self) -> bool: ...
    def read(self) -> Deferred[bytes]: ...
    def write(self, data: bytes) -> Deferred[None]: ...
    def endOutput(self) -> Deferred[None]: ...


@implementer(IHalfCloseableProtocol, IPushProducer)
class Conversation(Protocol):
    """
    A protocol that copies a connection's bytes to and from two streams, and never
    holds more than one piece of either.

    @ivar finished: fires with L{None} when both directions have ended and all
        is written; fails with L{ConnectionLost} or L{OSError}.
    """

    # A stream transport, of the reactor or of a wrapper: no one interface has all
    # the methods that are called here.
    transport: Any

    def __init__(self, streams: IStreams) -> None:
        self.finished: Deferred[None] = Deferred()
        self._streams = streams
        self._paused = self._reading = False
        self._inputEnded = False
        self._remoteEnded = False
        # The bytes not written yet; while there are any, the connection is
        # paused.
        self._unwritten: list[bytes] = []
        self._writing = False
        self._lost: Failure | None = None
        self._finished = False

    # From the input to the connection

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self._readInput()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._readInput()

    def stopProducing(self) -> None:
        """Stop reading: the connection is lost, as C{connectionLost} reports."""
        self._paused = True

    def _readInput(self) -> None:
        if not (self._paused or self._reading or self._inputEnded):
            self._reading = True
            self._streams.read().addCallbacks(self._inputRead, self._streamFailed)

    def _inputRead(self, data: bytes) -> None:
        self._reading = False
        if self._lost is not None:
            return
        if data:
            self.transport.write(data)
            self._readInput()
            return
        self._inputEnded = True
        self.transport.unregisterProducer()
        if self._remoteEnded:
            self.transport.loseConnection()
        elif canHalfClose(self.transport):
            self.transport.loseWriteConnection()
        # Else it is TLS, which cannot half-close.  Closing would lose the other
        # side's answer, so its end is waited for.

    # From the connection to the output

    def dataReceived(self, data: bytes) -> None:
        self._unwritten.append(data)
        self.transport.pauseProducing()
        self._writeOutput()

    def _writeOutput(self) -> None:
        if not self._writing:
            self._writing = True
            data = b"".join(self._unwritten)
            self._unwritten.clear()
            self._streams.write(data).addCallbacks(
                self._outputWritten, self._streamFailed
            )

    def _outputWritten(self, result: None) -> None:
        self._writing = False
        if self._unwritten:
            self._writeOutput()
        elif self._lost is not None:
            self._fireFinished(self._lost)
        elif self._remoteEnded:
            self._endOutput()
        else:
            self.transport.resumeProducing()

    # The ends

    def readConnectionLost(self) -> None:
        """End the output, or reset a connection that was reset."""
        if wasReset(self.transport):
            self.transport.abortConnection()
            return
        self._remoteEnded = True
        # It may come in the same turn as the octets that followed the proxy's
        # answer, which are still being written.
        if not self._writing:
            self._endOutput()

    def _endOutput(self) -> None:
        if self._inputEnded or self._streams.isInteractive():
            # At a terminal the user would have to type something to get the
            # prompt back.
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        else:
            self._streams.endOutput().addErrback(self._streamFailed)

    def writeConnectionLost(self) -> None:
        """Do nothing: the end of the input has been sent."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = reason
        if not self._writing:
            self._fireFinished(reason)

    def _streamFailed(self, failure: Failure) -> None:
        if self._lost is None:
            self._lost = failure
            self.transport.abortConnection()
        self._fireFinished(failure)

    def _fireFinished(self, reason: Failure) -> None:
        if self._finished:
            return
        self._finished = True
        if reason.check(ConnectionDone) or self._isBareEnd(reason):
            self.finished.callback(None)
        else:
            self.finished.errback(reason)

    def _isBareEnd(self, reason: Failure) -> bool:
        """Tell whether TLS ended without an alert, as many do (RFC 9112, 9.8)."""
        return bool(reason.check(ConnectionLost)) and hasattr(
            self.transport, "getPeerCertificate"
        )
