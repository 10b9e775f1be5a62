"""
The negotiation with an HTTP proxy: CONNECT, and CONNECT again with credentials
where the proxy asks for them.

Nothing but the head of CONNECT is sent before a 2xx (RFC 9931, 8), and a
connection on which anything unexpected was seen is never used again.

An attempt goes through these states, of which the first two may come again
after a 407::

    credentials -> answer -> (2xx) tunnel
         ^            |
         |            +----> content of a refusal -> failure
         |                          |
         +--------- (407) ----------+

The content is read before anything else is done, because a connection can be
used for another request only after the content has ended.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from txconnect.client.credentials import NO_CREDENTIALS, IProxyCredentials, ProxyAttempt
from txconnect.client.errors import (
    ProxyAuthenticationRequired,
    ProxyClosed,
    ProxyProtocolError,
    ProxyRefused,
)
from txconnect.client.negotiation import NegotiationTransport
from txconnect.maybeasync import settle
from txconnect.wire.authority import Authority
from txconnect.wire.challenges import Challenge, parseChallenges
from txconnect.wire.http1.answer import AnswerHead, AnswerParser, BadAnswer
from txconnect.wire.http1.connect import renderConnect
from txconnect.wire.http1.content import ContentReader
from txconnect.wire.proxystatus import parseProxyStatus

ASKED = 3
"""Most calls of C{authorize} in one attempt, the first one included."""

_ANSWER = "the proxy's answer"

CONTENT_SECONDS = 5.0
"""Seconds to wait for the content of a refusal."""


class ConnectNegotiator:
    """
    One attempt to get a tunnel through an HTTP proxy: a
    L{ProxyNegotiator<txconnect.client.negotiation.ProxyNegotiator>}.

    @param fields: header fields to send along, checked already.
    @param credentials: the source of C{Proxy-Authorization}.
    @param clock: for the content of refusals.
    """

    _transport: NegotiationTransport
    _parser: AnswerParser
    # Each is set only while it lasts: reading the content of a refusal, and
    # waiting for credentials.
    _content: _RefusalContent | None = None
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
        # The credentials of each request so far, and the answer to the last.
        self._given: list[bytes | None] = []
        self._refused: ProxyAuthenticationRequired | None = None
        # True while a request can be sent on the current connection, and true
        # if the request that was sent is not the first on it.
        self._usable = False
        self._reused = False
        self._stopped = False

    def beginNegotiation(self, transport: NegotiationTransport) -> None:
        """Send a request; the first one only after the credentials are known."""
        self._transport = transport
        self._usable = True
        self._reused = False
        if self._given:
            self._sendRequest()
        else:
            self._askCredentials(())

    def dataReceived(self, data: bytes) -> None:
        """Read the answer, then the content of a refusal."""
        if self._content is not None:
            self._takeContent(self._content, data)
        elif self._asking is not None:
            # No request is open, so this answers none.
            self._usable = False
        else:
            self._takeAnswer(data)

    def proxyEnded(self, clean: bool) -> None:
        """End the content of a refusal, dial again, or fail."""
        self._usable = False
        if self._content is not None:
            self._content.reader.endInput()
            self._endContent(self._content)
        elif self._asking is None:
            started = self._parser.started
            if self._reused and not started:
                # The proxy had promised to keep the connection, but its own
                # timer closed it before this request arrived.  No octet of an
                # answer came, so it is safe to send CONNECT again.
                self._transport.reconnect()
            else:
                error = ProxyClosed(self.authority, clean, started)
                self._transport.failAttempt(error)

    def deadlineError(self) -> Exception | None:
        """
        Return the refusal whose content has not ended yet, if there is one; not a
        407 to which there may be an answer.
        """
        if self._content is None:
            return None
        error = self._makeRefused(self._content)
        waits = isinstance(error, ProxyAuthenticationRequired) and error.hadCredentials
        return None if waits and len(self._given) < ASKED else error

    def stopNegotiation(self) -> None:
        """Stop the timer, and cancel the request for credentials."""
        self._stopped = True
        self._stopTimer()
        if self._asking is not None:
            self._asking.cancel()

    # The request and its credentials

    def _sendRequest(self) -> None:
        self.waitsFor = _ANSWER
        self._parser = AnswerParser()
        fields = list(self._fields)
        value = self._given[-1]
        if value is not None:
            fields.append((b"Proxy-Authorization", value))
        self._transport.write(renderConnect(self.authority, fields))

    def _askCredentials(self, challenges: tuple[Challenge, ...]) -> None:
        self.waitsFor = "the credentials for the proxy"
        attempt = ProxyAttempt(self.authority, challenges, tuple(self._given))
        value = settle(self._credentials.authorize(attempt))
        if isinstance(value, Deferred):
            self._asking = value
            value.addCallback(self._credentialsArrived)
            value.addErrback(self._credentialsFailed)
        else:
            self._useCredentials(value)

    def _credentialsArrived(self, value: object) -> None:
        self._asking = None
        if not self._stopped:
            self._useCredentials(value)

    def _credentialsFailed(self, failure: Failure) -> None:
        self._asking = None
        self._transport.failAttempt(failure)

    def _useCredentials(self, value: object) -> None:
        if value is not None and not isinstance(value, bytes):
            # A caller's function: the annotations do not bind it.
            kind = type(value).__name__
            raise TypeError(f"the credentials gave {kind}, not bytes or None")
        if value is None and self._refused is not None:
            self._transport.failAttempt(self._refused)
            return
        self._reused = bool(self._given)
        self._given.append(value)
        if self._usable:
            self._sendRequest()
        else:
            self._transport.reconnect()

    # The answer

    def _takeAnswer(self, data: bytes) -> None:
        try:
            answer = self._parser.feed(data)
        except BadAnswer as bad:
            error = ProxyProtocolError(self.authority, bad.reason, bad.flaw)
            self._transport.failAttempt(error)
            return
        if answer is None:
            return
        trailing = self._parser.trailing
        if answer.established:
            self._transport.establishTunnel(trailing)
            return
        self.waitsFor = "the rest of the proxy's refusal"
        self._content = _RefusalContent(answer, ContentReader(answer))
        # A refusal is one without its content, too.  A proxy that never ends it
        # must not use up the caller's whole time-out.
        self._timer = self._clock.callLater(
            CONTENT_SECONDS, self._contentLate, self._content
        )
        if answer.status == 407 and self._content.reader.untilClose:
            # The head says all; this connection serves no other request, and the
            # end of the content may never come.
            self._content.reader.feedContent(trailing)
            self._content.reader.endInput()
            self._endContent(self._content)
            return
        self._takeContent(self._content, trailing)

    def _takeContent(self, content: _RefusalContent, data: bytes) -> None:
        if content.reader.feedContent(data):
            self._endContent(content)

    def _contentLate(self, content: _RefusalContent) -> None:
        self._timer = None
        content.reader.endInput()
        # The negotiation guards its own calls; this one comes from the clock.
        try:
            self._endContent(content)
        except Exception:
            self._transport.failAttempt(Failure())

    def _endContent(self, content: _RefusalContent) -> None:
        self._content = None
        self._stopTimer()
        self._usable = content.reader.reusable
        error = self._makeRefused(content)
        if isinstance(error, ProxyAuthenticationRequired) and len(self._given) < ASKED:
            self._refused = error
            self._askCredentials(error.challenges)
        else:
            self._transport.failAttempt(error)

    def _makeRefused(self, content: _RefusalContent) -> ProxyRefused:
        error = content.makeError(self.authority)
        if isinstance(error, ProxyAuthenticationRequired):
            had = self._credentials is not NO_CREDENTIALS
            error.noteCredentials(had, self._given[-1])
        return error

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


@attrs.frozen
class _RefusalContent:
    """A refusal whose content is being read."""

    answer: AnswerHead
    reader: ContentReader

    def makeError(self, authority: Authority) -> ProxyRefused:
        """Make the error that the caller gets."""
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
