"""
The channel between a supervisor and a worker, on streams in memory.
"""

from __future__ import annotations

from typing import Any

import pytest
from rig import logging
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import Clock

from txconnect.testing.chunks import chunkings
from txconnect.workers.channel import (
    ASK_TIMEOUT,
    CannotAnswer,
    ChannelLost,
    Fields,
    MessageChannel,
)
from txconnect.workers.framing import BadMessage, TooLarge, encodeFrame


class Stream:
    """What one end writes, until it is given to the other."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        data, self.data = self.data, b""
        return data


class End:
    """One end: a channel that keeps what it is told, and its stream."""

    def __init__(self, clock: Clock) -> None:
        self.got: list[tuple[str, Fields]] = []
        self.lost: list[Any] = []
        self.answers: dict[str, Any] = {}
        handlers = {kind: self._handler(kind) for kind in ("a", "b", "c")}
        self.channel = MessageChannel(clock, handlers, self.lost.append)
        self.stream = Stream()
        self.channel.makeConnection(self.stream)

    def _handler(self, kind: str) -> Any:
        def handle(fields: Fields) -> Any:
            self.got.append((kind, fields))
            answer = self.answers.get(kind)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return handle


class Pair:
    """Two ends and a clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.left, self.right = End(self.clock), End(self.clock)

    def turn(self) -> None:
        """Carry everything over, until nothing is left."""
        while self.left.stream.data or self.right.stream.data:
            self.right.channel.dataReceived(self.left.stream.take())
            self.left.channel.dataReceived(self.right.stream.take())


@pytest.fixture
def pair() -> Pair:
    return Pair()


def result(deferred: Deferred[Any]) -> list[Any]:
    """What a Deferred fires with, once it does: a value or an exception."""
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got


def test_messagesGoBothWaysInOrder(pair: Pair) -> None:
    """[F19] Sent and asked alike, whatever their fields are called."""
    pair.left.channel.send("a", kind=1, timeout=2)
    asked = result(pair.left.channel.ask("b", x=[1]))
    pair.left.channel.send("c")
    pair.right.channel.send("a")
    pair.turn()
    assert pair.right.got == [
        ("a", {"kind": 1, "timeout": 2}),
        ("b", {"x": [1]}),
        ("c", {}),
    ]
    assert pair.left.got == [("a", {})]
    assert asked == [{}]


def test_streamMayBeCutAnywhere() -> None:
    sending = End(Clock())
    sending.channel.send("a", x="\u2028")
    answer = result(sending.channel.ask("b", y=2))
    data = sending.stream.take()
    for _, chunks in chunkings(data):
        receiving = End(Clock())
        for chunk in chunks:
            receiving.channel.dataReceived(chunk)
        assert receiving.got == [("a", {"x": "\u2028"}), ("b", {"y": 2})]
    sending.channel.dataReceived(receiving.stream.take())
    assert answer == [{}]


def test_answersComeInAnyOrder(pair: Pair) -> None:
    """One that waits holds up neither messages nor other answers."""
    late: Deferred[Fields] = Deferred()
    pair.right.answers = {"a": late, "b": {"n": 2}}
    first = result(pair.left.channel.ask("a"))
    second = result(pair.left.channel.ask("b"))
    pair.turn()
    assert (first, second) == ([], [{"n": 2}])
    late.callback({"n": 1})
    pair.turn()
    assert first == [{"n": 1}]
    assert pair.clock.getDelayedCalls() == []


def test_bothMayAskAtOnce(pair: Pair) -> None:
    """An answer belongs to the one who asked, though both count from 1."""
    pair.left.answers, pair.right.answers = {"a": {"of": "left"}}, {"a": {"of": "r"}}
    left = result(pair.left.channel.ask("a"))
    right = result(pair.right.channel.ask("a"))
    pair.turn()
    assert (left, right) == ([{"of": "r"}], [{"of": "left"}])


def test_whoCannotAnswerSaysWhy(pair: Pair) -> None:
    """Its reason, and nothing in its log."""
    pair.right.answers = {"a": CannotAnswer("the disk is full")}
    asked = result(pair.left.channel.ask("a"))
    with logging() as logged:
        pair.turn()
    [error] = asked
    assert isinstance(error, CannotAnswer)
    assert str(error) == "the disk is full"
    assert logged.events == []


def test_mistakeOfAHandlerIsLoggedAndAnswered(pair: Pair) -> None:
    """And the channel goes on; a message without an answer is logged as well."""
    pair.right.answers = {"a": KeyError("x"), "b": {"no": object()}}
    asked = result(pair.left.channel.ask("a"))
    unsayable = result(pair.left.channel.ask("b"))
    pair.left.channel.send("a")
    pair.left.channel.send("c")
    with logging() as logged:
        pair.turn()
    assert str(asked[0]) == "KeyError: 'x' (the log says where)"
    assert str(unsayable[0]).startswith("TypeError: ")
    assert len(logged.errors) == 3
    assert pair.right.got[-1] == ("c", {})


def test_unknownKindsArePassedOver(pair: Pair) -> None:
    """A newer side may say more; where an answer is due, it gets one."""
    pair.left.channel.send("news")
    asked = result(pair.left.channel.ask("news"))
    with logging() as logged:
        pair.turn()
    assert str(asked[0]) == "there is no message 'news'"
    assert logged.events == [] and pair.right.lost == []


def test_answerThatDoesNotComeIsGivenUp(pair: Pair) -> None:
    """By the clock; one that comes later is dropped, and the next one counts."""
    late: Deferred[Fields] = Deferred()
    pair.right.answers = {"a": late}
    asked = result(pair.left.channel.ask("a"))
    soon = result(pair.left.channel.ask("a", timeout=1))
    pair.turn()
    pair.clock.advance(1)
    assert (len(asked), len(soon)) == (0, 1)
    pair.clock.advance(ASK_TIMEOUT - 1)
    assert [type(error) for error in asked + soon] == [TimeoutError] * 2
    late.callback({})
    pair.turn()
    assert pair.left.lost == []
    again = result(pair.left.channel.ask("b"))
    pair.turn()
    assert again == [{}]


def test_cancellingForgetsTheQuestion(pair: Pair) -> None:
    asking = pair.left.channel.ask("a")
    asked = result(asking)
    asking.cancel()
    pair.turn()
    assert [type(error) for error in asked] == [CancelledError]
    assert pair.clock.getDelayedCalls() == []


def test_lossFailsWhatIsWaitedFor(pair: Pair) -> None:
    """Told once; what is sent behind it goes nowhere, what is asked fails."""
    asked = result(pair.left.channel.ask("a"))
    reason = ConnectionError()
    pair.left.channel.connectionLost(reason)
    pair.left.channel.connectionLost(ConnectionError())
    assert pair.left.lost == [reason]
    pair.left.stream.take()
    pair.left.channel.send("a")
    later = result(pair.left.channel.ask("a"))
    assert [type(error) for error in asked + later] == [ChannelLost] * 2
    assert pair.left.stream.data == b""
    assert pair.clock.getDelayedCalls() == []


def test_answerToOneWhoIsGoneIsDropped(pair: Pair) -> None:
    late: Deferred[Fields] = Deferred()
    pair.right.answers = {"a": late}
    pair.left.channel.ask("a").addErrback(lambda failure: failure.trap(ChannelLost))
    pair.turn()
    pair.right.channel.connectionLost(ConnectionError())
    with logging() as logged:
        late.callback({})
    assert pair.right.stream.data == b""
    assert logged.events == []
    pair.left.channel.connectionLost(ConnectionError())


def test_partOfAMessageAtTheEndIsSeen(pair: Pair) -> None:
    """Who is killed may leave one: that is no mistake, but no whole message."""
    pair.left.channel.send("a")
    pair.right.channel.dataReceived(pair.left.stream.take()[:-1])
    pair.right.channel.connectionLost(ConnectionError())
    [reason] = pair.right.lost
    assert isinstance(reason, ChannelLost)
    assert "in the middle of a message" in str(reason)
    assert pair.right.got == []


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"kind": 1, "fields": {}},
        {"kind": "a"},
        {"kind": "a", "fields": []},
        {"kind": "a", "id": "1", "fields": {}},
        {"kind": "a", "id": True, "fields": {}},
        {"answer": 2, "fields": {}},
        {"answer": 0, "fields": {}},
        {"answer": None},
    ],
)
def test_nonsenseIsToldFromMessages(pair: Pair, message: dict[str, Any]) -> None:
    """Also an answer to what was never asked."""
    asked = result(pair.left.channel.ask("a"))
    good = encodeFrame({"kind": "a", "fields": {}})
    with pytest.raises(BadMessage) as caught:
        pair.left.channel.dataReceived(good + encodeFrame(message) + good)
    assert pair.left.got == [("a", {})]
    pair.left.channel.connectionLost(caught.value)
    assert pair.left.lost == [caught.value]
    assert [type(error) for error in asked] == [ChannelLost]


def test_nothingIsHeardBehindTheEnd(pair: Pair) -> None:
    """A handler may close the channel while further messages are there."""
    pair.left.channel.send("a")
    pair.left.channel.send("b")
    got: list[str] = []

    def close(fields: Fields) -> None:
        got.append("a")
        channel.close()

    class Closing(Stream):
        def close(self) -> None:
            channel.connectionLost(ConnectionError())

    handlers = {"a": close, "b": lambda _: got.append("b")}
    channel = MessageChannel(pair.clock, handlers, lambda _: got.append("lost"))
    channel.makeConnection(Closing())
    channel.dataReceived(pair.left.stream.take())
    assert got == ["a", "lost"]


def test_whatIsTooLargeIsNotSent(pair: Pair) -> None:
    """[F19] The one who sends it hears of it; all else goes on."""
    text = "x" * (1 << 24)
    with pytest.raises(TooLarge):
        pair.left.channel.send("a", text=text)
    with pytest.raises(TooLarge):
        pair.left.channel.ask("a", text=text)
    pair.right.answers = {"b": {"text": text}}
    asked = result(pair.left.channel.ask("b"))
    with logging() as logged:
        pair.turn()
    assert str(asked[0]).startswith("TooLarge: ")
    assert len(logged.errors) == 1
