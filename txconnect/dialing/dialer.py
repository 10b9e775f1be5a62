"""
Dialling: exactly the addresses that were judged, never a name.

An address is opened by one function, L{Open<txconnect.dialing.openers.Open>}.  Several
addresses race (L{txconnect.dialing.race}); the only one is tried without a race
(L{txconnect.dialing.oneattempt}).  Every request's time to connect is one of the same
length, so that all share one timer.

Rejected: C{HostnameEndpoint}, which would look the name up again after the policies,
hide the resolver's error and report only its last failure.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txconnect.dialing.oneattempt import OneAttempt
from txconnect.dialing.openers import Open
from txconnect.dialing.race import Race
from txconnect.maybeasync import Awaited
from txconnect.settings import Settings
from txconnect.timers import EqualTimeouts
from txconnect.values import IPAddress, Reached, Request, Route

__all__ = ["Dialer"]


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
        return Race(
            self._clock, self._open, addresses, port, self._settings, self._deadlines
        ).startRace()

    def begin(self, addresses: Sequence[IPAddress], port: int) -> Awaited:
        """Do as L{dial}, with a lighter result where there is one address."""
        if len(addresses) > 1:
            return self.dial(addresses, port)
        return OneAttempt(
            self._open, addresses[0], port, self._settings, self._deadlines
        )

    def direct(self, name: str = "direct") -> Route:
        """Return the route that dials the destination's own addresses."""
        return Route(name, self._dialRequest)

    def _dialRequest(
        self, request: Request, addresses: Sequence[IPAddress]
    ) -> Deferred[Reached]:
        return self.dial(addresses, request.authority.port)
