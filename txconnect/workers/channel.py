"""
The channel between a supervisor and a worker: messages both ways, in order.

There are three kinds of frame::

    {"kind": "log", "fields": {…}}                 send: no answer
    {"kind": "start", "id": 1, "fields": {…}}      ask: one answer, at some time
    {"answer": 1, "fields": {…}}                   the answer
    {"answer": 1, "error": "…"}                    the answer of who cannot

Both sides may send and ask.  Messages arrive in the order in which they were
sent, each of them, as long as both sides live: a stream socket loses none.  An
answer may come late, so answers arrive in any order.

A kind that is not known is ignored, or answered with an error where an answer
is due, so that one side may learn a new one first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.workers.framing import BadMessage, FrameDecoder, encodeFrame

_log = Logger()

ASK_TIMEOUT = 10.0
"""Seconds until a question without an answer fails."""

Fields = dict[str, Any]
Handler = Callable[[Fields], Any]
"""
Called with the fields of a message.  Answers with fields, L{None} for no
fields, or a Deferred of either; raises L{CannotAnswer} with a reason that the
other side gets.  Of a message that needs no answer the result is dropped.
"""


class CannotAnswer(Exception):
    """The other side has answered that it cannot; the text says why."""


class ChannelLost(Exception):
    """The other side is gone, and with it the answer."""


class ChannelTransport(Protocol):
    """The stream below a channel."""

    def write(self, data: bytes) -> None:
        """Send C{data} behind all before it; from any thread."""

    def close(self) -> None:
        """Close the stream; the channel is told by C{connectionLost}."""


class Channel:
    """
    One end of a channel.
    """

    def __init__(
        self,
        clock: Any,
        handlers: Mapping[str, Handler],
        lost: Callable[[BaseException | None], object],
    ) -> None:
        """
        @param clock: provides C{IReactorTime}.
        @param handlers: for each kind of message the function that is called.
        @param lost: called once, when nothing will come any more, with the
            reason; L{BadMessage} when the other side is to blame.
        """
        self._clock = clock
        self._handlers = handlers
        self._lost: Callable[[BaseException | None], object] | None = lost
        self._transport: ChannelTransport | None = None
        self._decoder = FrameDecoder()
        self._asked = 0
        self._waiting: dict[int, Deferred[Fields]] = {}

    def makeConnection(self, transport: ChannelTransport) -> None:
        """Begin; called before anything is sent or received."""
        self._transport = transport

    def send(self, kind: str, /, **fields: Any) -> None:
        """
        Send a message that needs no answer; from any thread.

        Nothing happens when the other side is gone: C{lost} has told.

        @raise TooLarge: the message is larger than a frame may be.
        """
        self._write({"kind": kind, "fields": fields})

    def ask(
        self, kind: str, /, *, timeout: float = ASK_TIMEOUT, **fields: Any
    ) -> Deferred[Fields]:
        """
        Send a message, and wait for the answer to it.

        @param timeout: the most seconds to wait.
        @return: fires with the fields of the answer; fails with
            L{CannotAnswer}, L{ChannelLost}, or C{TimeoutError} of
            L{twisted.internet.defer}.
        @raise TooLarge: the message is larger than a frame may be.
        """
        if self._transport is None:
            return fail(ChannelLost())
        number = self._asked + 1
        frame = encodeFrame({"kind": kind, "id": number, "fields": fields})
        self._asked = number
        answer: Deferred[Fields] = Deferred(lambda _: self._forget(number))
        self._waiting[number] = answer
        answer.addTimeout(timeout, self._clock)
        self._transport.write(frame)
        return answer

    def close(self) -> None:
        """Hear and say nothing more."""
        if self._transport is not None:
            self._transport.close()

    def dataReceived(self, data: bytes) -> None:
        """
        Handle the messages that C{data} completes.

        @raise BadMessage: the transport has to close then.
        """
        for message in self._decoder.feed(data):
            if self._lost is not None:  # closed by what came before
                self._received(message)

    def connectionLost(self, reason: BaseException | None) -> None:
        """
        End: the answers that are waited for fail.

        @param reason: why, as C{lost} gets it.
        """
        if self._lost is None:
            return
        if self._decoder.isPartial and not isinstance(reason, BadMessage):
            reason = ChannelLost("the other side ended in the middle of a message")
        self._transport = None
        lost, self._lost = self._lost, None
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            answer.errback(ChannelLost())
        lost(reason)

    def _write(self, message: Mapping[str, Any]) -> None:
        frame = encodeFrame(message)
        transport = self._transport
        if transport is not None:
            transport.write(frame)

    def _received(self, message: Fields) -> None:
        if "answer" in message:
            self._answered(message)
            return
        kind, number = message.get("kind"), message.get("id")
        fields = message.get("fields")
        if not isinstance(kind, str) or not isinstance(fields, dict):
            raise BadMessage("a message has no kind or no fields")
        if number is not None and not _isNumber(number):
            raise BadMessage("a message has no good id")
        self._handle(kind, number, fields)

    def _forget(self, number: int) -> None:
        self._waiting.pop(number, None)

    def _answered(self, message: Fields) -> None:
        number = message["answer"]
        if not _isNumber(number) or not 0 < number <= self._asked:
            raise BadMessage("there is an answer to no question")
        # Of one that was given up there is nothing.
        answer = self._waiting.pop(number, None)
        if answer is None:
            return
        if "error" in message:
            answer.errback(CannotAnswer(str(message["error"])))
        else:
            answer.callback(message.get("fields") or {})

    def _handle(self, kind: str, number: int | None, fields: Fields) -> None:
        handler = self._handlers.get(kind) or partial(_unknown, kind, number)
        result = maybeDeferred(handler, fields)
        if number is not None:
            result.addCallback(partial(self._answer, number))
            result.addErrback(partial(self._refuse, number, kind))
        result.addErrback(partial(_failed, kind))

    def _answer(self, number: int, fields: Fields | None) -> None:
        self._write({"answer": number, "fields": fields or {}})

    def _refuse(self, number: int, kind: str, failure: Failure) -> None:
        if failure.check(CannotAnswer) is None:
            _failed(kind, failure)
            name = failure.type.__name__ if failure.type else "an exception"
            text = f"{name}: {failure.getErrorMessage()} (the log says where)"
        else:
            text = failure.getErrorMessage()
        self._write({"answer": number, "error": text})


def _isNumber(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _unknown(kind: str, number: int | None, fields: Fields) -> None:
    if number is not None:
        raise CannotAnswer(f"there is no message {kind!r}")


def _failed(kind: str, failure: Failure) -> None:
    _log.failure("Handling the message {kind} failed", failure, kind=kind)
