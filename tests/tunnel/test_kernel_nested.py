"""
The nested epoll and the pipes, by themselves: on pairs of connected sockets,
without a network and without a reactor.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rig import logging

from txconnect.tunnel.kernel import nested as room
from txconnect.tunnel.kernel.leaving import LeaveWatch
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.kernel.pipes import Pipe, Pipes
from txconnect.values import Closed

linux = pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll is Linux's")
pytestmark = linux

IN = select.EPOLLIN if hasattr(select, "epoll") else 0


class Readers:
    """What a nested epoll asks of its reactor."""

    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)


class Ready:
    """A socket with something to read; does what a test says."""

    def __init__(
        self, nested: NestedEpoll, act: Callable[[Ready], object] = lambda it: None
    ) -> None:
        self.socket, self.far = socket.socketpair()
        self.far.send(b"x")
        self.act = act
        self.calls = 0
        self.reasons: list[Closed] = []
        self._nested = nested
        nested.watch(self.socket.fileno(), IN, self)

    def eventsReady(self, events: int) -> None:
        self.calls += 1
        self.act(self)

    def watchLost(self, reason: Closed) -> None:
        self.reasons.append(reason)
        self.giveUp()

    def giveUp(self) -> None:
        """As all who are watched do it."""
        self._nested.unwatch(self.socket.fileno())
        self._nested.afterBatch(self.socket.close)

    def close(self) -> None:
        self.socket.close()
        self.far.close()


@pytest.fixture
def nested() -> Iterator[NestedEpoll]:
    it = NestedEpoll(Readers())
    yield it
    it.stop()


@pytest.fixture
def make(nested: NestedEpoll) -> Iterator[Callable[..., Ready]]:
    made: list[Ready] = []

    def ready(*arguments: Any) -> Ready:
        made.append(Ready(nested, *arguments))
        return made[-1]

    yield ready
    nested.stop()
    for each in made:
        each.close()


def test_theReactorHasOneReader(
    nested: NestedEpoll, make: Callable[..., Ready]
) -> None:
    """However many are watched, and again after a stop."""
    assert nested.fileno() == -1
    make()
    make()
    assert nested.reactor.readers == [nested]
    assert nested.fileno() >= 0
    assert len(nested) == 2
    assert nested.logPrefix() == "txconnect"
    nested.stop()
    assert nested.reactor.readers == []
    nested.stop()
    make()
    assert nested.reactor.readers == [nested]


def test_aStaleEventMeetsNoNewDescriptor(
    nested: NestedEpoll, make: Callable[..., Ready]
) -> None:
    """
    [K3] Whichever is served first ends the other too and opens a new one: the
    number is not free before the batch is over.
    """
    pair: list[Ready] = []
    new: list[Ready] = []

    def endBoth(it: Ready) -> None:
        for each in pair:
            each.giveUp()
        new.append(make())

    pair += [make(endBoth), make(endBoth)]
    numbers = {each.socket.fileno() for each in pair}
    nested.doRead()
    assert sorted(each.calls for each in pair) == [0, 1]
    assert [each.calls for each in new] == [0]
    assert new[0].socket.fileno() not in numbers
    assert all(each.socket.fileno() == -1 for each in pair)
    nested.doRead()
    assert new[0].calls == 1


def test_outsideABatchItIsClosedAtOnce(
    nested: NestedEpoll, make: Callable[..., Ready]
) -> None:
    """[K3] There is no event to wait for."""
    it = make()
    it.giveUp()
    assert it.socket.fileno() == -1


def test_aBatchIsBoundedAndGoesRound(
    nested: NestedEpoll, make: Callable[..., Ready], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[TU-06] Of many that are always ready, each has its turn."""
    monkeypatch.setattr(room, "BATCH", 4)
    many = [make() for _ in range(10)]
    for turn in range(1, 6):
        nested.doRead()
        assert sum(each.calls for each in many) == 4 * turn
    assert {each.calls for each in many} == {2}


@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit])
def test_nothingLeavesABatch(
    nested: NestedEpoll, make: Callable[..., Ready], error: type[BaseException]
) -> None:
    """[K1] Who raises is ended, the rest of the batch is served, and it is logged."""

    def fail(it: Ready) -> None:
        raise error("a bug")

    failing, fine = make(fail), make()
    with logging() as logged:
        nested.doRead()
    assert failing.reasons == [Closed.INTERNAL]
    assert fine.calls == 1
    assert len(logged.errors) == 1
    assert failing.socket.fileno() == -1


def test_endingMayFailToo(nested: NestedEpoll, make: Callable[..., Ready]) -> None:
    """[K1] [K7] One that cannot even be ended keeps nobody from it."""

    class Hopeless(Ready):
        def eventsReady(self, events: int) -> None:
            raise ValueError("a bug")

        def watchLost(self, reason: Closed) -> None:
            raise ValueError("another")

    hopeless, fine = Hopeless(nested), make()
    with logging() as logged:
        nested.doRead()
        nested.afterBatch(lambda: None)
        nested.stop()
    assert len(logged.errors) == 3
    assert fine.reasons == [Closed.SHUTDOWN]
    assert len(nested) == 0
    hopeless.close()


def test_aCloseThatFailsKeepsNobodyFromTheirs(
    nested: NestedEpoll, make: Callable[..., Ready]
) -> None:
    """[K1] [K3] The end of a batch is guarded as its turns are."""
    closed: list[str] = []

    def close(it: Ready) -> None:
        nested.afterBatch(lambda: 1 / 0)
        nested.afterBatch(lambda: closed.append("closed"))

    make(close)
    with logging() as logged:
        nested.doRead()
    assert closed == ["closed"]
    assert len(logged.errors) == 1


def test_theEndOfABatchMayQueueMore(
    nested: NestedEpoll, make: Callable[..., Ready]
) -> None:
    """[R7] All of it is called in that turn, in order: channels tell of themselves so."""
    called: list[str] = []

    def first() -> None:
        called.append("first")
        nested.afterBatch(lambda: called.append("third"))
        nested.afterBatch(fourth)

    def fourth() -> None:
        called.append("fourth")
        nested.afterBatch(lambda: called.append("fifth"))

    def act(it: Ready) -> None:
        nested.afterBatch(first)
        nested.afterBatch(lambda: called.append("second"))
        assert called == []

    make(act)
    nested.doRead()
    assert called == ["first", "second", "third", "fourth", "fifth"]


def test_outsideABatchTheOrderIsTheSame(nested: NestedEpoll) -> None:
    """[R7] What is queued meanwhile comes when that is done, and not within it."""
    called: list[str] = []

    def first() -> None:
        nested.afterBatch(lambda: called.append("second"))
        called.append("first")

    nested.afterBatch(first)
    assert called == ["first", "second"]
    with logging() as logged:
        nested.afterBatch(lambda: 1 / 0)
    nested.afterBatch(lambda: called.append("third"))
    assert called == ["first", "second", "third"]
    assert len(logged.errors) == 1


def test_aStopLosesNothingThatIsQueued(
    nested: NestedEpoll, make: Callable[..., Ready]
) -> None:
    """[R7] [K7] Before it, by it, and from what it calls."""
    called: list[str] = []

    def stop() -> None:
        nested.afterBatch(lambda: called.append("queued by it"))
        nested.stop()

    def act(it: Ready) -> None:
        nested.afterBatch(stop)
        nested.afterBatch(lambda: called.append("queued before"))

    one = make(act)
    nested.doRead()
    assert called == ["queued before", "queued by it"]
    assert one.reasons == [Closed.SHUTDOWN]
    assert one.socket.fileno() == -1


def test_whatBeginsWhileAllEndsIsEndedToo(
    nested: NestedEpoll, make: Callable[..., Ready]
) -> None:
    """[K7] As a dial, which tries its next address."""
    nexts: list[Ready] = []

    class Dialling(Ready):
        def watchLost(self, reason: Closed) -> None:
            super().watchLost(reason)
            # Closed by now, so that the next one has the same number.
            nexts.append(make())

    first = Dialling(nested)
    nested.stop()
    assert [each.reasons for each in (first, *nexts)] == [[Closed.SHUTDOWN]] * 2
    assert len(nested) == 0
    assert nested.fileno() == -1
    first.close()


def test_stoppedWithinABatch(nested: NestedEpoll, make: Callable[..., Ready]) -> None:
    """[K7] Nobody has a turn after the stop."""
    two = [make(lambda it: nested.stop()) for _ in range(2)]
    nested.doRead()
    assert sum(each.calls for each in two) == 1
    assert [each.reasons for each in two] == [[Closed.SHUTDOWN]] * 2
    assert all(each.socket.fileno() == -1 for each in two)


def test_withoutANestedEpollNobodyIsSeenLeaving() -> None:
    """[K9] Where there is none the watch does nothing, and says nothing."""
    watch = LeaveWatch(None)
    left: list[str] = []
    watch.watch(object(), lambda: left.append("left"))
    watch.unwatch(object())
    assert left == []


# Pipes


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    it = Pipes(most=3, kept=2)
    yield it
    it.close()


def isOpen(pipe: Pipe) -> bool:
    try:
        os.fstat(pipe.exit)
        os.fstat(pipe.entry)
    except OSError:
        return False
    return True


def test_pipesAreBounded(pipes: Pipes) -> None:
    """So many at once, and so many kept."""
    taken = [pipes.takePipe() for _ in range(4)]
    assert taken[3] is None
    three = [pipe for pipe in taken if pipe is not None]
    assert len(three) == 3
    for pipe in three:
        pipes.returnPipe(pipe)
    assert [isOpen(pipe) for pipe in three] == [True, True, False]
    assert pipes.takePipe() in three[:2]
    pipes.returnPipe(three[1])


def test_onlyAnEmptyPipeIsLentAgain(pipes: Pipes) -> None:
    """[K6] One with bytes in it is closed."""
    pipe = pipes.takePipe()
    assert pipe is not None
    os.write(pipe.entry, b"somebody's")
    pipe.held = 10
    pipes.returnPipe(pipe)
    assert not isOpen(pipe)
    other = pipes.takePipe()
    assert other is not None
    with pytest.raises(BlockingIOError):
        os.read(other.exit, 1)
    pipes.returnPipe(other)


def test_closedPipesAreClosed(pipes: Pipes) -> None:
    """What is kept goes with the proxy."""
    pipe = pipes.takePipe()
    assert pipe is not None
    pipes.returnPipe(pipe)
    pipes.close()
    assert not isOpen(pipe)


def test_noPipeCanBeMade(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    """[TU-01] Without a descriptor there is none, and none counts as lent."""

    def full(flags: int) -> tuple[int, int]:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe2", full)
        assert [pipes.takePipe() for _ in range(5)] == [None] * 5
    pipe = pipes.takePipe()
    assert pipe is not None
    pipes.returnPipe(pipe)


def test_aPipeThatCannotBeEnlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    """[TU-01] A user's allowance is used up: it is as large as it is."""
    call = fcntl.fcntl

    def small(descriptor: int, what: int, *more: int) -> int:
        if what == fcntl.F_SETPIPE_SZ:
            raise PermissionError(errno.EPERM, "not permitted")
        return call(descriptor, what, *more)

    monkeypatch.setattr(fcntl, "fcntl", small)
    pipe = Pipe()
    assert 0 < pipe.size < 1 << 20
    pipe.close()


def test_pipesThatAreOfNoUse(pipes: Pipes) -> None:
    """[TU-01] Where splice does not work none is lent any more."""
    pipe = pipes.takePipe()
    assert pipe is not None
    pipes.stopLending()
    pipes.returnPipe(pipe)
    assert pipes.takePipe() is None
