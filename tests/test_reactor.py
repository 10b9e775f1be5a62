"""
The reactor whose epoll is the proxy's too.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.application.reactors import getReactorTypes
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorCore, IReactorFDSet
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txconnect.reactor import TxconnectReactor
from txconnect.tunnel.kernel.nested import IN, NestedEpoll
from txconnect.values import Closed


class Turned(TxconnectReactor):
    """Turned by hand."""

    def useClock(self, clock: Clock) -> None:
        self.seconds = clock.seconds
        self.callLater = clock.callLater


@pytest.fixture
def reactor() -> Iterator[Turned]:
    made: Any = Turned()
    made.useClock(Clock())
    yield made
    for each in made.removeAll():
        each.connectionLost(Failure(ConnectionLost()))
    made._poller.close()


class Watching:
    """Keeps the events that it is told."""

    def __init__(self) -> None:
        self.events: list[int] = []
        self.lost: list[Closed] = []

    def eventsReady(self, events: int) -> None:
        self.events.append(events)

    def watchLost(self, reason: Closed) -> None:
        self.lost.append(reason)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


def test_itIsAReactor(reactor: Any) -> None:
    """In everything else it is Twisted's."""
    assert verifyObject(IReactorCore, reactor)
    assert verifyObject(IReactorFDSet, reactor)


def test_twistdFindsIt() -> None:
    """C{twistd --reactor=txconnect} asks for it by its name."""
    (found,) = [each for each in getReactorTypes() if each.shortName == "txconnect"]
    assert found.moduleName == "txconnect.reactor"


def test_oneWaitServesBoth(reactor: Any, pair: Pair) -> None:
    """The events of the proxy's come from the same epoll, and no reader is nested."""
    nested, watching = NestedEpoll(reactor), Watching()
    nested.watch(pair[0].fileno(), IN, watching)
    assert nested not in reactor.getReaders()
    pair[1].send(b"x")
    reactor.doIteration(0)
    assert watching.events == [IN]
    nested.unwatch(pair[0].fileno())
    reactor.doIteration(0)
    assert watching.events == [IN]
    nested.stop()


def test_itsOwnAreServedBesideThem(reactor: Any, pair: Pair) -> None:
    """A transport of the reactor's is served in the same turn."""
    other, far = socket.socketpair()
    received: list[bytes] = []
    protocol = Protocol()
    protocol.dataReceived = received.append  # type: ignore[method-assign,assignment]

    class Made:
        buildProtocol = staticmethod(lambda addr: protocol)

    with far:
        other.setblocking(False)
        reactor.adoptStreamConnection(other.fileno(), socket.AF_UNIX, Made)
        other.close()
        nested, watching = NestedEpoll(reactor), Watching()
        nested.watch(pair[0].fileno(), IN, watching)
        far.send(b"to a transport")
        pair[1].send(b"x")
        reactor.doIteration(0)
        assert (received, watching.events) == ([b"to a transport"], [IN])
        nested.unwatch(pair[0].fileno())
        nested.stop()


def test_asecondProxyNestsItsOwn(reactor: Any, pair: Pair) -> None:
    """One shares the epoll; another has its own, until the first has left."""
    first, second = NestedEpoll(reactor), NestedEpoll(reactor)
    first.watch(pair[0].fileno(), IN, Watching())
    watching = Watching()
    second.watch(pair[1].fileno(), IN, watching)
    assert second in reactor.getReaders()
    pair[0].send(b"x")
    reactor.doIteration(0)
    assert watching.events == [IN]
    first.stop()
    second.stop()
    third = NestedEpoll(reactor)
    third.watch(pair[0].fileno(), IN, Watching())
    assert third not in reactor.getReaders()
    third.stop()


def test_aReactorThatStops(reactor: Any, pair: Pair) -> None:
    """[K7] It tells the proxy, as it tells every reader."""
    nested, watching = NestedEpoll(reactor), Watching()
    nested.watch(pair[0].fileno(), IN, watching)
    for each in reactor.removeAll():
        each.connectionLost(Failure(ConnectionLost()))
    assert watching.lost == [Closed.SHUTDOWN]
    assert nested not in reactor.removeAll()


class Failing:
    """An epoll whose wait fails."""

    def __init__(self, number: int) -> None:
        self._number = number

    def poll(self, timeout: float, most: int) -> Any:
        raise OSError(self._number, os.strerror(self._number))


def test_aSignalInterruptsTheWait(
    reactor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn is over, without an error; any other error is one."""
    with monkeypatch.context() as patched:
        patched.setattr(reactor, "_poller", Failing(errno.EINTR))
        reactor.doIteration(0)
        patched.setattr(reactor, "_poller", Failing(errno.EBADF))
        with pytest.raises(OSError, match="Bad file descriptor"):
            reactor.doIteration(0)


def test_moreEventsThanSelectables(reactor: Any) -> None:
    """Descriptors of the proxy count, too, in how many are taken in a turn."""
    nested = NestedEpoll(reactor)
    pairs = [socket.socketpair() for _ in range(20)]
    watching = [Watching() for _ in pairs]
    for (ours, theirs), each in zip(pairs, watching, strict=True):
        nested.watch(ours.fileno(), IN, each)
        theirs.send(b"x")
    reactor.doIteration(0)
    assert [each.events for each in watching] == [[select.EPOLLIN]] * 20
    nested.stop()
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
