"""
What is said to an HTTP proxy: CONNECT, and again with credentials where it asks
for them.

Nothing but the head of CONNECT is sent before a 2xx (RFC 9931, 8), and a
connection on which anything unexpected was seen is never used again.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from txconnect.client.credentials import IProxyCredentials, ProxyAttempt
from txconnect.client.errors import (
    ProxyAuthenticationRequired,
    ProxyClosed,
    ProxyProtocolError,
    ProxyRefused,
)
from txconnect.client.negotiation import Line
from txconnect.maybeasync import settle
from txconnect.wire.authority import Authority
from txconnect.wire.challenges import Challenge, parseChallenges
from txconnect.wire.http1.answer import Answer, AnswerParser, BadAnswer
from txconnect.wire.http1.connect import renderConnect
from txconnect.wire.http1.content import ContentReader
from txconnect.wire.proxystatus import parseProxyStatus

ASKED = 3
"""How often credentials are asked in one attempt, the first time included."""

_ANSWER = "the proxy's answer"

CONTENT_SECONDS = 5.0
"""How long the content of a refusal is waited for."""


class ConnectDialogue:
    """
    One attempt to get a tunnel of an HTTP proxy: a
    L{Dialogue<txconnect.client.negotiation.Dialogue>}.

    @param fields: header fields to send along, checked already.
    @param credentials: what to ask for C{Proxy-Authorization}.
    @param clock: for the content of refusals.
    """

    _line: Line
    _parser: AnswerParser
    # Each while it lasts: the content of a refusal is read, credentials are
    # waited for.
    _content: _Refusal | None = None
    _asking: Deferred[bytes | None] | None = None

    def __init__(
        self,
        authority: Authority,
        fields: Sequence[tuple[bytes, bytes]],
        credentials: IProxyCredentials,
        clock: IReactorTime,
    ) -> None:
        self.authority = authority
        self.waitsFor = _ANSWER
        self._fields = tuple(fields)
        self._credentials = credentials
        self._clock = clock
        self._timer: IDelayedCall | None = None
        # What went with each request so far, and what the last one got.
        self._given: list[bytes | None] = []
        self._refused: ProxyAuthenticationRequired | None = None
        # Whether a request can be sent on the connection that there is, and
        # whether the one that was sent is not its first.
        self._usable = False
        self._reused = False
        self._stopped = False

    def begin(self, line: Line) -> None:
        """Speak; for the first time only when it is known who asks."""
        self._line = line
        self._usable = True
        self._reused = False
        if self._given:
            self._sendRequest()
        else:
            self._ask(())

    def received(self, data: bytes) -> None:
        """Read the answer, then the content of a refusal."""
        if self._content is not None:
            self._takeContent(self._content, data)
        elif self._asking is not None:
            # Nothing was asked of the proxy, so this answers nothing.
            self._usable = False
        else:
            self._takeAnswer(data)

    def ended(self, clean: bool) -> None:
        """Say what the end means here."""
        self._usable = False
        if self._content is not None:
            self._content.reader.finish()
            self._endContent(self._content)
        elif self._asking is None:
            started = self._parser.started
            if self._reused and not started:
                # It had promised to stay, but never saw this request.
                self._line.again()
            else:
                self._line.fail(ProxyClosed(self.authority, clean, started))

    def late(self) -> Exception | None:
        """A refusal whose content does not end is one all the same."""
        return None if self._content is None else self._content.error(self.authority)

    def stop(self) -> None:
        """Give up whatever is under way."""
        self._stopped = True
        self._stopTimer()
        if self._asking is not None:
            self._asking.cancel()

    # The request, and who asks

    def _sendRequest(self) -> None:
        self.waitsFor = _ANSWER
        self._parser = AnswerParser()
        fields = list(self._fields)
        value = self._given[-1]
        if value is not None:
            fields.append((b"Proxy-Authorization", value))
        self._line.send(renderConnect(self.authority, fields))

    def _ask(self, challenges: tuple[Challenge, ...]) -> None:
        self.waitsFor = "the credentials for the proxy"
        attempt = ProxyAttempt(self.authority, challenges, tuple(self._given))
        value = settle(self._credentials.authorize(attempt))
        if isinstance(value, Deferred):
            self._asking = value
            value.addCallback(self._answered).addErrback(self._unauthorized)
        else:
            self._authorized(value)

    def _answered(self, value: object) -> None:
        self._asking = None
        if not self._stopped:
            self._authorized(value)

    def _unauthorized(self, failure: Failure) -> None:
        self._asking = None
        self._line.fail(failure)

    def _authorized(self, value: object) -> None:
        if value is not None and not isinstance(value, bytes):
            kind = type(value).__name__
            raise TypeError(f"the credentials gave {kind}, not bytes or None")
        if value is None and self._refused is not None:
            self._line.fail(self._refused)
            return
        self._reused = bool(self._given)
        self._given.append(value)
        if self._usable:
            self._sendRequest()
        else:
            self._line.again()

    # The answer

    def _takeAnswer(self, data: bytes) -> None:
        try:
            answer = self._parser.feed(data)
        except BadAnswer as bad:
            error = ProxyProtocolError(self.authority, bad.reason, bad.flaw)
            self._line.fail(error)
            return
        if answer is None:
            return
        trailing = self._parser.trailing
        if answer.established:
            self._line.establish(trailing)
            return
        self.waitsFor = "the rest of the proxy's refusal"
        self._content = _Refusal(answer, ContentReader(answer))
        self._timer = self._clock.callLater(
            CONTENT_SECONDS, self._contentLate, self._content
        )
        self._takeContent(self._content, trailing)

    def _takeContent(self, content: _Refusal, data: bytes) -> None:
        if content.reader.feed(data):
            self._endContent(content)

    def _contentLate(self, content: _Refusal) -> None:
        self._timer = None
        content.reader.finish()
        try:
            self._endContent(content)
        except Exception:
            self._line.fail(Failure())

    def _endContent(self, content: _Refusal) -> None:
        self._content = None
        self._stopTimer()
        self._usable = content.reader.reusable
        error = content.error(self.authority)
        if isinstance(error, ProxyAuthenticationRequired) and len(self._given) < ASKED:
            self._refused = error
            self._ask(error.challenges)
        else:
            self._line.fail(error)

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


@attrs.frozen
class _Refusal:
    """A refusal whose content is being read."""

    answer: Answer
    reader: ContentReader

    def error(self, authority: Authority) -> ProxyRefused:
        """What the caller is told of it."""
        answer = self.answer
        kind = ProxyAuthenticationRequired if answer.status == 407 else ProxyRefused
        error = kind(
            authority,
            answer.status,
            answer.reason,
            answer.headers,
            parseProxyStatus(answer.values(b"proxy-status")),
            self.reader.content,
        )
        if isinstance(error, ProxyAuthenticationRequired):
            values = answer.values(b"proxy-authenticate")
            error.challenges = parseChallenges(values)
        return error
