"""
The content of a refusal, up to a limit, and the state of the connection after it.

Framing is read as in RFC 9112, 6.3.  Where the RFC leaves room, the content
lasts until the connection closes, so the connection cannot serve another
request.  Malformed framing has the same effect and raises no error: the head
has delivered the refusal already, and only its explanation can suffer.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from txconnect.wire.http1.answer import AnswerHead

CHUNK_LINE = 1024
"""Most octets in the line before a chunk, its extensions included."""

TRAILERS = 16384
"""Most octets of trailer fields."""

_DIGITS = re.compile(rb"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t -~\x80-\xff]*)?\r\n")
_FIELD_LINE = re.compile(rb"[\t -~\x80-\xff]+\r\n")


class ContentReader:
    """
    A reader of the content after the head of a refusal.

    @param answer: the head; never a 2xx, after which a tunnel begins.
    @param limit: the most octets of content to read and to keep.
    @ivar complete: true if there is nothing more to read: the content is there
        as a whole, or up to the limit.
    @ivar untilClose: true if nothing but the end of the connection ends it.
    @ivar reusable: true if another request can follow on this connection: the
        framing has ended the content, no octet came after it, and neither
        side's rules close the connection.
    """

    def __init__(self, answer: AnswerHead, limit: int = 16384) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._rest = b""
        self._need = 0
        self._trailers = TRAILERS
        self._persists = _connectionPersists(answer)
        self.complete = False
        self.reusable = False
        self._step = self._chooseFraming(answer)
        self.untilClose = not self.complete and self._step == self._readUntilClose

    @property
    def content(self) -> bytes:
        """The content so far, without its framing: at most C{limit} octets."""
        return bytes(self._kept)

    def feedContent(self, data: bytes) -> bool:
        """
        Take the next octets.  Octets after the complete content are dropped,
        and make the connection useless for another request.

        @return: L{complete}.
        """
        if self.complete:
            self.reusable = self.reusable and not data
            return True
        self._rest += data
        return self._runSteps()

    def endInput(self) -> None:
        """Handle the end of the connection, or of its input."""
        self.complete = True
        self.reusable = False

    def _runSteps(self) -> bool:
        while self._step() and not self.complete:
            pass
        if self._rest and self.complete:
            self.reusable = False
        return self.complete

    # Each step takes as much as it can of the rest, and returns true if the next
    # step can go on with it.

    def _chooseFraming(self, answer: AnswerHead) -> Callable[[], bool]:
        # Anything but exactly one length, or exactly "chunked" in HTTP/1.1, lasts
        # until the close: guessing would take the next answer for content.
        codings, lengths = (
            answer.values(b"transfer-encoding"),
            answer.values(b"content-length"),
        )
        if answer.status < 200 or answer.status in (204, 304):
            self._finishContent(answer.status >= 200)
        elif codings:
            chunked = [value.lower() for value in codings] == [b"chunked"]
            if chunked and not lengths and answer.httpVersion != "1.0":
                return self._readChunkLine
        elif len(lengths) == 1 and _DIGITS.fullmatch(lengths[0]):
            self._need = int(lengths[0])
            if not self._need:
                self._finishContent(True)
            return self._readCounted
        return self._readUntilClose

    def _readUntilClose(self) -> bool:
        self._keepContent(len(self._rest))
        return False

    def _readCounted(self) -> bool:
        self._need -= self._keepContent(self._need)
        if not (self._need or self.complete):
            self._finishContent(True)
        return False

    def _readChunkLine(self) -> bool:
        line = self._takeLine(CHUNK_LINE)
        if not line:
            return False
        match = _CHUNK.fullmatch(line)
        if match is None:
            self._finishContent(False)
        else:
            self._need = int(match[1], 16)
            self._step = self._readChunk if self._need else self._readTrailer
        return True

    def _readChunk(self) -> bool:
        self._need -= self._keepContent(self._need)
        if not self._need:
            self._step = self._readChunkEnd
        return not self._need

    def _readChunkEnd(self) -> bool:
        if len(self._rest) < 2:
            # Judged only once both octets are there, however they were split.
            return False
        if self._rest.startswith(b"\r\n"):
            self._rest = self._rest[2:]
            self._step = self._readChunkLine
        else:
            self._finishContent(False)
        return True

    def _readTrailer(self) -> bool:
        line = self._takeLine(self._trailers)
        self._trailers -= len(line)
        if line == b"\r\n":
            self._finishContent(True)
        elif line and not _FIELD_LINE.fullmatch(line):
            self._finishContent(False)
        return bool(line)

    def _takeLine(self, limit: int) -> bytes:
        """
        Take the next line.

        @return: empty while the line has not ended, or if it is too long.
        """
        end = self._rest.find(b"\n", 0, limit) + 1
        if not end and len(self._rest) >= limit:
            self._finishContent(False)
        line, self._rest = self._rest[:end], self._rest[end:]
        return line

    def _keepContent(self, most: int) -> int:
        """
        Keep octets of content.

        @return: the number of octets taken from the rest.
        """
        room = self._limit - len(self._kept)
        taken = self._rest[: min(most, room)]
        self._kept += taken
        self._rest = self._rest[len(taken) :]
        # The limit cuts the content only if more of it was to come.
        if len(taken) == room and (most > room):
            self._finishContent(False)
        return len(taken)

    def _finishContent(self, framed: bool) -> None:
        self.complete = True
        self.reusable = framed and self._persists


def _connectionPersists(answer: AnswerHead) -> bool:
    """Tell whether the proxy leaves the connection open (RFC 9112, 9.3)."""
    # HTTP/1.0 with "keep-alive" counts as closing: RFC 9112, C.2.2 warns of
    # proxies that pass the word on without knowing it.
    options = answer.values(b"connection") + answer.values(b"proxy-connection")
    closes = any(
        option.strip(b" \t").lower() == b"close"
        for value in options
        for option in value.split(b",")
    )
    return answer.httpVersion == "1.1" and not closes
