"""
The hand-over: from the proxy's answer on, the caller's protocol has its transport as
if it had connected to the destination itself.
"""

from __future__ import annotations

from typing import Any

import pytest
from connectrig import OK, PROXY, Caller, ClientRig, CountingFactory, HalfCaller
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.testing import CHUNKS, MemoryNetwork

everyChunk = pytest.mark.parametrize("chunk", CHUNKS)
BANNER = b"220 mail.example ESMTP\r\n"


@everyChunk
@pytest.mark.parametrize("protocol", [Caller, HalfCaller])
def test_bannerAndEnd(chunk: Any, protocol: Any) -> None:
    """[UP-03] [T2] The end that comes with the 200 and a banner comes after it."""
    rig = ClientRig(chunk, protocol=protocol)
    rig.connect()
    rig.peer.send(OK + BANNER)
    rig.peer.end()
    rig.network.flush()
    last = "lost" if protocol is Caller else "end"
    assert rig.caller.heard == ["made", BANNER, last]
    if protocol is HalfCaller:
        rig.caller.transport.loseConnection()
        rig.network.flush()
    rig.network.assertClean()


@everyChunk
@pytest.mark.parametrize("protocol", [Caller, HalfCaller])
def test_bannerAndReset(chunk: Any, protocol: Any) -> None:
    """[UP-03] [T2] So does a reset."""
    rig = ClientRig(chunk, protocol=protocol)
    rig.connect()
    rig.peer.send(OK + BANNER)
    with pytest.raises(AssertionError, match="did not come to rest"):
        rig.network.flush(1)
    rig.peer.abort()
    rig.network.flush()
    caller = rig.caller
    assert caller.heard == ["made", BANNER, "lost"]
    assert caller.lost is not None and caller.lost.check(ConnectionLost)
    rig.network.assertClean()


@everyChunk
def test_order(chunk: Any) -> None:
    """[UP-03] First connectionMade, then the caller's Deferred, then the banner."""
    rig = ClientRig(chunk)
    connecting = rig.endpoint.connect(rig.factory)
    connecting.addCallback(lambda caller: caller.heard.append("deferred"))
    rig.network.flush()
    made: list[Any] = []
    rig.factory.protocol = lambda: made.append(Caller()) or made[0]
    rig.says(OK + BANNER)
    assert made[0].heard == ["made", "deferred", BANNER]


class _Leaving(Caller):
    """Closes as soon as it is connected."""

    how = "loseConnection"

    def connectionMade(self) -> None:
        super().connectionMade()
        getattr(self.transport, self.how)()


@everyChunk
def test_leavesAtOnce(chunk: Any) -> None:
    """A protocol that closes in connectionMade is told no banner after that."""
    rig = ClientRig(chunk, protocol=_Leaving)
    rig.connect()
    rig.says(OK + BANNER)
    rig.network.flush()
    assert rig.caller.heard == ["made", "lost"]
    rig.network.assertClean()


class _Losing(Caller):
    """Loses its connection at once, as some transports do when aborted."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.connectionLost(Failure(ConnectionLost()))


@everyChunk
def test_lostAtOnce(chunk: Any) -> None:
    """Nothing is told behind the loss."""
    rig = ClientRig(chunk, protocol=_Losing)
    rig.connect()
    rig.says(OK + BANNER)
    assert rig.caller.heard == ["made", "lost"]


class _Pausing(Caller):
    """Reads nothing until it is told to."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.pauseProducing()


@everyChunk
def test_pauseInConnectionMade(chunk: Any) -> None:
    """
    [UP-03] Pausing holds the tunnel back: what had been read already comes, and
    not an octet more.
    """
    rig = ClientRig(chunk, protocol=_Pausing)
    rig.connect()
    rig.peer.send(OK + BANNER)
    rig.peer.send(b"x" * 100_000)
    rig.network.flush()
    caller = rig.caller
    before = len(caller.data)
    assert before < 70_000
    rig.network.flush()
    assert len(caller.data) == before
    caller.transport.resumeProducing()
    rig.network.flush()
    assert caller.data == BANNER + b"x" * 100_000


class _PausingLater(Caller):
    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.pauseProducing()


@everyChunk
def test_pauseInDataReceived(chunk: Any) -> None:
    """A pause at the banner stays one."""
    rig = ClientRig(chunk, protocol=_PausingLater)
    rig.connect()
    rig.peer.send(OK + BANNER)
    rig.peer.send(b"x" * 100_000)
    rig.network.flush()
    assert 0 < len(rig.caller.data) < 70_000


@implementer(IPushProducer)
class _Producer:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


def test_writes() -> None:
    """The transport is the real one: a reader that is slow pauses the producer."""
    rig = ClientRig()
    caller = rig.established()
    producer = _Producer()
    caller.transport.registerProducer(producer, True)
    rig.peer.pause()
    caller.transport.write(b"x" * 500_000)
    rig.network.flush()
    assert producer.told == ["pause"]
    rig.peer.resume()
    rig.network.flush()
    assert producer.told == ["pause", "resume"]
    assert len(rig.peer.take()) == 500_000
    assert type(caller.transport) is type(_direct(rig.network).transport)


def _direct(network: MemoryNetwork) -> Any:
    """A protocol that is connected without any proxy."""
    network.serve("192.0.2.10", 443)
    way = TCP4ClientEndpoint(network, "192.0.2.10", 443)
    made: list[Any] = []
    connectProtocol(way, Caller()).addCallback(made.append)
    network.flush()
    return made[0]


# The end of input, and half-close.


@everyChunk
def test_halfClose(chunk: Any) -> None:
    """A caller that knows of half-close has it, both ways, at any chunking."""
    rig = ClientRig(chunk, protocol=HalfCaller)
    caller = rig.established()
    rig.peer.end()
    rig.network.flush()
    assert caller.heard == ["made", "end"]
    caller.transport.write(b"still here")
    caller.transport.loseWriteConnection()
    rig.network.flush()
    assert rig.peer.take() == b"still here" and rig.peer.ended
    assert caller.heard == ["made", "end", "ended"]
    caller.transport.loseConnection()
    rig.network.flush()
    rig.network.assertClean()


def test_ownEndFirst() -> None:
    """Its own end first leaves the other direction open."""
    rig = ClientRig(protocol=HalfCaller)
    caller = rig.established()
    caller.transport.loseWriteConnection()
    rig.network.flush()
    assert rig.peer.ended and caller.heard == ["made", "ended"]
    rig.says(b"late")
    assert caller.heard == ["made", "ended", b"late"]


@pytest.mark.parametrize("producing", [False, True])
def test_endWithoutHalfClose(producing: bool) -> None:
    """
    To a protocol that knows no half-close the end of input is the loss of the
    connection, at once, as without a proxy: whoever still sends does not put it
    off, and is stopped.
    """
    outcomes = []
    for proxied in (False, True):
        rig = ClientRig()
        caller = rig.established() if proxied else _direct(rig.network)
        [peer] = [each.owner.protocol for each in _outside(rig.network)]
        producer = _Producer()
        if producing:
            caller.transport.registerProducer(producer, True)
        peer.pause()
        caller.transport.write(b"x" * 500_000)
        rig.network.flush()
        peer.end()
        rig.network.flush()
        assert caller.lost is not None and caller.lost.type is ConnectionDone
        outcomes.append((caller.heard, producer.told))
    assert outcomes[0] == outcomes[1]


def _outside(network: MemoryNetwork) -> list[Any]:
    """The sockets of the test's own peers."""
    return [
        each
        for each in network.kernel.sockets.values()
        if each.outside and not each.listening
    ]


def test_ownEndWithoutHalfClose() -> None:
    """Ending one's own side needs no half-close."""
    rig = ClientRig()
    caller = rig.established()
    caller.transport.loseWriteConnection()
    rig.network.flush()
    assert rig.peer.ended and caller.heard == ["made"]


@implementer(IHalfCloseableProtocol)
class _Passing(ProtocolWrapper):
    """A wrapper that passes half-close on."""

    def readConnectionLost(self) -> None:
        self.wrappedProtocol.readConnectionLost()

    def writeConnectionLost(self) -> None:
        self.wrappedProtocol.writeConnectionLost()


class _PassingFactory(WrappingFactory):
    protocol = _Passing
    noisy = False


class _Wrapped:
    """An endpoint whose transports are wrappers."""

    def __init__(self, way: Any) -> None:
        self._way = way

    def connect(self, factory: Any) -> Any:
        return self._way.connect(_PassingFactory(factory))  # type: ignore[no-untyped-call]


class WrappedRig(ClientRig):
    """A proxy that is reached through a wrapper."""

    def way(self, port: int = 3128) -> Any:
        return _Wrapped(super().way(port))


def test_endThroughAWrapper() -> None:
    """A transport that is a wrapper is closed in the way that it offers."""
    rig = WrappedRig()
    caller = rig.established()
    caller.transport.write(b"bye")
    rig.peer.end()
    rig.network.flush()
    assert rig.peer.take() == b"bye"
    assert caller.heard == ["made", "lost"]
    rig.network.assertClean()


def test_halfCloseThroughAWrapper() -> None:
    """A wrapper that passes half-close on is no obstacle."""
    rig = WrappedRig(protocol=HalfCaller)
    caller = rig.established()
    rig.peer.end()
    rig.network.flush()
    assert caller.heard == ["made", "end"]


class _Process(ProtocolWrapper):
    """A transport that cannot be aborted, like that of a process."""

    def __getattr__(self, name: str) -> Any:
        if name == "abortConnection":
            raise AttributeError(name)
        return super().__getattr__(name)  # type: ignore[no-untyped-call]


def test_transportWithoutAbort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be aborted, it is closed."""
    monkeypatch.setattr(_PassingFactory, "protocol", _Process)
    rig = WrappedRig()
    rig.connect()
    rig.says(b"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n")
    assert rig.peer.ended or rig.peer.closed
    assert not rig.peer.reset


# What stays in the way.


class _Rebinding(Caller):
    """Reads its first octets differently, as many protocols do."""

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(b"first:" + data)
        self.dataReceived = self.later  # type: ignore[method-assign]

    def later(self, data: bytes) -> None:
        self.heard.append(b"later:" + data)


def test_rebinding() -> None:
    """A protocol that rebinds its dataReceived is heard as without a proxy."""
    rig = ClientRig(protocol=_Rebinding)
    caller = rig.established()
    rig.says(b"a")
    rig.says(b"b")
    assert caller.heard == ["made", b"first:a", b"later:b"]


def test_noFrameOfOurs() -> None:
    """
    Between the wrapper of the proxy's endpoint, which any endpoint of Twisted
    has, and the caller's protocol there is not one call.
    """
    rig = ClientRig()
    caller = rig.established()
    frames = caller.transport.protocol._wrappedProtocol
    assert frames.dataReceived == caller.dataReceived


OURS = ("txconnect.client", "txconnect.testing.transports", "twisted.internet")


def test_nothingIsKept() -> None:
    """A tunnel keeps neither its negotiation nor the credentials that it used."""
    rig = ClientRig(credentials=lambda attempt: b"Basic c2VjcmV0")
    rig.connect()
    rig.says(OK)
    seen: list[Any] = [rig.caller.transport]
    for each in seen:
        if type(each).__module__.startswith(OURS):
            values = list(getattr(each, "__dict__", {}).values())
            seen += [value for value in values if not any(value is s for s in seen)]
    kinds = {type(each).__name__ for each in seen}
    assert "TunnelProtocol" in kinds and "_TunnelProtocolFactory" in kinds
    assert not kinds & {"Negotiation", "ProxyConnection", "ConnectNegotiator"}


def test_plainProtocols() -> None:
    """connectProtocol works, as with any endpoint."""
    network = MemoryNetwork()
    proxy = network.serve(PROXY, 3128)
    rig = ClientRig()
    rig.network, rig.proxy = network, proxy
    endpoint = type(rig.endpoint)(rig.way(), "example.com", 443, clock=network)
    protocol = Protocol()
    made: list[Any] = []
    connectProtocol(endpoint, protocol).addCallback(made.append)
    network.flush()
    rig.says(OK)
    assert made == [protocol]
    assert CountingFactory().noisy is False
