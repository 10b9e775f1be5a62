"""
The look-ups under way, and the order in which they have their turn.

A look-up is a I{flight} that any number of requests wait for.  Its turn comes when fewer
than so many others are in a thread B{that somebody waits for}; until then it is queued.

A flight without a request that waits does not count.  A queued one that its last
request leaves is dropped.  One that is in a thread goes on, because C{getaddrinfo} cannot be
interrupted, and holds that thread for as long as the resolver is silent, which may be
half a minute; so it gives its turn to the next, in one of some spare threads.  Those are
bounded, too: where all are held, the queue waits for one.  A request that asks for a name
that is still being looked up joins that flight, whether or not it was abandoned.

Turns that come free because requests leave are given in the reactor's next turn, so that
many that leave together do not have their successors looked up, which are about to leave
themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txconnect.errors import Refused
from txconnect.settings import Settings
from txconnect.values import Cause, IPAddress

Addresses = tuple[IPAddress, ...]


class Progress(Enum):
    """The progress of a flight."""

    QUEUED = "queued"
    RUNNING = "running"
    """It is in a thread, or on its way to one."""
    OVER = "over"


class Flight:
    """
    One look-up, and the Deferreds that wait for it.

    @ivar waiting: read by the thread, too.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: deque[Deferred[Addresses]] = deque()
        self.progress = Progress.QUEUED


class Flights:
    """
    All flights of a process, by name.

    @param launch: has a flight looked up in a thread.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        launch: Callable[[Flight], object],
    ) -> None:
        self._clock = clock
        self._threads = settings.lookupThreads
        self._allThreads = settings.lookupThreads + settings.lookupSpareThreads
        self._most = settings.lookupQueue
        self._launch = launch
        self._flights: dict[str, Flight] = {}
        self._queued: dict[str, Flight] = {}
        self._running = 0
        # Of the running ones, those that somebody waits for.
        self._wanted = 0
        self._turn: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._flights)

    def isUnderWay(self, flight: Flight) -> bool:
        """Tell whether it is one of these; not one of a run that was stopped."""
        return self._flights.get(flight.name) is flight

    def join(self, name: str, waiter: Deferred[Addresses]) -> Flight:
        """
        Have C{waiter} wait for a name, and have it looked up when its turn comes.

        @raise Refused: C{EXHAUSTED}; requests wait for as many names as may be.
        """
        flight = self._flights.get(name)
        if flight is None:
            if len(self._queued) + self._wanted >= self._most:
                raise Refused(Cause.EXHAUSTED, "too many look-ups are under way")
            flight = self._flights[name] = self._queued[name] = Flight(name)
        if flight.progress is Progress.RUNNING and not flight.waiting:
            self._wanted += 1
        flight.waiting.append(waiter)
        self._launchQueued()
        return flight

    def leave(self, flight: Flight, waiter: Deferred[Addresses]) -> None:
        """Have C{waiter} wait no more."""
        flight.waiting.remove(waiter)
        if flight.waiting or flight.progress is Progress.OVER:
            return
        if flight.progress is Progress.QUEUED:
            flight.progress = Progress.OVER
            del self._flights[flight.name], self._queued[flight.name]
            return
        self._wanted -= 1
        if self._queued and self._turn is None:
            self._turn = self._clock.callLater(0, self._turnCame)

    def finish(self, flight: Flight) -> None:
        """Its thread is free again; it is looked up no more."""
        self._endFlight(flight)
        self._running -= 1
        self._wanted -= bool(flight.waiting)
        self._launchQueued()

    def clear(self) -> list[Flight]:
        """Drop all; what is still in a thread is none of these any more."""
        flights = list(self._flights.values())
        for flight in flights:
            self._endFlight(flight)
        self._queued.clear()
        self._running = self._wanted = 0
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.cancel()
        return flights

    def _endFlight(self, flight: Flight) -> None:
        flight.progress = Progress.OVER
        del self._flights[flight.name]

    def _turnCame(self) -> None:
        self._turn = None
        self._launchQueued()

    def _launchQueued(self) -> None:
        """Give the queued ones the turns that are free."""
        while (
            self._queued
            and self._wanted < self._threads
            and self._running < self._allThreads
        ):
            # The one that has waited longest: a dict keeps its order.
            flight = self._queued.pop(next(iter(self._queued)))
            flight.progress = Progress.RUNNING
            self._running += 1
            self._wanted += 1
            self._launch(flight)
