"""
What a dialogue may rely on, whatever protocol it speaks.
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
    A dialogue that a test speaks.

    @ivar told: what it was told, in order.
    """

    authority = Authority("example.com", 443)
    waitsFor = "a word"

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.line: Any = None
        self.raises: dict[str, BaseException] = {}

    def _tell(self, what: str, value: object = None) -> None:
        self.told.append(what if value is None else (what, value))
        if what in self.raises:
            raise self.raises[what]

    def begin(self, line: Any) -> None:
        self.line = line
        self._tell("begin")

    def received(self, data: bytes) -> None:
        self._tell("received", data)

    def ended(self, clean: bool) -> None:
        self._tell("ended", clean)

    def late(self) -> Exception | None:
        return None

    def stop(self) -> None:
        self._tell("stop")


class DialogueRig(ClientRig):
    """An attempt whose dialogue the test speaks."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.dialogue = Scripted()

    def connect(self) -> Deferred[Any]:
        way = TCP4ClientEndpoint(self.network, PROXY, 3128)
        connecting: Deferred[Any] = Negotiation(
            way, self.dialogue, self.factory, 30.0, self.network
        ).start()
        connecting.addBoth(self.outcome.append)
        self.network.flush()
        return connecting


def sayAll(line: Any) -> None:
    """All that a line can be told."""
    line.send(b"x")
    line.establish(b"x")
    line.fail(ZeroDivisionError())
    line.again()


def test_course() -> None:
    """What is told, in which order, and the last time before the caller's turn."""
    rig = DialogueRig()
    rig.connect()
    rig.dialogue.line.send(b"hello")
    rig.network.flush()
    assert rig.peer.take() == b"hello"
    rig.says(b"yes")
    rig.dialogue.line.establish(b"banner")
    assert rig.caller.heard == ["made", b"banner"]
    assert rig.dialogue.told == ["begin", ("received", b"yes"), "stop"]
    rig.says(b"more")
    rig.peer.close()
    rig.network.flush()
    assert rig.dialogue.told[-1] == "stop"
    rig.network.assertClean()


def test_lineOfATunnel() -> None:
    """A line that was handed over is the caller's: nothing said to it counts."""
    rig = DialogueRig()
    rig.connect()
    rig.dialogue.line.establish(b"")
    sayAll(rig.dialogue.line)
    rig.network.flush()
    assert rig.caller.heard == ["made"]
    assert rig.peer.take() == b"" and not rig.peer.closed


def test_lineThatFailed() -> None:
    """So it is with one that was given up, and the dialogue is told nothing more."""
    rig = DialogueRig()
    rig.connect()
    rig.peer.send(b"late")
    rig.dialogue.line.fail(LookupError())
    sayAll(rig.dialogue.line)
    rig.network.flush()
    rig.failed(LookupError)
    assert rig.dialogue.told == ["begin", "stop"]


def test_lineThatWasLeft() -> None:
    """So it is with one that was left for another."""
    rig = DialogueRig()
    rig.connect()
    first = rig.dialogue.line
    first.again()
    rig.network.flush()
    assert rig.dialogue.line is not first
    sayAll(first)
    rig.network.flush()
    assert rig.proxy.peers[0].reset and rig.peer.take() == b""
    assert rig.dialogue.told == ["begin", "begin"]
    rig.dialogue.line.establish(b"")
    assert rig.caller.heard == ["made"]


def test_saidWhileReading() -> None:
    """What arrives in the same turn in which the line was given up is not told."""
    rig = DialogueRig(chunk=1)
    rig.connect()
    rig.dialogue.received = lambda data: rig.dialogue.line.fail(  # type: ignore[method-assign]
        LookupError(data)
    )
    frame = rig.dialogue.line.frame
    rig.says(b"ab")
    # A transport that had more in store.
    frame.dataReceived(b"c")
    assert rig.failed(LookupError).args == (b"a",)


@pytest.mark.parametrize("how", ["end", "close", "abort"])
def test_endIsToldOnce(how: str) -> None:
    """The end is told once, and then nothing is sent any more."""
    rig = DialogueRig()
    rig.connect()
    getattr(rig.peer, how)()
    rig.network.flush()
    rig.dialogue.line.send(b"x")
    rig.network.flush()
    rig.peer.abort()
    rig.network.flush()
    assert rig.dialogue.told == ["begin", ("ended", how != "abort")]
    assert rig.peer.take() == b""
    rig.network.advance(30)
    rig.failed(ProxyTimeout)


@pytest.mark.parametrize("step", ["begin", "received", "ended"])
def test_raising(step: str) -> None:
    """What a dialogue raises fails the attempt as it is."""
    rig = DialogueRig()
    rig.dialogue.raises[step] = ZeroDivisionError()
    rig.connect()
    if step != "begin":
        rig.peer.send(b"x")
        rig.peer.end()
        rig.network.flush()
    rig.failed(ZeroDivisionError)
    assert rig.dialogue.told[-1] == "stop"


def test_otherLosses() -> None:
    """A connection that is lost for a reason of its own fails with that reason."""
    rig = DialogueRig()
    rig.connect()
    frame = rig.dialogue.line.frame
    frame.connectionLost(Failure(ZeroDivisionError()))
    frame.connectionLost(Failure(ZeroDivisionError()))
    frame.connectionLost(Failure(ConnectionLost()))
    [failure] = rig.outcome
    assert failure.check(ZeroDivisionError)
    assert rig.dialogue.told == ["begin", "stop"]


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
    """What becomes of a connection that was left does not touch the next one."""
    rig = DialogueRig()
    way = _Grudging(rig.way())
    connecting: Deferred[Any] = Negotiation(
        way,  # type: ignore[arg-type]
        rig.dialogue,
        rig.factory,
        30.0,
        rig.network,
    ).start()
    connecting.addBoth(rig.outcome.append)
    rig.network.flush()
    rig.dialogue.line.again()
    rig.network.flush()
    way.told[0].errback(ZeroDivisionError())
    assert rig.outcome == []
    way.told[1].errback(ZeroDivisionError())
    rig.failed(ZeroDivisionError)


def test_writeSide() -> None:
    """A transport that tells of the end of writing tells a dialogue nothing."""
    rig = DialogueRig()
    rig.connect()
    rig.dialogue.line.frame.writeConnectionLost()
    assert rig.dialogue.told == ["begin"]
    rig.dialogue.line.establish(b"")
    rig.caller.transport.protocol.writeConnectionLost()
    assert rig.caller.heard == ["made"]
    assert type(rig.caller) is Caller
