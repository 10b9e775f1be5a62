"""
The flaws of a request's head, and the refusals that they lead to.

L{txconnect.wire.http1.head} accepts a line with one pattern; a line that does not
match comes here, where the checks run in the order of the RFCs, so that the reason
names the first rule that it breaks.  So a good head pays for no message and for no
check that only tells bad ones apart.
"""

from __future__ import annotations

import re

from txconnect.wire.grammar import TOKEN_OCTETS, matchTokenOctets
from txconnect.wire.http1.otherprotocols import (
    HTTP2,
    HTTP2_LINE,
    nameGreeting,
    nameLine,
)
from txconnect.wire.refusals import Cause

_VERSION = re.compile(rb"HTTP/([0-9])\.[0-9]")
# The octets of a first line, whole or not; the LF may still be to come.
_FIRST_OCTETS = re.compile(rb"[ -~]*\r?")
_NAME_AND_SPACE = re.compile(TOKEN_OCTETS + rb"[ \t]+:")


class BadHead(Exception):
    """
    The stream does not begin with the head of a request that this proxy can serve.

    @ivar cause: the row of the refusals table.
    @ivar reason: a sentence that repeats nothing of the request.
    @ivar requestLine: the method and the target of a request line that is refused
        although it is one; L{None} where it is none, or where it is accepted.
    """

    def __init__(
        self,
        cause: Cause,
        reason: str,
        requestLine: tuple[bytes, bytes] | None = None,
    ) -> None:
        self.cause = cause
        self.reason = reason
        self.requestLine = requestLine
        super().__init__(f"{cause.label}: {reason}")


def malformedHead(reason: str) -> BadHead:
    """Make the refusal of a head that is not HTTP/1."""
    return BadHead(Cause.MALFORMED, reason)


def tooManyFields() -> BadHead:
    """Make the refusal of a head that is over the limit of fields."""
    return BadHead(Cause.HEAD_TOO_LARGE, "the head has too many fields")


def checkFirstOctets(octets: bytes, start: int, end: int, emptyLines: int = 0) -> None:
    """
    Refuse octets that no first line holds, as those of a TLS or SOCKS greeting.

    @param octets: from the line's beginning on.
    @param emptyLines: the number of empty lines before it.
    @raise BadHead: if there is one.
    """
    if _FIRST_OCTETS.fullmatch(octets, start, end):
        return
    other = nameGreeting(octets[0], emptyLines)
    if other is not None:
        raise BadHead(Cause.OTHER_PROTOCOL, other)
    raise malformedHead(
        "the first line holds an octet that no HTTP/1 request line can hold"
    )


def explainRequestLine(line: bytes, otherwise: str, taken: bytes = b"") -> BadHead:
    """
    Make the refusal of a request line of valid octets, with the first rule that it
    breaks.

    @param line: the line without its LF.
    @param otherwise: the reason, if only its method is at fault.
    @param taken: a method that is at fault only with such a target.
    """
    # In the order of the RFCs: the form before the version, and that before the
    # method, because a method means something only in a version that is known.
    other = nameLine(line)
    if other is not None:
        return BadHead(Cause.OTHER_PROTOCOL, other)
    if line == HTTP2_LINE:
        return BadHead(Cause.VERSION, HTTP2)
    if not line.endswith(b"\r"):
        return malformedHead("the request line ends in LF without CR")
    parts = line[:-1].split(b" ")
    if len(parts) != 3 or not all(parts) or not matchTokenOctets(parts[0]):
        return malformedHead(
            "the request line is not a method, a target and a version with single "
            "spaces between them"
        )
    version, asked = _VERSION.fullmatch(parts[2]), (parts[0], parts[1])
    if version is None:
        reason = "the request line does not end in an HTTP version"
        return BadHead(Cause.MALFORMED, reason, asked)
    if version[1] != b"1":
        return BadHead(Cause.VERSION, "the major version of HTTP is not 1", asked)
    if parts[0] == taken:
        return BadHead(Cause.BAD_TARGET, "the target must be host:port", asked)
    return BadHead(Cause.METHOD, otherwise, asked)


def explainFieldLine(line: bytes, first: bool) -> BadHead:
    """
    Make the refusal of a field line, with the first rule that it breaks.

    @param line: the line without its LF.
    @param first: true if no field line precedes it.
    """
    # White space before the first field and within a later one are two rules of
    # RFC 9112 (2.2 and 5.2).
    if not line.endswith(b"\r"):
        return malformedHead("a field line ends in LF without CR")
    if line.startswith((b" ", b"\t")):
        if first:
            return malformedHead("white space precedes the first field")
        return malformedHead("a field is folded over several lines")
    if _NAME_AND_SPACE.match(line):
        return malformedHead("white space separates a field's name from its colon")
    name, colon, _ = line.partition(b":")
    if not colon:
        return malformedHead("a field line has no colon")
    if not matchTokenOctets(name):
        return malformedHead("a field's name is empty or not a token")
    return malformedHead("a field's value holds a control character")
