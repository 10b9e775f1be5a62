"""
The head of an HTTP/1 request: octets in, in any pieces; one L{Head} out.

Strict where RFC 9112 leaves room: what two readers could take for two things
is refused, never repaired.  Nothing here decides who may go where, and
nothing writes an answer: L{BadHead} names the row of the refusals table.

B{What comes of a stream depends on its octets alone, never on how they were
split.}  Every rule is therefore tied to a place in the stream: lines are taken
in order, each when its LF has come, and only within the first
L{HeadLimits.size} octets.  The one rule that does not wait for a LF, the octets
of the first line (a TLS hello or a SOCKS greeting has no line end to wait for),
is also the first one that a whole first line has to pass, with the same words.

Limits, and where others put them: Twisted takes 500 fields and 16 KiB of head,
llhttp 80 KiB in Node, Apache 100 fields of 8190 octets.  RFC 9112, 3 wants
request lines of 8000 octets to be readable.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from txconnect.wire.authority import (
    Authority,
    BadAuthority,
    parseAuthority,
    parseHost,
    parsePort,
)
from txconnect.wire.grammar import FIELD_LINE, TOKEN_OCTETS, matchTokenOctets
from txconnect.wire.refusals import Cause

EMPTY_LINES = 4
"""Most empty lines in front of the request line (RFC 9112, 2.2 asks for one)."""

_VERSION = re.compile(rb"HTTP/([0-9])\.[0-9]")
# What may stand in the first line, whole or not; the LF may still be to come.
_FIRST_OCTETS = re.compile(rb"[ -~]*\r?")
_NAME_AND_SPACE = re.compile(TOKEN_OCTETS + rb"[ \t]+:")
_JUDGED = frozenset(
    (b"host", b"proxy-authorization", b"content-length", b"transfer-encoding")
)
_ZERO = re.compile(rb"0+")
_DIGITS = re.compile(rb"[0-9]+")


@attrs.frozen
class HeadLimits:
    """
    How much head is read.

    @ivar size: octets, from the stream's first to the empty line's LF.
    @ivar fields: field lines.
    """

    size: int = 16384
    fields: int = 100


@attrs.frozen
class RequestRule:
    """
    The rule of the request line: which requests a parser takes.

    @ivar pattern: of a whole line with its CRLF; its groups are the method, the
        target and the minor version of HTTP/1.
    @ivar parse: makes of a target the authority that it names, or raises
        L{BadAuthority}.
    @ivar otherwise: why another method is refused.
    """

    pattern: re.Pattern[bytes]
    parse: Callable[[bytes], Authority]
    otherwise: str


CONNECT = RequestRule(
    re.compile(rb"(CONNECT) ([!-~]+) HTTP/1\.([0-9])\r\n"),
    parseAuthority,
    "the method is not CONNECT, in capital letters",
)
"""Requests in authority-form (RFC 9112, 3.2.3)."""


@attrs.frozen
class Head:
    """
    The head of one request that this proxy can serve.

    @ivar method: the request's method.
    @ivar authority: the host and port that the request's target names.
    @ivar headers: C{((lower-case name, value), ...)} in order, without
        C{Proxy-Authorization}.
    @ivar httpVersion: C{"1.0"} or C{"1.1"}; a later minor version counts as 1.1
        (RFC 9110, 2.5).
    @ivar credentials: the value of C{Proxy-Authorization}, or L{None}.  A
        secret: never logged.
    @ivar hostDiffers: whether the C{Host} field names another host or port than
        the target.  The target decides; this is for the log.
    """

    method: str
    authority: Authority
    headers: tuple[tuple[bytes, bytes], ...]
    httpVersion: str
    credentials: bytes | None = attrs.field(repr=False)
    hostDiffers: bool


class BadHead(Exception):
    """
    The stream does not begin with the head of a request that is served here.

    @ivar cause: the row of the refusals table.
    @ivar reason: a sentence that repeats nothing of the request.
    """

    def __init__(self, cause: Cause, reason: str) -> None:
        self.cause = cause
        self.reason = reason
        super().__init__(f"{cause.label}: {reason}")


class HeadParser:
    """
    Reads one head (RFC 9112, 2 to 5).  The front makes one a connection.

    @ivar started: whether any octet has been fed.
    @ivar trailing: what was fed behind the head: the tunnel's first octets
        (RFC 9110, 9.3.6).  Empty until the head is complete.
    """

    started = False
    trailing = b""

    # What begins the same for every head stands here: making a parser is a
    # good part of reading a short head.
    _authority: Authority | None = None
    _credentials: bytes | None = None
    _done = False
    _emptyLines = 0
    _fieldsSeen = 0
    _host: bytes | None = None
    _hasLength = False
    _method = b""
    _rest = b""
    _scanned = 0
    _target = b""
    _version = ""

    def __init__(
        self, limits: HeadLimits = HeadLimits(), rule: RequestRule = CONNECT
    ) -> None:
        self._rule = rule
        self._left = limits.size
        self._maxFields = limits.fields
        self._headers: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> Head | None:
        """
        Take the next octets.

        @return: the head once it is complete, else L{None}.  Once it has been
            returned, or L{BadHead} was raised, nothing more may be fed.
        @raise BadHead: as soon as the octets so far can begin no head.
        @raise RuntimeError: when the outcome has been told already.
        """
        if self._done:
            raise RuntimeError("this head is done: nothing more can be fed")
        self._done = True  # Until the end of this method says otherwise.
        if data:
            self.started = True
        octets = self._rest + data if self._rest else data
        start = 0
        if octets.find(b"\n", self._scanned, self._left) >= 0:
            if self._authority is None:
                start = self._takeFirstLines(octets)
            if self._authority is not None:
                start = self._takeFields(octets, start)
                if octets.startswith(b"\r\n", start, self._left):
                    self.trailing = octets[start + 2 :]
                    return self._finish(self._authority)
        self._keep(octets, start)
        self._done = False
        return None

    def _takeFirstLines(self, octets: bytes) -> int:
        """Read up to the request line's end, or as far as there are lines."""
        start, scanned = 0, self._scanned
        while True:
            match = self._rule.pattern.match(octets, start, self._left)
            if match is not None:
                self._takeRequest(*match.groups())
                return match.end()
            end = octets.find(b"\n", scanned, self._left)
            if end < 0:
                return start
            self._skipEmpty(octets[start:end])
            start = scanned = end + 1

    def _takeFields(self, octets: bytes, start: int) -> int:
        """Read whole field lines, up to the empty line or to one still unfinished."""
        limit, take = self._left, self._headers.append
        while match := FIELD_LINE.match(octets, start, limit):
            if self._fieldsSeen >= self._maxFields:
                raise _tooMany()
            self._fieldsSeen += 1
            start = match.end()
            name, value = match.groups()
            name, value = name.lower(), value.strip(b" \t")
            if name in _JUDGED:
                self._judge(name, value)
                if name == b"proxy-authorization":
                    continue
            take((name, value))
        end = octets.find(b"\n", start, limit)
        if end >= 0 and octets[start:end] != b"\r":
            if self._fieldsSeen >= self._maxFields:
                raise _tooMany()
            raise _refuseField(octets[start:end], first=not self._fieldsSeen)
        return start

    def _judge(self, name: bytes, value: bytes) -> None:
        """Judge a field that means something to a proxy, or to its framing."""
        if name == b"host":
            self._takeHost(value)
        elif name == b"proxy-authorization":
            self._takeCredentials(value)
        elif name == b"content-length":
            self._takeLength(value)
        else:
            raise _malformed("a CONNECT has no content, so no Transfer-Encoding")

    def _keep(self, octets: bytes, start: int) -> None:
        """Hold a line that has not ended yet, if it can still become one."""
        if start:
            octets = octets[start:]
            self._left -= start
            self._scanned = 0
        if self._authority is None:
            _checkFirst(octets, self._scanned, self._left)
        if len(octets) >= self._left:
            raise self._tooLarge(octets)
        self._rest = octets
        # A CR at the end is looked at again: only a LF may follow it.
        self._scanned = len(octets) - octets.endswith(b"\r")

    def _tooLarge(self, line: bytes) -> BadHead:
        """Say which limit an unfinished line breaks (RFC 9112, 3; RFC 6585, 5)."""
        if self._authority is not None:
            return BadHead(Cause.HEAD_TOO_LARGE, "the head is over its size limit")
        if b" " in line[: self._left]:
            return BadHead(
                Cause.TARGET_TOO_LONG, "the request line is over the head's size limit"
            )
        return BadHead(
            Cause.METHOD_TOO_LONG, "the method alone is over the head's size limit"
        )

    def _takeRequest(self, method: bytes, target: bytes, minor: bytes) -> None:
        """Take a request line that the rule allows (RFC 9112, 3)."""
        self._method = method
        self._target = target
        self._version = "1.0" if minor == b"0" else "1.1"
        try:
            self._authority = self._rule.parse(target)
        except BadAuthority as bad:
            raise BadHead(Cause.BAD_TARGET, str(bad)) from None

    def _skipEmpty(self, line: bytes) -> None:
        """Skip an empty line in front of the request line (RFC 9112, 2.2)."""
        _checkFirst(line, 0, len(line))
        if line != b"\r":
            raise _refuseFirst(line, self._rule.otherwise)
        self._emptyLines += 1
        if self._emptyLines > EMPTY_LINES:
            raise _malformed("too many empty lines precede the request line")

    def _takeCredentials(self, value: bytes) -> None:
        if self._credentials is not None:
            raise _malformed("there is more than one Proxy-Authorization field")
        self._credentials = value

    def _takeHost(self, value: bytes) -> None:
        if self._host is not None:
            raise _malformed("there is more than one Host field")
        self._host = value

    def _takeLength(self, value: bytes) -> None:
        if self._hasLength:
            raise _malformed("there is more than one Content-Length field")
        if not _DIGITS.fullmatch(value):
            raise _malformed("the Content-Length is no number")
        if not _ZERO.fullmatch(value):
            raise _malformed("a CONNECT has no content, so no Content-Length but 0")
        self._hasLength = True

    def _finish(self, authority: Authority) -> Head:
        host = self._host
        if host is None and self._version != "1.0":
            raise _malformed("there is no Host field, and HTTP/1.1 asks for one")
        # Mostly the very octets of the target, which have been judged.
        differs = (
            host is not None and host != self._target and _differs(host, authority)
        )
        headers = tuple(self._headers)
        return Head(
            self._method.decode("ascii"),
            authority,
            headers,
            self._version,
            self._credentials,
            differs,
        )


def _malformed(reason: str) -> BadHead:
    return BadHead(Cause.MALFORMED, reason)


def _tooMany() -> BadHead:
    return BadHead(Cause.HEAD_TOO_LARGE, "the head has too many fields")


def _checkFirst(octets: bytes, start: int, end: int) -> None:
    """Refuse what cannot stand in a first line, such as a TLS or SOCKS greeting."""
    if not _FIRST_OCTETS.fullmatch(octets, start, end):
        raise _malformed(
            "the first line holds an octet that no HTTP/1 request line can hold"
        )


def _refuseFirst(line: bytes, otherwise: str) -> BadHead:
    """Say what is wrong with a request line of good octets, in the RFCs' order."""
    if not line.endswith(b"\r"):
        return _malformed("the request line ends in LF without CR")
    parts = line[:-1].split(b" ")
    if len(parts) != 3 or not all(parts) or not matchTokenOctets(parts[0]):
        return _malformed(
            "the request line is not a method, a target and a version with single "
            "spaces between them"
        )
    version = _VERSION.fullmatch(parts[2])
    if version is None:
        return _malformed("the request line does not end in an HTTP version")
    if version[1] != b"1":
        return BadHead(Cause.VERSION, "the major version of HTTP is not 1")
    return BadHead(Cause.METHOD, otherwise)


def _refuseField(line: bytes, first: bool) -> BadHead:
    """Say what is wrong with a field line."""
    if not line.endswith(b"\r"):
        return _malformed("a field line ends in LF without CR")
    if line.startswith((b" ", b"\t")):
        if first:
            return _malformed("white space stands before the first field")
        return _malformed("a field is folded over several lines")
    if _NAME_AND_SPACE.match(line):
        return _malformed("white space stands between a field's name and its colon")
    name, colon, _ = line.partition(b":")
    if not colon:
        return _malformed("a field line has no colon")
    if not matchTokenOctets(name):
        return _malformed("a field's name is empty or no token")
    return _malformed("a field's value holds a control character")


def _differs(value: bytes, authority: Authority) -> bool:
    """
    Whether a Host field names another place than the target.

    @raise BadHead: when it names none (RFC 9112, 3.2).  The port may be left
        out, as RFC 9110's own example of a CONNECT does.
    """
    try:
        host, port = _parseHostField(value.decode("ascii"))
    except (BadAuthority, UnicodeDecodeError):
        raise _malformed("the Host field is no host, or host and port") from None
    return host != authority.host or port not in (None, authority.port)


def _parseHostField(text: str) -> tuple[str, int | None]:
    host, port = text, ""
    if ":" in text and not text.endswith("]"):
        host, _, port = text.rpartition(":")
    return parseHost(host), parsePort(port) if port else None
