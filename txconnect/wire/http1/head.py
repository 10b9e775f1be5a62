"""
The head of an HTTP/1 request: octets in, in any pieces; one L{Head} out.

Strict where RFC 9112 leaves room: a head that two readers could take for two
things is refused, never repaired.  Nothing here decides about access, and
nothing writes an answer: L{BadHead} names the row of the refusals table.

B{The result depends on the octets of the stream alone, never on how they were
split.}  Every rule is therefore tied to a place in the stream: lines are taken
in order, each once its LF has come, and only within the first
L{HeadLimits.size} octets.  One rule does not wait for a LF, the one on the octets
of the first line, because a TLS hello or a SOCKS greeting has no line end to wait
for; it is also the first rule that a whole first line has to pass, with the same
message.

h11 and llhttp were not taken: both accept heads that a proxy must refuse (h11
bare LF, folded fields, C{Content-Length} with C{Transfer-Encoding}; llhttp no
version, no C{Host}, targets that are paths).  Both are oracles in the tests: a
head that is accepted here, they accept with the same meaning.

Limits, and those of other programs: Twisted takes 500 fields and 16 KiB of head,
llhttp 80 KiB in Node, Apache 100 fields of 8190 octets.  RFC 9112, 3 recommends
to support request lines of 8000 octets.
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
from txconnect.wire.grammar import FIELD_LINE, TOKEN_OCTETS
from txconnect.wire.http1.badhead import (
    BadHead,
    checkFirstOctets,
    explainFieldLine,
    explainRequestLine,
    malformedHead,
    tooManyFields,
)
from txconnect.wire.refusals import Cause

EMPTY_LINES = 4
"""Most empty lines before the request line (RFC 9112, 2.2 recommends one)."""

_JUDGED = frozenset(
    (b"host", b"proxy-authorization", b"content-length", b"transfer-encoding")
)
_ZERO = re.compile(rb"0+")
_DIGITS = re.compile(rb"[0-9]+")


@attrs.frozen
class HeadLimits:
    """
    The limits of a head.

    @ivar size: octets, from the stream's first to the empty line's LF.
    @ivar fields: field lines.
    """

    size: int = 16384
    fields: int = 100


@attrs.frozen
class RequestRule:
    """
    The rule of the request line: the requests that a parser accepts.

    @ivar pattern: the pattern of a whole line with its CRLF; its groups are the
        method, the target and the minor version of HTTP/1.
    @ivar parse: returns the authority of a target, or raises L{BadAuthority}.
    @ivar otherwise: the reason for refusing another method.
    @ivar noContent: the reason for refusing content, as the first half of a sentence.
    @ivar taken: the method that is taken, if others are taken with other targets.
    @ivar needsHost: whether HTTP/1.1 needs a C{Host} field that names a host (RFC
        9112, 3.2).  Of a CONNECT the target alone decides, and clients that send
        no C{Host}, or an empty one, are many: Buildbot, lftp, links.
    """

    pattern: re.Pattern[bytes]
    parse: Callable[[bytes], Authority]
    otherwise: str
    noContent: str = "a CONNECT has no content"
    taken: bytes = b""
    needsHost: bool = True


CONNECT = RequestRule(
    re.compile(rb"(CONNECT) ([!-~]+) HTTP/1\.([0-9])\r\n"),
    parseAuthority,
    "the method is not CONNECT, in capital letters",
    needsHost=False,
)
"""Requests in authority-form (RFC 9112, 3.2.3)."""

_OWN = Authority("localhost", 80)


def _parseTarget(target: bytes) -> Authority:
    # The pattern lets these through with another method than CONNECT alone.
    return _OWN if target.startswith((b"/", b"*")) else parseAuthority(target)


CONNECT_OR_OWN = attrs.evolve(
    CONNECT,
    pattern=re.compile(
        rb"(CONNECT(?! [/*])|(?!CONNECT )" + TOKEN_OCTETS + rb"(?= (?:/|\* )))"
        rb" ([!-~]+) HTTP/1\.([0-9])\r\n"
    ),
    parse=_parseTarget,
    noContent="a request to this proxy has no content here",
    taken=b"CONNECT",
)
"""
As L{CONNECT}, and requests to the proxy itself: any other method, in origin-form or
asterisk-form (RFC 9112, 3.2.1 and 3.2.4).  The authority of these is a stand-in.
"""


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
    @ivar hostDiffers: true if the C{Host} field names another host or port than
        the target.  The target decides; this is for the log.
    """

    method: str
    authority: Authority
    headers: tuple[tuple[bytes, bytes], ...]
    httpVersion: str
    credentials: bytes | None = attrs.field(repr=False)
    hostDiffers: bool


class HeadParser:
    """
    A parser of one head (RFC 9112, 2 to 5).  The front makes one a connection.

    @ivar started: true once any octet has been fed.
    @ivar trailing: the octets that were fed after the head: the tunnel's first
        octets (RFC 9110, 9.3.6).  Empty until the head is complete.
    """

    started = False
    trailing = b""

    # On the class and not in __init__, because they begin the same for every
    # head, and making a parser is a good part of the cost of a short one.
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

    @property
    def requestLine(self) -> tuple[bytes, bytes]:
        """Return the method and the target, both empty until they have come."""
        return self._method, self._target

    @property
    def target(self) -> bytes:
        """Return the request's target as it came; empty until it has."""
        return self._target

    def feed(self, data: bytes) -> Head | None:
        """
        Take the next octets.

        @return: the head once it is complete, else L{None}.  Once it has been
            returned, or L{BadHead} was raised, nothing more may be fed.
        @raise BadHead: as soon as the octets so far cannot begin a head.
        @raise RuntimeError: if a head or an error came of an earlier call.
        """
        if self._done:
            raise RuntimeError("this head is done: nothing more can be fed")
        # Cleared below if more is needed, so that an exception leaves it set.
        self._done = True
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
                    return self._makeHead(self._authority)
        self._keepLine(octets, start)
        self._done = False
        return None

    def _takeFirstLines(self, octets: bytes) -> int:
        """Read up to the request line's end, or all whole lines before it."""
        start, scanned = 0, self._scanned
        while True:
            match = self._rule.pattern.match(octets, start, self._left)
            if match is not None:
                self._method, self._target, minor = match.groups()
                self._version = "1.0" if minor == b"0" else "1.1"
                try:
                    self._authority = self._rule.parse(self._target)
                except BadAuthority as bad:
                    raise BadHead(Cause.BAD_TARGET, str(bad)) from None
                return match.end()
            end = octets.find(b"\n", scanned, self._left)
            if end < 0:
                return start
            self._skipEmpty(octets[start:end])
            start = scanned = end + 1

    def _takeFields(self, octets: bytes, start: int) -> int:
        """Read whole field lines, up to the empty line or to an unfinished one."""
        # One match a line, name and value together: this loop is most of the
        # cost of a head.  Only a line that does not match is looked at again.
        limit, take = self._left, self._headers.append
        while match := FIELD_LINE.match(octets, start, limit):
            if self._fieldsSeen >= self._maxFields:
                raise tooManyFields()
            self._fieldsSeen += 1
            start = match.end()
            name, value = match.groups()
            name, value = name.lower(), value.strip(b" \t")
            if name in _JUDGED:
                self._judgeField(name, value)
                if name == b"proxy-authorization":
                    continue
            take((name, value))
        end = octets.find(b"\n", start, limit)
        if end >= 0 and octets[start:end] != b"\r":
            if self._fieldsSeen >= self._maxFields:
                raise tooManyFields()
            raise explainFieldLine(octets[start:end], first=not self._fieldsSeen)
        return start

    def _judgeField(self, name: bytes, value: bytes) -> None:
        """Judge a field that concerns the proxy or the framing."""
        if name == b"host":
            if self._host is not None:
                raise malformedHead("there is more than one Host field")
            self._host = value
        elif name == b"proxy-authorization":
            self._takeCredentials(value)
        elif name == b"content-length":
            self._takeLength(value)
        else:
            raise malformedHead(f"{self._rule.noContent}, so no Transfer-Encoding")

    def _keepLine(self, octets: bytes, start: int) -> None:
        """Keep an unfinished line, unless it can no longer become a valid one."""
        if start:
            octets = octets[start:]
            self._left -= start
            self._scanned = 0
        if self._authority is None:
            checkFirstOctets(octets, self._scanned, self._left, self._emptyLines)
        if len(octets) >= self._left:
            raise self._tooLarge(octets)
        self._rest = octets
        # A CR at the end is looked at again: only a LF may follow it.
        self._scanned = len(octets) - octets.endswith(b"\r")

    def _tooLarge(self, line: bytes) -> BadHead:
        """Name the limit that an unfinished line breaks (RFC 9112, 3; RFC 6585, 5)."""
        if self._authority is not None:
            return BadHead(Cause.HEAD_TOO_LARGE, "the head is over its size limit")
        if b" " in line[: self._left]:
            return BadHead(
                Cause.TARGET_TOO_LONG, "the request line is over the head's size limit"
            )
        return BadHead(
            Cause.METHOD_TOO_LONG, "the method alone is over the head's size limit"
        )

    def _skipEmpty(self, line: bytes) -> None:
        """Skip an empty line before the request line (RFC 9112, 2.2)."""
        checkFirstOctets(line, 0, len(line), self._emptyLines)
        if line != b"\r":
            rule = self._rule
            raise explainRequestLine(line, rule.otherwise, rule.taken)
        self._emptyLines += 1
        if self._emptyLines > EMPTY_LINES:
            raise malformedHead("too many empty lines precede the request line")

    def _takeCredentials(self, value: bytes) -> None:
        if self._credentials is not None:
            raise malformedHead("there is more than one Proxy-Authorization field")
        self._credentials = value

    def _takeLength(self, value: bytes) -> None:
        # Some clients send a length of 0 with every request; any other would
        # make content of the tunnel's first octets.
        if self._hasLength:
            raise malformedHead("there is more than one Content-Length field")
        if not _DIGITS.fullmatch(value):
            raise malformedHead("the Content-Length is not a number")
        if not _ZERO.fullmatch(value):
            raise malformedHead(f"{self._rule.noContent}, so no Content-Length but 0")
        self._hasLength = True

    def _makeHead(self, authority: Authority) -> Head:
        host = self._host
        if host is None and self._rule.needsHost and self._version != "1.0":
            raise malformedHead("there is no Host field, which HTTP/1.1 requires")
        if host == b"" and not self._rule.needsHost:
            host = None
        # Mostly the very octets of the target, which were parsed already.
        differs = (
            host is not None and host != self._target and _hostDiffers(host, authority)
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


def _hostDiffers(value: bytes, authority: Authority) -> bool:
    """
    Tell whether a Host field names another host or port than the target.

    The port may be missing, as in RFC 9110's own example of a CONNECT.

    @raise BadHead: if it names no host at all (RFC 9112, 3.2).
    """
    try:
        host, port = _parseHostField(value.decode("ascii"))
    except (BadAuthority, UnicodeDecodeError):
        raise malformedHead(
            "the Host field is not a host, or a host and a port"
        ) from None
    return host != authority.host or port not in (None, authority.port)


def _parseHostField(text: str) -> tuple[str, int | None]:
    # "[::1]" has colons and no port.
    host, port = text, ""
    if ":" in text and not text.endswith("]"):
        host, _, port = text.rpartition(":")
    return parseHost(host), parsePort(port) if port else None
