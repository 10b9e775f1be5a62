"""
The attempt at the only address that there is, which is the most frequent case.

Its end is its own: with no other address to try, its failure is the refusal.
"""

from __future__ import annotations

from twisted.internet.defer import fail
from twisted.python.failure import Failure

from txconnect.dialing.openers import Open
from txconnect.errors import Refused, causeOf
from txconnect.maybeasync import Awaited, OneResult
from txconnect.settings import Settings
from txconnect.timers import EqualTimeouts
from txconnect.tunnel.kernel.socketleg import SocketLeg
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Cause, IPAddress, Reached

__all__ = ["OneAttempt"]


class OneAttempt(OneResult):
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
