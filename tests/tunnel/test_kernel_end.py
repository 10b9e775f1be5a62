"""
One end of a kernel relay, by itself: what its socket may say at a bad moment.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from txconnect.tunnel.kernel import end as room
from txconnect.tunnel.kernel.end import End
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.kernel.pipes import Pipes
from txconnect.values import Closed
from txconnect.wire.closing import Happening

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll is Linux's")

IN, OUT = 1, 4


class Reactor:
    """Has no turn of its own: a test tells of events."""

    def addReader(self, reader: Any) -> None:
        pass

    def removeReader(self, reader: Any) -> None:
        pass


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.legs = 0

    def happened(self, happening: Happening) -> None:
        self.happenings.append(happening)

    def legLost(self) -> None:
        self.legs += 1

    def cut(self, reason: Closed) -> None:
        raise AssertionError(reason)


class Scripted:
    """A socket whose next calls fail as a test says."""

    def __init__(self, skt: socket.socket) -> None:
        self._socket = skt
        self.errors: dict[str, list[int]] = {}

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._socket, name)

        def maybe(*arguments: Any) -> Any:
            if self.errors.get(name):
                number = self.errors[name].pop(0)
                raise OSError(number, os.strerror(number))
            return call(*arguments)

        return maybe


class Ends:
    """Two ends, and the sockets at the far sides of both."""

    def __init__(self) -> None:
        self.told = Told()
        self.nested = NestedEpoll(Reactor())
        self.pipes = Pipes()
        near, self.farClient = socket.socketpair()
        self.clientSocket = Scripted(near)
        near, self.farDestination = socket.socketpair()
        self.destinationSocket = Scripted(near)
        self.client = self._end(
            self.clientSocket, Happening.CLIENT_ENDED, Happening.CLIENT_RESET
        )
        self.destination = self._end(
            self.destinationSocket,
            Happening.DESTINATION_ENDED,
            Happening.DESTINATION_RESET,
        )
        self.client.other = self.destination
        self.destination.other = self.client
        self.client.begin(None)
        self.destination.begin(None)

    def _end(self, skt: Scripted, *happenings: Happening) -> End:
        skt.setblocking(False)

        def lose(reset: bool, ended: bool) -> None:
            skt.close()

        ended, reset = happenings
        return End(
            self.nested,
            self.pipes,
            self.told,
            skt,  # type: ignore[arg-type]
            (ended, reset),
            lose,
        )

    def close(self) -> None:
        self.client.abort()
        self.destination.abort()
        self.nested.stop()
        self.pipes.close()
        self.farClient.close()
        self.farDestination.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    both = Ends()
    yield both
    both.close()
    assert both.told.legs == 2
    assert both.pipes._lent == 0


@pytest.fixture
def bulk(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> Ends:
    """The client's direction goes through a pipe already."""
    monkeypatch.setattr(room, "READ", 100)
    monkeypatch.setattr(room, "BULK", 1)
    ends.farClient.send(bytes(100))
    ends.client.ready(IN)
    assert ends.client._bulk == 1
    return ends


def test_anEventWithoutBytes(ends: Ends) -> None:
    """[K3] An event that is no longer true does nothing."""
    ends.client.ready(IN)
    ends.client.ready(OUT)
    assert ends.told.happenings == []


def test_aReadThatFails(ends: Ends) -> None:
    """[TU-04] Whatever the error, bytes are lost: it counts as a reset."""
    ends.clientSocket.errors["recv"] = [errno.ETIMEDOUT]
    ends.client.ready(IN)
    assert ends.told.happenings == [Happening.CLIENT_RESET]
    assert ends.told.legs == 1


def test_anEventWithoutBytesInBulk(bulk: Ends) -> None:
    """[K5] EAGAIN with an empty pipe: the source has no more; the pipe is given back."""
    bulk.client.ready(IN)
    assert bulk.client._pipe is None
    assert len(bulk.pipes._free) == 1
    assert bulk.told.happenings == []


def test_largeReadsAreBulk(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads need not be full to be bulk; one small one ends it, and no pipe is kept."""
    spliced: list[int] = []
    splice = os.splice

    def recorded(*arguments: Any, **keywords: Any) -> int:
        spliced.append(splice(*arguments, **keywords))
        return spliced[-1]

    monkeypatch.setattr(os, "splice", recorded)
    monkeypatch.setattr(room, "READ", 400)
    for size in (100, 99, 100, 150, 300, 250, 100, 99, 5):
        ends.farClient.send(bytes(size))
        ends.client.ready(IN)
        assert ends.client._pipe is None
        assert ends.pipes._lent == 0
    # Each once into the pipe, and once out of it.
    assert spliced == [250, 250, 100, 100, 99, 99]
    assert len(ends.farDestination.recv(10_000)) == ends.client.count == 1203


def test_bulkWithoutAPipe(bulk: Ends) -> None:
    """Where there is none to be lent, bytes are read as ever."""
    bulk.pipes.forgo()
    bulk.farClient.send(bytes(250))
    for _ in range(3):
        bulk.client.ready(IN)
    assert len(bulk.farDestination.recv(1000)) == bulk.client.count == 350


@pytest.mark.parametrize("number", [errno.ECONNRESET, errno.ETIMEDOUT])
def test_aSourceThatFailsInBulk(
    bulk: Ends, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[TU-04] A reset that splice tells is a reset."""

    def splice(*arguments: Any, **keywords: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "splice", splice)
    bulk.client.ready(IN)
    assert bulk.told.happenings == [Happening.CLIENT_RESET]
    assert bulk.pipes._lent == 0


def test_aSourceThatEndsInBulk(bulk: Ends) -> None:
    """[TU-03] FIN through splice; the pipe is not kept for a direction that is over."""
    bulk.farClient.shutdown(socket.SHUT_WR)
    bulk.client.ready(IN)
    assert bulk.told.happenings == [Happening.CLIENT_ENDED]
    assert bulk.client._pipe is None


def test_aDestinationThatFailsInBulk(bulk: Ends) -> None:
    """[TU-04] [K6] It is gone when the pipe is emptied into it."""
    bulk.farDestination.close()
    bulk.farClient.send(bytes(500))
    bulk.client.ready(IN)
    assert bulk.told.happenings == [Happening.DESTINATION_RESET]
    # The tunnel aborts the other leg then; that gives the pipe back, closed.
    bulk.client.abort()
    assert bulk.pipes._free == []


def fullPipe(bulk: Ends) -> bytes:
    """Have bytes wait in the client's pipe."""
    sent = b""
    while not bulk.destination._blocked:
        assert len(sent) < 50_000_000, "nothing is ever full"
        data = bytes([len(sent) // 50_000 % 256]) * 50_000
        bulk.farClient.setblocking(False)
        sent += data[: bulk.farClient.send(data)]
        bulk.client.ready(IN)
    return sent


def test_aPipeIsEmptiedWhenThereIsRoom(bulk: Ends) -> None:
    """[K5] An event before there is room changes nothing."""
    sent = fullPipe(bulk)
    bulk.destination.ready(OUT)
    assert bulk.destination._blocked
    bulk.farDestination.setblocking(False)
    received = b""
    while len(received) < 100 + len(sent):
        received += bulk.farDestination.recv(1 << 20)
        bulk.destination.ready(OUT)
    assert received == bytes(100) + sent
    assert not bulk.destination._blocked


def test_aDestinationThatFailsUnderAFullPipe(bulk: Ends) -> None:
    """[K6] What is left in the pipe is nobody's."""
    fullPipe(bulk)
    bulk.farDestination.close()
    bulk.destination.ready(OUT)
    assert bulk.told.happenings == [Happening.DESTINATION_RESET]


def test_aFullSocketIsWrittenToLater(ends: Ends) -> None:
    """[TU-06] What was not taken stays, in order, and nothing is read meanwhile."""
    ends.destinationSocket.errors["send"] = [errno.EAGAIN, errno.EAGAIN]
    ends.destination.write(b"first ")
    ends.destination.write(b"second")
    ends.farClient.send(b"third")
    ends.client.ready(IN)
    assert ends.client.count == 0
    ends.destination.ready(OUT)
    assert ends.destination._blocked
    ends.destination.ready(OUT)
    ends.client.ready(IN)
    assert ends.farDestination.recv(100) == b"first secondthird"


def test_aWriteThatFailsLater(ends: Ends) -> None:
    """[TU-04] The leg is broken, whatever was kept for it."""
    ends.destinationSocket.errors["send"] = [errno.EAGAIN, errno.EPIPE]
    ends.destination.write(b"x")
    ends.destination.ready(OUT)
    assert ends.told.happenings == [Happening.DESTINATION_RESET]
    ends.destination.write(b"nobody is there")
    ends.destination.end()
    ends.destination.close()
    assert ends.told.legs == 1


def test_anEndThatCannotBeSent(ends: Ends) -> None:
    """[TU-04] A leg that is gone under its FIN was reset."""
    ends.destinationSocket.errors["shutdown"] = [errno.ENOTCONN]
    ends.destination.end()
    assert ends.told.happenings == [Happening.DESTINATION_RESET]


@pytest.mark.parametrize("then", ["release", "abort"])
def test_brokenWithoutAnErrorWhileItIsFull(ends: Ends, then: str) -> None:
    """[K2] HUP with something still to be written: that is tried, and tells."""
    ends.destinationSocket.errors["send"] = [errno.EAGAIN]
    ends.destination.write(b"x")
    ends.destination.hold()
    ends.destination.ready(select.EPOLLERR)
    assert ends.told.happenings == []
    assert ends.destination._mask == OUT
    ends.destination.ready(OUT | select.EPOLLHUP)
    assert ends.farDestination.recv(10) == b"x"
    # Now there is nothing to do but to wait for the release.
    assert ends.destination._mask is None
    assert len(ends.nested) == 1
    getattr(ends.destination, then)()
    assert ends.destination._mask == (IN if then == "release" else None)
