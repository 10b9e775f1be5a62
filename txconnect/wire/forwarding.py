"""
The fields of a request that go on to a parent, and this proxy's mark in them.

A proxy that forwards a CONNECT removes the fields that were meant for itself
alone (RFC 9110, 7.6.1), and adds itself to C{Via} (7.6.3).  A proxy that finds
itself in C{Via} already refuses the request, which would go round for ever.
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
"""Fields that never go on: they are about this hop, or each hop sends its own."""

_NO_TOKEN = re.compile(f"[^{TOKEN_CHARACTERS}]")


def pseudonymOf(name: str) -> str:
    """
    Make a deployment's name a pseudonym for C{Via}: a token (RFC 9110, 7.6.3).
    """
    return _NO_TOKEN.sub("-", name)


def viaOf(httpVersion: str, pseudonym: str) -> bytes:
    """
    Write this proxy's own member of C{Via}.

    @param httpVersion: the version of the message that came: C{"1.0"} or
        C{"1.1"}.
    """
    return f"{httpVersion} {pseudonym}".encode("ascii")


def forwardedFields(
    headers: Fields, httpVersion: str, pseudonym: str
) -> tuple[tuple[bytes, bytes], ...]:
    """
    Return the fields of a CONNECT to a parent, all but C{Host} and this proxy's
    own credentials, which the client part adds.

    @param headers: the request's fields, with names in lower case.
    @param httpVersion: the request's version.
    @param pseudonym: this proxy's pseudonym, a token.
    """
    # The client's own Connection field may name further fields of this hop.
    headers = tuple(headers)
    dropped = _HERE.union(*map(_connectionOptions, _valuesOf(headers, b"connection")))
    kept = [field for field in headers if field[0] not in dropped]
    return (*kept, (b"via", viaOf(httpVersion, pseudonym)))


def hasPassed(headers: Fields, pseudonym: str) -> bool:
    """
    Tell whether a request has been through this proxy before.

    Comments are not parsed as such: a client that writes this proxy's pseudonym
    into one only gets its own request refused.
    """
    # A plain loop, because this runs for every request, and most have no Via.
    for name, value in headers:
        if name == b"via" and _namesProxy(value, pseudonym.encode("ascii")):
            return True
    return False


def _namesProxy(via: bytes, own: bytes) -> bool:
    members = (member.split(None, 2) for member in via.split(b","))
    return any(len(words) > 1 and words[1] == own for words in members)


def _valuesOf(headers: Fields, name: bytes) -> Iterable[bytes]:
    return (value for key, value in headers if key == name)


def _connectionOptions(value: bytes) -> set[bytes]:
    """Return the names in a C{Connection} field, in lower case."""
    return {name.strip(b" \t").lower() for name in value.split(b",")}
