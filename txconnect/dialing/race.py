"""
The race of several addresses: Happy Eyeballs (RFC 8305, 4 and 5) without its
resolution delay, because one look-up has answered for both families.

Every failure is kept, and the best informed one chooses the refusal.

Few attempts are under way at once (L{MOST_ATTEMPTS}): a zone with many addresses
would otherwise turn one request into as many sockets.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from txconnect.dialing.openers import Open
from txconnect.errors import Refused, causeOf
from txconnect.maybeasync import Awaited
from txconnect.settings import Settings
from txconnect.timers import EqualTimeouts
from txconnect.tunnel.kernel.socketleg import SocketLeg
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Cause, IPAddress, Reached

__all__ = ["MOST_ATTEMPTS", "Race", "interleave"]

MOST_ATTEMPTS = 6
"""The most attempts of one request that are under way at once."""

# The attempt that got furthest knows most.
_INFORMED = (
    Cause.CONNECTION_REFUSED,
    Cause.CONNECTION_TERMINATED,
    Cause.CONNECTION_TIMEOUT,
    Cause.EXHAUSTED,
    Cause.UNROUTABLE,
    Cause.INTERNAL,
)


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


class Race:
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
