"""
The flows of a kernel relay, by themselves: what a socket may say at a bad moment.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from txconnect.tunnel.kernel import flow as room
from txconnect.tunnel.kernel.nested import NestedEpoll, SocketChannel
from txconnect.tunnel.kernel.relay import KernelRelay, KernelResources
from txconnect.tunnel.kernel.writequeue import GATHERED, SMALL
from txconnect.values import Closed, Direction
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
        # How many were given to sendmsg.
        self.buffers = 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._socket, name)

        def maybe(*arguments: Any) -> Any:
            if name == "sendmsg":
                self.buffers += len(arguments[0])
            if self.errors.get(name):
                number = self.errors[name].pop(0)
                raise OSError(number, os.strerror(number))
            return call(*arguments)

        return maybe


class Recorded(SocketChannel):
    """A channel whose socket is closed with it."""

    __slots__ = ()

    def closeChannel(self, reset: bool) -> None:
        if reset:
            self.makeReset()
        self.socket.close()


class Flows:
    """Two channels with the flows between them, and the sockets at the far sides."""

    def __init__(self) -> None:
        self.told = Told()
        self.kernel = KernelResources(NestedEpoll(Reactor()))
        self.nested, self.pipes = self.kernel.nested, self.kernel.pipes
        self.clientSocket, self.client, self.farClient = self._channel()
        self.destinationSocket, self.destination, self.farDestination = self._channel()
        relay = KernelRelay(self.pipes, self.told, self.client, self.destination)
        relay.takeChannels()
        self.up, self.down = relay._up, relay._down
        self.relay = relay

    def _channel(self) -> tuple[Scripted, Recorded, socket.socket]:
        near, far = socket.socketpair()
        near.setblocking(False)
        scripted = Scripted(near)
        return scripted, Recorded(self.nested, scripted), far  # type: ignore[arg-type]

    def close(self) -> None:
        self.down.resetSink()
        self.up.resetSink()
        self.nested.stop()
        self.pipes.close()
        self.farClient.close()
        self.farDestination.close()


@pytest.fixture
def flows() -> Iterator[Flows]:
    both = Flows()
    yield both
    both.close()
    assert both.told.legs == 2
    assert both.pipes._lent == 0


@pytest.fixture
def bulk(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> Flows:
    """The client's direction goes through a pipe already."""
    monkeypatch.setattr(room, "READ", 100)
    monkeypatch.setattr(room, "BULK", 1)
    flows.farClient.send(bytes(100))
    flows.client.eventsReady(IN)
    assert flows.up._bulk == 1
    return flows


def test_anEventWithoutBytes(flows: Flows) -> None:
    """[K3] An event that is no longer true does nothing."""
    flows.client.eventsReady(IN)
    flows.client.eventsReady(OUT)
    assert flows.told.happenings == []


def test_aReadThatFails(flows: Flows) -> None:
    """[TU-04] Whatever the error, bytes are lost: it counts as a reset."""
    flows.clientSocket.errors["recv"] = [errno.ETIMEDOUT]
    flows.client.eventsReady(IN)
    assert flows.told.happenings == [Happening.CLIENT_RESET]
    assert flows.told.legs == 1


def test_anEventWithoutBytesInBulk(bulk: Flows) -> None:
    """[K5] EAGAIN with an empty pipe: the source has no more; the pipe is given back."""
    bulk.client.eventsReady(IN)
    assert bulk.up._backlog is None
    assert len(bulk.pipes._free) == 1
    assert bulk.told.happenings == []


def test_largeReadsAreBulk(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads need not be full to be bulk; one small one ends it, and no pipe is kept."""
    spliced: list[int] = []
    splice = os.splice

    def recorded(*arguments: Any, **keywords: Any) -> int:
        spliced.append(splice(*arguments, **keywords))
        return spliced[-1]

    monkeypatch.setattr(os, "splice", recorded)
    monkeypatch.setattr(room, "READ", 400)
    for size in (100, 99, 100, 150, 300, 250, 100, 99, 5):
        flows.farClient.send(bytes(size))
        flows.client.eventsReady(IN)
        assert flows.up._backlog is None
        assert flows.pipes._lent == 0
    # Each once into the pipe, and once out of it.
    assert spliced == [250, 250, 100, 100, 99, 99]
    assert len(flows.farDestination.recv(10_000)) == flows.up.taken == 1203


def test_bulkWithoutAPipe(bulk: Flows) -> None:
    """Where there is none to be lent, bytes are read as ever."""
    bulk.pipes.stopLending()
    bulk.farClient.send(bytes(250))
    for _ in range(3):
        bulk.client.eventsReady(IN)
    assert len(bulk.farDestination.recv(1000)) == bulk.up.taken == 350


@pytest.mark.parametrize("number", [errno.ECONNRESET, errno.ETIMEDOUT])
def test_aSourceThatFailsInBulk(
    bulk: Flows, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[TU-04] A reset that splice tells is a reset."""

    def splice(*arguments: Any, **keywords: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "splice", splice)
    bulk.client.eventsReady(IN)
    assert bulk.told.happenings == [Happening.CLIENT_RESET]
    assert bulk.pipes._lent == 0


def test_aSourceThatEndsInBulk(bulk: Flows) -> None:
    """[TU-03] FIN through splice; the pipe is not kept for a direction that is over."""
    bulk.farClient.shutdown(socket.SHUT_WR)
    bulk.client.eventsReady(IN)
    assert bulk.told.happenings == [Happening.CLIENT_ENDED]
    assert bulk.up._backlog is None


def test_aDestinationThatFailsInBulk(bulk: Flows) -> None:
    """[TU-04] [K6] It is gone when the pipe is emptied into it."""
    bulk.farDestination.close()
    bulk.farClient.send(bytes(500))
    bulk.client.eventsReady(IN)
    assert bulk.told.happenings == [Happening.DESTINATION_RESET]
    # The tunnel aborts the other leg then; that gives the pipe back, closed.
    bulk.down.resetSink()
    assert bulk.pipes._free == []


def fullPipe(bulk: Flows) -> bytes:
    """Have bytes wait in the client's pipe."""
    sent = b""
    while not bulk.up.blocked:
        assert len(sent) < 50_000_000, "nothing is ever full"
        data = bytes([len(sent) // 50_000 % 256]) * 50_000
        bulk.farClient.setblocking(False)
        sent += data[: bulk.farClient.send(data)]
        bulk.client.eventsReady(IN)
    return sent


def test_aPipeIsEmptiedWhenThereIsRoom(bulk: Flows) -> None:
    """[K5] An event before there is room changes nothing."""
    sent = fullPipe(bulk)
    bulk.destination.eventsReady(OUT)
    assert bulk.up.blocked
    bulk.farDestination.setblocking(False)
    received = b""
    while len(received) < 100 + len(sent):
        received += bulk.farDestination.recv(1 << 20)
        bulk.destination.eventsReady(OUT)
    assert received == bytes(100) + sent
    assert not bulk.up.blocked


def test_aDestinationThatFailsUnderAFullPipe(bulk: Flows) -> None:
    """[K6] What is left in the pipe is nobody's."""
    fullPipe(bulk)
    bulk.farDestination.close()
    bulk.destination.eventsReady(OUT)
    assert bulk.told.happenings == [Happening.DESTINATION_RESET]


def test_aFullSocketIsWrittenToLater(flows: Flows) -> None:
    """[TU-06] What was not taken stays, in order, and nothing is read meanwhile."""
    flows.destinationSocket.errors["send"] = [errno.EAGAIN]
    flows.destinationSocket.errors["sendmsg"] = [errno.EAGAIN]
    flows.up.writeSink(b"first ")
    flows.up.writeSink(b"second")
    flows.farClient.send(b"third")
    flows.client.eventsReady(IN)
    assert flows.up.taken == 0
    flows.destination.eventsReady(OUT)
    assert flows.up.blocked
    flows.destination.eventsReady(OUT)
    flows.client.eventsReady(IN)
    assert flows.farDestination.recv(100) == b"first secondthird"


def test_aWriteThatFailsLater(flows: Flows) -> None:
    """[TU-04] The leg is broken, whatever was kept for it."""
    flows.destinationSocket.errors["send"] = [errno.EAGAIN]
    flows.destinationSocket.errors["sendmsg"] = [errno.EPIPE]
    flows.up.writeSink(b"x")
    flows.destination.eventsReady(OUT)
    assert flows.told.happenings == [Happening.DESTINATION_RESET]
    flows.up.writeSink(b"nobody is there")
    flows.up.sendFin()
    flows.up.closeSink()
    assert flows.told.legs == 1


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EAGAIN])
def test_aSinkThatFailsUnderARead(flows: Flows, number: int) -> None:
    """[TU-04] [TU-06] What was just read is lost with it, or waits for room."""
    flows.destinationSocket.errors["send"] = [number]
    flows.farClient.send(b"read")
    flows.client.eventsReady(IN)
    if number == errno.EPIPE:
        assert flows.told.happenings == [Happening.DESTINATION_RESET]
        # Nobody has closed the client yet: it is read, and that is dropped.
        flows.farClient.send(b"dropped")
        flows.client.eventsReady(IN)
        assert flows.up.taken == len(b"readdropped")
        assert not flows.up.blocked
    else:
        flows.destination.eventsReady(OUT)
        assert flows.farDestination.recv(10) == b"read"


def test_anEndThatCannotBeSent(flows: Flows) -> None:
    """[TU-04] A leg that is gone under its FIN was reset."""
    flows.destinationSocket.errors["shutdown"] = [errno.ENOTCONN]
    flows.up.sendFin()
    assert flows.told.happenings == [Happening.DESTINATION_RESET]


@pytest.mark.parametrize("broken", [False, True], ids=["sent", "broken"])
def test_anEndBehindWhatWaits(flows: Flows, broken: bool) -> None:
    """[TU-02] [TU-04] FIN leaves behind the last octet; a leg gone under it was reset."""
    flows.destinationSocket.errors["send"] = [errno.EAGAIN]
    flows.destinationSocket.errors["shutdown"] = [errno.ENOTCONN] * broken
    drained: list[str] = []
    flows.up.whenDrained = lambda: drained.append("told")
    flows.up.writeSink(b"last")
    flows.up.sendFin()
    assert not flows.destination.finSent
    flows.destination.eventsReady(OUT)
    assert flows.farDestination.recv(10) == b"last"
    assert flows.farDestination.recv(10) == b""
    assert flows.destination.finSent is not broken
    assert drained == ([] if broken else ["told"])
    assert flows.told.happenings == ([Happening.DESTINATION_RESET] if broken else [])


def test_roomOfWhichNobodyHasAsked(flows: Flows) -> None:
    """[R2] A channel may tell of room when nothing waits: it is read on as before."""
    flows.up.flushBacklog()
    flows.farClient.send(b"read")
    flows.client.eventsReady(IN)
    assert flows.farDestination.recv(10) == b"read"


@pytest.mark.parametrize("then", ["release", "reset"])
def test_brokenWithoutAnErrorWhileItIsFull(flows: Flows, then: str) -> None:
    """[K2] HUP with something still to be written: that is tried, and tells."""
    flows.destinationSocket.errors["send"] = [errno.EAGAIN]
    flows.up.writeSink(b"x")
    pause = flows.relay.pause(Direction.DOWN)
    flows.destination.eventsReady(select.EPOLLERR)
    assert flows.told.happenings == []
    assert flows.destination._mask == OUT
    flows.destination.eventsReady(OUT | select.EPOLLHUP)
    assert flows.farDestination.recv(10) == b"x"
    # Now there is nothing to do but to wait for the release.
    assert flows.destination._mask is None
    assert len(flows.nested) == 1
    pause.release() if then == "release" else flows.up.resetSink()
    assert flows.destination._mask == (IN if then == "release" else None)


def test_writingToABlockedLegIsLinear(flows: Flows) -> None:
    """
    [F07] 16 MiB in 1 KiB writes to a leg that takes nothing: each octet is
    gathered once, and handed to the system about as often as it is taken.
    """
    number, size = 16 * 1024, 1024
    flows.destinationSocket.errors["send"] = [errno.EAGAIN]
    for each in range(number):
        flows.up.writeSink(each.to_bytes(2, "big") * (size // 2))
    assert flows.up.waitingOctets == number * size
    assert flows.up._backlog is not None
    queue = flows.up._backlog._queue
    assert len(queue._buffers) <= number * size // GATHERED + 1
    assert max(map(len, queue._buffers)) <= GATHERED + SMALL
    received = bytearray()
    flows.farDestination.setblocking(False)
    while flows.up.blocked:
        flows.destination.eventsReady(OUT)
        received += flows.farDestination.recv(1 << 20)
    while len(received) < number * size:
        received += flows.farDestination.recv(1 << 20)
    assert received == b"".join(
        each.to_bytes(2, "big") * (size // 2) for each in range(number)
    )
    assert flows.destinationSocket.buffers <= number


def test_whatIsWrittenLaterCountsAsActivity(flows: Flows) -> None:
    """[F03] Also when it comes out of the queue, without a read."""
    flows.destinationSocket.errors["send"] = [errno.EAGAIN]
    flows.farClient.send(bytes(1000))
    flows.client.eventsReady(IN)
    assert flows.relay.activity == 1000
    assert flows.relay.undelivered() == 1000
    flows.destination.eventsReady(OUT)
    assert flows.relay.activity == 2000
    assert flows.relay.undelivered() == 0


def test_whatLeavesThePipeCountsAsActivity(bulk: Flows) -> None:
    """[F03] As what leaves the queue, with nothing read meanwhile."""
    fullPipe(bulk)
    bulk.farDestination.setblocking(False)
    taken, before = bulk.relay.up, bulk.relay.activity
    waiting = bulk.relay.undelivered()
    bulk.farDestination.recv(1 << 20)
    bulk.destination.eventsReady(OUT)
    assert bulk.relay.up == taken
    assert bulk.relay.activity > before
    assert bulk.relay.undelivered() < waiting
