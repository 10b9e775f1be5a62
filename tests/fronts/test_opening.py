"""
The seam in front of the front, with a preamble that a test has made up.
"""

from __future__ import annotations

from typing import Any

import pytest
from rig import Rig, body, connect, logging, status
from twisted.internet.protocol import Protocol

from txconnect.fronts.http1 import Http1Front
from txconnect.fronts.opening import BadOpening, Opened
from txconnect.proxy import ConnectProxyFactory
from txconnect.testing import CHUNKS
from txconnect.values import Cause, Closed, TunnelRefused

everyChunk = pytest.mark.parametrize("chunk", CHUNKS)


class Greeting:
    """A line that begins with C{HELLO}, in front of HTTP/1."""

    def __init__(self) -> None:
        self._octets = b""

    def feed(self, data: bytes) -> Opened | None:
        self._octets += data
        line, end, rest = self._octets.partition(b"\n")
        if not b"HELLO".startswith(line[:5]):
            raise BadOpening("it does not greet")
        return Opened(Http1Front, rest) if end else None


def greeted(**arguments: Any) -> Rig:
    """A proxy all of whose clients have to greet it."""
    rig = Rig(**arguments)
    rig.factory._first = Greeting
    return rig


@everyChunk
@pytest.mark.parametrize("relay", ["auto", "transport"])
def test_theFrontHasWhatIsLeft(chunk: Any, relay: str) -> None:
    """[T1] The preamble is gone, and not one octet behind it."""
    rig = greeted(chunk=chunk, settings={"relay": relay})
    destination = rig.serve()
    client = rig.client(b"HELLO you\n" + connect() + b"early")
    client.send(b" and late")
    rig.flush()
    (peer,) = destination.peers
    assert peer.received == b"early and late"
    peer.send(b"answer")
    rig.flush()
    assert body(client) == b"answer"
    client.end()
    rig.flush()
    assert peer.ended
    peer.end()
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.CLIENT


@everyChunk
def test_aRefusalBehindIt(chunk: Any) -> None:
    """[H1-33] The front answers as ever."""
    rig = greeted(chunk=chunk)
    client = rig.client(b"HELLO you\nGET / HTTP/1.1\r\n\r\n")
    assert status(client) == 405
    client.close()
    rig.assertOver()


@everyChunk
@pytest.mark.parametrize("opening", [connect(), b"HELP\n", b"\x16\x03\x01"])
def test_whatDoesNotBeginSo(chunk: Any, opening: bytes) -> None:
    """[F15] It is closed, no request was made, and the log has the reason, once."""
    rig = greeted(chunk=chunk)
    client = rig.client(opening)
    assert client.reset
    assert client.received == b""
    rig.assertOver()
    (event,) = rig.events.events
    assert isinstance(event, TunnelRefused)
    assert (event.cause, event.reason) == (Cause.OTHER_PROTOCOL, "it does not greet")
    assert event.request is None
    assert str(event.client.host) == "127.0.0.1"  # type: ignore[union-attr]


def test_itIsBounded() -> None:
    """[T12] In octets, as a head is."""
    rig = greeted(settings={"headLimit": 300})
    client = rig.client(b"HELLO" + bytes(294))
    assert not client.reset
    client.send(b"x")
    rig.flush()
    assert client.reset
    rig.assertOver()
    assert [each.cause for each in rig.events.refused] == [Cause.HEAD_TOO_LARGE]


def test_itIsBoundedInTime() -> None:
    """[T12] As a head is; the head has its own time then."""
    rig = greeted(settings={"headTimeout": 5})
    slow = rig.client(b"HEL")
    quick = rig.client(b"HELLO\n")
    rig.network.advance(4)
    assert not slow.reset
    rig.network.advance(2)
    assert slow.reset
    quick.close()
    rig.assertOver()
    assert [each.cause for each in rig.events.refused] == [Cause.HEAD_TIMEOUT]


def test_whoLeavesBefore() -> None:
    """[T11] By a reset, by a FIN, and by the proxy's stop: one event each."""
    rig = greeted()
    rig.client(b"HE").abort()
    rig.client().abort()
    rig.client(b"HE").end()
    rig.flush()
    assert not rig.proxy.clients.fronts
    last = rig.client(b"H")
    rig.proxy.stopService()
    rig.flush()
    assert last.reset
    rig.assertOver()
    # Who said nothing is not told of.
    assert [each.cause for each in rig.events.refused] == [
        Cause.CLIENT_LEFT,
        Cause.CLIENT_LEFT,
        Cause.SHUTDOWN,
    ]


def test_theStopReachesTheTunnel() -> None:
    """[T11] Once a front has the connection, it is the front that is stopped."""
    rig = greeted()
    rig.serve()
    client = rig.client(b"HELLO\n" + connect())
    assert status(client) == 200
    rig.proxy.stopService()
    rig.flush()
    assert client.reset
    assert [each.reason for each in rig.events.closed] == [Closed.SHUTDOWN]
    rig.assertOver()


def test_anyFactoryMayHaveOne() -> None:
    """It is given with the factory."""
    rig = Rig()
    factory = ConnectProxyFactory(rig.network, rig.proxy, first=Greeting)
    rig.network.listenTCP(3129, factory, interface="127.0.0.1")
    plain, greeting = (rig.network.connect("127.0.0.1", port) for port in (3128, 3129))
    for client in (plain, greeting):
        client.send(b"GET / HTTP/1.1\r\n\r\n")
    rig.flush()
    assert status(plain) == 405
    assert greeting.reset


def test_aFrontThatCannotBegin() -> None:
    """[T11] Its connection is lost, and nothing of it is left."""

    class Broken(Protocol):
        def makeConnection(self, transport: Any) -> None:
            raise RuntimeError("a bug")

    class First:
        def feed(self, data: bytes) -> Opened:
            return Opened(lambda proxy: Broken(), data)

    rig = Rig()
    rig.factory._first = First
    with logging():
        client = rig.client(b"x")
        client.abort()
        rig.flush()
    assert not rig.proxy.clients.fronts
