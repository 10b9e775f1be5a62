"""
Bodies that may be needed twice, by themselves.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txconnect.client.bodies import (
    LARGEST_KEPT,
    READ_SECONDS,
    RepeatableBody,
    readSome,
)


@implementer(IBodyProducer)
class Script:
    """A body in the hands of the test, which notes what it is told."""

    length = 7

    def __init__(self) -> None:
        self.told: list[str] = []
        self.done: Deferred[None] = Deferred()
        self.consumer: Any = None

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self.consumer = consumer
        return self.done

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class Consumer:
    """Takes it."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: bytes) -> None:
        self.taken += data


def test_bodyIsAsItWas() -> None:
    """Length, back-pressure and end are those of the body itself."""
    script, consumer = Script(), Consumer()
    body = RepeatableBody(script)
    verifyObject(IBodyProducer, body)
    assert body.length == 7
    ended: list[Any] = []
    body.startProducing(consumer).addBoth(ended.append)
    script.consumer.write(b"one")
    body.pauseProducing()
    body.resumeProducing()
    body.stopProducing()
    assert (consumer.taken, script.told) == (b"one", ["pause", "resume", "stop"])
    assert ended == []
    script.done.callback(None)
    assert ended == [None]


@pytest.mark.parametrize(
    ("size", "again"), [(0, True), (LARGEST_KEPT, True), (LARGEST_KEPT + 1, False)]
)
def test_again(size: int, again: bool) -> None:
    """As often as it is asked for, and once it was whole."""
    script = Script()
    body = RepeatableBody(script)
    body.startProducing(Consumer())
    script.consumer.write(b"x" * size)
    assert body.repeatBody() is None
    script.done.callback(None)
    repeated: RepeatableBody | None = body
    for _ in range(2 if again else 0):
        assert repeated is not None
        repeated, consumer = repeated.repeatBody(), Consumer()
        assert repeated is not None
        assert repeated.length == size
        verifyObject(IBodyProducer, repeated)
        repeated.startProducing(consumer)
        for call in ("pause", "resume", "stop"):
            getattr(repeated, f"{call}Producing")()
        assert consumer.taken == b"x" * size
    assert (body.repeatBody() is not None) is again


class Response:
    """One whose connection is gone as soon as nobody wants it."""

    length: object = 4

    def __init__(self) -> None:
        self.lost = 0

    def deliverBody(self, protocol: Any) -> None:
        self.protocol = protocol
        protocol.makeConnection(self)

    def loseConnection(self) -> None:
        self.lost += 1
        self.protocol.connectionLost(connectionDone)


def test_readingIsGivenUp() -> None:
    """The loss that this brings about is not taken for the end of the content."""
    response: Any = Response()
    results: list[Any] = []
    reading = readSome(response, Clock()).addBoth(results.append)
    response.protocol.dataReceived(b"half")
    reading.cancel()
    [failure] = results
    assert failure.check(CancelledError)
    assert response.lost == 1


def test_readingEnds() -> None:
    """At the limit, with what there is then."""
    response: Any = Response()
    results: list[Any] = []
    clock = Clock()
    readSome(response, clock, 5).addBoth(results.append)
    response.protocol.dataReceived(b"12345")
    assert results == []
    response.protocol.dataReceived(b"6")
    assert (results, response.lost) == ([b"12345"], 1)
    assert not clock.getDelayedCalls()


def test_readingTakesTooLong() -> None:
    """[F62] What does not come in time is not waited for."""
    response: Any = Response()
    results: list[Any] = []
    clock = Clock()
    readSome(response, clock).addBoth(results.append)
    response.protocol.dataReceived(b"half")
    clock.advance(READ_SECONDS)
    assert (results, response.lost) == ([b"half"], 1)


def test_readingWithoutALength() -> None:
    """[F62] What has no length is what has come by then."""
    response: Any = Response()
    response.length = UNKNOWN_LENGTH
    results: list[Any] = []
    readSome(response, Clock()).addBoth(results.append)
    assert (results, response.lost) == ([b""], 1)
