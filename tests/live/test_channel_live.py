"""
The channel between a supervisor and a worker, on the sockets of this system.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from proxyprocess import DEADLINE, ROOT
from twisted.internet import main
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txconnect.workers.channel import ChannelLost, Fields, MessageChannel
from txconnect.workers.channelsocket import ChannelSocket
from txconnect.workers.framing import LARGEST


class Loop:
    """As much of a reactor as a channel needs, on C{select}."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.calls: deque[Callable[[], None]] = deque()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard
        self.callFromThread = self.calls.append

    def until(self, done: Callable[[], object]) -> None:
        """Turn until something is so."""
        while not done():
            while self.calls:
                self.calls.popleft()()
            # Short, as no thread wakes this loop.
            reading, writing, _ = select.select(self.readers, self.writers, [], 0.01)
            for each in reading:
                self._do(each, each.doRead)
            for each in writing:
                self._do(each, each.doWrite)

    def _do(self, each: Any, work: Callable[[], Exception | None]) -> None:
        if (why := work()) is not None:
            self.readers.discard(each)
            self.writers.discard(each)
            each.connectionLost(Failure(why))


class End:
    """One end."""

    def __init__(self, loop: Loop, connection: socket.socket) -> None:
        self.got: list[Fields] = []
        self.lost: list[Any] = []
        handlers = {"tell": self.got.append, "echo": lambda fields: fields}
        self.channel = MessageChannel(Clock(), handlers, self.lost.append)
        self.socket = ChannelSocket(loop, connection, self.channel)
        self.channel.makeConnection(self.socket)
        self.socket.startReading()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def ends(loop: Loop) -> Iterator[tuple[End, End]]:
    left, right = (End(loop, each) for each in socket.socketpair())
    yield left, right
    for end in (left, right):
        end.socket.close()


def test_largestMessageGoesThereAndBack(loop: Loop, ends: tuple[End, End]) -> None:
    """[F19] Sixteen MiB, of which a socket takes a small part at once."""
    left, _ = ends
    text = "x" * (LARGEST - 100)
    got: list[Fields] = []
    left.channel.ask("echo", text=text).addCallback(got.append)
    left.channel.ask("echo", text="next").addCallback(got.append)
    loop.until(lambda: len(got) == 2)
    assert got == [{"text": text}, {"text": "next"}]


def test_threadsLoseAndMixNothing(loop: Loop, ends: tuple[End, End]) -> None:
    """[F19] Each thread's messages arrive, all of them, in their order."""
    left, right = ends
    each, count = 500, 4

    def work(number: int) -> None:
        for at in range(each):
            left.channel.send("tell", thread=number, at=at, text="x" * (at * 7 % 3000))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    loop.until(lambda: len(right.got) == each * count)
    for thread in threads:
        thread.join()
    for number in range(count):
        got = [fields["at"] for fields in right.got if fields["thread"] == number]
        assert got == list(range(each))


@pytest.mark.parametrize("unread", [False, True])
def test_endOfTheOtherSideIsSeen(
    loop: Loop, ends: tuple[End, End], unread: bool
) -> None:
    """Everything that it has sent comes before; also behind a reset, which a
    UNIX socket makes of what it has not read."""
    left, right = ends
    if unread:
        right.channel.send("tell", never="read")
    left.channel.send("tell", last="words")
    left.socket.close()
    loop.until(lambda: right.lost)
    assert right.got == [{"last": "words"}]
    expected = main.CONNECTION_LOST if unread else main.CONNECTION_DONE
    assert right.lost == [expected]


PROGRAM = """
import os, signal, socket, struct, sys
from txconnect.workers.framing import encodeFrame
connection = socket.socket(fileno=int(sys.argv[1]))
connection.sendall(encodeFrame({"kind": "tell", "fields": {"x": 1}}))
connection.sendall(struct.pack("!I", 1000) + b"{")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_processThatIsKilledInTheMiddleOfAMessage(loop: Loop) -> None:
    """What was whole has arrived, and the rest is known to be none."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(theirs.fileno())],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            pass_fds=[theirs.fileno()],
        )
    end = End(loop, ours)
    loop.until(lambda: end.lost)
    assert process.wait(DEADLINE) == -signal.SIGKILL
    assert end.got == [{"x": 1}]
    assert [type(reason) for reason in end.lost] == [ChannelLost]
