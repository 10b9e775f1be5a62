"""
Which fields of a request go on to a parent, and the trail they leave there.

A proxy that hands a CONNECT on takes out what was meant for itself alone
(RFC 9110, 7.6.1), and adds itself to C{Via} (7.6.3).  One that finds itself
there already would go round for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from txconnect.wire.grammar import TOKEN_CHARACTERS

__all__ = ["forwardedFields", "hasPassed", "pseudonymOf", "viaOf"]

Fields = Iterable[tuple[bytes, bytes]]

_HERE = frozenset(
    (
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""What never goes on: it is about this hop, or is said anew to the next."""

_NO_TOKEN = re.compile(f"[^{TOKEN_CHARACTERS}]")


def pseudonymOf(name: str) -> str:
    """
    A deployment's name as C{Via} can have it: a token (RFC 9110, 7.6.3).
    """
    return _NO_TOKEN.sub("-", name)


def viaOf(httpVersion: str, pseudonym: str) -> bytes:
    """
    This proxy's own member of C{Via}.

    @param httpVersion: of the message that came: C{"1.0"} or C{"1.1"}.
    """
    return f"{httpVersion} {pseudonym}".encode("ascii")


def forwardedFields(
    headers: Fields, httpVersion: str, pseudonym: str
) -> tuple[tuple[bytes, bytes], ...]:
    """
    The fields of a CONNECT to a parent, all but C{Host} and this proxy's own
    credentials, which its client adds.

    @param headers: the request's, names in lower case.
    @param httpVersion: the request's.
    @param pseudonym: this proxy's, a token.
    """
    headers = tuple(headers)
    dropped = _HERE.union(*map(_listed, _valuesOf(headers, b"connection")))
    kept = [field for field in headers if field[0] not in dropped]
    return (*kept, (b"via", viaOf(httpVersion, pseudonym)))


def hasPassed(headers: Fields, pseudonym: str) -> bool:
    """
    Whether a request has been through this proxy before.

    Comments are not read as such: what they may hold can only make a client
    refuse itself.
    """
    # Every request is asked: most have no such field.
    for name, value in headers:
        if name == b"via" and _names(value, pseudonym.encode("ascii")):
            return True
    return False


def _names(via: bytes, own: bytes) -> bool:
    members = (member.split(None, 2) for member in via.split(b","))
    return any(len(words) > 1 and words[1] == own for words in members)


def _valuesOf(headers: Fields, name: bytes) -> Iterable[bytes]:
    return (value for key, value in headers if key == name)


def _listed(value: bytes) -> set[bytes]:
    """The names in a C{Connection} field."""
    return {name.strip(b" \t").lower() for name in value.split(b",")}
