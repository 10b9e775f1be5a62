"""
What a parent's answer, or its failure, is to our own client: the one place
that says so.

A parent's status is never passed on by itself: a client takes a status for
what the proxy says that it is talking to, and would answer a parent's 407 with
credentials that are meant for us (RFC 9110, 11.7.1).
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.error import ConnectError

from txconnect.client.errors import (
    ProxyClosed,
    ProxyProtocolError,
    ProxyRefused,
    ProxyTimeout,
    printable,
)
from txconnect.client.socks import SocksRefused
from txconnect.errors import Refused
from txconnect.values import Cause
from txconnect.wire.http1.answer import Flaw
from txconnect.wire.responses import Relayed
from txconnect.wire.socks5 import Reply

__all__ = ["Answered", "Failed", "answerOf", "failureOf"]

_STATUSES = {
    # What tinyproxy says of wrong credentials.
    401: Cause.PARENT_CREDENTIALS,
    403: Cause.PARENT_DENIED,
    407: Cause.PARENT_CREDENTIALS,
    429: Cause.PARENT_UNAVAILABLE,
    503: Cause.PARENT_UNAVAILABLE,
    504: Cause.PARENT_TIMEOUT,
}

_REPLIES: dict[int | None, Cause] = {
    None: Cause.PARENT_CREDENTIALS,
    Reply.NOT_ALLOWED: Cause.PARENT_DENIED,
    Reply.NETWORK_UNREACHABLE: Cause.UNROUTABLE,
    Reply.HOST_UNREACHABLE: Cause.UNROUTABLE,
    Reply.CONNECTION_REFUSED: Cause.CONNECTION_REFUSED,
    Reply.TTL_EXPIRED: Cause.PARENT_TIMEOUT,
}

_FLAWS: dict[Flaw | None, Cause] = {
    Flaw.TOO_LARGE: Cause.PARENT_HEAD_TOO_LARGE,
    Flaw.INCOMPLETE: Cause.PARENT_BROKE_OFF,
}

_OURS = frozenset({Cause.EXHAUSTED, Cause.INTERNAL, Cause.SHUTDOWN, Cause.PLUGIN_ERROR})
"""Why a dial fails that says nothing of the parent."""


class _Outcome(Exception):
    """
    There is no tunnel through a parent.

    @ivar refused: what the client is told of it.
    """

    def __init__(self, refused: Refused) -> None:
        self.refused = refused
        super().__init__(str(refused))


class Answered(_Outcome):
    """The parent gave an answer, which counts."""


class Failed(_Outcome):
    """The parent gave no answer: another one may."""


def answerOf(name: str, error: Exception) -> Refused | None:
    """
    What an answer of a parent is to our client.

    @param name: the parent's.
    @return: L{None} when C{error} is no answer of a parent's.
    """
    if isinstance(error, SocksRefused):
        cause = _REPLIES.get(error.code, Cause.PARENT_REFUSED)
        return Refused(cause, f"{name}: {printable(str(error), 300)}")
    if not isinstance(error, ProxyRefused):
        return None
    reason = f"{name} answered {error.status} {printable(error.reason)}".rstrip()
    return Refused(
        _STATUSES.get(error.status, Cause.PARENT_REFUSED),
        reason,
        parameters={"received-status": error.status},
        relayed=Relayed(error.proxyStatus),
    )


def failureOf(name: str, error: Exception, reached: bool) -> Refused | None:
    """
    What it is to our client that a parent gave no answer.

    @param reached: whether there was a connection to it.
    @return: L{None} when the parent has nothing to do with C{error}.
    """
    if isinstance(error, Refused) and error.cause in _OURS:
        return None
    cause = _causeOf(error)
    if not reached and isinstance(error, (Refused, ConnectError)):
        cause = Cause.PARENT_UNREACHABLE
    if cause is None:
        return None
    return Refused(cause, f"{name}: {_told(error)}")


def _causeOf(error: Exception) -> Cause | None:
    if isinstance(error, ProxyTimeout):
        return Cause.PARENT_SILENT
    if isinstance(error, ProxyProtocolError):
        return _FLAWS.get(error.flaw, Cause.PARENT_MALFORMED)
    if isinstance(error, ProxyClosed):
        return Cause.PARENT_BROKE_OFF
    if isinstance(error, VerificationError):
        return Cause.PARENT_CERTIFICATE
    if isinstance(error, SSL.Error):
        return _tlsCause(" ".join(_reasonsOf(error)))
    return None


def _tlsCause(reasons: str) -> Cause:
    if "certificate verify failed" in reasons:
        return Cause.PARENT_CERTIFICATE
    # OpenSSL's words for an alert that has come, not for one that it sends.
    return Cause.PARENT_ALERT if " alert " in reasons else Cause.PARENT_TLS


def _reasonsOf(error: SSL.Error) -> list[str]:
    entries: Any = error.args[0] if error.args else ()
    return [str(entry[-1]) for entry in entries if isinstance(entry, tuple)]


def _told(error: Exception) -> str:
    if isinstance(error, Refused):
        return error.reason
    if isinstance(error, SSL.Error):
        return f"TLS: {'; '.join(_reasonsOf(error)) or 'the connection was ended'}"
    if isinstance(error, VerificationError):
        return "TLS: the certificate is for another host"
    return printable(str(error), 300)
