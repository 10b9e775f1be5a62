"""
Refusing a connection: its answer, and its end after that (RFC 9931, 8; RFC 9112,
9.6).

Closing a socket that has unread octets sends a reset, and a reset makes the client's
system drop an answer that the client has not read yet.  So a refused connection
lingers: it is read, and the octets are dropped, until the client ends it, or a time
or a number of octets is over.
"""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txconnect.errors import Answered, Refused
from txconnect.exchange.exchange import Exchange
from txconnect.settings import Settings
from txconnect.transports import StreamTransport, canHalfClose
from txconnect.values import Cause, Request
from txconnect.wire.responses import Refusal, Response, responseOf

STAYS = 3
"""The most 407s after which a connection may stay open."""

_log = Logger()


def responseTo(refused: Refused, exchange: Exchange) -> Response:
    """Make a response of a refusal, in no protocol's form yet."""
    if isinstance(refused, Answered):
        return refused.response
    rules, request = exchange.rules, exchange.request
    identity = None if request is None else request.identity
    refusal = Refusal(
        refused.cause,
        refused.rule,
        exchange.id,
        rules.name,
        authority=None if request is None else request.authority,
        reason=refused.reason,
        parameters=refused.parameters,
        challenges=rules.challenges(refused.cause),
        full=rules.settings.errors == "full",
        relayed=refused.relayed,
        note=rules.refusalNote,
        user="" if identity is None else identity.user,
    )
    try:
        return responseOf(refusal)
    except (ValueError, TypeError, AttributeError):
        # Parameters of a plugin's own that have no form on the wire.
        _log.failure("{id}: a refusal could not be written", id=exchange.id)
        plain = attrs.evolve(refusal, cause=Cause.INTERNAL, parameters={}, relayed=None)
        return responseOf(plain)


def mayStay(settings: Settings, refused: Refused, request: Request, stays: int) -> bool:
    """
    Tell whether a connection may stay open for another try (RFC 9931, 8).

    Only after a 407, at most L{STAYS} times, and only for a client that the
    operator knows to wait for its 200.  The caller must see to it that nothing
    at all came after the head: else octets that were meant for the tunnel would
    be read as a request.

    @param stays: the number of times that it has stayed.
    """
    return (
        bool(settings.keepAfterChallenge)
        and refused.cause.status == 407
        and stays < STAYS
        and request.httpVersion != "1.0"
        and b"close" not in (request.header(b"connection") or b"").lower()
        and _isAmong(request.header(b"user-agent"), settings.keepAfterChallenge)
    )


def _isAmong(agent: bytes | None, prefixes: str) -> bool:
    """Tell whether a User-Agent begins with one of the prefixes between commas."""
    known = [each.strip().encode("utf-8") for each in prefixes.split(",")]
    return agent is not None and any(each and agent.startswith(each) for each in known)


class Lingering:
    """
    A connection that is over but for its last answer: octets that the client
    still sends are read and dropped, so that the answer is not lost to a reset,
    but not for ever.

    @param transport: the client's.
    @param clock: provides C{IReactorTime}.
    """

    def __init__(
        self, transport: StreamTransport, clock: IReactorTime, settings: Settings
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._settings = settings
        self._taken = 0
        self._startTimer()

    def _startTimer(self) -> None:
        self._timer = self._clock.callLater(
            self._settings.lingerTimeout, self._transport.abortConnection
        )

    def sendAnswer(self, answer: bytes, inputEnded: bool) -> None:
        """
        Send the last answer, and FIN after it.

        @param inputEnded: whether the client has sent FIN already.
        """
        transport = self._transport
        transport.write(answer)
        if inputEnded:
            self.inputEnded()
        elif canHalfClose(transport):
            transport.loseWriteConnection()
        elif hasattr(transport, "getPeerCertificate"):
            # TLS sends close_notify, and goes on reading until the client's.
            transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Count and drop octets that are of no use any more."""
        self._taken += len(data)
        if self._taken > self._settings.lingerLimit:
            self._transport.abortConnection()

    def inputEnded(self) -> None:
        """The client sends nothing more: close, within as much time again."""
        self.connectionOver()
        self._startTimer()
        self._transport.loseConnection()

    def connectionOver(self) -> None:
        """The connection is gone."""
        if self._timer.active():
            self._timer.cancel()
