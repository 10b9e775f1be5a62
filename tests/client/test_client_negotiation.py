"""
The guarantees to a negotiator, whatever protocol it speaks.
"""

from __future__ import annotations

from typing import Any

import pytest
from connectrig import PROXY, Caller, ClientRig
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from txconnect.client.errors import ProxyTimeout
from txconnect.client.negotiation import Negotiation
from txconnect.wire.authority import Authority


class Scripted:
    """
    A negotiator whose part a test plays.

    @ivar told: the calls that it got, in order.
    """

    authority = Authority("example.com", 443)
    waitsFor = "a word"

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.transport: Any = None
        self.raises: dict[str, BaseException] = {}

    def _tell(self, what: str, value: object = None) -> None:
        self.told.append(what if value is None else (what, value))
        if what in self.raises:
            raise self.raises[what]

    def beginNegotiation(self, transport: Any) -> None:
        self.transport = transport
        self._tell("begin")

    def dataReceived(self, data: bytes) -> None:
        self._tell("received", data)

    def proxyEnded(self, clean: bool) -> None:
        self._tell("ended", clean)

    def deadlineError(self) -> Exception | None:
        return None

    def stopNegotiation(self) -> None:
        self._tell("stop")


class NegotiatorRig(ClientRig):
    """An attempt whose negotiator is the test."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.negotiator = Scripted()

    def connect(self) -> Deferred[Any]:
        way = TCP4ClientEndpoint(self.network, PROXY, 3128)
        connecting: Deferred[Any] = Negotiation(
            way, self.negotiator, self.factory, 30.0, self.network
        ).start()
        connecting.addBoth(self.outcome.append)
        self.network.flush()
        return connecting


def sayAll(transport: Any) -> None:
    """Call every method of a transport."""
    transport.write(b"x")
    transport.establishTunnel(b"x")
    transport.failAttempt(ZeroDivisionError())
    transport.reconnect()


def test_course() -> None:
    """The calls to a negotiator; the last one comes before the caller's turn."""
    rig = NegotiatorRig()
    rig.connect()
    rig.negotiator.transport.write(b"hello")
    rig.network.flush()
    assert rig.peer.take() == b"hello"
    rig.says(b"yes")
    rig.negotiator.transport.establishTunnel(b"banner")
    assert rig.caller.heard == ["made", b"banner"]
    assert rig.negotiator.told == ["begin", ("received", b"yes"), "stop"]
    rig.says(b"more")
    rig.peer.close()
    rig.network.flush()
    assert rig.negotiator.told[-1] == "stop"
    rig.network.assertClean()


def test_transportOfATunnel() -> None:
    """A transport that was handed over is the caller's: calls to it do nothing."""
    rig = NegotiatorRig()
    rig.connect()
    rig.negotiator.transport.establishTunnel(b"")
    sayAll(rig.negotiator.transport)
    rig.network.flush()
    assert rig.caller.heard == ["made"]
    assert rig.peer.take() == b"" and not rig.peer.closed


def test_transportThatFailed() -> None:
    """So it is with one that was given up, and the negotiator is told nothing more."""
    rig = NegotiatorRig()
    rig.connect()
    rig.peer.send(b"late")
    rig.negotiator.transport.failAttempt(LookupError())
    sayAll(rig.negotiator.transport)
    rig.network.flush()
    rig.failed(LookupError)
    assert rig.negotiator.told == ["begin", "stop"]


def test_transportThatWasLeft() -> None:
    """So it is with one that was left for another."""
    rig = NegotiatorRig()
    rig.connect()
    first = rig.negotiator.transport
    first.reconnect()
    rig.network.flush()
    assert rig.negotiator.transport is not first
    sayAll(first)
    rig.network.flush()
    assert rig.proxy.peers[0].reset and rig.peer.take() == b""
    assert rig.negotiator.told == ["begin", "begin"]
    rig.negotiator.transport.establishTunnel(b"")
    assert rig.caller.heard == ["made"]


def test_saidWhileReading() -> None:
    """Octets that arrive in the turn of a failure do not reach the negotiator."""
    rig = NegotiatorRig(chunk=1)
    rig.connect()
    rig.negotiator.dataReceived = lambda data: rig.negotiator.transport.failAttempt(  # type: ignore[method-assign]
        LookupError(data)
    )
    protocol = rig.negotiator.transport.protocol
    rig.says(b"ab")
    # A transport that had more in store.
    protocol.dataReceived(b"c")
    assert rig.failed(LookupError).args == (b"a",)


@pytest.mark.parametrize("how", ["end", "close", "abort"])
def test_endIsToldOnce(how: str) -> None:
    """The end is told once, and then nothing is sent any more."""
    rig = NegotiatorRig()
    rig.connect()
    getattr(rig.peer, how)()
    rig.network.flush()
    rig.negotiator.transport.write(b"x")
    rig.network.flush()
    rig.peer.abort()
    rig.network.flush()
    assert rig.negotiator.told == ["begin", ("ended", how != "abort")]
    assert rig.peer.take() == b""
    rig.network.advance(30)
    rig.failed(ProxyTimeout)


@pytest.mark.parametrize("step", ["begin", "received", "ended"])
def test_raising(step: str) -> None:
    """An exception of a negotiator fails the attempt as it is."""
    rig = NegotiatorRig()
    rig.negotiator.raises[step] = ZeroDivisionError()
    rig.connect()
    if step != "begin":
        rig.peer.send(b"x")
        rig.peer.end()
        rig.network.flush()
    rig.failed(ZeroDivisionError)
    assert rig.negotiator.told[-1] == "stop"


def test_otherLosses() -> None:
    """A connection that is lost for a reason of its own fails with that reason."""
    rig = NegotiatorRig()
    rig.connect()
    protocol = rig.negotiator.transport.protocol
    protocol.connectionLost(Failure(ZeroDivisionError()))
    protocol.connectionLost(Failure(ZeroDivisionError()))
    protocol.connectionLost(Failure(ConnectionLost()))
    [failure] = rig.outcome
    assert failure.check(ZeroDivisionError)
    assert rig.negotiator.told == ["begin", "stop"]


class _Grudging:
    """An endpoint that says of each connection, later, that there was none."""

    def __init__(self, way: Any) -> None:
        self._way = way
        self.told: list[Deferred[Any]] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        self._way.connect(factory)
        self.told.append(Deferred())
        return self.told[-1]


def test_failureOfAnotherConnection() -> None:
    """The failure of a connection that was left does not touch the next one."""
    rig = NegotiatorRig()
    way = _Grudging(rig.way())
    connecting: Deferred[Any] = Negotiation(
        way,  # type: ignore[arg-type]
        rig.negotiator,
        rig.factory,
        30.0,
        rig.network,
    ).start()
    connecting.addBoth(rig.outcome.append)
    rig.network.flush()
    rig.negotiator.transport.reconnect()
    rig.network.flush()
    way.told[0].errback(ZeroDivisionError())
    assert rig.outcome == []
    way.told[1].errback(ZeroDivisionError())
    rig.failed(ZeroDivisionError)


def test_writeSide() -> None:
    """The end of writing is not reported to a negotiator."""
    rig = NegotiatorRig()
    rig.connect()
    rig.negotiator.transport.protocol.writeConnectionLost()
    assert rig.negotiator.told == ["begin"]
    rig.negotiator.transport.establishTunnel(b"")
    rig.caller.transport.protocol.writeConnectionLost()
    assert rig.caller.heard == ["made"]
    assert type(rig.caller) is Caller
