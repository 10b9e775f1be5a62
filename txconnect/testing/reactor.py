"""
A reactor that turns when it is told to, over sockets of memory.

It does with events what Twisted's reactors on C{epoll} do with them, in an
order that is always the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import error, main
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

MAX_TURNS = 1_000_000
"""Turns of the reactor after which L{MemoryNetwork.flush} gives up."""


class _Clock(Clock):
    """Runs what is due in single turns, as a reactor does."""

    def due(self) -> list[Any]:
        return [call for call in self.calls if call.getTime() <= self.rightNow]

    def run(self, call: Any) -> None:
        self.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)

    def until(self, end: float) -> float:
        """The time of the next call, or C{end} when that comes first."""
        return min([end, *(call.getTime() for call in self.calls)])


@implementer(IReactorTime, IReactorFDSet, IReactorFromThreads)
class MemoryReactor:
    """
    The part of a memory network that has nothing to do with addresses.

    @ivar clock: the time; L{advance} moves it.
    @ivar kernel: the sockets, for tests of this network.
    @ivar failures: what was raised into the reactor by the code under test,
        which has been logged too.
    """

    running = True
    _log = Logger()

    def __init__(self, kernel: Kernel) -> None:
        self.clock = _Clock()
        self.kernel = kernel
        self.failures: list[Failure] = []
        self._readers: dict[Any, None] = {}
        self._writers: dict[Any, None] = {}

    # Driving it.

    def flush(self, turns: int = MAX_TURNS) -> None:
        """
        Turn the reactor until nothing moves any more.

        @raise AssertionError: when something still moves after so many turns.
        """
        for _ in range(turns):
            if not self._turn():
                return
        raise AssertionError(f"the network did not come to rest in {turns} turns")

    def advance(self, seconds: float) -> None:
        """
        Let time pass, stopping at each delayed call on the way, and flush at
        each stop.
        """
        end = self.clock.seconds() + seconds
        self.flush()
        while self.clock.seconds() < end:
            self.clock.rightNow = self.clock.until(end)
            self.flush()

    @property
    def open(self) -> list[Any]:
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
        Check that the code under test has given everything back.

        @raise AssertionError: with what is left: open transports, delayed
            calls, exceptions that were raised into the reactor.
        """
        left = [f"open: {transport!r}" for transport in self.open]
        left += [f"delayed: {call}" for call in self.getDelayedCalls()]
        left += [f"raised: {each.getTraceback()}" for each in self.failures]
        if left:
            raise AssertionError("the network is not clean:\n" + "\n".join(left))

    def _turn(self) -> bool:
        """
        One turn of the reactor: the calls that are due, then the events that
        are there.

        @return: whether there was anything to do.
        """
        due = self.clock.due()
        for call in due:
            if call.active():
                self.guarded(self.clock.run, call)
        # All that moves octet by octet comes here for each of them: no more is
        # made than what is looked at.
        writers = self._writers
        watched = {**self._readers, **writers} if writers else self._readers
        ready = [
            (selectable, events)
            for selectable in watched
            if (events := self._events(selectable))
        ]
        for selectable, events in ready:
            # An earlier one may have closed it, or stopped it altogether.
            if selectable in self._readers or selectable in self._writers:
                self._dispatch(selectable, events)
        return bool(due or ready)

    def _events(self, selectable: Any) -> int:
        events = self.kernel.sockets[selectable.fileno()].events()
        if selectable not in self._readers:
            events &= ~IN
        if selectable not in self._writers:
            events &= ~OUT
        return events

    def _dispatch(self, selectable: Any, events: int) -> None:
        """Do what Twisted's reactors on poll and epoll do with an event."""
        reading = bool(events & IN)
        why: object = None
        if events & (ERR | HUP) and not reading:
            # Nobody who reads gets here: ERR and HUP come with IN for him.
            why = main.CONNECTION_LOST
        else:
            if reading:
                why = self.guarded(selectable.doRead)
            if not why and events & OUT:
                reading = False
                why = self.guarded(selectable.doWrite)
        if why:
            self._disconnect(selectable, why, reading)

    def _disconnect(self, selectable: Any, why: object, reading: bool) -> None:
        self.removeReader(selectable)
        reason = why if isinstance(why, Failure) else Failure(why)
        if (
            reading
            and reason.type is error.ConnectionDone
            and IHalfCloseableDescriptor.providedBy(selectable)
        ):
            self.guarded(selectable.readConnectionLost, reason)
        else:
            self.removeWriter(selectable)
            self.guarded(selectable.connectionLost, reason)

    def guarded(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call; what is raised is logged, kept, and given back as a Failure."""
        try:
            return function(*args)
        except Exception:
            failure = Failure()
            self.failures.append(failure)
            self._log.failure("Unhandled in the memory network", failure)
            return failure

    # IReactorTime and IReactorFromThreads.

    def seconds(self) -> float:
        """The time."""
        return self.clock.seconds()

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any
    ) -> IDelayedCall:
        """Call when that time has come: never before the next turn."""
        return self.clock.callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """The calls that have not been made."""
        return list(self.clock.getDelayedCalls())

    def callFromThread(
        self, callable: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        """Call at once: there are no threads here."""
        callable(*args, **kw)

    # IReactorFDSet, for transports on this network's sockets.

    def addReader(self, reader: IReadDescriptor) -> None:
        """Watch for input."""
        self._own(reader)
        self._readers[reader] = None

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Watch for room to write."""
        self._own(writer)
        self._writers[writer] = None

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Watch for input no more."""
        self._readers.pop(reader, None)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Watch for room to write no more."""
        self._writers.pop(writer, None)

    def removeAll(self) -> list[Any]:
        """Watch nothing any more."""
        watched = list({**self._readers, **self._writers})
        self._readers.clear()
        self._writers.clear()
        return watched

    def getReaders(self) -> list[Any]:
        """Who is watched for input."""
        return list(self._readers)

    def getWriters(self) -> list[Any]:
        """Who is watched for room to write."""
        return list(self._writers)

    def _own(self, descriptor: Any) -> None:
        found = self.kernel.sockets.get(descriptor.fileno())
        if found is None:
            raise ValueError(
                f"{descriptor!r} is on no socket of this memory network, which "
                "can watch no others"
            )
        found.owner = descriptor
