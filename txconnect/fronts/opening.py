"""
The seam between accepting and a front: a protocol that reads a connection's first
octets.

If the first octets decide the protocol (a PROXY header, SOCKS beside HTTP, TLS on the
same port), an L{Opening} is the transport's protocol.  It shows them to a
L{FirstOctets}, which is pure, and once that has decided hands the connection to a
front, with the rest of them.  A listener without one has no L{Opening}: the front is
the transport's protocol then.

The front does not become the transport's protocol here, as that cannot be changed
through wrappers.  Later octets are passed on by a call, which a tunnel of the kernel
relay never pays: its bytes do not come this way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol as Shape

import attrs
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.errors import Refused
from txconnect.fronts.handshakes import brokenHandshake, lateHandshake
from txconnect.fronts.proxypart import Proxy, tellUnserved
from txconnect.timers import EqualTimeouts
from txconnect.values import Cause

__all__ = ["BadOpening", "FirstOctets", "Opened", "Opening"]


_TOO_LONG = "the first octets are over the head's size limit"


class BadOpening(Exception):
    """
    The first octets are none that are served here; the connection is closed.

    C{str()} is the reason, for the log.
    """


@attrs.frozen
class Opened:
    """
    The decision about a connection.

    @ivar front: makes the front that serves it.
    @ivar rest: the octets of those fed that belong to the front.
    """

    front: Callable[[Proxy], FrontProtocol]
    rest: bytes


class FirstOctets(Shape):
    """Reads the first octets of one connection, without any I/O."""

    def feed(self, data: bytes) -> Opened | None:
        """
        Take the next octets.

        @return: the decision, after which nothing more is fed; L{None} while
            it needs more.
        @raise BadOpening: they begin nothing that is served here.
        """


class FrontProtocol(Shape):
    """The part of a front that an L{Opening} uses: a protocol's methods."""

    def makeConnection(self, transport: Any) -> object:
        """See C{IProtocol}."""

    def dataReceived(self, data: bytes) -> object:
        """See C{IProtocol}."""

    def readConnectionLost(self) -> object:
        """See C{IHalfCloseableProtocol}."""

    def writeConnectionLost(self) -> object:
        """See C{IHalfCloseableProtocol}."""

    def connectionLost(self, reason: Failure) -> object:
        """See C{IProtocol}."""


@implementer(IHalfCloseableProtocol)
class Opening(Protocol):
    """
    One connection, until its first octets have decided, and then in front of its
    front.

    It takes at most as many octets as a head may have, and as much time.
    """

    # Any connected stream transport, of the reactor or of a wrapper.
    transport: Any = None

    _front: FrontProtocol | None = None
    _timeouts: EqualTimeouts | None = None
    _began = 0.0
    _started = False
    # True once the observers have been told of its end, or need not be.
    _told = False

    def __init__(self, proxy: Proxy, octets: FirstOctets) -> None:
        self._proxy = proxy
        self._octets = octets
        self._left = proxy.rules.headLimits.size

    def connectionMade(self) -> None:
        proxy = self._proxy
        proxy.clients.frontMade(self)
        self._began = proxy.resources.clock.seconds()
        self._timeouts = proxy.resources.timeouts.ofLength(
            proxy.rules.settings.headTimeout
        )
        self._timeouts.begin(self._openingLate)

    def dataReceived(self, data: bytes) -> None:
        """Show the first octets, and pass on the others."""
        if self._front is not None:
            self._front.dataReceived(data)
            return
        self._started = True
        self._left -= len(data)
        try:
            opened = self._octets.feed(data)
        except BadOpening as bad:
            self._refuse(Refused(Cause.OTHER_PROTOCOL, str(bad)))
            return
        if opened is not None:
            self._handOver(opened)
        elif self._left <= 0:
            self._refuse(Refused(Cause.HEAD_TOO_LARGE, _TOO_LONG))

    def readConnectionLost(self) -> None:
        if self._front is not None:
            self._front.readConnectionLost()
        else:
            # There is no request yet, so there is nothing to answer.
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        if self._front is not None:
            self._front.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self._front is not None:
            self._front.connectionLost(reason)
            return
        self._tellUnserved(self._lostBecause(reason))
        self._endOpening()

    def stop(self) -> None:
        """Close the connection at once: the proxy stops, and no front has it yet."""
        self._refuse(Refused(Cause.SHUTDOWN) if self._started else None)

    def _refuse(self, refused: Refused | None) -> None:
        """Close the connection, whose client gets no answer that it could read."""
        self._tellUnserved(refused)
        self._told = True
        self.transport.abortConnection()

    def _openingLate(self) -> None:
        if self._started:
            self._refuse(Refused(Cause.HEAD_TIMEOUT))
        else:
            timeout = self._proxy.rules.settings.headTimeout
            self._refuse(lateHandshake(self.transport, timeout))

    def _lostBecause(self, reason: Failure) -> Refused | None:
        if self._started:
            return Refused(Cause.CLIENT_LEFT)
        return brokenHandshake(self.transport, reason)

    def _tellUnserved(self, refused: Refused | None) -> None:
        """Report a connection that no front gets, if there is a reason to."""
        if not self._told:
            tellUnserved(self._proxy, refused, self.transport.getPeer(), self._began)

    def _endOpening(self) -> None:
        timeouts, self._timeouts = self._timeouts, None
        if timeouts is not None:
            timeouts.end(self._openingLate)
            self._proxy.clients.frontLost(self)

    def _handOver(self, opened: Opened) -> None:
        front = opened.front(self._proxy)
        # Set before this one is reported gone: to the proxy, which may be waiting
        # for its last connection, there is one all the time.
        self._front = front
        try:
            front.makeConnection(self.transport)
        finally:
            self._endOpening()
        if opened.rest:
            front.dataReceived(opened.rest)
