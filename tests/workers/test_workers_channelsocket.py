"""
The socket below a channel: what is sent at once, what waits, and what is closed.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import main
from twisted.python.failure import Failure

from txconnect.workers.channelsocket import MOST_WAITING, ChannelSocket
from txconnect.workers.framing import BadMessage


class Socket:
    """A connected socket that takes as much as the test says."""

    def __init__(self) -> None:
        self.room = 1 << 30
        self.sent = b""
        self.incoming: list[bytes | OSError] = []
        self.error: OSError | None = None
        self.closed = False
        self.timeout: float | None = None
        self.during: Callable[[], None] | None = None

    def setblocking(self, flag: bool) -> None:
        self.timeout = None if flag else 0.0

    def settimeout(self, seconds: float) -> None:
        self.timeout = seconds

    def fileno(self) -> int:
        return -1 if self.closed else 9

    def close(self) -> None:
        self.closed = True

    def recv(self, size: int) -> bytes:
        if not self.incoming:
            raise BlockingIOError
        got = self.incoming.pop(0)
        if isinstance(got, OSError):
            raise got
        return got

    def send(self, data: memoryview) -> int:
        if self.during is not None:
            during, self.during = self.during, None
            during()
        if self.error is not None:
            raise self.error
        if not self.room:
            raise BlockingIOError
        size = min(self.room, len(data))
        self.sent += bytes(data[:size])
        self.room -= size
        return size

    def sendall(self, data: memoryview) -> None:
        if self.error is not None:
            raise self.error
        self.sent += bytes(data)


class Reactor:
    """What is read from and written to, and what threads have left to do."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.calls: list[Callable[[], None]] = []
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard

    def callFromThread(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()
        for writer in list(self.writers):
            writer.doWrite()


class Heard:
    """The channel."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: list[Any] = []
        self.bad = False

    def dataReceived(self, data: bytes) -> None:
        if self.bad:
            raise BadMessage("nonsense")
        self.data += data

    def connectionLost(self, reason: Any) -> None:
        self.lost.append(reason)


class Setting:
    """A socket in its reactor."""

    def __init__(self) -> None:
        self.socket, self.reactor, self.heard = Socket(), Reactor(), Heard()
        below: Any = self.socket
        channel: Any = self.heard
        self.carrying = ChannelSocket(self.reactor, below, channel)

    def write(self, *frames: bytes) -> None:
        for frame in frames:
            self.carrying.write(frame)


@pytest.fixture
def setting() -> Setting:
    made = Setting()
    made.carrying.startReading()
    return made


def test_writesAtOnce(setting: Setting) -> None:
    """Without a turn of the reactor: the last words of a process are there."""
    setting.write(b"one", b"two")
    assert setting.socket.sent == b"onetwo"
    assert setting.reactor.calls == [] and setting.reactor.writers == set()


@pytest.mark.parametrize("room", [0, 1, 3, 4, 6])
def test_whatDoesNotFitWaitsForTheReactor(setting: Setting, room: int) -> None:
    """Nothing is lost, doubled or out of order, wherever it stops."""
    setting.socket.room = room
    setting.write(b"one", b"two", b"three")
    assert setting.socket.sent == b"onetwothree"[:room]
    setting.socket.room = 2
    setting.reactor.turn()
    assert setting.socket.sent == b"onetwothree"[: room + 2]
    assert setting.reactor.writers == {setting.carrying}
    setting.socket.room = 100
    setting.reactor.turn()
    setting.reactor.turn()
    assert setting.socket.sent == b"onetwothree"
    assert setting.reactor.writers == set()
    setting.write(b"four")
    assert setting.socket.sent == b"onetwothreefour"


def test_whoInterruptsDoesNotMix(setting: Setting) -> None:
    """An object that is collected while a frame is sent may log: it comes next."""
    setting.socket.room = 4
    setting.socket.during = lambda: setting.write(b"inner")
    setting.write(b"outer1", b"outer2")
    setting.socket.room = 100
    setting.reactor.turn()
    assert setting.socket.sent == b"outer1innerouter2"


def test_whatComesWhileAnotherThreadSendsIsSentByThat(setting: Setting) -> None:
    """Nobody waits for another thread's turn, and nothing stays behind."""

    def elsewhere() -> None:
        thread = threading.Thread(target=setting.write, args=(b"second",))
        thread.start()
        thread.join()

    setting.socket.during = elsewhere
    setting.write(b"first")
    assert setting.socket.sent == b"firstsecond"


def test_roomIsTheShortQueues(setting: Setting) -> None:
    """Whether there is room is said by what waits, not by what was ever sent."""
    setting.write(*[b"x"] * (2 * MOST_WAITING))
    assert setting.carrying.hasRoom()
    setting.socket.room = 0
    setting.write(*[b"y"] * (MOST_WAITING - 1))
    assert setting.carrying.hasRoom()
    setting.write(b"y")
    assert not setting.carrying.hasRoom()
    setting.write(b"must arrive")
    setting.socket.room = 1 << 20
    setting.reactor.turn()
    assert setting.carrying.hasRoom()
    assert setting.socket.sent.endswith(b"yymust arrive")


def test_readsAndEnds(setting: Setting) -> None:
    """As a reactor expects it of what it reads from."""
    reset = OSError(errno.ECONNRESET, "reset")
    setting.socket.incoming = [b"one", b"two", b"", reset]
    assert setting.carrying.doRead() is None
    assert setting.carrying.doRead() is None
    assert setting.heard.data == b"onetwo"
    assert setting.carrying.doRead() is main.CONNECTION_DONE
    assert setting.carrying.doRead() is main.CONNECTION_LOST
    assert setting.carrying.doRead() is None


def test_nonsenseEndsIt(setting: Setting) -> None:
    """The reactor gets the reason, and gives it back."""
    setting.socket.incoming = [b"?"]
    setting.heard.bad = True
    reason = setting.carrying.doRead()
    assert isinstance(reason, BadMessage)
    setting.carrying.connectionLost(Failure(reason))
    assert setting.heard.lost == [reason]
    assert setting.socket.closed and setting.carrying.fileno() == -1


def test_closingEndsIt(setting: Setting) -> None:
    setting.carrying.close()
    assert (setting.reactor.readers, setting.reactor.writers) == (set(), set())
    assert setting.heard.lost == [main.CONNECTION_DONE]
    assert setting.socket.closed
    setting.socket.error = OSError(errno.EBADF, "closed")
    setting.write(b"late")
    assert setting.socket.sent == b""


def test_otherSideThatIsGoneIsHeardOfByReading(setting: Setting) -> None:
    """Writing to it does nothing, and keeps nothing."""
    setting.socket.error = OSError(errno.EPIPE, "gone")
    setting.write(b"one", b"two")
    assert setting.carrying.hasRoom()
    assert setting.heard.lost == [] and setting.reactor.calls == []


def test_beforeTheReactorItWaits() -> None:
    """A frame that has to wait is sent once there is a reactor."""
    setting = Setting()
    setting.socket.room = 0
    setting.write(b"early")
    setting.reactor.turn()
    assert setting.reactor.writers == set()
    setting.carrying.startReading()
    setting.socket.room = 100
    setting.reactor.turn()
    assert setting.socket.sent == b"early"


def test_behindTheReactorItIsDrained(setting: Setting) -> None:
    """The last lines of a worker are sent when its reactor has ended."""
    setting.socket.room = 2
    setting.carrying.leaveReactor()
    setting.write(b"last", b"words")
    setting.reactor.turn()
    assert (setting.reactor.readers, setting.reactor.writers) == (set(), set())
    setting.carrying.drain(7.0)
    assert setting.socket.sent == b"lastwords"
    assert setting.socket.timeout == 7.0


def test_drainingEndsWithTheOtherSide(setting: Setting) -> None:
    setting.socket.room = 0
    setting.write(b"last")
    setting.socket.error = TimeoutError()
    setting.carrying.drain(7.0)
    assert setting.socket.sent == b""
    assert setting.carrying.hasRoom()
