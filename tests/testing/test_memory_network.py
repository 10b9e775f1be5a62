"""
The memory network: what tests of the proxy stand on.

What its transports share with the kernel's is compared with those in
C{tests/live/test_memory_network_real.py}.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, serverFromString
from twisted.internet.error import (
    CannotListenError,
    ConnectBindError,
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    NoRouteError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorTCP,
    IReactorTime,
    ISSLTransport,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.internet.tcp import Client, Server
from twisted.python.failure import Failure
from zope.interface import implementedBy, implementer, providedBy
from zope.interface.verify import verifyObject

from txconnect.testing import CHUNKS, MemoryNetwork, chunkings
from txconnect.testing.kernel import Chunk
from txconnect.testing.peers import Peer

DATA = bytes(range(256)) * 300


@implementer(IHalfCloseableProtocol)
class Recorder(Protocol):
    """Remembers what its transport tells it."""

    transport: Any

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended = 0
        self.reason: Failure | None = None

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def readConnectionLost(self) -> None:
        self.ended += 1

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason


class Recorders(ClientFactory):
    noisy = False

    def __init__(self, protocol: type[Any] = Recorder) -> None:
        self.protocol: Any = protocol
        self.made: list[Any] = []
        self.failed: Failure | None = None

    def buildProtocol(self, addr: Any) -> Any:
        self.made.append(self.protocol())
        return self.made[-1]

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.failed = reason


def connected(network: MemoryNetwork, **listening: Any) -> tuple[Any, Peer]:
    """A recorder of the code under test, and the peer that has connected."""
    factory = Recorders()
    network.listenTCP(3128, factory, **listening)
    peer = network.connect("127.0.0.1", 3128)
    network.flush()
    return factory.made[0], peer


def dial(network: MemoryNetwork, host: str, port: int = 443, **kw: Any) -> Recorders:
    factory = Recorders()
    network.connectTCP(host, port, factory, **kw)
    return factory


def test_providesWhatReactorsProvide() -> None:
    network = MemoryNetwork()
    for interface in (IReactorTime, IReactorTCP, IReactorFDSet, IReactorFromThreads):
        assert verifyObject(interface, network)


def test_transportsProvideWhatTwistedsProvide() -> None:
    """Code that asks zope what a transport can do gets the real answers."""
    network = MemoryNetwork()
    recorder, _ = connected(network)
    assert list(providedBy(recorder.transport)) == list(implementedBy(Server))
    network.serve("192.0.2.1", 443)
    dialled = dial(network, "192.0.2.1")
    network.flush()
    assert list(providedBy(dialled.made[0].transport)) == list(implementedBy(Client))


# Driving it.


def test_nothingMovesUntilDriven() -> None:
    network = MemoryNetwork()
    recorder, peer = connected(network)
    peer.send(b"abc")
    recorder.transport.write(b"xyz")
    assert (recorder.data, peer.received) == (b"", b"")
    network.flush()
    assert (recorder.data, peer.received) == (b"abc", b"xyz")


def test_flushRaisesWhenItDoesNotSettle() -> None:
    """A test that would run for ever fails instead."""
    network = MemoryNetwork()

    def again() -> None:
        network.callLater(0, again)

    again()
    with pytest.raises(AssertionError, match="did not come to rest in 50 turns"):
        network.flush(50)


def test_flushSettlesWithLaterCallsPending() -> None:
    network = MemoryNetwork()
    network.callLater(0.001, pytest.fail)
    network.flush()
    assert len(network.getDelayedCalls()) == 1


def test_advanceStopsAtEachCallOnTheWay() -> None:
    """What a timer sends is delivered before the next timer is due."""
    network = MemoryNetwork()
    recorder, peer = connected(network)
    times: list[tuple[float, bytes]] = []

    def look() -> None:
        times.append((network.seconds(), recorder.data))

    network.callLater(1, peer.send, b"a")
    network.callLater(2, look)
    network.callLater(2, peer.send, b"b")
    network.callLater(4.5, look)
    network.callLater(10.5, pytest.fail)
    network.advance(10)
    assert times == [(2, b"a"), (4.5, b"ab")]
    assert network.seconds() == 10
    assert network.clock.seconds() == 10


def test_callsInTheirOrder() -> None:
    network = MemoryNetwork()
    called: list[int] = []
    for number in (1, 2, 3):
        network.callLater(0, called.append, number)
    cancelled = network.callLater(0, called.append, 4)
    network.callLater(0, network.callFromThread, called.append, 5)
    cancelled.cancel()
    assert called == []
    network.flush()
    assert called == [1, 2, 3, 5]


def test_aCallMayCancelAnotherOfTheSameTurn() -> None:
    network = MemoryNetwork()
    calls: list[Any] = []
    calls.append(network.callLater(0, lambda: calls[1].cancel()))
    calls.append(network.callLater(0, pytest.fail))
    network.flush()
    assert network.failures == []


# What a read gives.


@pytest.mark.parametrize("chunk", CHUNKS)
def test_bytesArriveWholeInAnyChunking(chunk: Chunk) -> None:
    """[TU-01] Every octet, in order, both ways."""
    data = DATA if chunk != 1 else DATA[:2000]
    network = MemoryNetwork(chunk)
    recorder, peer = connected(network)
    peer.send(data)
    recorder.transport.write(data)
    network.flush()
    assert recorder.data == data
    assert peer.received == data


def test_chunkOfNoneGivesWhatIsThere() -> None:
    network = MemoryNetwork()
    recorder, peer = connected(network)
    peer.send(b"a")
    peer.send(b"b" * 1000)
    network.flush()
    assert recorder.pieces == [b"a" + b"b" * 1000]


@pytest.mark.parametrize("chunk", [1, 7])
def test_chunkOfANumberGivesAtMostThatMuch(chunk: int) -> None:
    network = MemoryNetwork(chunk)
    recorder, peer = connected(network)
    peer.send(b"x" * 100)
    network.flush()
    assert {len(piece) for piece in recorder.pieces[:-1]} == {chunk}
    assert len(recorder.data) == 100


def test_randomChunksFollowTheSeed() -> None:
    def pieces(seed: int) -> list[int]:
        network = MemoryNetwork("random", seed=seed)
        recorder, peer = connected(network)
        peer.send(b"x" * 200)
        network.flush()
        return [len(piece) for piece in recorder.pieces]

    assert pieces(1) == pieces(1)
    assert pieces(1) != pieces(2)
    assert len(pieces(1)) > 1


# The window.


@pytest.mark.parametrize("windowSize", [1, 10, 65536])
def test_pausedReaderStopsTheWriter(windowSize: int) -> None:
    """[T10] No more than the window leaves a writer whose reader is paused."""
    sent = b"x" * min(70_000, 1000 * windowSize)
    network = MemoryNetwork(windowSize=windowSize)
    recorder, peer = connected(network)
    recorder.transport.pauseProducing()
    peer.send(sent)
    network.flush()
    assert recorder.data == b""
    assert recorder.transport.getHandle().windowSpace() == 0
    recorder.transport.resumeProducing()
    network.flush()
    assert recorder.data == sent


def test_bothWaysStuckAtOnceComeFree() -> None:
    network = MemoryNetwork(windowSize=100)
    recorder, peer = connected(network)
    recorder.transport.pauseProducing()
    peer.pause()
    peer.send(b"x" * 1000)
    recorder.transport.write(b"y" * 1000)
    network.flush()
    peer.resume()
    recorder.transport.resumeProducing()
    network.flush()
    assert (recorder.data, peer.received) == (b"x" * 1000, b"y" * 1000)


# Ends.


@pytest.mark.parametrize("chunk", CHUNKS)
def test_finIsAHalfClose(chunk: Chunk) -> None:
    """[T11] Behind all data, once; the other direction stays."""
    network = MemoryNetwork(chunk)
    recorder, peer = connected(network)
    peer.send(b"x" * 500)
    peer.end()
    network.flush()
    assert (recorder.data, recorder.ended) == (b"x" * 500, 1)
    recorder.transport.write(b"y" * 500)
    recorder.transport.loseWriteConnection()
    network.flush()
    assert (peer.received, peer.ended, peer.closed) == (b"y" * 500, True, True)


def test_pauseHidesFinAndReset() -> None:
    """[K9] A paused transport gets neither, and both when it is resumed."""
    network = MemoryNetwork()
    recorder, peer = connected(network)
    recorder.transport.pauseProducing()
    peer.send(b"abc")
    network.flush()
    peer.abort()
    network.flush()
    assert (recorder.data, recorder.ended, recorder.reason) == (b"", 0, None)
    recorder.transport.resumeProducing()
    network.flush()
    assert recorder.data == b"abc"
    assert recorder.reason.check(ConnectionLost)


def test_resetMayDiscardWhatHasArrived() -> None:
    """Other systems than Linux throw away what was not read before a RST."""
    network = MemoryNetwork(resetDiscards=True)
    recorder, peer = connected(network)
    recorder.transport.write(b"the answer")
    recorder.transport.abortConnection()
    peer.pause()
    network.flush()
    peer.resume()
    network.flush()
    assert peer.received == b""
    assert peer.reset
    assert peer.reason is not None and peer.reason.check(ConnectionLost)


def test_resetMayOvertakeTheEnd() -> None:
    """With C{resetDiscards} a close with unread bytes shows as a RST."""
    network = MemoryNetwork(resetDiscards=True)
    recorder, peer = connected(network)
    recorder.transport.pauseProducing()
    peer.send(b"unread")
    network.flush()
    peer.pause()
    recorder.transport.write(b"the answer")
    recorder.transport.loseConnection()
    network.flush()
    peer.resume()
    network.flush()
    assert (peer.received, peer.ended, peer.reset) == (b"", False, True)


def test_abortIsAReset() -> None:
    """[TU-04] One end aborts, the other sees a connection lost."""
    network = MemoryNetwork()
    recorder, peer = connected(network)
    recorder.transport.abortConnection()
    assert recorder.reason is None
    network.flush()
    assert recorder.reason.check(ConnectionAborted)
    assert (peer.reset, peer.closed, peer.ended) == (True, True, False)


def test_peerThatAbortsIsNotReset() -> None:
    network = MemoryNetwork()
    recorder, peer = connected(network)
    peer.abort()
    network.flush()
    assert recorder.reason.check(ConnectionLost)
    assert (peer.reset, peer.closed) == (False, True)


def test_peerThatNoLongerReadsStillKnowsOfAReset() -> None:
    """[TU-04] A RST behind a FIN is seen by the test, whatever Twisted sees."""
    network = MemoryNetwork()
    recorder, peer = connected(network)
    recorder.transport.loseWriteConnection()
    network.flush()
    assert (peer.ended, peer.reset) == (True, False)
    recorder.transport.abortConnection()
    network.flush()
    assert peer.reset


def test_closeIsClean() -> None:
    network = MemoryNetwork()
    recorder, peer = connected(network)
    recorder.transport.write(b"x" * 200000)
    recorder.transport.loseConnection()
    network.flush()
    assert recorder.reason.check(ConnectionDone)
    assert (len(peer.received), peer.ended, peer.reset) == (200000, True, False)
    peer.close()
    network.flush()
    assert peer.closed


def test_writesBehindTheLossAreIgnored() -> None:
    network = MemoryNetwork()
    recorder, _ = connected(network)
    transport = recorder.transport
    transport.abortConnection()
    network.flush()
    transport.write(b"x")
    transport.writeSequence([b"x"])
    transport.loseConnection()
    transport.abortConnection()
    network.flush()
    network.assertClean()


# Addresses and options.


@pytest.mark.parametrize(
    ("interface", "host", "client"),
    [
        ("127.0.0.1", "127.0.0.1", IPv4Address("TCP", "127.0.0.1", 0)),
        ("", "198.51.100.1", IPv4Address("TCP", "198.51.100.1", 0)),
        ("", "0.0.0.0", IPv4Address("TCP", "127.0.0.1", 0)),
        ("::1", "::1", IPv6Address("TCP", "::1", 0)),
        ("::", "::", IPv6Address("TCP", "::1", 0)),
        ("::", "127.0.0.1", IPv6Address("TCP", "::ffff:127.0.0.1", 0)),
        ("127.0.0.1", "::ffff:127.0.0.1", IPv4Address("TCP", "127.0.0.1", 0)),
    ],
)
def test_addressesAreAsOnLinux(interface: str, host: str, client: Any) -> None:
    """[TU-12] Wildcards, and IPv4 in IPv6, lead where they really lead."""
    network = MemoryNetwork()
    factory = Recorders()
    port = network.listenTCP(3128, factory, interface=interface)
    network.connect(host, 3128)
    network.flush()
    transport = factory.made[0].transport
    assert transport.getPeer().host == client.host
    assert type(transport.getPeer()) is type(client)
    assert transport.getHost().port == 3128
    assert port.getHost().host == (interface or "0.0.0.0")


def test_wildcardIsNotTheWholeWorld() -> None:
    network = MemoryNetwork()
    network.listenTCP(443, Recorders())
    with pytest.raises(ConnectionRefusedError):
        network.connect("192.0.2.1", 443)


def test_mostExactListenerWins() -> None:
    network = MemoryNetwork()
    everywhere, here = Recorders(), Recorders()
    network.listenTCP(0, everywhere)
    first = network.listenTCP(0, here, interface="127.0.0.1")
    number = first.getHost().port
    assert number != 0
    network.connect("127.0.0.1", number)
    network.flush()
    assert (len(everywhere.made), len(here.made)) == (0, 1)


def test_portInUse() -> None:
    network = MemoryNetwork()
    port = network.listenTCP(3128, Recorders(), interface="127.0.0.1")
    with pytest.raises(CannotListenError) as raised:
        network.listenTCP(3128, Recorders())
    assert raised.value.socketError.errno == errno.EADDRINUSE
    stopped: list[Any] = []
    port.stopListening().addCallback(stopped.append)
    assert stopped == []
    network.flush()
    assert stopped == [None]
    network.listenTCP(3128, Recorders())


def test_sourceAddressOfAPeer() -> None:
    network = MemoryNetwork()
    factory = Recorders()
    network.listenTCP(3128, factory)
    peer = network.connect("198.51.100.1", 3128, source="203.0.113.7")
    network.flush()
    assert factory.made[0].transport.getPeer().host == "203.0.113.7"
    assert factory.made[0].transport.getPeer() == peer.host
    assert factory.made[0].transport.getHost() == peer.peer


@pytest.mark.parametrize(
    ("host", "bindAddress", "source"),
    [
        ("192.0.2.1", None, "198.51.100.1"),
        ("192.0.2.1", ("203.0.113.9", 0), "203.0.113.9"),
        ("2001:db8::7", None, "2001:db8::1"),
    ],
)
def test_sourceAddressOfWhoIsDialled(host: str, bindAddress: Any, source: str) -> None:
    network = MemoryNetwork()
    destination = network.serve(host, 443)
    factory = dial(network, host, bindAddress=bindAddress)
    network.flush()
    assert destination.peer.peer.host == source
    assert factory.made[0].transport.getHost() == destination.peer.peer
    assert factory.made[0].transport.getPeer() == destination.peer.host


def test_transportOptionsAreKept() -> None:
    network = MemoryNetwork()
    transport = connected(network)[0].transport
    assert (transport.getTcpNoDelay(), transport.getTcpKeepAlive()) == (False, False)
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    assert (transport.getTcpNoDelay(), transport.getTcpKeepAlive()) == (True, True)


# Dialling.


def test_refusedWhereNobodyListens() -> None:
    network = MemoryNetwork()
    factory = dial(network, "192.0.2.1")
    assert factory.failed is None
    network.flush()
    assert factory.failed is not None
    assert factory.failed.type is ConnectionRefusedError
    assert factory.failed.value.osError == errno.ECONNREFUSED
    network.assertClean()


def test_refusedWhereSomebodyListens() -> None:
    network = MemoryNetwork()
    network.serve("192.0.2.1", 443)
    network.serve("192.0.2.1", 444)
    network.refuse("192.0.2.1", 443)
    refused, reached = dial(network, "192.0.2.1"), dial(network, "192.0.2.1", 444)
    network.flush()
    assert refused.failed is not None
    assert len(reached.made) == 1


def test_blackholeTimesOut() -> None:
    network = MemoryNetwork()
    network.serve("192.0.2.1", 443)
    network.blackhole("192.0.2.1")
    factory = dial(network, "192.0.2.1", timeout=15)
    network.advance(14.9)
    assert factory.failed is None
    assert len(network.open) == 1
    network.advance(0.2)
    assert factory.failed is not None and factory.failed.check(TimeoutError)
    network.assertClean()


def test_connectingCanBeStopped() -> None:
    """[TU-05] An attempt that is given up leaves nothing behind."""
    network = MemoryNetwork()
    network.blackhole("192.0.2.1")
    factory = Recorders()
    connector = network.connectTCP("192.0.2.1", 443, factory)
    network.flush()
    connector.stopConnecting()
    network.flush()
    assert factory.failed is not None and factory.failed.check(UserError)
    network.assertClean()


def test_noRoute() -> None:
    network = MemoryNetwork()
    network.unroutable("2001:db8::9")
    factory = dial(network, "2001:db8::9")
    network.flush()
    assert factory.failed is not None and factory.failed.check(NoRouteError)
    assert factory.failed.value.osError == errno.ENETUNREACH


def test_anyErrno() -> None:
    network = MemoryNetwork()
    network.fail("192.0.2.1", 443, errno.EHOSTUNREACH)
    factory = dial(network, "192.0.2.1")
    network.flush()
    assert factory.failed is not None and factory.failed.check(ConnectError)
    assert factory.failed.value.osError == errno.EHOSTUNREACH


def test_noDescriptorsLeft() -> None:
    network = MemoryNetwork()
    network.serve("192.0.2.1", 443)
    network.exhaust()
    factory = dial(network, "192.0.2.1")
    network.flush()
    assert factory.failed is not None and factory.failed.check(ConnectBindError)
    network.exhaust(False)
    again = dial(network, "192.0.2.1")
    network.flush()
    assert len(again.made) == 1


def test_namesAreNotLookedUp() -> None:
    """The proxy dials only what it has judged: a name is a bug."""
    with pytest.raises(ValueError, match="'localhost' is no IP address"):
        MemoryNetwork().connectTCP("localhost", 443, Recorders())


def test_peersMustBeListenedTo() -> None:
    network = MemoryNetwork()
    with pytest.raises(ConnectionRefusedError):
        network.connect("127.0.0.1", 3128)
    network.blackhole("127.0.0.1")
    with pytest.raises(TimeoutError):
        network.connect("127.0.0.1", 3128)
    assert network.kernel.sockets == {}


def test_connectionsThatWaitedAreResetWhenThePortStops() -> None:
    network = MemoryNetwork()
    port: Any = network.listenTCP(3128, Recorders())
    peer = network.connect("127.0.0.1", 3128)
    port.stopReading()
    port.stopListening()
    network.flush()
    assert peer.reset


# Endpoints.


def test_endpointsWork() -> None:
    network = MemoryNetwork()
    factory = Recorders()
    listening: list[Any] = []
    endpoint = serverFromString(network, "tcp:3128:interface=127.0.0.1")
    endpoint.listen(factory).addCallback(listening.append)
    made: list[Any] = []
    client = TCP4ClientEndpoint(network, "127.0.0.1", 3128)
    client.connect(Factory.forProtocol(Recorder)).addCallback(made.append)
    network.flush()
    made[0].transport.write(b"abc")
    network.flush()
    assert factory.made[0].data == b"abc"
    listening[0].stopListening()
    made[0].transport.abortConnection()
    factory.made[0].transport.abortConnection()
    network.flush()
    network.assertClean()


def test_cancelledEndpointLeavesNothing() -> None:
    """[T12] [TU-05] What a cancelled endpoint gives up is given back."""
    network = MemoryNetwork()
    network.blackhole("192.0.2.1")
    failed: list[Failure] = []
    connecting: Deferred[Any] = TCP4ClientEndpoint(network, "192.0.2.1", 443).connect(
        Factory.forProtocol(Recorder)
    )
    connecting.addErrback(failed.append)
    network.flush()
    connecting.cancel()
    network.flush()
    assert len(failed) == 1
    network.assertClean()


# What is left.


def test_openIsWhatTheCodeUnderTestHolds() -> None:
    network = MemoryNetwork()
    network.serve("192.0.2.1", 443)
    network.blackhole("192.0.2.2")
    recorder, _ = connected(network)
    reached = dial(network, "192.0.2.1")
    connecting = dial(network, "192.0.2.2")
    network.flush()
    assert len(network.open) == 3
    assert network.open[:2] == [recorder.transport, reached.made[0].transport]
    assert connecting.made == []


def test_assertCleanSaysWhatIsLeft() -> None:
    network = MemoryNetwork()
    recorder, _ = connected(network)
    network.callLater(5, pytest.fail)
    with pytest.raises(AssertionError, match=r"(?s)open: .*Recorder.*delayed: .*5.0s"):
        network.assertClean()


def test_openCountsWhatIsPaused() -> None:
    """[T11] A leak is seen even where the reactor watches nothing."""
    network = MemoryNetwork()
    recorder, peer = connected(network)
    recorder.transport.pauseProducing()
    peer.close()
    network.flush()
    assert recorder.transport not in network.getReaders() + network.getWriters()
    assert network.open == [recorder.transport]


class Broken(Recorder):
    def dataReceived(self, data: bytes) -> None:
        raise ZeroDivisionError(data)


def test_whatIsRaisedIntoTheReactorIsKept() -> None:
    """As with a real reactor the connection is lost; no test misses it."""
    network = MemoryNetwork()
    factory = Recorders(Broken)
    network.listenTCP(3128, factory)
    peer = network.connect("127.0.0.1", 3128)
    peer.send(b"abc")
    network.callLater(0, lambda: 1 / 0)
    network.flush()
    assert factory.made[0].reason.check(ZeroDivisionError)
    assert [each.type for each in network.failures] == [ZeroDivisionError] * 2
    with pytest.raises(AssertionError, match=r"(?s)raised: .*ZeroDivisionError"):
        network.assertClean()


def test_descriptorsOfOthersAreNotWatched() -> None:
    network = MemoryNetwork()
    with socket.socket() as real, pytest.raises(ValueError, match="no socket of this"):
        network.addReader(real)  # type: ignore[arg-type]


def test_descriptorsAreNoRealOnes() -> None:
    """Code that reaches for the descriptor hits no file of the process."""
    transport = connected(MemoryNetwork())[0].transport
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(transport.fileno())


def test_removeAll() -> None:
    network = MemoryNetwork()
    recorder, peer = connected(network)
    peer.send(b"abc")
    assert recorder.transport in network.removeAll()
    assert network.getReaders() == network.getWriters() == []
    network.flush()
    assert recorder.data == b""


class Fussy(Recorders):
    """Refuses the first, fails over the second, takes the third."""

    def buildProtocol(self, addr: Any) -> Any:
        self.made.append(None)
        if len(self.made) == 1:
            return None
        if len(self.made) == 2:
            raise ZeroDivisionError
        return Recorder()


def test_factoriesMayRefuseAndFail() -> None:
    """As with a real port: who is not taken is closed, and the port goes on."""
    network = MemoryNetwork()
    network.listenTCP(3128, Fussy())
    peers = [network.connect("127.0.0.1", 3128) for _ in range(3)]
    network.flush()
    assert [peer.ended for peer in peers] == [True, True, False]
    assert len(network.open) == 1
    assert [each.type for each in network.failures] == [ZeroDivisionError]


class Killer(Recorder):
    """Drops another's connection as soon as it hears anything."""

    def __init__(self, others: list[Any]) -> None:
        super().__init__()
        self.others = others

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        for other in self.others:
            if other is not self:
                other.transport.abortConnection()


def test_whoIsStoppedInATurnIsNotCalledInIt() -> None:
    """As on a real reactor: no data after C{abortConnection} by another."""
    network = MemoryNetwork()
    made: list[Any] = []
    factory = Recorders()
    factory.protocol = lambda: made.append(Killer(made)) or made[-1]
    network.listenTCP(3128, factory)
    peers = [network.connect("127.0.0.1", 3128) for _ in range(2)]
    network.flush()
    for peer in peers:
        peer.send(b"abc")
    network.flush()
    assert [each.data for each in made] == [b"abc", b""]


def test_resetWhileBlockedIsSeen() -> None:
    """[K9] A paused transport that has bytes to write does meet a RST."""
    network = MemoryNetwork(windowSize=10)
    recorder, peer = connected(network)
    recorder.transport.pauseProducing()
    peer.pause()
    recorder.transport.write(b"x" * 100)
    network.flush()
    peer.abort()
    network.flush()
    assert recorder.reason.check(ConnectionLost)


# Peers.


def test_destinationsSpeakAndEcho() -> None:
    network = MemoryNetwork()
    accepted: list[Peer] = []
    destination = network.serve(
        "192.0.2.1", 443, banner=b"220 ", echo=True, accepted=accepted.append
    )
    with pytest.raises(AssertionError, match="has accepted 0 connections, not one"):
        assert destination.peer
    factory = dial(network, "192.0.2.1")
    network.flush()
    made = factory.made[0]
    made.transport.write(b"hello")
    made.transport.loseWriteConnection()
    network.flush()
    assert (made.data, made.ended) == (b"220 hello", 1)
    assert accepted == destination.peers == [destination.peer]
    assert destination.peer.received == b"hello"


def test_destinationThatStops() -> None:
    network = MemoryNetwork()
    destination = network.serve("192.0.2.1", 443)
    destination.stop()
    network.flush()
    factory = dial(network, "192.0.2.1")
    network.flush()
    assert factory.failed is not None


def test_take() -> None:
    network = MemoryNetwork()
    recorder, peer = connected(network)
    recorder.transport.write(b"abc")
    network.flush()
    assert (peer.take(), peer.received) == (b"abc", b"")


# TLS-like.


def tlsLike(certificate: Any = None) -> tuple[MemoryNetwork, Any, Peer]:
    network = MemoryNetwork()
    network.tlsLike(3128, certificate=certificate)
    recorder, peer = connected(network)
    return network, recorder, peer


def test_tlsLikeTransportsSayWhatTheyAre() -> None:
    certificate: Any = object()
    network, recorder, peer = tlsLike(certificate)
    assert ISSLTransport.providedBy(recorder.transport)
    assert recorder.transport.getPeerCertificate() is certificate
    assert recorder.transport.negotiatedProtocol is None
    peer.send(b"abc")
    recorder.transport.writeSequence([b"x", b"yz"])
    network.flush()
    assert (recorder.data, peer.received) == (b"abc", b"xyz")
    assert not ISSLTransport.providedBy(connected(MemoryNetwork())[0].transport)


def test_tlsLikeHasNoHalfClose() -> None:
    """[T11] The end of input closes, after flushing; nothing is half-closed."""
    network, recorder, peer = tlsLike()
    peer.pause()
    recorder.transport.write(b"x" * 200000)
    peer.end()
    network.flush()
    peer.resume()
    network.flush()
    assert (recorder.ended, len(peer.received)) == (0, 200000)
    assert recorder.reason.check(ConnectionDone)
    recorder.transport.write(b"ignored")


def test_tlsLikeCloseWaitsForThePeer() -> None:
    """An abort timer has to run behind it: a peer may never answer."""
    network, recorder, peer = tlsLike()
    recorder.transport.write(b"abc")
    recorder.transport.loseConnection()
    recorder.transport.loseConnection()
    recorder.transport.write(b"ignored")
    network.advance(3600)
    assert (peer.received, peer.ended, recorder.reason) == (b"abc", True, None)
    peer.close()
    network.flush()
    assert recorder.reason.check(ConnectionDone)
    network.assertClean()


class Silent:
    """A producer that produces nothing."""

    stopped = False

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        self.stopped = True


def test_tlsLikeCloseWaitsForTheProducer() -> None:
    """With a producer registered Twisted's TLS does not close."""
    network, recorder, peer = tlsLike()
    transport = recorder.transport
    transport.registerProducer(Silent(), True)
    transport.unregisterProducer()
    transport.registerProducer(Silent(), True)
    transport.loseConnection()
    transport.write(b"still")
    network.flush()
    assert (peer.received, peer.ended) == (b"still", False)
    transport.unregisterProducer()
    transport.unregisterProducer()
    network.flush()
    assert peer.ended
    peer.abort()
    network.flush()
    late = Silent()
    transport.registerProducer(late, True)
    assert late.stopped


def test_tlsLikeAbort() -> None:
    network, recorder, peer = tlsLike()
    recorder.transport.abortConnection()
    network.flush()
    assert peer.reset
    assert recorder.reason.check(ConnectionLost)


def test_tlsLikeDestination() -> None:
    network = MemoryNetwork()
    network.tlsLike(443, "192.0.2.1")
    for host in ("192.0.2.1", "192.0.2.2"):
        network.serve(host, 443)
    dressed, plain = dial(network, "192.0.2.1"), dial(network, "192.0.2.2")
    network.flush()
    assert ISSLTransport.providedBy(dressed.made[0].transport)
    assert not ISSLTransport.providedBy(plain.made[0].transport)


# Cutting bytes.


@pytest.mark.parametrize("data", [b"", b"a", b"abc", DATA])
def test_chunkingsLoseNothing(data: bytes) -> None:
    cut = dict(chunkings(data, seed=3))
    assert list(cut) == ["whole", "one at a time", "random"]
    for pieces in cut.values():
        assert b"".join(pieces) == data
        assert all(pieces)
    assert len(cut["whole"]) == bool(data)
    assert len(cut["one at a time"]) == len(data)


def test_randomChunkingsFollowTheSeed() -> None:
    def cut(seed: int) -> list[bytes]:
        return dict(chunkings(DATA, seed))["random"]

    assert cut(1) == cut(1) != cut(2)


def test_abortDropsWhatWasNotSentYet() -> None:
    """[T11] Only what has left before a RST can arrive."""
    network = MemoryNetwork()
    recorder, peer = connected(network)
    peer.send(b"abc")
    peer.abort()
    network.flush()
    assert recorder.data == b""
    assert recorder.reason.check(ConnectionLost)
