"""
Connections that are accepted in the nested epoll, on real sockets: as bare sockets, and
as transports from the moment that they need one.
"""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clienthellos import realHello
from kernelrig import KernelRig, RealPeer
from rig import ESTABLISHED, connect, logging
from tappromises import Waits, tapped
from twisted.internet import tcp
from twisted.internet.address import IPv6Address
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface.verify import verifyClass

from txconnect.fronts.headreading import HeadReading
from txconnect.fronts.http1 import Http1Front
from txconnect.proxy import ConnectProxyFactory
from txconnect.taps.sni import SniTap
from txconnect.tunnel.kernel.clientsocket import ClientSocket
from txconnect.tunnel.kernel.relay import KernelRelay
from txconnect.values import Cause, Closed

MakeRig = Callable[..., KernelRig]


@pytest.fixture
def makeRig() -> Iterator[MakeRig]:
    """A rig that accepts as the command does."""
    made: list[KernelRig] = []

    def make(**arguments: Any) -> KernelRig:
        made.append(KernelRig(accepts="bare", **arguments))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def frontOf(rig: KernelRig) -> Http1Front:
    """The front of the only connection."""
    (front,) = rig.proxy.clients.fronts
    assert isinstance(front, Http1Front)
    return front


def rawClient(rig: KernelRig) -> socket.socket:
    """A client without a reactor."""
    client = socket.create_connection(("127.0.0.1", rig.port.getHost().port), 10)
    rig.turn()
    rig.turn()
    return client


@pytest.mark.parametrize("interface", [ITCPTransport, IPushProducer])
def test_itIsATransport(interface: Any) -> None:
    """It has every method of a transport."""
    assert verifyClass(interface, ClientSocket)


def test_aTunnelNeedsNoTransport(makeRig: MakeRig) -> None:
    """From the accept to the end, no transport of the reactor's is made for it."""
    rig = makeRig()
    client, destination = rig.tunnel()
    transport = frontOf(rig).transport
    assert type(transport) is ClientSocket
    assert transport.isBare
    client.send(b"up")
    destination.send(b"down")
    rig.flush()
    assert destination.received == b"up"
    assert client.received == ESTABLISHED + b"down"
    client.end()
    destination.end()
    rig.assertOver()
    assert transport.isBare
    assert rig.events.closed[0].reason is Closed.CLIENT


def test_theAddressesAreItsOwn(makeRig: MakeRig) -> None:
    """A request has the address of its client, and that to which it came."""
    rig = makeRig()
    client, _ = rig.tunnel()
    request = rig.events.established[0].tunnel.request
    assert request.client == client.transport.getHost()
    assert request.server == client.transport.getPeer()
    front = frontOf(rig)
    assert front.transport.getHost() == client.transport.getPeer()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_addressesOfIPv6(makeRig: MakeRig) -> None:
    """They are those of IPv6 on a port of it."""
    rig = makeRig()
    factory = ConnectProxyFactory(rig.reactor, rig.proxy)
    try:
        port = rig.reactor.listenTCP(0, factory, interface="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    rig.proxy.acceptBare(port, factory)
    client = socket.create_connection(("::1", port.getHost().port), 10)
    rig.flush()
    transport = frontOf(rig).transport
    host, number = client.getsockname()[:2]
    assert transport.getPeer() == IPv6Address("TCP", host, number)
    assert transport.getHost() == port.getHost()
    client.close()
    rig.flush()
    port.stopListening()
    rig.assertOver()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_aRefusalIsSentByATransport(makeRig: MakeRig, size: int) -> None:
    """[H1-36] Its answer arrives whole, however the head was cut, and it lingers."""
    rig = makeRig()
    client = rig.client()
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for at in range(0, len(head), size):
        client.send(head[at : at + size])
        rig.flush()
    assert client.received.startswith(b"HTTP/1.1 405 ")
    front = frontOf(rig)
    assert type(front.transport) is tcp.Server
    client.send(b"more than was asked for")
    rig.flush()
    client.end()
    rig.assertOver()
    assert not client.reset


def test_aClientThatSendsNothing(makeRig: MakeRig) -> None:
    """It leaves, and there is no event: nothing was asked."""
    rig = makeRig()
    client = rig.client()
    client.end()
    rig.assertOver()
    assert rig.events.events == []
    assert client.closed


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "FIN"])
def test_aClientThatLeavesInItsHead(makeRig: MakeRig, reset: bool) -> None:
    """[TU-05] One event, and nothing is left of it."""
    rig = makeRig()
    client = rig.client(b"CONNECT exam")
    if reset:
        client.abort()
    else:
        client.end()
    rig.assertOver()
    assert [event.cause for event in rig.events.refused] == [Cause.CLIENT_LEFT]


def test_earlyDataBeyondTheBound(makeRig: MakeRig) -> None:
    """
    [H1-17] It is paused, as a transport, while the dial waits; then the tunnel has all
    octets, and the kernel relay serves it all the same.
    """
    rig = makeRig(settings={"earlyDataLimit": 1000})
    rig.serve()
    opening: list[Any] = []
    opened = rig.proxy.dialer._open
    rig.proxy.dialer._open = lambda *to: opening.append(to) or Pending()  # type: ignore[func-returns-value]
    client = rig.client(connect())
    (to,) = opening
    client.send(b"x" * 3000)
    rig.flush()
    client.send(b"y" * 3000)
    rig.flush()
    front = frontOf(rig)
    assert not front.transport.isBare
    Pending.made[-1].follow(opened(*to))
    rig.flush()
    assert client.received == ESTABLISHED
    assert isinstance(rig.relay(), KernelRelay)
    assert rig.servers[0].factory.peers[0].received == b"x" * 3000 + b"y" * 3000
    client.abort()
    rig.assertOver()


class Pending:
    """An attempt that waits until it is told which to follow."""

    made: list[Pending] = []

    def __init__(self) -> None:
        self.called = False
        self._listeners: list[Any] = []
        self.made.append(self)

    def addBoth(self, listener: Any, *arguments: Any) -> None:
        self._listeners.append((listener, arguments))

    def follow(self, attempt: Any) -> None:
        for listener, arguments in self._listeners:
            attempt.addBoth(listener, *arguments)

    def cancel(self) -> None:
        """Nothing is under way."""


def test_aProtocolThatRaises(makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """[K1] It is logged, its connection ends, and the others live on."""
    rig = makeRig()
    other, destination = rig.tunnel()

    def raising(reading: Any, data: bytes) -> None:
        raise ZeroDivisionError

    with logging() as logged, monkeypatch.context() as patched:
        patched.setattr(HeadReading, "dataReceived", raising)
        client = rig.client(b"anything")
        rig.flush()
        assert len(logged.errors) == 1
    assert client.ended
    client.abort()
    other.send(b"still here")
    rig.flush()
    assert destination.received == b"still here"
    other.abort()
    rig.assertOver()


def test_thePortStops(makeRig: MakeRig) -> None:
    """[T12] As a port of Twisted's: it fires, and nothing is accepted any more."""
    rig = makeRig()
    client, destination = rig.tunnel()
    where = rig.port.getHost().port
    stopped: list[Any] = []
    rig.port.stopListening().addCallback(stopped.append)
    rig.flush()
    assert stopped == [None]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", where), 10)
    client.send(b"the tunnel lives")
    rig.flush()
    assert destination.received == b"the tunnel lives"
    client.abort()
    rig.assertOver()
    assert len(rig.kernel.nested) == 0


def test_theReactorStops(makeRig: MakeRig) -> None:
    """[K7] The port is closed, and so is a client whose head is not there yet."""
    rig = makeRig()
    client = rig.client(b"CONNECT exam")
    nested = rig.kernel.nested
    rig.reactor.removeReader(nested)
    nested.connectionLost(Failure(ConnectionLost()))
    rig.flush()
    assert client.ended
    client.abort()
    assert len(nested) == 0
    assert not rig.port.connected
    assert [event.cause for event in rig.events.refused] == [Cause.CLIENT_LEFT]


def test_anotherProcessShutsTheSharedSocket(makeRig: MakeRig) -> None:
    """The socket of workers: the port ends, without a word and without a spin."""
    rig = makeRig()
    with logging() as logged:
        rig.port.socket.shutdown(socket.SHUT_RDWR)
        rig.flush()
        assert logged.errors == []
    assert not rig.port.connected
    assert len(rig.kernel.nested) == 0


def test_otherPortsStayAsTheyAre(makeRig: MakeRig) -> None:
    """A port whose own factory speaks TLS, say, is none that can be read bare."""
    rig = makeRig()
    factory = ConnectProxyFactory(rig.reactor, rig.proxy)
    wrapping = Factory()
    wrapping.buildProtocol = factory.buildProtocol  # type: ignore[method-assign]
    port = rig.reactor.listenTCP(0, wrapping, interface="127.0.0.1")
    rig.proxy.acceptBare(port, factory)
    assert port.transport is tcp.Server
    assert port.reactor is rig.reactor
    port.stopListening()
    rig.flush()


def test_nothingIsLeft(makeRig: MakeRig) -> None:
    """[TU-09] Without the collector, as a circle of references would need it."""
    rig = makeRig()
    gc.collect()
    gc.disable()
    try:
        client, destination = rig.tunnel()
        gone = weakref.ref(frontOf(rig))
        client.end()
        destination.end()
        rig.assertOver()
        assert gone() is None
    finally:
        gc.enable()


def test_manyAtOnce(makeRig: MakeRig) -> None:
    """All that wait are accepted, and each gets its own tunnel."""
    rig = makeRig()
    destination = rig.serve()
    clients = [
        socket.create_connection(("127.0.0.1", rig.port.getHost().port), 10)
        for _ in range(40)
    ]
    for client in clients:
        client.sendall(connect())
    rig.flush()
    assert len(destination.peers) == 40
    for client in clients:
        assert client.recv(1000) == ESTABLISHED
        client.close()
    for peer in destination.peers:
        peer.end()
    rig.assertOver()


def dialling(rig: KernelRig, target: str = "example.com:443") -> tuple[Any, list[Any]]:
    """A client whose dial waits, and where that leads."""
    rig.serve()
    opening: list[Any] = []
    rig.opened = rig.proxy.dialer._open  # type: ignore[attr-defined]
    rig.proxy.dialer._open = lambda *to: opening.append(to) or Pending()  # type: ignore[func-returns-value]
    return rig.client(connect(target)), opening


def connectOn(rig: KernelRig, opening: list[Any]) -> None:
    """Let the dial go on."""
    (to,) = opening
    Pending.made[-1].follow(rig.opened(*to))  # type: ignore[attr-defined]
    rig.flush()


@pytest.mark.parametrize("size", [0, 500, 5000], ids=["none", "early", "paused"])
def test_aFinAheadOfThe200(makeRig: MakeRig, size: int) -> None:
    """[F04] It is carried behind the early data, over the bound of that or not."""
    rig = makeRig(settings={"earlyDataLimit": 1000})
    client, opening = dialling(rig)
    if size:
        client.send(b"x" * size)
        rig.flush()
    client.end()
    rig.flush()
    connectOn(rig, opening)
    (destination,) = rig.servers[0].factory.peers
    assert isinstance(rig.relay(), KernelRelay)
    assert (destination.received, destination.ended) == (b"x" * size, True)
    destination.send(b"answer")
    destination.end()
    rig.assertOver()
    assert client.received == ESTABLISHED + b"answer"
    assert not len(rig.proxy.halfClosed)


@pytest.mark.parametrize("size", [0, 500, 5000], ids=["none", "early", "paused"])
def test_aFinAheadOfThe200IsLeaving(makeRig: MakeRig, size: int) -> None:
    """[F04] [TU-05] With C{close-both}: no answer, no dial, nothing is left."""
    rig = makeRig(settings={"earlyDataLimit": 1000, "halfClose": "close-both"})
    client, _ = dialling(rig)
    if size:
        client.send(b"x" * size)
        rig.flush()
    client.end()
    rig.assertOver()
    assert client.received == b""
    assert client.closed
    assert [event.cause for event in rig.events.refused] == [Cause.CLIENT_LEFT]


@pytest.mark.parametrize("size", [500, 5000], ids=["bare", "paused"])
@pytest.mark.parametrize("fin", [False, True], ids=["open", "FIN"])
def test_earlyDataAndATapThatHolds(makeRig: MakeRig, size: int, fin: bool) -> None:
    """[F04] [F54] They are held, and with the verdict passed on ahead of a FIN."""
    tap = tapped("guard", Waits(size + 4 - fin * 4))
    rig = makeRig(settings={"earlyDataLimit": 1000}, taps=[tap])
    client, opening = dialling(rig)
    client.send(b"x" * size)
    if fin:
        client.end()
    rig.flush()
    connectOn(rig, opening)
    (destination,) = rig.servers[0].factory.peers
    if not fin:
        assert destination.received == b""
        client.send(b"more")
        rig.flush()
    assert destination.received == b"x" * size + b"more" * (not fin)
    assert destination.ended is fin
    destination.send(b"answer")
    destination.end()
    if not fin:
        client.end()
    rig.assertOver()
    assert client.received == ESTABLISHED + b"answer"


@pytest.mark.parametrize("name", ["example.com", "other.example"])
def test_aBareSocketUnderSni(
    makeRig: MakeRig, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[F54] It needs no transport: the tap lets go, or the socket itself is reset."""
    monkeypatch.setattr(RealPeer, "prompt", True)
    rig = makeRig(taps=[SniTap()])
    client, destination = rig.tunnel()
    transport = frontOf(rig).transport
    hello = realHello(name)
    client.send(hello[:100])
    rig.flush()
    assert destination.received == b""
    client.send(hello[100:])
    rig.flush()
    assert transport.isBare
    if name == "example.com":
        assert destination.received == hello
        client.end()
        destination.end()
    else:
        assert (destination.received, client.reset) == (b"", True)
    rig.assertOver()
    expected = Closed.CLIENT if name == "example.com" else Closed.POLICY
    assert [event.reason for event in rig.events.closed] == [expected]
