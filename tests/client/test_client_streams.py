"""
Standard input and output in threads, on real pipes, files and sockets of this
process alone.  What a thread has to say comes through a queue, which stands in
for the reactor: nothing here waits for the clock.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txconnect.client.streams import SIZE, StandardStreams

PATIENCE = 60.0
"""Seconds after which what hangs fails; no test waits for them."""


class Reactor:
    """Makes the calls of other threads when a test lets it."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], Any]] = SimpleQueue()

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        self._calls.put(lambda: function(*args))

    def result(self, waiting: Deferred[Any]) -> Any:
        """What C{waiting} fires with, which the next call brings."""
        results: list[Any] = []
        waiting.addBoth(results.append)
        self._calls.get(timeout=PATIENCE)()
        (result,) = results
        if isinstance(result, Failure):
            result.raiseException()
        return result


@contextmanager
def piped(nonBlocking: bool = False) -> Iterator[tuple[Reactor, Any, int, int]]:
    """Streams between two pipes, and the far ends: to type to, to read from."""
    source, typing = os.pipe()
    reading, sink = os.pipe()
    if nonBlocking:
        os.set_blocking(source, False)
        os.set_blocking(sink, False)
    reactor: Any = Reactor()
    try:
        yield reactor, StandardStreams(reactor, source, sink), typing, reading
    finally:
        for each in (source, typing, reading, sink):
            os.close(each)


@pytest.mark.parametrize("nonBlocking", [False, True])
def test_reading(nonBlocking: bool) -> None:
    """A descriptor that somebody has made non-blocking is waited for too."""
    with piped(nonBlocking) as (reactor, streams, typing, _):
        waiting = streams.read()
        os.write(typing, b"typed")
        assert reactor.result(waiting) == b"typed"
        os.write(typing, b"x" * 1000)
        assert reactor.result(streams.read()) == b"x" * 1000
        assert not streams.isInteractive()


def test_theEndOfTheInput(tmp_path: Path) -> None:
    """A file ends too, and is read in pieces."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * (SIZE + 1))
    reactor: Any = Reactor()
    with open(path, "rb") as file:
        streams = StandardStreams(reactor, file.fileno(), file.fileno())
        sizes = [len(reactor.result(streams.read())) for _ in range(3)]
    assert sizes == [SIZE, 1, 0]


@pytest.mark.parametrize("nonBlocking", [False, True])
def test_writingMoreThanAPipeHolds(nonBlocking: bool) -> None:
    """All of it is written, however long the other side takes."""
    data = bytes(range(256)) * 4096
    with piped(nonBlocking) as (reactor, streams, _, reading):
        waiting = streams.write(data)
        got = b""
        while len(got) < len(data):
            got += os.read(reading, 65536)
        assert reactor.result(waiting) is None
    assert got == data


def test_errorsSayWhereTheyComeFrom(tmp_path: Path) -> None:
    reactor: Any = Reactor()
    source = os.open(tmp_path, os.O_RDONLY)
    reading, sink = os.pipe()
    os.close(reading)
    streams = StandardStreams(reactor, source, sink)
    with pytest.raises(IsADirectoryError) as read:
        reactor.result(streams.read())
    with pytest.raises(BrokenPipeError) as written:
        reactor.result(streams.write(b"x"))
    assert read.value.filename == "standard input"
    assert written.value.filename == "standard output"
    os.close(source)
    os.close(sink)


def test_theEndOfTheOutput() -> None:
    """Whoever reads sees it, and the descriptor's number stays taken."""
    with piped() as (reactor, streams, _, reading):
        reactor.result(streams.write(b"last"))
        reactor.result(streams.endOutput())
        assert os.read(reading, 100) == b"last"
        assert os.read(reading, 100) == b""
        assert reactor.result(streams.write(b"to nowhere")) is None


def test_theEndOfTheOutputOfOneSocketForBoth() -> None:
    """Half of it ends; the input goes on."""
    reactor: Any = Reactor()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        source, sink = os.dup(ours.fileno()), os.dup(ours.fileno())
        streams = StandardStreams(reactor, source, sink)
        reactor.result(streams.endOutput())
        assert theirs.recv(100) == b""
        theirs.sendall(b"still heard")
        assert reactor.result(streams.read()) == b"still heard"
        os.close(source)
        os.close(sink)


def test_aTerminalIsAPerson() -> None:
    terminal, screen = os.openpty()
    reactor: Any = Reactor()
    assert StandardStreams(reactor, screen, screen).isInteractive()
    os.close(terminal)
    os.close(screen)
