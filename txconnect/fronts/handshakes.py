"""
Failed TLS handshakes, in words.

A front learns nothing of a handshake but its end.  When the connection is lost before
a request has begun, the reason that Twisted passes on, and the state of OpenSSL's
connection, tell what went wrong.  A client that connects and leaves without a word, as
a health check does, has not begun any: nothing is told of it, as on a plain port.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from txconnect.errors import Refused
from txconnect.values import Cause

_HTTP = (
    "this looks like plain HTTP: is the proxy's URL http://?  This port expects TLS, so "
    "write https://"
)
_WORDS = {
    "http request": _HTTP,
    "https proxy request": _HTTP,
    "wrong version number": "the client does not speak TLS, which this port expects "
    "(a plain protocol, such as SOCKS or SSH, begins so)",
    "packet length too long": "the client does not speak TLS, which this port expects",
    "peer did not return a certificate": "the client sent no certificate, which this "
    "listener requires",
    "certificate verify failed": "the client's certificate is not valid here: it has "
    "expired, or no CA that this listener trusts has signed it",
    "no shared cipher": "the client offers no cipher that is accepted here",
    "unsupported protocol": "the client offers no version of TLS that is accepted here",
    "no application protocol": "the client offers by ALPN no protocol that is spoken "
    "here (http/1.1)",
    # The answer of OpenSSL where Twisted finds no protocol of ALPN.
    "internal error": "OpenSSL ended it; most often the client offers by ALPN only "
    "protocols that are not spoken here (http/1.1 is), such as h2",
}
_DISTRUST = (
    "unknown ca",
    "bad certificate",
    "certificate unknown",
    "certificate expired",
)


def brokenHandshake(transport: object, reason: Failure) -> Refused | None:
    """
    Return the refusal of a client whose connection is lost before its request.

    @param transport: the front's, of any kind.
    @param reason: that of C{connectionLost}.
    @return: L{None} where no handshake has failed.
    """
    if isinstance(reason.value, SSL.Error):
        return Refused(Cause.HANDSHAKE, _inWords(reason.value))
    if isMidHandshake(transport):
        return Refused(
            Cause.HANDSHAKE, "the client left in the middle of the handshake"
        )
    return None


def lateHandshake(transport: object, seconds: float) -> Refused | None:
    """
    Return the refusal of a client whose time for a request is over.

    @return: L{None} where no handshake is under way.
    """
    if not isMidHandshake(transport):
        return None
    return Refused(Cause.HANDSHAKE, f"it did not end within {seconds:g} seconds")


def isMidHandshake(transport: Any) -> bool:
    """Tell whether a client has begun a handshake, and not ended it."""
    while not isinstance(transport, TLSMemoryBIOProtocol):
        if not isinstance(transport, ProtocolWrapper):
            return False
        transport = transport.transport
    handle = transport.getHandle()
    # None once it is over.  The random octets are those of the client's hello.
    if handle is None or not any(handle.client_random() or b""):
        return False
    return bool(handle.get_peer_finished() is None)


def _inWords(error: SSL.Error) -> str:
    # OpenSSL's own words: nothing that the client has sent is among them.
    reasons = [str(entry[-1]) for entry in error.args[0]] if error.args else []
    for reason in reasons:
        if reason in _WORDS:
            return _WORDS[reason]
        if " alert " in reason:
            return _alertInWords(reason.partition(" alert ")[2])
    return "; ".join(filter(None, reasons)) or "OpenSSL gives no reason"


def _alertInWords(alert: str) -> str:
    if alert in _DISTRUST:
        return (
            f"the client does not trust this proxy's certificate (its alert: {alert})"
        )
    return f"the client ended it with an alert: {alert}"
