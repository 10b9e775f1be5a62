"""
Dialling: exactly the addresses that were judged, never a name.

Happy Eyeballs (RFC 8305, 4 and 5) without its resolution delay, because one
look-up has answered for both families.  Every failure is kept, and the best
informed one chooses the refusal.  An address is opened by one function, L{Open}.

Few attempts are under way at once (L{MOST_ATTEMPTS}): a zone with many addresses
would otherwise turn one request into as many sockets.

Rejected: C{HostnameEndpoint}, which would look the name up again after the policies,
hide the resolver's error and report only its last failure.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IReactorTime,
)
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from txconnect.errors import Refused, causeOf
from txconnect.maybeasync import Awaited, OneResult
from txconnect.settings import Settings
from txconnect.timers import EqualTimeouts
from txconnect.tunnel.kernel.socketleg import SocketLeg
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Cause, IPAddress, Reached, Request, Route

Open = Callable[[IPAddress, int], Awaited]
"""
Open a connection to one address and port.  The result, a Deferred or lighter, can be
cancelled, and fails with an exception whose C{osError} is the errno where there is
one.
"""

# The attempt that got furthest knows most.
_INFORMED = (
    Cause.CONNECTION_REFUSED,
    Cause.CONNECTION_TERMINATED,
    Cause.CONNECTION_TIMEOUT,
    Cause.EXHAUSTED,
    Cause.UNROUTABLE,
    Cause.INTERNAL,
)


MOST_ATTEMPTS = 6
"""The most attempts of one request that are under way at once."""


def setSocketOptions(transport: Any) -> None:
    """
    Set the options of every destination's leg.

    @param transport: a C{tcp.Client}.
    """
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)


class _LegFactory(ClientFactory):
    """Makes one leg, and fires a Deferred with it."""

    noisy = False

    def __init__(self, opened: Deferred[Leg]) -> None:
        self._opened: Deferred[Leg] | None = opened

    def buildProtocol(self, addr: IAddress | None) -> _OpeningLeg:
        return _OpeningLeg(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.tellOutcome(reason)

    def tellOutcome(self, outcome: Leg | Failure) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.callback(outcome)


class _OpeningLeg(Leg):
    """A leg that tells its factory when it is up."""

    def __init__(self, factory: _LegFactory) -> None:
        super().__init__()
        self._opening = factory

    def connectionMade(self) -> None:
        setSocketOptions(self.transport)
        self._opening.tellOutcome(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        # Lost before it was up for its factory: setting an option had failed.
        self._opening.tellOutcome(reason)
        super().connectionLost(reason)


def transportOpener(reactor: Any, bindAddress: tuple[str, int] | None = None) -> Open:
    """
    Open addresses as the reactor's transports.

    C{connectTCP} rather than an endpoint: the leg itself is the transport's
    protocol, with no wrapper in the path of the bytes.

    @param reactor: provides C{IReactorTCP}.
    """

    def openTransport(address: IPAddress, port: int) -> Deferred[Leg]:
        def stop(_: Deferred[Leg]) -> None:
            connector.disconnect()

        opened: Deferred[Leg] = Deferred(stop)
        connector = reactor.connectTCP(
            str(address),
            port,
            _LegFactory(opened),
            # The race has one deadline for all attempts together.
            timeout=None,
            bindAddress=bindAddress,
        )
        return opened

    return openTransport


def interleave(addresses: Sequence[IPAddress]) -> list[IPAddress]:
    """
    Order addresses so that the families alternate, beginning with the
    family that the resolver put first (RFC 8305, 4).
    """
    first = [each for each in addresses if each.version == addresses[0].version]
    second = [each for each in addresses if each.version != addresses[0].version]
    mixed: list[IPAddress] = []
    while first or second:
        mixed += first[:1] + second[:1]
        first, second = first[1:], second[1:]
    return mixed


class _Race:
    """The attempts at one destination; the first that is up wins."""

    def __init__(
        self,
        clock: IReactorTime,
        open: Open,
        addresses: Sequence[IPAddress],
        port: int,
        settings: Settings,
        deadlines: EqualTimeouts,
    ) -> None:
        self._clock = clock
        self._open = open
        self._deadlines = deadlines
        self._left = deque(addresses if len(addresses) == 1 else interleave(addresses))
        self._port = port
        self._settings = settings
        self._attempts: dict[Awaited, IPAddress] = {}
        self._over = False
        self._failures: list[tuple[IPAddress, BaseException | None]] = []
        self._nextAttempt: IDelayedCall | None = None
        self.won: Deferred[Reached] = Deferred(self._raceCancelled)

    def startRace(self) -> Deferred[Reached]:
        self._deadlines.begin(self._deadlinePassed)
        self._startAttempt()
        return self.won

    def _startAttempt(self) -> None:
        self._nextAttempt = None
        address = self._left.popleft()
        if self._left:
            self._nextAttempt = self._clock.callLater(
                self._settings.attemptDelay, self._startAttempt
            )
        if len(self._attempts) >= MOST_ATTEMPTS:
            # One request costs only so many descriptors, however large a zone is.
            oldest, silent = next(iter(self._attempts.items()))
            del self._attempts[oldest]
            self._failures.append((silent, TimeoutError(errno.ETIMEDOUT, "no answer")))
            oldest.cancel()
        attempt: Awaited
        try:
            attempt = self._open(address, self._port)
        except Exception:
            attempt = fail()
        self._attempts[attempt] = address
        attempt.addBoth(self._attemptOver, attempt)

    def _attemptOver(self, result: Leg | SocketLeg | Failure, attempt: Awaited) -> None:
        if isinstance(result, Failure):
            self._attemptFailed(result, attempt)
        else:
            self._attemptConnected(result, attempt)

    def _attemptConnected(self, leg: Leg | SocketLeg, attempt: Awaited) -> None:
        if self._over or attempt not in self._attempts:
            # It was up already when it was given up.
            leg.abort()
            return
        address = self._attempts.pop(attempt)
        self._endRace()
        self.won.callback(Reached(leg, address))

    def _attemptFailed(self, failure: Failure, attempt: Awaited) -> None:
        if self._over or attempt not in self._attempts:
            return
        self._failures.append((self._attempts.pop(attempt), failure.value))
        if self._left:
            # RFC 8305, 5: a failure starts the next attempt at once.
            if self._nextAttempt is not None:
                self._nextAttempt.cancel()
            self._startAttempt()
        elif not self._attempts:
            self._failRace(Refused(self._bestCause(), self._failureText()))

    def _deadlinePassed(self) -> None:
        seconds = self._settings.connectTimeout
        waiting = ", ".join(str(each) for each in self._attempts.values())
        reason = f"no answer within {seconds:g} seconds from {waiting}"
        story = self._failureText()
        self._failRace(
            Refused(Cause.CONNECTION_TIMEOUT, f"{reason}; {story}" if story else reason)
        )

    def _failRace(self, refused: Refused) -> None:
        self._endRace()
        self.won.errback(refused)

    def _raceCancelled(self, _: Deferred[Reached]) -> None:
        self._endRace()

    def _endRace(self) -> None:
        self._over = True
        self._left.clear()
        self._deadlines.end(self._deadlinePassed)
        timer = self._nextAttempt
        if timer is not None and timer.active():
            timer.cancel()
        attempts, self._attempts = self._attempts, {}
        for attempt in attempts:
            attempt.cancel()

    def _bestCause(self) -> Cause:
        causes = {causeOf(error) for _, error in self._failures}
        return next(cause for cause in _INFORMED if cause in causes)

    def _failureText(self) -> str:
        return "; ".join(f"{address}: {error}" for address, error in self._failures)


class _OneAttempt(OneResult):
    """
    The attempt at the only address: no race, and so no Deferred and no timer of its
    own.  The result is a L{Reached}, or the Failure of a L{Refused}.
    """

    __slots__ = ("_address", "_attempt", "_deadlines", "_seconds")

    def __init__(
        self,
        open: Open,
        address: IPAddress,
        port: int,
        settings: Settings,
        deadlines: EqualTimeouts,
    ) -> None:
        super().__init__()
        self._address = address
        self._seconds = settings.connectTimeout
        self._deadlines: EqualTimeouts | None = deadlines
        self._attempt: Awaited | None = None
        deadlines.begin(self._deadlinePassed)
        try:
            attempt = open(address, port)
        except Exception:
            attempt = fail()
        self._attempt = attempt
        attempt.addBoth(self._attemptOver)

    def cancel(self) -> None:
        """See L{OneResult}."""
        attempt = self._endAttempt()
        if attempt is not None:
            attempt.cancel()

    def _endAttempt(self) -> Awaited | None:
        """Return the attempt, if it is still under way, and wait for it no more."""
        deadlines, self._deadlines = self._deadlines, None
        attempt, self._attempt = self._attempt, None
        if deadlines is not None:
            deadlines.end(self._deadlinePassed)
        return attempt

    def _attemptOver(self, result: Leg | SocketLeg | Failure) -> None:
        if self._deadlines is None:
            # It was up already when it was given up.
            if not isinstance(result, Failure):
                result.abort()
            return
        self._endAttempt()
        if isinstance(result, Failure):
            self._fail(causeOf(result.value), f"{self._address}: {result.value}")
        else:
            self.fire(Reached(result, self._address))

    def _deadlinePassed(self) -> None:
        attempt = self._endAttempt()
        self._fail(
            Cause.CONNECTION_TIMEOUT,
            f"no answer within {self._seconds:g} seconds from {self._address}",
        )
        if attempt is not None:
            attempt.cancel()

    def _fail(self, cause: Cause, reason: str) -> None:
        self.fire(Failure(Refused(cause, reason)))


class Dialer:
    """
    Opens a connection to one of several addresses.

    @param clock: provides C{IReactorTime}.
    @param open: opens one address.
    """

    def __init__(self, clock: IReactorTime, settings: Settings, open: Open) -> None:
        self._clock = clock
        self._settings = settings
        self._open = open
        self._deadlines = EqualTimeouts(clock, settings.connectTimeout)

    def dial(self, addresses: Sequence[IPAddress], port: int) -> Deferred[Reached]:
        """
        Reach one of C{addresses}, at least one.

        @return: the leg that is up first; every other
            attempt is given up.  Fails with L{Refused}.  Cancelling it gives
            every attempt up.
        """
        return _Race(
            self._clock, self._open, addresses, port, self._settings, self._deadlines
        ).startRace()

    def begin(self, addresses: Sequence[IPAddress], port: int) -> Awaited:
        """Do as L{dial}, with a lighter result where there is one address."""
        if len(addresses) > 1:
            return self.dial(addresses, port)
        return _OneAttempt(
            self._open, addresses[0], port, self._settings, self._deadlines
        )

    def direct(self, name: str = "direct") -> Route:
        """Return the route that dials the destination's own addresses."""
        return Route(name, self._dialRequest)

    def _dialRequest(
        self, request: Request, addresses: Sequence[IPAddress]
    ) -> Deferred[Reached]:
        return self.dial(addresses, request.authority.port)
