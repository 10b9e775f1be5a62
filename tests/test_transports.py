"""
What is on its way from a transport to its other end.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from txconnect.transports import countUnacknowledged, countUndelivered

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
