"""
Bodies of HTTP messages where a request may have to be sent twice: what was
sent is kept, so that it can be sent again, and what a refusal says is read, so
that its connection can be used again.  Both are bounded.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

__all__ = ["RepeatableBody", "readSome"]

LARGEST_KEPT = 65536
"""Octets of a request's body that are kept."""

LARGEST_READ = 16384
"""Octets of a refusal's content that are read."""


@implementer(IBodyProducer)
class _Bytes:
    """A body that is there."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length = len(content)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write all of it."""
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is written already."""

    def resumeProducing(self) -> None:
        """It is written already."""

    def stopProducing(self) -> None:
        """It is written already."""


@implementer(IBodyProducer)
class RepeatableBody:
    """
    The body of one request, of which a copy is kept while it is produced.

    An C{IBodyProducer} produces once, and a file that it has read is closed.
    A body that is longer than L{LARGEST_KEPT}, or was not yet produced to its
    end, cannot be sent again.
    """

    def __init__(self, body: IBodyProducer) -> None:
        self._body = body
        self._consumer: Any = None
        self._kept: bytearray | None = bytearray()
        self._complete = False
        self.length = body.length

    def again(self) -> RepeatableBody | None:
        """A body of the same octets; L{None} where that cannot be."""
        if self._kept is None or not self._complete:
            return None
        return RepeatableBody(_Bytes(bytes(self._kept)))

    # IBodyProducer.

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Called by the request when it can be written."""
        self._consumer = consumer
        producing: Deferred[None] = self._body.startProducing(self)
        return producing.addCallback(self._produced)

    def write(self, data: bytes) -> None:
        """Called by the body with its next octets."""
        if self._kept is not None:
            if len(self._kept) + len(data) > LARGEST_KEPT:
                self._kept = None
            else:
                self._kept += data
        self._consumer.write(data)

    def pauseProducing(self) -> None:
        """Called while the connection takes no more."""
        self._body.pauseProducing()

    def resumeProducing(self) -> None:
        """Called when the connection takes more again."""
        self._body.resumeProducing()

    def stopProducing(self) -> None:
        """Called when nobody wants the rest."""
        self._body.stopProducing()

    def _produced(self, result: None) -> None:
        self._complete = True


class _Reading(Protocol):
    """Reads the content of an answer, and no more of it than it may."""

    transport: Any

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()
        self.result: Deferred[bytes] = Deferred(self._givenUp)

    def dataReceived(self, data: bytes) -> None:
        self._content += data
        if len(self._content) > self._limit:
            self.transport.loseConnection()
            self._tell()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Also where it was cut short: it is shown to people, and not used.
        self._tell()

    def _tell(self) -> None:
        if not self.result.called:
            self.result.callback(bytes(self._content[: self._limit]))

    def _givenUp(self, result: Deferred[bytes]) -> None:
        # First, so that the loss is not taken for the end of the content.
        result.errback(CancelledError())
        self.transport.loseConnection()


def readSome(response: IResponse, limit: int = LARGEST_READ) -> Deferred[bytes]:
    """
    Read the content of a response that nobody else reads.

    Where it is longer than C{limit} octets the connection is closed; else it
    serves the next request, if it may.

    @return: a Deferred of the content, at most C{limit} octets of it, which
        does not fail.  When it is cancelled, the connection is closed.
    """
    reading = _Reading(limit)
    response.deliverBody(reading)
    return reading.result
