"""
The parts by which a parent is reached, each by itself.
"""

from __future__ import annotations

from typing import Any

import pytest
from OpenSSL import SSL
from rig import connect, logging, status
from scripted import OK, PARENT, proxy, through
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionAborted, NoProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

import txconnect.routing.dialled
from txconnect.client.errors import ProxyTimeout
from txconnect.dialing.dialer import Dialer
from txconnect.dialing.lookups import Lookups
from txconnect.dialing.openers import transportOpener
from txconnect.errors import Refused
from txconnect.routing.answers import refusalForAnswer, refusalForFailure
from txconnect.routing.dialled import DialledEndpoint
from txconnect.routing.health import Health
from txconnect.routing.probe import probeEndpoint
from txconnect.settings import Settings
from txconnect.testing import CHUNKS, ImmediatePool, MemoryNetwork, scriptedLookup
from txconnect.values import Authority, Cause


class Recorder(Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.told.append("lost")


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    """The same, and knows half-closes."""

    def readConnectionLost(self) -> None:
        self.told.append("read")

    def writeConnectionLost(self) -> None:
        self.told.append("write")


class Ground:
    """A network, and an endpoint on it that leads to 192.0.2.9."""

    def __init__(self, chunk: Any = None, host: str = "parent") -> None:
        self.network = MemoryNetwork(chunk=chunk)
        settings = Settings()
        lookup = scriptedLookup({"parent": [PARENT]})
        self.lookups = Lookups(self.network, settings, lookup, ImmediatePool())
        self.lookups.start()
        dialer = Dialer(self.network, settings, transportOpener(self.network))
        self.endpoint = DialledEndpoint(self.lookups, dialer, Authority(host, 3128))
        self.served = self.network.serve(PARENT, 3128)

    def connect(self, protocol: Any) -> Any:
        made: list[Any] = []
        factory = Factory()
        factory.buildProtocol = lambda _: protocol  # type: ignore[method-assign]
        self.endpoint.connect(factory).addBoth(made.append)
        self.network.flush()
        return made[0]


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("host", ["parent", PARENT])
def test_dialledHalfClose(chunk: Any, host: str) -> None:
    """[TU-03] [UP-03] Whoever knows half-closes has them, in both directions."""
    ground = Ground(chunk, host)
    verifyObject(IStreamClientEndpoint, ground.endpoint)
    protocol = HalfCloseable()
    assert ground.connect(protocol) is protocol
    peer = ground.served.peer
    peer.send(b"hello")
    peer.end()
    ground.network.flush()
    assert b"".join(protocol.told[:-1]) == b"hello"
    assert protocol.told.pop() == "read"
    transport: Any = protocol.transport
    transport.write(b"bye")
    transport.loseWriteConnection()
    ground.network.flush()
    assert peer.received == b"bye"
    assert peer.ended
    assert protocol.told.pop() == "write"
    transport.loseConnection()
    ground.network.flush()
    assert protocol.told.pop() == "lost"
    ground.network.assertClean()


@pytest.mark.parametrize("chunk", CHUNKS)
def test_dialledWithoutHalfClose(chunk: Any) -> None:
    """[TU-02] For others the end of input is the end, behind what they wrote."""
    ground = Ground(chunk)
    protocol = Recorder()
    ground.connect(protocol)
    protocol.transport.write(b"x" * 1000)  # type: ignore[union-attr]
    ground.served.peer.end()
    ground.network.flush()
    assert protocol.told == ["lost"]
    assert ground.served.peer.received == b"x" * 1000
    ground.network.assertClean()


def test_dialledResetThatComesAsAnEnd(monkeypatch: pytest.MonkeyPatch) -> None:
    """[TU-04] [T11] As poll tells it that is asked in the middle of a reset."""
    monkeypatch.setattr(txconnect.routing.dialled, "wasReset", lambda _: True)
    ground = Ground()
    lost: list[Any] = []
    protocol = Recorder()
    protocol.connectionLost = lost.append  # type: ignore[method-assign]
    ground.connect(protocol)
    ground.served.peer.end()
    ground.network.flush()
    assert lost[0].check(ConnectionAborted)
    ground.network.assertClean()


def test_dialledFollowsWhoRebinds() -> None:
    """[UP-03] A protocol that hands its connection on is not told any more."""
    ground = Ground()
    first, second = Recorder(), Recorder()
    ground.connect(first)
    ground.served.peer.send(b"1")
    ground.network.flush()
    first.dataReceived = second.dataReceived  # type: ignore[method-assign]
    ground.served.peer.send(b"2")
    ground.network.flush()
    assert (first.told, second.told) == ([b"1"], [b"2"])


def test_dialledWithoutProtocol() -> None:
    """A factory that makes none is told so, and the connection goes."""
    ground = Ground()
    failure = ground.connect(None)
    failure.trap(NoProtocol)
    assert ground.served.peer.reset
    ground.network.assertClean()


def test_dialledProtocolThatRaises() -> None:
    """Nothing is left of a connection that nobody took."""

    class Raising(Protocol):
        def connectionMade(self) -> None:
            raise RuntimeError("no")

    ground = Ground()
    ground.connect(Raising()).trap(RuntimeError)
    ground.network.assertClean()


def test_dialledFailure() -> None:
    """It fails as the proxy's own dials do."""
    ground = Ground(host="nowhere.test")
    assert ground.connect(Recorder()).value.cause is Cause.DNS_ERROR


# Looks


class Probed:
    """A parent whose looks a test answers."""

    name = "p"

    def __init__(self) -> None:
        self.looks: list[Deferred[object]] = []

    def probe(self) -> Deferred[object]:
        self.looks.append(Deferred())
        return self.looks[-1]


def test_marks() -> None:
    """Down once, up once, and no timer for nothing."""
    clock, parent, other = Clock(), Probed(), Probed()
    health = Health(clock)
    with logging() as logged:
        health.markAnswered(parent)
        health.markFailed(parent, "one", clock.seconds())
        health.markFailed(parent, "two", clock.seconds())
        assert health.isDown(parent) and not health.isDown(other)
        assert health.inOrder([parent, other]) == [other, parent]
        clock.advance(1)
        health.markFailed(other, "three", clock.seconds())
        clock.advance(0.5)
        parent.looks[0].errback(ConnectError())
        assert health.isDown(parent)
        clock.advance(0.5)
        other.looks[0].callback(None)
        assert not health.isDown(other)
        clock.advance(1.5)
        # Answered while it is looked at: the look is given up.
        assert not parent.looks[1].called
        health.markAnswered(parent)
        assert parent.looks[1].called
        assert health.inOrder([parent, other]) == [parent, other]
        assert not clock.getDelayedCalls()
        health.stop()
    assert logged.errors == []
    assert len(logged.events) == 4
    assert len(parent.looks) == 2


def test_answersMeanwhile() -> None:
    """What another request has heard since counts."""
    clock, parent = Clock(), Probed()
    health = Health(clock)
    with logging():
        clock.advance(5)
        health.markAnswered(parent)
        health.markFailed(parent, "silent", 1.0)
        assert not health.isDown(parent)
        health.markFailed(parent, "silent", 5.0)
        assert health.isDown(parent)
        health.stop()
    assert not clock.getDelayedCalls()


def test_answersShortlyBefore() -> None:
    """
    Where it was there to be asked, one vouches for it; a look, which asks for
    nothing, does not.
    """
    clock, parent = Clock(), Probed()
    health = Health(clock)
    with logging():
        health.markAnswered(parent)
        health.markFailed(parent, "hangs up", 4.9, reached=True)
        assert not health.isDown(parent)
        health.markFailed(parent, "hangs up", 5.0, reached=True)
        assert health.isDown(parent)
        clock.advance(1)
        parent.looks[0].callback(None)
        assert not health.isDown(parent)
        health.markFailed(parent, "hangs up", 5.0, reached=True)
        assert health.isDown(parent)
        health.stop()
    assert not clock.getDelayedCalls()


def test_looksThatFailAtOnce() -> None:
    """They wait for the next one like others."""

    class Gone(Probed):
        def probe(self) -> Deferred[object]:
            super().probe()
            return fail(ConnectError())

    class There(Probed):
        def probe(self) -> Deferred[object]:
            super().probe()
            return succeed(None)

    clock, gone, there = Clock(), Gone(), There()
    health = Health(clock)
    with logging():
        health.markFailed(gone, "x", 0.0)
        health.markFailed(there, "x", 0.0)
        clock.pump([1.0, 2.0, 4.0])
        assert len(gone.looks) == 3 and len(there.looks) == 1
        assert health.isDown(gone) and not health.isDown(there)
        health.stop()
    assert not clock.getDelayedCalls()


def test_lookThatIsLost() -> None:
    """A connection that goes before it could be used was none."""
    ground = Ground()
    seen: list[Any] = []
    probeEndpoint(ground.endpoint, encrypted=True).addBoth(seen.append)
    ground.network.flush()
    ground.served.peer.close()
    ground.network.flush()
    assert isinstance(seen[0], Failure)
    ground.network.assertClean()


def test_lookThatIsGivenUp() -> None:
    """Nothing is left of it, at whichever step."""
    for turns in (0, 1000):
        ground = Ground()
        looking = probeEndpoint(ground.endpoint, encrypted=True)
        if turns:
            ground.network.flush(turns)
        looking.addErrback(lambda failure: failure.trap(CancelledError))
        looking.cancel()
        ground.network.flush()
        ground.network.assertClean()


def test_lookFindsTheCertificateWrong(tmp_path: Any) -> None:
    """With TLS, being connected is not enough."""
    rig, parent = through(None, "https://parent:3128")
    with logging() as logged:
        client = rig.client(connect())
        parent.peer.close()
        rig.flush()
        client.end()
        rig.network.advance(1.1)
        assert len(parent.peers) == 2
        parent.peers[1].send(b"this is no TLS")
        rig.flush()
        rig.network.advance(2.1)
        assert len(parent.peers) == 3
        rig.proxy.stopService()
        rig.assertOver()
    assert not [each for each in logged.events if "up again" in str(each)]


# What is no answer


def test_othersErrorsAreNotParents() -> None:
    """[PS-02] A bug of ours is not told as a parent's failure."""
    for error in (RuntimeError("x"), Refused(Cause.EXHAUSTED), ValueError("y")):
        assert refusalForAnswer("p", error) is None
        assert refusalForFailure("p", error, reached=True) is None
        assert refusalForFailure("p", error, reached=False) is None


def test_timeBeforeAConnection() -> None:
    """Silence of who was never reached is another thing."""
    late = ProxyTimeout(Authority("a", 1), 5, "a connection to the proxy")
    for reached, cause in (
        (True, Cause.PARENT_SILENT),
        (False, Cause.PARENT_UNREACHABLE),
    ):
        refused = refusalForFailure("p", late, reached)
        assert refused is not None and refused.cause is cause


def test_credentialsThatFail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug while a parent is asked is a 500, and no parent is marked for it."""
    rig = proxy()
    rig.serve(PARENT, 3128)

    def renderConnect(*arguments: Any) -> bytes:
        raise ValueError("broken")

    monkeypatch.setattr(
        "txconnect.client.connectnegotiator.renderConnect", renderConnect
    )
    with logging():
        client = rig.client(connect())
    assert status(client) == 500
    assert rig.events.refused[0].cause is Cause.PLUGIN_ERROR
    client.end()
    rig.assertOver()


def test_legsRememberedEarly() -> None:
    """
    [UP-03] Who hands a connection on to a leg may have remembered its method
    before the tunnel adopted it.
    """
    rig, parent = through()
    client = rig.client(connect())
    parent.peer.send(OK)
    rig.flush()
    relay: Any = rig.proxy.resources.tunnels.allTunnels()[0]
    leg = relay.relay._leg
    type(leg).dataReceived(leg, b"late")
    rig.flush()
    assert client.received.endswith(b"late")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SSL.SysCallError(-1, "Unexpected EOF"), "TLS: Unexpected EOF"),
        (SSL.ZeroReturnError(), "TLS: the connection was ended"),
        (SSL.Error([("SSL routines", "", "bad length")]), "TLS: bad length"),
    ],
)
def test_everyErrorOfTLSHasAReason(error: SSL.Error, reason: str) -> None:
    """Whatever its arguments are: OpenSSL's list, a number, or none."""
    refused = refusalForFailure("https://p:3129", error, reached=True)
    assert refused is not None
    assert refused.cause is Cause.PARENT_TLS
    assert refused.reason == f"https://p:3129: {reason}"
