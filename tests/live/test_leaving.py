"""
The watch for clients that leave while they are paused, on real sockets: an
epoll of one's own is what no memory network has.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import pytest
from rig import logging
from twisted.internet import asyncioreactor, epollreactor, selectreactor
from twisted.internet.protocol import Factory, Protocol

from txconnect.tunnel.kernel.leaving import LeaveWatch
from txconnect.tunnel.kernel.nested import NestedEpoll

KINDS = {
    "epoll": epollreactor.EPollReactor,
    "select": selectreactor.SelectReactor,
    "asyncio": asyncioreactor.AsyncioSelectorReactor,
}


@cache
def reactorOf(kind: str) -> Any:
    """One a kind, kept to the end: a reactor cannot be taken apart again."""
    return KINDS[kind]()


class Paused(Protocol):
    """Reads nothing, from the start."""

    def connectionMade(self) -> None:
        self.transport.pauseProducing()  # type: ignore[union-attr]
        self.factory.made.append(self)  # type: ignore[union-attr]


class World:
    """A reactor of its own, turned by hand, and one paused connection."""

    def __init__(self, kind: str) -> None:
        self.reactor = reactorOf(kind)
        factory = Factory.forProtocol(Paused)
        factory.noisy = False
        factory.made = []  # type: ignore[attr-defined]
        self.port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.client = socket.create_connection(("127.0.0.1", self.port.getHost().port))
        self.nested = NestedEpoll(self.reactor)
        self.watch = LeaveWatch(self.nested)
        self.left: list[str] = []
        self.tellers = [partial(self.left.append, how) for how in ("left", "ended")]
        self.turnUntil(lambda: bool(factory.made))  # type: ignore[attr-defined]
        self.transport = factory.made[0].transport  # type: ignore[attr-defined]

    def turnUntil(self, done: Callable[[], bool], turns: int = 500) -> None:
        for _ in range(turns):
            if done():
                return
            self.reactor.iterate(0.01)
        raise AssertionError("it never happened")


@pytest.fixture(params=sorted(KINDS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(request.param)
    yield made
    made.client.close()
    made.nested.stop()
    made.transport.abortConnection()
    made.port.stopListening()
    for _ in range(5):
        made.reactor.iterate(0)


@pytest.mark.parametrize("data", [b"", b"x" * 1000], ids=["silent", "data"])
@pytest.mark.parametrize(
    ("how", "ends"),
    [("end", True), ("reset", True), ("reset", False), ("end, then reset", False)],
)
def test_leavingIsSeenBehindAPause(
    world: World, how: str, ends: bool, data: bytes
) -> None:
    """[K9] [TU-05] [F04] The leaving of a client that is not read is told, once: a
    reset, and a FIN only where that is of interest."""
    ended = (lambda: world.left.append("ended")) if ends else None
    world.watch.watch(world.transport, lambda: world.left.append("left"), ended)
    world.client.sendall(data)
    if "end" in how:
        world.client.shutdown(socket.SHUT_WR)
    if "reset" in how:
        if "end" in how:
            for _ in range(5):
                world.reactor.iterate(0.001)
            assert world.left == []
        world.client.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        world.client.close()
    world.turnUntil(lambda: bool(world.left))
    for _ in range(5):
        world.reactor.iterate(0)
    assert world.left == ["ended" if how == "end" else "left"]


def test_dataIsNotLeaving(world: World) -> None:
    """[K9] Bytes that wait to be read are not a client that has left."""
    world.watch.watch(world.transport, *world.tellers)
    world.client.sendall(b"x" * 1000)
    for _ in range(10):
        world.reactor.iterate(0.001)
    assert world.left == []


def test_noRoomToWatch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """[F04] [T12] Where no more can be watched, a client is not, and nothing breaks."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(world.nested, "watch", full)
    world.watch.watch(world.transport, *world.tellers)
    world.client.close()
    for _ in range(5):
        world.reactor.iterate(0.001)
    assert world.left == []
    world.watch.unwatch(world.transport)


def test_unwatched(world: World) -> None:
    """[K4] Who is taken out of the epoll before it is closed is never told of."""
    world.watch.watch(world.transport, *world.tellers)
    world.watch.unwatch(world.transport)
    world.client.close()
    for _ in range(10):
        world.reactor.iterate(0.001)
    assert world.left == []


def test_failureOfOneDropsNobodyElse(world: World) -> None:
    """[K1] An exception while one is let go leaves the watch of the others alive."""

    def fail() -> None:
        raise RuntimeError("no")

    other = socket.create_connection(("127.0.0.1", world.port.getHost().port))
    made = world.port.factory.made
    world.turnUntil(lambda: len(made) == 2)
    told = partial(world.left.append, "other")
    world.watch.watch(world.transport, fail, fail)
    world.watch.watch(made[1].transport, told, told)
    with logging() as logged:
        world.client.close()
        for _ in range(5):
            world.reactor.iterate(0.001)
        other.close()
        world.turnUntil(lambda: bool(world.left))
    assert world.left == ["other"]
    assert len(logged.errors) == 1
    made[1].transport.abortConnection()


def test_stopGivesTheDescriptorBack(world: World) -> None:
    """[T11] The epoll is closed, and the reactor knows no reader of it."""
    world.watch.watch(world.transport, lambda: None)
    descriptor = world.nested.fileno()
    world.nested.stop()
    assert world.nested not in world.reactor.getReaders()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
