"""
Bodies of HTTP messages where a request may have to be sent twice.  The request's
body is kept, so that it can be sent again; the refusal's content is read, so
that its connection can be used again.  Both are bounded.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer, IResponse
from zope.interface import implementer

__all__ = ["RepeatableBody", "readSome"]

LARGEST_KEPT = 65536
"""Octets of a request's body that are kept."""

LARGEST_READ = 16384
"""Octets of a refusal's content that are read."""

READ_SECONDS = 5.0
"""Seconds to wait for the content of a refusal."""

_T = TypeVar("_T")


@implementer(IBodyProducer)
class _BytesBody:
    """A body of octets in memory, for a request that is sent again."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length = len(content)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the whole body."""
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: all is written already."""

    def resumeProducing(self) -> None:
        """Do nothing: all is written already."""

    def stopProducing(self) -> None:
        """Do nothing: all is written already."""


@implementer(IBodyProducer)
class RepeatableBody:
    """
    The body of one request, of which a copy is kept while it is produced.

    An C{IBodyProducer} produces once: C{FileBodyProducer} closes its file.  A
    body that is longer than L{LARGEST_KEPT}, or was not yet produced to its end,
    cannot be sent again.
    """

    _consumer: IConsumer

    def __init__(self, body: IBodyProducer) -> None:
        self._body = body
        # None once the body has turned out too long to keep.
        self._kept: bytearray | None = bytearray()
        self._complete = False
        self.length = body.length

    def repeatBody(self) -> RepeatableBody | None:
        """Make a body of the same octets; L{None} where that is not possible."""
        if self._kept is None or not self._complete:
            return None
        return RepeatableBody(_BytesBody(bytes(self._kept)))

    # IBodyProducer.

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Start the body; called by the request when it can be written."""
        self._consumer = consumer
        producing: Deferred[None] = self._body.startProducing(self)
        return producing.addCallback(self._bodyProduced)

    def write(self, data: bytes) -> None:
        """Keep and pass on the next octets; called by the body."""
        if self._kept is not None:
            if len(self._kept) + len(data) > LARGEST_KEPT:
                self._kept = None
            else:
                self._kept += data
        self._consumer.write(data)

    def pauseProducing(self) -> None:
        """Pause the body, while the connection takes no more."""
        self._body.pauseProducing()

    def resumeProducing(self) -> None:
        """Resume the body, when the connection takes more again."""
        self._body.resumeProducing()

    def stopProducing(self) -> None:
        """Stop the body, when its rest is not wanted."""
        self._body.stopProducing()

    def _bodyProduced(self, result: None) -> None:
        self._complete = True


class _ContentProtocol(Protocol):
    """The protocol that reads the content of an answer, up to a limit."""

    transport: ITransport

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()
        self.result: Deferred[bytes] = Deferred(self._readCancelled)

    def dataReceived(self, data: bytes) -> None:
        self._content += data
        if len(self._content) > self._limit:
            self.transport.loseConnection()
            self._fireResult()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Also where it was cut short: it is for people to read, in an error.
        self._fireResult()

    def _fireResult(self) -> None:
        # The loss of the connection follows the limit, and the cancellation.
        if not self.result.called:
            self.result.callback(bytes(self._content[: self._limit]))

    def stopReading(self) -> None:
        """Take what has come, and close the connection."""
        if not self.result.called:
            self.transport.loseConnection()
            self._fireResult()

    def _readCancelled(self, result: Deferred[bytes]) -> None:
        # First, so that the loss is not taken for the end of the content.
        result.errback(CancelledError())
        self.transport.loseConnection()


def readSome(
    response: IResponse, clock: IReactorTime, limit: int = LARGEST_READ
) -> Deferred[bytes]:
    """
    Read the content of a response that has no other reader.

    The connection is closed if the content is longer than C{limit} octets, takes longer
    than some seconds, or has no length and is not there yet; else it serves the next
    request, if it may.

    @return: a Deferred of the content, at most C{limit} octets of it, which
        does not fail.  When it is cancelled, the connection is closed.
    """
    reading = _ContentProtocol(limit)
    response.deliverBody(reading)
    if response.length is UNKNOWN_LENGTH:
        # Perhaps it lasts until the connection ends, which may be never.
        reading.stopReading()
    elif not reading.result.called:
        late = clock.callLater(READ_SECONDS, reading.stopReading)
        reading.result.addBoth(_cancelTimer, late)
    return reading.result


def _cancelTimer(result: _T, timer: IDelayedCall) -> _T:
    if timer.active():
        timer.cancel()
    return result
