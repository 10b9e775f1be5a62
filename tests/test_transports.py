"""
What is on its way from a transport to its other end.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from txconnect.transports import PromptWriter, countUnacknowledged, countUndelivered

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


class Descriptor(FileDescriptor):
    """One that writes so many octets at a time, on a socket of its own or on none."""

    def __init__(self, skt: Any = None, takes: int = 0) -> None:
        super().__init__(Reactor())  # type: ignore[arg-type]
        self.connected = 1
        self._takes = takes
        if skt is not None:
            self.getHandle = lambda: skt

    def writeSomeData(self, data: bytes) -> int:
        return min(self._takes, len(data))


class Reactor(Clock):
    """Watches nothing."""

    def addWriter(self, writer: Any) -> None:
        pass

    def removeWriter(self, writer: Any) -> None:
        pass


@linux
def test_whatIsNotAcknowledged(pair: tuple[socket.socket, socket.socket]) -> None:
    """[F03] What the other end has not taken is on its way."""
    near, far = pair
    assert countUnacknowledged(near) == 0
    near.send(bytes(1000))
    assert countUnacknowledged(near) > 0
    far.recv(1000)
    assert countUnacknowledged(near) == 0


def test_whatDoesNotTell(pair: tuple[socket.socket, socket.socket]) -> None:
    """[F03] What is no socket, or is none any more, has nothing on its way."""
    near, _ = pair
    near.close()
    assert countUnacknowledged(near) == 0
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert countUnacknowledged(listening) == 0
    assert countUnacknowledged(object()) == 0
    assert countUndelivered(StringTransport()) == 0


def test_whatATransportHasStillToWrite() -> None:
    """[F03] In both its buffers, whatever has left."""
    transport = Descriptor(takes=300)
    assert countUndelivered(transport) == 0
    transport.write(bytes(1000))
    assert countUndelivered(transport) == 1000
    transport.doWrite()
    transport.write(bytes(50))
    assert countUndelivered(transport) == 750


@linux
def test_bothTogetherAndThroughWrappers(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """[F03] As with TLS, which wraps the transport."""
    near, _ = pair
    near.send(bytes(10))
    inner = Descriptor(near)
    inner.write(bytes(1000))
    wrapper = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
    wrapper.makeConnection(inner)  # type: ignore[arg-type]
    assert countUndelivered(wrapper) == 1000 + countUnacknowledged(near) > 1000


class Plain(tcp.Connection):
    """A plain TCP transport whose socket takes so many octets at a time, or is lost."""

    disconnecting = False

    def __init__(self, takes: int | None) -> None:
        FileDescriptor.__init__(self, Reactor())  # type: ignore[arg-type]
        self.connected = 1
        self.takes = takes
        self.socket = None
        self.sent: list[bytes] = []

    def writeSomeData(self, data: bytes) -> Any:
        if self.takes is None:
            return ConnectionLost()
        self.sent.append(bytes(data[: self.takes]))
        return len(self.sent[-1])


def test_promptWriterSendsAtOnce() -> None:
    """What the socket takes is not kept for a later turn; the rest is, in order."""
    transport = Plain(takes=3)
    writer = PromptWriter.of(transport)
    writer.write(b"abc")
    assert (transport.sent, countUndelivered(transport)) == ([b"abc"], 0)
    writer.write(b"defgh")
    assert (transport.sent[1:], countUndelivered(transport)) == ([b"def"], 2)
    writer.write(b"i")
    transport.takes = 100
    assert transport.doWrite() is None
    assert b"".join(transport.sent) == b"abcdefghi"


@pytest.mark.parametrize("state", ["disconnecting", "_writeDisconnecting"])
def test_promptWriterKeepsBehindAnEnd(state: str) -> None:
    """Once an end has been asked for, the transport alone has the order."""
    transport = Plain(takes=100)
    setattr(transport, state, True)
    PromptWriter.of(transport).write(b"abc")
    assert (transport.sent, countUndelivered(transport)) == ([], 3)


def test_promptWriterLeavesAnErrorToTheTransport() -> None:
    """The transport meets it in its own turn, and tells its protocol."""
    transport = Plain(takes=None)
    PromptWriter.of(transport).write(b"abc")
    assert countUndelivered(transport) == 3
    assert isinstance(transport.doWrite(), ConnectionLost)


@pytest.mark.parametrize("state", ["connected", "_writeDisconnected"])
def test_promptWriterSendsNothingAfterTheEnd(state: str) -> None:
    """As with the transport's own."""
    transport = Plain(takes=100)
    setattr(transport, state, not getattr(transport, state))
    PromptWriter.of(transport).write(b"abc")
    assert (transport.sent, countUndelivered(transport)) == ([], 0)


def test_promptWriterIsForPlainTCP() -> None:
    """Wrappers and TLS are written to as ever."""
    other: Any = StringTransport()
    assert PromptWriter.of(other) is other
    secret = Plain(takes=1)
    secret.TLS = True
    assert PromptWriter.of(secret) is secret
