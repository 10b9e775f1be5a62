"""
A reactor over sockets of memory, which turns only when a test drives it.

It handles events as Twisted's reactors on C{epoll} do, in an order that is
always the same.  Twisted's own C{MemoryReactor} and C{iosim} were not taken:
they ignore pauses and half-close, and these are half of a proxy's work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, Union

from twisted.internet import error, main
from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableDescriptor,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorTime,
    IReadDescriptor,
    IWriteDescriptor,
)
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.testing.kernel import Kernel
from txconnect.testing.sockets import ERR, HUP, IN, OUT

_P = ParamSpec("_P")
_R = TypeVar("_R")

_Descriptor = Union[IReadDescriptor, IWriteDescriptor]

MAX_TURNS = 1_000_000
"""Turns of the reactor after which L{MemoryNetwork.flush} gives up."""


class _TurnClock(Clock):
    """A clock whose calls run in the turns of a reactor."""

    def dueCalls(self) -> list[DelayedCall]:
        """Return the calls whose time has come."""
        return [call for call in self.calls if call.getTime() <= self.rightNow]

    def runCall(self, call: DelayedCall) -> None:
        """
        Run one call.

        L{Clock.advance} would also run the calls that this one makes due, in
        the same turn; a reactor leaves them for the next.
        """
        self.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)

    def nextStop(self, end: float) -> float:
        """Return the time of the next call, or C{end} when that comes first."""
        return min([end, *(call.getTime() for call in self.calls)])


@implementer(IReactorTime, IReactorFDSet, IReactorFromThreads)
class MemoryReactor:
    """
    The part of a memory network that does not depend on addresses.

    @ivar clock: the time; L{advance} moves it.
    @ivar kernel: the sockets, for tests of this network.
    @ivar failures: the exceptions that the code under test has raised into the
        reactor, which have been logged too.
    """

    running = True
    _log = Logger()

    def __init__(self, kernel: Kernel) -> None:
        self.clock = _TurnClock()
        self.kernel = kernel
        self.failures: list[Failure] = []
        # Dictionaries as ordered sets: a set would change the order of a turn
        # from one run to the next.
        self._readers: dict[IReadDescriptor, None] = {}
        self._writers: dict[IWriteDescriptor, None] = {}

    # Methods that drive it.

    def flush(self, turns: int = MAX_TURNS) -> None:
        """
        Turn the reactor until nothing moves any more.

        @raise AssertionError: when something still moves after so many turns.
        """
        for _ in range(turns):
            if not self._runTurn():
                return
        raise AssertionError(f"the network did not come to rest in {turns} turns")

    def advance(self, seconds: float) -> None:
        """
        Let time pass, stopping at each delayed call on the way, and flush at
        each stop.
        """
        end = self.clock.seconds() + seconds
        self.flush()
        # In stops, because a call may set another that is due before the end.
        while self.clock.seconds() < end:
            self.clock.rightNow = self.clock.nextStop(end)
            self.flush()

    @property
    def open(self) -> list[object]:
        """
        The transports of the code under test that are connected, or still
        connecting; neither listening ports nor a test's own peers.
        """
        return [
            each.owner or each
            for each in self.kernel.sockets.values()
            if not (each.outside or each.listening)
        ]

    def assertClean(self) -> None:
        """
        Check that the code under test has left nothing open.

        @raise AssertionError: with the open transports, the delayed calls, and
            the exceptions that were raised into the reactor.
        """
        left = [f"open: {transport!r}" for transport in self.open]
        left += [f"delayed: {call}" for call in self.getDelayedCalls()]
        left += [f"raised: {each.getTraceback()}" for each in self.failures]
        if left:
            raise AssertionError("the network is not clean:\n" + "\n".join(left))

    def _runTurn(self) -> bool:
        """
        Run one turn of the reactor: the calls that are due, then the events of
        the sockets.

        @return: true when there was anything to do.
        """
        due = self.clock.dueCalls()
        for call in due:
            if call.active():
                self.callGuarded(self.clock.runCall, call)
        # With a chunk of 1 there is a turn for each octet, so that a merged
        # dictionary is made only where it is needed.
        watched = self._allWatched() if self._writers else self._readers
        ready = [
            (selectable, events)
            for selectable in watched
            if (events := self._readyEvents(selectable))
        ]
        for selectable, events in ready:
            # An earlier event of this turn may have closed or paused it.
            if selectable in self._readers or selectable in self._writers:
                self._dispatchEvents(selectable, events)
        return bool(due or ready)

    def _allWatched(self) -> dict[_Descriptor, None]:
        """Return every descriptor once: the readers first, in their order."""
        descriptors: list[_Descriptor] = [*self._readers, *self._writers]
        return dict.fromkeys(descriptors)

    def _readyEvents(self, selectable: _Descriptor) -> int:
        events = self.kernel.sockets[int(selectable.fileno())].pollEvents()
        if selectable not in self._readers:
            events &= ~IN
        if selectable not in self._writers:
            events &= ~OUT
        return events

    def _dispatchEvents(self, selectable: Any, events: int) -> None:
        """Do what Twisted's reactors on poll and epoll do with an event."""
        reading = bool(events & IN)
        why: object = None
        if events & (ERR | HUP) and not reading:
            # Only for a paused reader: to one that reads, a FIN or an error is
            # IN too, and doRead finds out which of them it was.
            why = main.CONNECTION_LOST
        else:
            if reading:
                why = self.callGuarded(selectable.doRead)
            if not why and events & OUT:
                reading = False
                why = self.callGuarded(selectable.doWrite)
        if why:
            self._disconnectSelectable(selectable, why, reading)

    def _disconnectSelectable(
        self, selectable: Any, why: object, reading: bool
    ) -> None:
        self.removeReader(selectable)
        reason = why if isinstance(why, Failure) else Failure(why)
        if (
            reading
            and reason.type is error.ConnectionDone
            and IHalfCloseableDescriptor.providedBy(selectable)
        ):
            self.callGuarded(selectable.readConnectionLost, reason)
        else:
            self.removeWriter(selectable)
            self.callGuarded(selectable.connectionLost, reason)

    def callGuarded(
        self, function: Callable[_P, _R], *args: _P.args, **kw: _P.kwargs
    ) -> _R | Failure:
        """
        Call a function of the code under test.

        @return: its result, or the L{Failure} of its exception, which is logged
            and kept in L{failures}.
        """
        try:
            return function(*args, **kw)
        except Exception:
            failure = Failure()
            self.failures.append(failure)
            self._log.failure("Unhandled in the memory network", failure)
            return failure

    # IReactorTime and IReactorFromThreads.

    def seconds(self) -> float:
        """Return the time, in seconds."""
        return self.clock.seconds()

    def callLater(
        self,
        delay: float,
        callable: Callable[_P, object],
        *args: _P.args,
        **kw: _P.kwargs,
    ) -> IDelayedCall:
        """Call a function after a delay, and never before the next turn."""
        return self.clock.callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """Return the calls that have not been made."""
        return list(self.clock.getDelayedCalls())

    def callFromThread(
        self, callable: Callable[_P, object], *args: _P.args, **kw: _P.kwargs
    ) -> None:
        """Call a function at once: there are no threads here."""
        callable(*args, **kw)

    # IReactorFDSet, for transports on this network's sockets.

    def addReader(self, reader: IReadDescriptor) -> None:
        """Watch a descriptor for input."""
        self._setOwner(reader)
        self._readers[reader] = None

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Watch a descriptor for room to write."""
        self._setOwner(writer)
        self._writers[writer] = None

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Stop watching a descriptor for input."""
        self._readers.pop(reader, None)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Stop watching a descriptor for room to write."""
        self._writers.pop(writer, None)

    def removeAll(self) -> list[_Descriptor]:
        """Stop watching all descriptors, and return them."""
        watched = list(self._allWatched())
        self._readers.clear()
        self._writers.clear()
        return watched

    def getReaders(self) -> list[IReadDescriptor]:
        """Return the descriptors that are watched for input."""
        return list(self._readers)

    def getWriters(self) -> list[IWriteDescriptor]:
        """Return the descriptors that are watched for room to write."""
        return list(self._writers)

    def _setOwner(self, descriptor: _Descriptor) -> None:
        # A foreign descriptor would never be ready: better an error at once.
        found = self.kernel.sockets.get(descriptor.fileno())
        if found is None:
            raise ValueError(
                f"{descriptor!r} is on no socket of this memory network, which "
                "can watch no others"
            )
        found.owner = descriptor
