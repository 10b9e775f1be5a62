"""
The destination's socket: opened in the nested epoll, parked, handed on.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from kernelrig import reactorOf
from loopback import reset
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txconnect.errors import causeOf
from txconnect.tunnel.kernel.nested import NestedEpoll
from txconnect.tunnel.kernel.socketleg import SocketLeg, openSocket
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Cause

DEADLINE = 10.0


class Dial:
    """A nested epoll on a reactor, and a listener beside it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.reactor = reactorOf("epoll")
        self.clock = Clock()
        self.reactor.useClock(self.clock)
        self.nested = NestedEpoll(self.reactor)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host = host
        self.listener = socket.create_server((host, 0), family=family)
        self.listener.settimeout(DEADLINE)
        self.port = self.listener.getsockname()[1]
        self.results: list[Any] = []

    def open(self) -> Deferred[SocketLeg]:
        opened = openSocket(self.nested, ip_address(self.host), self.port)
        opened.addBoth(self.results.append)
        return opened

    def until(self, condition: Callable[[], object]) -> None:
        for _ in range(100_000):
            if condition():
                return
            self.clock.advance(0)
            self.reactor.iterate(0)
        raise AssertionError("it does not come")

    def connected(self) -> tuple[SocketLeg, socket.socket]:
        self.open()
        self.until(lambda: self.results)
        far, _ = self.listener.accept()
        far.settimeout(DEADLINE)
        leg = self.results.pop()
        assert isinstance(leg, SocketLeg)
        return leg, far

    def close(self) -> None:
        self.nested.stop()
        self.listener.close()
        assert not self.reactor.removeAll()


@pytest.fixture
def dial() -> Iterator[Dial]:
    it = Dial()
    yield it
    it.close()


def wasReset(far: socket.socket) -> bool:
    try:
        return far.recv(1) == b"not reached"
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_itConnects(host: str) -> None:
    """A socket that does not block, does not delay, is kept alive, and says where to."""
    dial = Dial(host)
    leg, far = dial.connected()
    with far:
        assert leg.peer == (ip_address(host), dial.port)
        assert not leg.socket.getblocking()
        assert leg.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert leg.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert len(dial.nested) == 1
        leg.abort()
        assert wasReset(far)
        assert len(dial.nested) == 0
    dial.close()


def test_anErrorThatIsNone(dial: Dial) -> None:
    """ERR may come of what is no error of the connection: it is up all the same."""
    dial.open()
    (connecting,) = dial.nested._watched.values()
    far, _ = dial.listener.accept()
    with far:
        connecting.eventsReady(select.EPOLLOUT | select.EPOLLERR)
        (leg,) = dial.results
        assert isinstance(leg, SocketLeg)
        leg.abort()


def test_itIsRefused(dial: Dial) -> None:
    """The error's number arrives; nothing is left."""
    dial.listener.close()
    dial.open()
    dial.until(lambda: dial.results)
    assert causeOf(dial.results[0].value) is Cause.CONNECTION_REFUSED
    assert len(dial.nested) == 0


def test_itComesFromOneAddress(dial: Dial) -> None:
    """The source is the one that was asked for; one of others' fails at once."""
    opened = openSocket(
        dial.nested, ip_address(dial.host), dial.port, source="127.0.0.9"
    )
    opened.addBoth(dial.results.append)
    dial.until(lambda: dial.results)
    far, (host, _) = dial.listener.accept()
    far.close()
    assert host == "127.0.0.9"
    dial.results[0].abort()
    with pytest.raises(OSError) as raised:
        openSocket(dial.nested, ip_address("127.0.0.1"), dial.port, source="192.0.2.1")
    assert causeOf(raised.value) is Cause.EXHAUSTED


def test_itFailsAtOnce(dial: Dial) -> None:
    """What C{connect} itself refuses is raised."""
    with pytest.raises(OSError) as raised:
        openSocket(dial.nested, ip_address("255.255.255.255"), 1)
    assert causeOf(raised.value) is Cause.UNROUTABLE
    assert dial.nested.fileno() == -1


def test_itCannotBeWatched(dial: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket is closed, and the error says that something has run out."""
    sockets: list[socket.socket] = []

    def full(descriptor: int, events: int, watched: Any) -> None:
        sockets.append(watched._socket)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(dial.nested, "watch", full)
    with pytest.raises(OSError) as raised:
        openSocket(dial.nested, ip_address("127.0.0.1"), dial.port)
    assert causeOf(raised.value) is Cause.EXHAUSTED
    assert sockets[0].fileno() == -1


def test_itIsGivenUp(dial: Dial) -> None:
    """[TU-10] Given up on the way: closed, and never told of again."""
    opened = dial.open()
    (connecting,) = dial.nested._watched.values()
    opened.cancel()
    assert dial.results == []
    assert len(dial.nested) == 0
    assert connecting._socket.fileno() == -1  # type: ignore[attr-defined]


def test_aParkedOneThatIsResetWaitsForItsRelay(dial: Dial) -> None:
    """[K2] It is told once, leaves the epoll, and says so to who takes it over."""
    leg, far = dial.connected()
    reset(far)
    dial.until(lambda: not len(dial.nested))
    # Nobody may fail over what is not watched any more.
    leg.abort()


def test_theReactorsStopEndsAParkedOne(dial: Dial) -> None:
    """[K7] A leg between its dial and its tunnel is reset."""
    _, far = dial.connected()
    with far:
        dial.reactor.removeReader(dial.nested)
        dial.nested.connectionLost(Failure(ConnectionLost()))
        assert wasReset(far)


def test_itBecomesATransport(dial: Dial) -> None:
    """[K4] Unwatched first, closed then; the copy has what has come meanwhile."""
    leg, far = dial.connected()
    with far:
        far.send(b"first words")
        adopted = leg.asTransport()
        assert isinstance(adopted, Leg)
        assert leg.socket.fileno() == -1
        assert len(dial.nested) == 0
        assert adopted.transport.getPeer().port == dial.port
        dial.until(lambda: adopted._held)
        assert adopted._held == [b"first words"]
        adopted.abort()
        dial.until(lambda: adopted.lost)
        assert wasReset(far)


def test_itCannotBecomeATransport(dial: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    """[K4] No descriptor is left, or it is gone: the leg is still there to abort."""
    leg, far = dial.connected()
    with far:
        # From 24.11 on a transport is made of a copy.
        def fromfd(*arguments: Any) -> socket.socket:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(socket, "fromfd", fromfd)
        with pytest.raises(OSError) as raised:
            leg.asTransport()
        assert causeOf(raised.value) is Cause.EXHAUSTED
        leg.abort()
        assert wasReset(far)
        assert len(dial.nested) == 0


def test_oneThatIsGoneBecomesNoTransport(dial: Dial) -> None:
    """[T3] Reset before a transport was made of it: the destination's fault, not ours."""
    leg, far = dial.connected()
    reset(far)
    dial.until(lambda: not len(dial.nested))
    with pytest.raises(OSError) as raised:
        leg.asTransport()
    assert causeOf(raised.value) is Cause.CONNECTION_TERMINATED
    leg.abort()


@pytest.mark.parametrize("first", [False, True])
def test_itIsClosedInOrder(dial: Dial, first: bool) -> None:
    """FIN, and no error where the other end has gone first."""
    leg, far = dial.connected()
    leg.stopWatching()
    with far:
        if first:
            reset(far)
            leg.closeChannel(reset=False)
        else:
            leg.closeChannel(reset=False)
            assert far.recv(1) == b""
    assert leg.socket.fileno() == -1
