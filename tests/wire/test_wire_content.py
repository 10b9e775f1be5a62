"""
The content of a refusal.
"""

from __future__ import annotations

import h11
import pytest
from hypothesis import given, strategies as st

from txconnect.testing import chunkings
from txconnect.wire.http1.answer import AnswerHead
from txconnect.wire.http1.content import CHUNK_LINE, TRAILERS, ContentReader

Outcome = tuple[bytes, bool, bool]
"""Content, whether it is complete, and whether the connection is reusable."""


def refusal(*fields: bytes, status: int = 407, version: str = "1.1") -> AnswerHead:
    """A refusal with these field lines."""
    headers = (field.split(b": ", 1) for field in fields)
    return AnswerHead(status, "x", tuple((n.lower(), v) for n, v in headers), version)


def readAll(answer: AnswerHead, stream: bytes, limit: int = 16384) -> Outcome:
    """Read at every chunking: the outcome must be one."""
    outcomes = []
    for _, pieces in chunkings(stream, seed=2):
        reader = ContentReader(answer, limit)
        done = reader.complete
        for piece in pieces:
            done = reader.feedContent(piece)
        assert done is reader.complete
        outcomes.append((reader.content, reader.complete, reader.reusable))
    assert all(each == outcomes[0] for each in outcomes), outcomes
    return outcomes[0]


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("fields", "stream", "content"),
    [
        ([b"Content-Length: 5"], b"hello", b"hello"),
        ([b"Content-Length: 0"], b"", b""),
        ([b"Content-Length: 05", b"Connection: keep-alive"], b"hello", b"hello"),
        ([CHUNKED], b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        ([b"Transfer-Encoding: Chunked"], b"0\r\n\r\n", b""),
        ([CHUNKED], b"2;a=b\r\nhe\r\n03 ;x\r\nllo\r\n00\r\nA: b\r\n\r\n", b"hello"),
        ([CHUNKED], b"A\r\n0123456789\r\n0;e\r\n\r\n", b"0123456789"),
    ],
)
def test_framed(fields: list[bytes], stream: bytes, content: bytes) -> None:
    """[T4] Content that its framing ends leaves a connection to be used again."""
    assert readAll(refusal(*fields), stream) == (content, True, True)
    for cut in range(len(stream)):
        assert readAll(refusal(*fields), stream[:cut])[1] is False
    # What comes behind was not asked for.
    assert readAll(refusal(*fields), stream + b"H") == (content, True, False)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [b"Content-Length: x"],
        [b"Content-Length: -1"],
        [b"Content-Length: +5"],
        [b"Content-Length: 5, 5"],
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: " + b"1" * 19],
        [b"Content-Length: "],
        [b"Content-Length: 5", CHUNKED],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: gzip"],
        [b"Transfer-Encoding: identity"],
        [CHUNKED, CHUNKED],
    ],
)
def test_untilClose(fields: list[bytes]) -> None:
    """[T4] Without a length that all agree on, content lasts until the close."""
    stream = b"5\r\nhello\r\n0\r\n\r\n"
    assert readAll(refusal(*fields), stream) == (stream, False, False)
    reader = ContentReader(refusal(*fields))
    reader.feedContent(stream)
    reader.endInput()
    assert (reader.content, reader.complete, reader.reusable) == (stream, True, False)


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ([b"Connection: close"], "1.1"),
        ([b"Connection: x ,\tClose"], "1.1"),
        ([b"Connection: keep-alive", b"Connection: close"], "1.1"),
        ([b"Proxy-Connection: close"], "1.1"),
        ([], "1.0"),
        ([b"Connection: keep-alive"], "1.0"),
    ],
)
def test_closes(fields: list[bytes], version: str) -> None:
    """[T4] A connection that is to be closed is not used again."""
    answer = refusal(*fields, b"Content-Length: 2", version=version)
    assert readAll(answer, b"ab") == (b"ab", True, False)


def test_chunkedOf10() -> None:
    """HTTP/1.0 has no transfer coding (RFC 9112, 6.1)."""
    assert readAll(refusal(CHUNKED, version="1.0"), b"0\r\n\r\n")[1:] == (False, False)


@pytest.mark.parametrize("status", [204, 304])
def test_none(status: int) -> None:
    """Some answers have no content, whatever they say."""
    answer = refusal(b"Content-Length: 5", status=status)
    assert readAll(answer, b"") == (b"", True, True)
    assert readAll(answer, b"x") == (b"", True, False)


def test_switched() -> None:
    """[UP-04] Behind a 101 there is another protocol: nothing is read."""
    assert readAll(refusal(status=101), b"") == (b"", True, False)
    assert readAll(refusal(status=101), b"\x81\x05hello") == (b"", True, False)


@pytest.mark.parametrize(
    "fields",
    [[], [b"Content-Length: 11"], [b"Content-Length: 999"], [CHUNKED]],
)
def test_limit(fields: list[bytes]) -> None:
    """[UP-11] At the limit it is enough, and the connection of no more use."""
    prefix = b"3e8\r\n" if fields == [CHUNKED] else b""
    stream = prefix + b"0123456789"
    assert readAll(refusal(*fields), stream, 11)[1:] == (False, False)
    assert readAll(refusal(*fields), stream + b"x", 10) == (b"0123456789", True, False)


def test_exactlyTheLimit() -> None:
    """Content that just fits is content like any other."""
    assert readAll(refusal(b"Content-Length: 4"), b"full", 4) == (b"full", True, True)
    stream = b"4\r\nfull\r\n0\r\n\r\n"
    assert readAll(refusal(CHUNKED), stream, 4) == (b"full", True, True)
    assert readAll(refusal(CHUNKED), b"4\r\nfull\r\n1\r\nx", 4) == (
        b"full",
        True,
        False,
    )


@pytest.mark.parametrize(
    "stream",
    [
        b"\r\n",
        b"x\r\n",
        b"5\nhello",
        b"-1\r\n",
        b"0x5\r\nhello",
        b"5\r\nhelloXX",
        b"5\r\nhello\n0",
        b"5;\0\r\n",
        b"1" * 16 + b"\r\n",
        b"1;" + b"x" * CHUNK_LINE,
        b"0\r\nA: \0\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\n" + b"A: bcdefg\r\n" * (TRAILERS // 8),
    ],
)
def test_badChunks(stream: bytes) -> None:
    """Chunks that are none end it: what there is is kept."""
    content, complete, reusable = readAll(refusal(CHUNKED), stream)
    assert content in (b"", b"hello")
    assert (complete, reusable) == (True, False)


@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_h11(parts: list[bytes], chunked: bool, closes: bool) -> None:
    """[T4] What h11 writes is read as it was meant, keep-alive included."""
    fields = [("Transfer-Encoding", "chunked")] if chunked else []
    if not chunked:
        fields += [("Content-Length", str(len(b"".join(parts))))]
    if closes:
        fields += [("Connection", "close")]
    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    oracle.next_event()
    oracle.send(h11.Response(status_code=407, headers=fields))
    written = [oracle.send(h11.Data(data=part)) or b"" for part in parts]
    written.append(oracle.send(h11.EndOfMessage()) or b"")
    answer = refusal(*(f"{name}: {value}".encode() for name, value in fields))
    outcome = readAll(answer, b"".join(written))
    assert outcome == (b"".join(parts), True, not closes)
