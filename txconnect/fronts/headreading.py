"""
Reading the head of a request on an HTTP/1 connection, within a time-out.

This is the first phase of a connection, and the first again of one that stays open
after a 407.  Like that of every phase, its C{dataReceived} stands in place of the
front's (L{txconnect.fronts.http1}).
"""

from __future__ import annotations

from typing import Protocol as Shape

from txconnect.errors import Refused
from txconnect.fronts.proxypart import Proxy
from txconnect.values import Cause
from txconnect.wire.attempted import attemptedLine
from txconnect.wire.http1.badhead import BadHead
from txconnect.wire.http1.head import Head, HeadParser

__all__ = ["HeadReading", "HeadTaker", "hostNotes"]


class HeadTaker(Shape):
    """The part of a front that the reading of a head uses; one of these is called once."""

    def headRead(self, head: Head, parser: HeadParser) -> None:
        """A head has come; the parser knows its target, and what came behind it."""

    def refuseHead(self, refused: Refused) -> None:
        """Refuse a head that is broken, or late."""

    def headMissing(self) -> None:
        """No request has begun in time, so there is nothing to answer."""


class HeadReading:
    """
    One connection while a head is awaited.  It has ended when it tells its front of
    anything, or by L{endReading}.

    @ivar began: the time by the clock at which that began.
    """

    __slots__ = ("_front", "_parser", "_timeouts", "began")

    def __init__(self, front: HeadTaker, proxy: Proxy) -> None:
        resources, rules = proxy.resources, proxy.rules
        self._front = front
        self._parser = HeadParser(rules.headLimits, rules.requestRule)
        self.began = resources.clock.seconds()
        self._timeouts = resources.timeouts.ofLength(rules.settings.headTimeout)
        self._timeouts.begin(self._headLate)

    @property
    def started(self) -> bool:
        """Tell whether a request has begun."""
        return self._parser.started

    def dataReceived(self, data: bytes) -> None:
        """Parse octets in place of the front."""
        parser = self._parser
        try:
            head = parser.feed(data)
        except BadHead as bad:
            self.endReading()
            attempted = attemptedLine(*(bad.requestLine or parser.requestLine))
            self._front.refuseHead(Refused(bad.cause, bad.reason, attempted=attempted))
            return
        if head is not None:
            # As in endReading, without its call.
            self._timeouts.end(self._headLate)
            self._front.headRead(head, parser)

    def endReading(self) -> None:
        """Wait for the head no more; called by who gives it up."""
        self._timeouts.end(self._headLate)

    def _headLate(self) -> None:
        if self._parser.started:
            attempted = attemptedLine(*self._parser.requestLine)
            self._front.refuseHead(Refused(Cause.HEAD_TIMEOUT, attempted=attempted))
        else:
            self._front.headMissing()


def hostNotes(head: Head) -> tuple[str, ...]:
    """Return a note on the Host field, for the log: the target alone decides."""
    hosts = [value for name, value in head.headers if name == b"host"]
    return tuple(
        f"Host: names {value.decode('latin-1')}, not the target" for value in hosts
    )
