"""
The TLS-like transports against Twisted's TLS.

Each scenario runs twice on the memory network: over real TLS at both ends,
and TLS-like at both ends.  The code under test must be told the same story.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import makeAuthority
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    DefaultOpenSSLContextFactory,
    optionsForClientTLS,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from txconnect.testing import MemoryNetwork

Story = list[Any]


class Recorder(Protocol):
    """Writes down what its transport tells it; knows no half-close."""

    transport: Any

    def __init__(self) -> None:
        self.story: Story = []
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.story.append(reason.type.__name__)


class Recorders(ClientFactory):
    noisy = False

    def __init__(self) -> None:
        self.made: list[Recorder] = []

    def buildProtocol(self, addr: Any) -> Recorder:
        self.made.append(Recorder())
        return self.made[-1]


class Producer:
    def __init__(self, story: Story) -> None:
        self._story = story

    def pauseProducing(self) -> None:
        self._story.append("pause")

    def resumeProducing(self) -> None:
        self._story.append("resume")

    def stopProducing(self) -> None:
        self._story.append("stop")


Ends = tuple[MemoryNetwork, Recorder, Recorder]


@pytest.fixture(scope="module")
def overTLS(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Ends]:
    """Makes connections with real TLS at both ends."""
    authority = makeAuthority(Path(tmp_path_factory.mktemp("tls")))
    issued = authority.server()
    serverContext = DefaultOpenSSLContextFactory(
        str(issued.key), str(issued.certificate)
    )
    trusted = Certificate.loadPEM(authority.certificate.read_bytes())
    clientContext = optionsForClientTLS("localhost", trusted)

    def make() -> Ends:
        server, client = Recorders(), Recorders()
        network = MemoryNetwork()
        # The clock is what flushes small writes.
        listening = TLSMemoryBIOFactory(serverContext, False, server, network)
        network.listenTCP(443, listening)
        dialling = TLSMemoryBIOFactory(clientContext, True, client, network)
        network.connectTCP("127.0.0.1", 443, dialling)
        network.flush()
        return network, server.made[0], client.made[0]

    return make


def tlsLike() -> Ends:
    """A connection that is TLS-like at both ends."""
    server, client = Recorders(), Recorders()
    network = MemoryNetwork()
    network.tlsLike(443, "127.0.0.1")
    network.listenTCP(443, server, interface="127.0.0.1")
    network.connectTCP("127.0.0.1", 443, client)
    network.flush()
    return network, server.made[0], client.made[0]


def whatItSays(ends: Ends) -> Story:
    """What code can ask of the transport, the wrong things too."""
    transport = ends[1].transport
    return [
        ISSLTransport.providedBy(transport),
        transport.negotiatedProtocol,
        transport.getPeerCertificate(),
        transport.getPeer().host,
        transport.TLS,
        hasattr(transport, "loseWriteConnection"),
        hasattr(transport, "abortConnection"),
    ]


def peerEnds(ends: Ends) -> Story:
    """The end of input closes."""
    network, recorder, peer = ends
    peer.transport.write(b"abc")
    peer.transport.loseConnection()
    network.flush()
    return [recorder.data, *recorder.story, *peer.story, *network.open]


def peerEndsBeforeAllIsRead(ends: Ends) -> Story:
    """The end of input closes only when all has been flushed."""
    network, recorder, peer = ends
    peer.transport.pauseProducing()
    recorder.transport.write(b"x" * 300000)
    network.flush()
    peer.transport.loseConnection()
    network.flush()
    recorder.transport.write(b"ignored")
    recorder.story.append("reading")
    peer.transport.resumeProducing()
    network.flush()
    return [*recorder.story, *peer.story]


def closes(ends: Ends) -> Story:
    """Closing flushes, and what is written behind it is dropped."""
    network, recorder, peer = ends
    recorder.transport.write(b"x" * 300000)
    recorder.transport.loseConnection()
    recorder.transport.write(b"ignored")
    recorder.transport.loseConnection()
    network.flush()
    return [len(peer.data), *recorder.story, *peer.story]


def closesOnSomeoneWhoDoesNotRead(ends: Ends) -> Story:
    """Closing waits for the peer, for ever."""
    network, recorder, peer = ends
    peer.transport.pauseProducing()
    recorder.transport.write(b"abc")
    recorder.transport.loseConnection()
    network.advance(86400)
    recorder.story.append("reading")
    peer.transport.resumeProducing()
    network.flush()
    return [*recorder.story, peer.data, *peer.story]


def closesWithAProducer(ends: Ends) -> Story:
    """Closing waits for the producer to be unregistered."""
    network, recorder, peer = ends
    recorder.transport.registerProducer(Producer(recorder.story), True)
    recorder.transport.loseConnection()
    recorder.transport.write(b"still")
    network.flush()
    recorder.story.append("unregister")
    recorder.transport.unregisterProducer()
    network.flush()
    return [peer.data, *recorder.story, *peer.story]


def aborts(ends: Ends) -> Story:
    network, recorder, peer = ends
    recorder.transport.abortConnection()
    recorder.story.append("aborted")
    network.flush()
    return recorder.story


def isAborted(ends: Ends) -> Story:
    network, recorder, peer = ends
    recorder.transport.registerProducer(Producer(recorder.story), True)
    # Below TLS, whose own abort would say goodbye first.
    getattr(peer.transport, "transport", peer.transport).abortConnection()
    network.flush()
    return recorder.story


def pausesAProducer(ends: Ends) -> Story:
    network, recorder, peer = ends
    peer.transport.pauseProducing()
    recorder.transport.registerProducer(Producer(recorder.story), True)
    recorder.transport.write(b"x" * 300000)
    network.flush()
    recorder.story.append("reading")
    peer.transport.resumeProducing()
    network.flush()
    return [*recorder.story, len(peer.data)]


SCENARIOS = [
    whatItSays,
    peerEnds,
    peerEndsBeforeAllIsRead,
    closes,
    closesOnSomeoneWhoDoesNotRead,
    closesWithAProducer,
    aborts,
    isAborted,
    pausesAProducer,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_tlsLikeTellsTheSameStory(
    scenario: Callable[[Ends], Story], overTLS: Callable[[], Ends]
) -> None:
    """[T11] No half-close, closing that waits: the manners are those of TLS."""
    real = scenario(overTLS())
    assert scenario(tlsLike()) == real
    assert real
