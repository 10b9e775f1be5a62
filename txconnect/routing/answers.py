"""
Map a parent's refusal, or its failure, to the refusal that our client gets, and
the failure of any endpoint that is a route: the one place that does so.

A parent's status is never passed on.  A client reads a status as the word of
the proxy that it talks to, and would answer a parent's 407 with credentials
that are meant for us (RFC 9110, 11.7.1).

The two kinds are kept apart because failover depends on it: a parent that has
answered ends the search for a tunnel, one that has failed lets the next parent
try.
"""

from __future__ import annotations

import errno
import socket

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet import defer, error as twistedError
from twisted.internet.error import ConnectError

from txconnect.client.errors import (
    ProxyClosed,
    ProxyProtocolError,
    ProxyRefused,
    ProxyTimeout,
    printable,
)
from txconnect.client.socks import SocksRefused
from txconnect.errors import EXHAUSTION, Refused, causeOf
from txconnect.values import Cause
from txconnect.wire.http1.answer import Flaw
from txconnect.wire.responses import Relayed
from txconnect.wire.socks5 import Reply

__all__ = [
    "ParentAnswered",
    "ParentFailed",
    "refusalForAnswer",
    "refusalForEndpoint",
    "refusalForFailure",
]

_STATUS_CAUSES = {
    # tinyproxy's status for wrong credentials.
    401: Cause.PARENT_CREDENTIALS,
    403: Cause.PARENT_DENIED,
    407: Cause.PARENT_CREDENTIALS,
    429: Cause.PARENT_UNAVAILABLE,
    503: Cause.PARENT_UNAVAILABLE,
    504: Cause.PARENT_TIMEOUT,
}

_REPLY_CAUSES: dict[int | None, Cause] = {
    # SocksRefused has no code where the login itself was refused.
    None: Cause.PARENT_CREDENTIALS,
    Reply.NOT_ALLOWED: Cause.PARENT_DENIED,
    Reply.NETWORK_UNREACHABLE: Cause.UNROUTABLE,
    Reply.HOST_UNREACHABLE: Cause.UNROUTABLE,
    Reply.CONNECTION_REFUSED: Cause.CONNECTION_REFUSED,
    Reply.TTL_EXPIRED: Cause.PARENT_TIMEOUT,
}

_FLAW_CAUSES: dict[Flaw | None, Cause] = {
    Flaw.TOO_LARGE: Cause.PARENT_HEAD_TOO_LARGE,
    Flaw.INCOMPLETE: Cause.PARENT_BROKE_OFF,
}

# The first that fits counts: TimeoutError is a UserError, and both are ConnectErrors.
_CONNECT_CAUSES: tuple[tuple[tuple[type[Exception], ...], Cause], ...] = (
    (
        (twistedError.ConnectionRefusedError, ConnectionRefusedError),
        Cause.CONNECTION_REFUSED,
    ),
    (
        (
            twistedError.TCPTimedOutError,
            twistedError.TimeoutError,
            # Of Deferred.addTimeout, and of asyncio and sockets.
            defer.TimeoutError,
            TimeoutError,
        ),
        Cause.CONNECTION_TIMEOUT,
    ),
    (
        (
            twistedError.NoRouteError,
            twistedError.UnsupportedAddressFamily,
            twistedError.UnsupportedSocketType,
        ),
        Cause.UNROUTABLE,
    ),
    (
        (twistedError.DNSLookupError, twistedError.UnknownHostError, socket.gaierror),
        Cause.DNS_ERROR,
    ),
    (
        (
            twistedError.ConnectionClosed,
            twistedError.ConnectingCancelledError,
            twistedError.UserError,
            ConnectionError,
        ),
        Cause.CONNECTION_TERMINATED,
    ),
    ((twistedError.VerifyError,), Cause.PARENT_CERTIFICATE),
    ((twistedError.SSLError,), Cause.PARENT_TLS),
)

# Of other OSErrors, only those that a plugin's own files and sockets do not raise:
# the others are a plugin's mistake.
_NETWORK_ERRNOS = EXHAUSTION | {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
}

_OWN_CAUSES = frozenset(
    {Cause.EXHAUSTED, Cause.INTERNAL, Cause.SHUTDOWN, Cause.PLUGIN_ERROR}
)
"""Causes of a failed dial that lie in this proxy and not in the parent."""


class _NoTunnel(Exception):
    """
    Base class: no tunnel through a parent.

    @ivar refused: the refusal that the client gets.
    """

    def __init__(self, refused: Refused) -> None:
        self.refused = refused
        super().__init__(str(refused))


class ParentAnswered(_NoTunnel):
    """A refusal by the parent, which counts: no other parent is tried."""


class ParentFailed(_NoTunnel):
    """No answer from the parent: another one may give one."""


def refusalForAnswer(name: str, error: Exception) -> Refused | None:
    """
    Map a parent's refusal to the refusal for our client.

    @param name: the parent's.
    @return: L{None} when C{error} is no answer of a parent's.
    """
    if isinstance(error, SocksRefused):
        cause = _REPLY_CAUSES.get(error.code, Cause.PARENT_REFUSED)
        return Refused(cause, f"{name}: {printable(str(error), 300)}")
    if not isinstance(error, ProxyRefused):
        return None
    reason = f"{name} answered {error.status} {printable(error.reason)}".rstrip()
    return Refused(
        _STATUS_CAUSES.get(error.status, Cause.PARENT_REFUSED),
        reason,
        parameters={"received-status": error.status},
        relayed=Relayed(error.proxyStatus),
    )


def refusalForFailure(name: str, error: Exception, reached: bool) -> Refused | None:
    """
    Map a parent's failure to the refusal for our client.

    @param name: the parent's.
    @param reached: true when there was a connection to the parent.
    @return: L{None} when the parent has nothing to do with C{error}.
    """
    if isinstance(error, Refused) and error.cause in _OWN_CAUSES:
        # Our own shortage or bug: to blame the parent would mark it as down.
        return None
    cause = _failureCause(error)
    if not reached and isinstance(error, (Refused, ConnectError)):
        cause = Cause.PARENT_UNREACHABLE
    if cause is None:
        return None
    return Refused(cause, f"{name}: {_errorText(error)}")


def refusalForEndpoint(
    name: str, error: Exception, behindProxy: bool
) -> Refused | None:
    """
    Map the failure of a route's endpoint to the refusal for our client.

    @param name: the route's.
    @param behindProxy: true when the endpoint is one of C{txconnect.client}'s: then
        Twisted's own errors are those of the way to that proxy.
    @return: L{None} when C{error} is none of connecting, but a mistake.
    """
    answer = refusalForAnswer(name, error)
    if answer is not None:
        return answer
    cause = _failureCause(error)
    if cause is None:
        cause = _connectCause(error)
        if behindProxy and cause is not None and cause not in _OWN_CAUSES:
            cause = Cause.PARENT_UNREACHABLE
    return None if cause is None else Refused(cause, f"{name}: {_errorText(error)}")


def _connectCause(error: Exception) -> Cause | None:
    """Return the cause of a failed attempt to connect; L{None} if it is none."""
    for kinds, cause in _CONNECT_CAUSES:
        if isinstance(error, kinds):
            return cause
    if isinstance(error, ConnectError):
        cause = causeOf(error)
        # It says that there is no connection, and not why.
        return Cause.PARENT_UNREACHABLE if cause is Cause.INTERNAL else cause
    if isinstance(error, OSError) and error.errno in _NETWORK_ERRNOS:
        return causeOf(error)
    return None


def _failureCause(error: Exception) -> Cause | None:
    if isinstance(error, ProxyTimeout):
        return Cause.PARENT_SILENT
    if isinstance(error, ProxyProtocolError):
        return _FLAW_CAUSES.get(error.flaw, Cause.PARENT_MALFORMED)
    if isinstance(error, ProxyClosed):
        return Cause.PARENT_BROKE_OFF
    if isinstance(error, (VerificationError, CertificateError)):
        return Cause.PARENT_CERTIFICATE
    if isinstance(error, SSL.Error):
        return _tlsCause(" ".join(_opensslReasons(error)))
    return None


def _tlsCause(reasons: str) -> Cause:
    if "certificate verify failed" in reasons:
        return Cause.PARENT_CERTIFICATE
    # OpenSSL has these words for an alert received, not for one that it sends.
    return Cause.PARENT_ALERT if " alert " in reasons else Cause.PARENT_TLS


def _opensslReasons(error: SSL.Error) -> list[str]:
    # A list of (library, function, reason); without any, OpenSSL knew none.
    entries: object = error.args[0] if error.args else ()
    if not isinstance(entries, (list, tuple)):
        # Of a system call that failed it is a number, and the reason comes next.
        return [str(each) for each in error.args[1:]]
    return [str(entry[-1]) for entry in entries if isinstance(entry, tuple)]


def _errorText(error: Exception) -> str:
    if isinstance(error, Refused):
        return error.reason
    if isinstance(error, SSL.Error):
        return f"TLS: {'; '.join(_opensslReasons(error)) or 'the connection was ended'}"
    if isinstance(error, VerificationError):
        return "TLS: the certificate is for another host"
    # Parts of it may be the parent's own octets, which must not reach a log raw.
    return printable(str(error), 300) or type(error).__name__
