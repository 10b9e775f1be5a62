"""
The content of a refusal: as much of it as is worth showing, and whether the
connection can be used for another request behind it.

Framing is read as RFC 9112, 6.3 has it, and where it leaves room the content
is taken to last until the connection closes, which is then of no more use.
That is what becomes of anything malformed here: a refusal has been told
already, and nothing but its explanation can suffer.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from txconnect.wire.http1.answer import Answer

CHUNK_LINE = 1024
"""Most octets in the line before a chunk, its extensions included."""

TRAILERS = 16384
"""Most octets of trailer fields."""

_DIGITS = re.compile(rb"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t -~\x80-\xff]*)?\r\n")
_FIELD_LINE = re.compile(rb"[\t -~\x80-\xff]+\r\n")


class ContentReader:
    """
    Reads the content behind the head of a refusal.

    @param answer: the head: none of a 2xx, which has no content but a tunnel.
    @param limit: octets of content to read, and to keep, at most.
    @ivar complete: whether there is nothing more to read: the content is there
        as a whole, or up to the limit.
    @ivar reusable: whether another request can follow on this connection: the
        framing has ended the content, nothing came behind it, and neither
        side's rules close the connection.
    """

    def __init__(self, answer: Answer, limit: int = 16384) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._rest = b""
        self._need = 0
        self._trailers = TRAILERS
        self._persists = _persists(answer)
        self.complete = False
        self.reusable = False
        self._step = self._choose(answer)

    @property
    def content(self) -> bytes:
        """The content so far, without its framing: at most C{limit} octets."""
        return bytes(self._kept)

    def feed(self, data: bytes) -> bool:
        """
        Take the next octets; what comes when the content is complete only
        makes the connection useless.

        @return: L{complete}.
        """
        if self.complete:
            self.reusable = self.reusable and not data
            return True
        self._rest += data
        return self._advance()

    def finish(self) -> None:
        """The connection has ended, or its input has."""
        self.complete = True
        self.reusable = False

    def _advance(self) -> bool:
        while self._step() and not self.complete:
            pass
        if self._rest and self.complete:
            self.reusable = False
        return self.complete

    # Each step takes what it can of the rest, and answers whether to go on.

    def _choose(self, answer: Answer) -> Callable[[], bool]:
        codings, lengths = (
            answer.values(b"transfer-encoding"),
            answer.values(b"content-length"),
        )
        if answer.status < 200 or answer.status in (204, 304):
            self._end(answer.status >= 200)
        elif codings:
            chunked = [value.lower() for value in codings] == [b"chunked"]
            if chunked and not lengths and answer.httpVersion != "1.0":
                return self._chunkLine
        elif len(lengths) == 1 and _DIGITS.fullmatch(lengths[0]):
            self._need = int(lengths[0])
            if not self._need:
                self._end(True)
            return self._counted
        return self._untilClose

    def _untilClose(self) -> bool:
        self._keep(len(self._rest))
        return False

    def _counted(self) -> bool:
        self._need -= self._keep(self._need)
        if not (self._need or self.complete):
            self._end(True)
        return False

    def _chunkLine(self) -> bool:
        line = self._line(CHUNK_LINE)
        if not line:
            return False
        match = _CHUNK.fullmatch(line)
        if match is None:
            self._end(False)
        else:
            self._need = int(match[1], 16)
            self._step = self._chunk if self._need else self._trailer
        return True

    def _chunk(self) -> bool:
        self._need -= self._keep(self._need)
        if not self._need:
            self._step = self._chunkEnd
        return not self._need

    def _chunkEnd(self) -> bool:
        if len(self._rest) < 2:
            # Whether it is the right one is seen when both octets are there.
            return False
        if self._rest.startswith(b"\r\n"):
            self._rest = self._rest[2:]
            self._step = self._chunkLine
        else:
            self._end(False)
        return True

    def _trailer(self) -> bool:
        line = self._line(self._trailers)
        self._trailers -= len(line)
        if line == b"\r\n":
            self._end(True)
        elif line and not _FIELD_LINE.fullmatch(line):
            self._end(False)
        return bool(line)

    def _line(self, limit: int) -> bytes:
        """The next line; empty while it has not ended."""
        end = self._rest.find(b"\n", 0, limit) + 1
        if not end and len(self._rest) >= limit:
            self._end(False)
        line, self._rest = self._rest[:end], self._rest[end:]
        return line

    def _keep(self, most: int) -> int:
        """
        Keep octets of content.

        @return: how many there were.
        """
        room = self._limit - len(self._kept)
        taken = self._rest[: min(most, room)]
        self._kept += taken
        self._rest = self._rest[len(taken) :]
        if len(taken) == room and (most > room):
            self._end(False)
        return len(taken)

    def _end(self, framed: bool) -> None:
        self.complete = True
        self.reusable = framed and self._persists


def _persists(answer: Answer) -> bool:
    """Whether the proxy leaves the connection open (RFC 9112, 9.3)."""
    options = answer.values(b"connection") + answer.values(b"proxy-connection")
    closes = any(
        option.strip(b" \t").lower() == b"close"
        for value in options
        for option in value.split(b",")
    )
    return answer.httpVersion == "1.1" and not closes
