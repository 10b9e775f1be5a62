"""
The head of a proxy's answer to CONNECT: octets in, in any pieces; one
L{AnswerHead} out.

Any 2xx makes the tunnel, and every octet after its head is the tunnel's
(RFC 9110, 9.3.6).  So this parser is strict: a head that two readers could take
for two things is an error, because they would disagree where the tunnel begins.
Interim answers (1xx) are skipped, except 101, which ends HTTP on the connection
and was not requested.

B{The result depends on the octets of the stream alone, never on how they were
split}, in the way of L{txconnect.wire.http1.head}: lines are taken in order, each
once its LF has come, within the first L{AnswerLimits.size} octets.  Octets that
cannot begin an answer, such as the greeting of another protocol, are refused at
the first one that shows it.

Limits, and those of other programs: curl takes 300 KiB of heads for one answer,
Firefox 384 KiB; Node 16 KiB; Scrapy's tunnel has none.  Proxies that add their
own C{Proxy-Authenticate}, C{Via} and cookies stay far below 64 KiB.
"""

from __future__ import annotations

import enum
import re

import attrs

from txconnect.wire.grammar import FIELD_LINE

_PREFIX = b"HTTP/1."
# The space before an empty reason is often left out (RFC 9112, 4 wants it).
_STATUS = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: ([\t -~\x80-\xff]*))?\r\n")


@attrs.frozen
class AnswerLimits:
    """
    The limits of an answer's head, interim answers before it included.

    @ivar size: octets, from the stream's first to the last empty line's LF.
    @ivar fields: field lines.
    """

    size: int = 65536
    fields: int = 100


@attrs.frozen
class AnswerHead:
    """
    The head of one final answer.

    @ivar status: 101, or 200 to 999.
    @ivar reason: the reason phrase as the proxy wrote it, in Latin-1; it may be
        empty.
    @ivar headers: C{((lower-case name, value), ...)} in order.
    @ivar httpVersion: C{"1.0"} or C{"1.1"}; a later minor version counts as 1.1.
    """

    status: int
    reason: str
    headers: tuple[tuple[bytes, bytes], ...]
    httpVersion: str

    @property
    def established(self) -> bool:
        """True if the connection is a tunnel now: any 2xx (RFC 9110, 9.3.6)."""
        return 200 <= self.status <= 299

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """Return the value of each field of this lower-case name, in order."""
        return tuple(value for each, value in self.headers if each == name)

    def header(self, name: bytes) -> bytes | None:
        """Return the values of a field joined with commas, or L{None}."""
        values = self.values(name)
        return b", ".join(values) if values else None


class Flaw(enum.Enum):
    """
    The kind of flaw in an answer.

    @cvar MALFORMED: it is not an answer of HTTP/1.
    @cvar TOO_LARGE: its head is over a limit.
    @cvar INCOMPLETE: the connection ended within it.
    """

    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    INCOMPLETE = "incomplete"


class BadAnswer(Exception):
    """
    The stream does not begin with an answer.

    @ivar flaw: the kind of flaw.
    @ivar reason: a sentence that repeats nothing of the answer.
    """

    def __init__(self, flaw: Flaw, reason: str) -> None:
        self.flaw = flaw
        self.reason = reason
        super().__init__(f"{flaw.value}: {reason}")


class AnswerParser:
    """
    A parser of the head of one final answer (RFC 9112, 2 to 5).

    @ivar started: true once any octet has been fed.
    @ivar trailing: the octets that were fed after the head: the tunnel's first
        octets, or a refusal's content.  Empty until the answer is complete.
    """

    def __init__(self, limits: AnswerLimits = AnswerLimits()) -> None:
        self.started = False
        self.trailing = b""
        self._left = limits.size
        self._fieldsLeft = limits.fields
        self._rest = b""
        self._done = False
        self._status: tuple[bytes, bytes, bytes] | None = None
        self._headers: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> AnswerHead | None:
        """
        Take the next octets.

        @return: the answer once its head is complete, else L{None}.  Once it
            has been returned, or L{BadAnswer} was raised, nothing more may be
            fed.
        @raise BadAnswer: as soon as the octets so far cannot begin an answer.
        @raise RuntimeError: if an answer or an error came of an earlier call.
        """
        if self._done:
            raise RuntimeError("this answer is done: nothing more can be fed")
        # Cleared below if more is needed, so that an exception leaves it set.
        self._done = True
        if data:
            self.started = True
        octets = self._rest + data
        # No LF is in the rest, so the search begins after it: an answer that
        # comes one octet at a time costs no more than its length.
        start, scanned = 0, len(self._rest)
        while True:
            end = octets.find(b"\n", scanned, self._left) + 1
            if not end:
                break
            answer = self._takeLine(octets[start:end])
            start = scanned = end
            if answer is not None:
                self.trailing = octets[end:]
                return answer
        self._keepLine(octets[start:], start)
        self._done = False
        return None

    def endInput(self) -> None:
        """
        Handle the end of the connection, or of its input.

        @raise BadAnswer: if the answer is not complete: a part of a 200 opens
            no tunnel.
        """
        if not self._done:
            self._done = True
            where = "within" if self.started else "before"
            raise BadAnswer(Flaw.INCOMPLETE, f"the connection ended {where} the answer")

    def _keepLine(self, line: bytes, taken: int) -> None:
        """Keep an unfinished line, unless it can no longer become a valid one."""
        self._left -= taken
        if self._status is None:
            _checkPrefix(line[: self._left])
        if len(line) >= self._left:
            raise BadAnswer(
                Flaw.TOO_LARGE, "the head of the answer is over its size limit"
            )
        self._rest = line

    def _takeLine(self, line: bytes) -> AnswerHead | None:
        """Take a line with its LF; an empty line ends the head."""
        if self._status is None:
            self._takeStatus(line)
        elif line == b"\r\n":
            return self._finishHead(*self._status)
        else:
            self._takeField(line)
        return None

    def _takeStatus(self, line: bytes) -> None:
        _checkPrefix(line)
        match = _STATUS.fullmatch(line)
        if match is None:
            raise _malformedAnswer(
                "the first line of the answer is not a status line of HTTP/1"
                if line.endswith(b"\r\n")
                else "a line of the answer ends in LF without CR"
            )
        self._status = match[1], match[2], match[3] or b""

    def _takeField(self, line: bytes) -> None:
        if not self._fieldsLeft:
            raise BadAnswer(Flaw.TOO_LARGE, "the answer has too many fields")
        self._fieldsLeft -= 1
        match = FIELD_LINE.fullmatch(line)
        if match is None:
            raise _badField(line)
        self._headers.append((match[1].lower(), match[2].strip(b" \t")))

    def _finishHead(
        self, minor: bytes, status: bytes, reason: bytes
    ) -> AnswerHead | None:
        # The state is ready for the next head, which follows an interim answer.
        headers, self._headers, self._status = tuple(self._headers), [], None
        if status.startswith(b"1") and status != b"101":
            return None
        version = "1.0" if minor == b"0" else "1.1"
        return AnswerHead(int(status), reason.decode("latin-1"), headers, version)


def _checkPrefix(line: bytes) -> None:
    """Refuse octets that cannot begin a status line, however few they are."""
    if not line.startswith(_PREFIX[: len(line)]):
        raise _malformedAnswer("the answer is not one of HTTP/1")


def _badField(line: bytes) -> BadAnswer:
    """Name the first rule that a field line breaks."""
    if not line.endswith(b"\r\n"):
        return _malformedAnswer("a line of the answer ends in LF without CR")
    if line.startswith((b" ", b"\t")):
        return _malformedAnswer("a field of the answer is folded over several lines")
    return _malformedAnswer("a field of the answer is not a name, a colon and a value")


def _malformedAnswer(reason: str) -> BadAnswer:
    return BadAnswer(Flaw.MALFORMED, reason)
