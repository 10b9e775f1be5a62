"""
The head of a CONNECT as a client sends it.

The target and the C{Host} field are the same C{host:port} (RFC 9112, 3.2.3;
RFC 9110, 7.2), an IPv6 address in brackets.  Further fields of a caller are
checked: one line break in a value would begin a second request.
"""

from __future__ import annotations

from collections.abc import Sequence

from txconnect.wire.authority import Authority
from txconnect.wire.grammar import matchFieldValue, matchTokenOctets

RESERVED = frozenset(
    (
        b"connection",
        b"content-length",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""
Fields that a caller may not set: C{Host} is the target's, a CONNECT has no
content, and the others rule a connection that is about to be a tunnel
(RFC 9110, 7.6.1 and 9.3.6).
"""


def renderConnect(
    authority: Authority, fields: Sequence[tuple[bytes, bytes]] = ()
) -> bytes:
    """
    Write the head of a CONNECT, with the empty line after it.

    @param authority: the destination.
    @param fields: C{(name, value)} of further fields, sent in this order
        after C{Host}.
    @raise ValueError: for a field that L{checkField} refuses.
    """
    target = str(authority).encode("ascii")
    lines = [b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (target, target)]
    for name, value in fields:
        checkField(name, value)
        lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(b"\r\n")
    return b"".join(lines)


def checkField(name: bytes, value: bytes) -> None:
    """
    Check that a caller may send a field (RFC 9110, 5.1 and 5.5).

    @raise TypeError: if the name and the value are not both C{bytes}.
    @raise ValueError: if the name is not a token or is one of L{RESERVED}, or if
        the value holds a control character or begins or ends in white space.
        The message repeats the name but never the value, which may be secret.
    """
    # Exactly bytes: a bytearray could be changed after it was checked.
    if {type(name), type(value)} != {bytes}:
        raise TypeError('a header field is two bytes objects: (b"X-Name", b"value")')
    if not matchTokenOctets(name):
        raise ValueError(f"{name!r} is not the name of a header field")
    shown = name.decode("ascii")
    if name.lower() in RESERVED:
        raise ValueError(f"{shown} cannot be set: a CONNECT has its own, or none")
    if not matchFieldValue(value):
        raise ValueError(
            f"the value of {shown} holds a control character, such as a line break, "
            "or white space at an end"
        )
