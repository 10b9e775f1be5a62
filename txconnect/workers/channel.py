"""
The channel between a supervisor and a worker: messages both ways, in order.

There are three kinds of frame::

    {"kind": "log", "fields": {…}}                 send: no answer
    {"kind": "start", "id": 1, "fields": {…}}      ask: one answer, at some time
    {"answer": 1, "fields": {…}}                   the answer
    {"answer": 1, "error": "…"}                    the answer of a side that cannot

Both sides may send and ask.  Messages arrive in the order in which they were
sent, each of them, as long as both sides live: a stream socket loses none.
Answers may be late, so they arrive in any order.

A side ignores a kind that it does not know, or answers with an error where an
answer is due, so that one side may learn a new kind first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.workers.framing import BadMessage, FrameDecoder, encodeFrame

_log = Logger()

ASK_TIMEOUT = 10.0
"""Seconds until a question without an answer fails."""

Fields = dict[str, Any]
Handler = Callable[[Fields], Any]
"""
Called with the fields of a message.  Returns fields, L{None} for no fields, or a
Deferred of either; raises L{CannotAnswer} with a reason that the other side
gets.  The result is dropped if the message needs no answer.
"""


class CannotAnswer(Exception):
    """The other side has answered that it cannot; the text is the reason."""


class ChannelLost(Exception):
    """The other side is gone, and with it the answer."""


class ChannelTransport(Protocol):
    """The stream below a channel."""

    def write(self, data: bytes) -> None:
        """Send C{data} after all earlier data; from any thread."""

    def close(self) -> None:
        """Close the stream, and call the channel's C{connectionLost}."""


class MessageChannel:
    """
    One end of a channel.
    """

    def __init__(
        self,
        clock: IReactorTime,
        handlers: Mapping[str, Handler],
        lost: Callable[[BaseException | None], object],
    ) -> None:
        """
        @param clock: times the wait for answers.
        @param handlers: for each kind of message the function to call.
        @param lost: called once, when no more messages can arrive, with the
            reason; L{BadMessage} when the other side is to blame.
        """
        self._clock = clock
        self._handlers = handlers
        # None once it has been called: then the channel is over.
        self._lost: Callable[[BaseException | None], object] | None = lost
        self._transport: ChannelTransport | None = None
        self._decoder = FrameDecoder()
        self._asked = 0
        self._waiting: dict[int, Deferred[Fields]] = {}

    def makeConnection(self, transport: ChannelTransport) -> None:
        """Begin; called before any message is sent or received."""
        self._transport = transport

    def send(self, kind: str, /, **fields: object) -> None:
        """
        Send a message that needs no answer; from any thread.

        It does nothing when the other side is gone: C{lost} has been called.

        @raise TooLarge: the message is larger than a frame may be.
        """
        self._writeMessage({"kind": kind, "fields": fields})

    def ask(
        self, kind: str, /, *, timeout: float = ASK_TIMEOUT, **fields: object
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
        # First, as it may raise: then no number is used up and no answer waits.
        frame = encodeFrame({"kind": kind, "id": number, "fields": fields})
        self._asked = number
        # A time-out cancels it; a late answer then finds nothing to fire.
        answer: Deferred[Fields] = Deferred(lambda _: self._forgetQuestion(number))
        self._waiting[number] = answer
        answer.addTimeout(timeout, self._clock)
        self._transport.write(frame)
        return answer

    def close(self) -> None:
        """Send and receive nothing more."""
        if self._transport is not None:
            self._transport.close()

    def dataReceived(self, data: bytes) -> None:
        """
        Handle the messages that C{data} completes.

        @raise BadMessage: the transport has to close then.
        """
        for message in self._decoder.feed(data):
            if self._lost is not None:  # an earlier message closed it
                self._messageReceived(message)

    def connectionLost(self, reason: BaseException | None) -> None:
        """
        End: the answers that have not arrived fail.

        @param reason: passed on to C{lost}.
        """
        if self._lost is None:
            return
        if self._decoder.isPartial and not isinstance(reason, BadMessage):
            reason = ChannelLost("the other side ended in the middle of a message")
        # Before any callback runs, as one may send or ask.
        self._transport = None
        lost, self._lost = self._lost, None
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            answer.errback(ChannelLost())
        lost(reason)

    def _writeMessage(self, message: Mapping[str, object]) -> None:
        # TooLarge is raised even when the other side is gone, so that an error of
        # ours does not depend on timing.  Any thread may run this: the transport
        # is read once.
        frame = encodeFrame(message)
        transport = self._transport
        if transport is not None:
            transport.write(frame)

    def _messageReceived(self, message: Fields) -> None:
        if "answer" in message:
            self._answerReceived(message)
            return
        kind, number = message.get("kind"), message.get("id")
        fields = message.get("fields")
        if not isinstance(kind, str) or not isinstance(fields, dict):
            raise BadMessage("a message has no kind or no fields")
        if number is not None and not _isNumber(number):
            raise BadMessage("a message has no good id")
        self._handleMessage(kind, number, fields)

    def _forgetQuestion(self, number: int) -> None:
        self._waiting.pop(number, None)

    def _answerReceived(self, message: Fields) -> None:
        number = message["answer"]
        if not _isNumber(number) or not 0 < number <= self._asked:
            raise BadMessage("there is an answer to no question")
        # None if the question has timed out.
        answer = self._waiting.pop(number, None)
        if answer is None:
            return
        if "error" in message:
            answer.errback(CannotAnswer(str(message["error"])))
        else:
            answer.callback(message.get("fields") or {})

    def _handleMessage(self, kind: str, number: int | None, fields: Fields) -> None:
        handler = self._handlers.get(kind) or partial(_refuseUnknown, kind, number)
        result = maybeDeferred(handler, fields)
        if number is not None:
            result.addCallback(partial(self._sendAnswer, number))
            result.addErrback(partial(self._sendError, number, kind))
        # Last, as even an answer can fail: it may be too large, or not JSON.
        result.addErrback(partial(_logFailure, kind))

    def _sendAnswer(self, number: int, fields: Fields | None) -> None:
        self._writeMessage({"answer": number, "fields": fields or {}})

    def _sendError(self, number: int, kind: str, failure: Failure) -> None:
        # A CannotAnswer is meant for the other side.  Anything else is a mistake,
        # whose traceback belongs into the log of this one.
        if failure.check(CannotAnswer) is None:
            _logFailure(kind, failure)
            name = failure.type.__name__ if failure.type else "an exception"
            text = f"{name}: {failure.getErrorMessage()} (the log says where)"
        else:
            text = failure.getErrorMessage()
        self._writeMessage({"answer": number, "error": text})


def _isNumber(value: object) -> bool:
    # JSON's true is an int in Python.
    return isinstance(value, int) and not isinstance(value, bool)


def _refuseUnknown(kind: str, number: int | None, fields: Fields) -> None:
    if number is not None:
        raise CannotAnswer(f"there is no message {kind!r}")


def _logFailure(kind: str, failure: Failure) -> None:
    _log.failure("Handling the message {kind} failed", failure, kind=kind)
