"""
Frames between a supervisor and a worker, by values.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, strategies

from txconnect.testing.chunks import chunkings
from txconnect.workers.framing import (
    LARGEST,
    BadMessage,
    FrameDecoder,
    TooLarge,
    encodeFrame,
)

MESSAGES: list[dict[str, Any]] = [
    {"kind": "log", "fields": {"text": "a\nb\u2028\U0001f600\udcff"}},
    {},
    {"answer": 1, "fields": {"list": [1, 2.5, None, True, {"x": []}]}},
    {"kind": "long", "fields": {"text": "x" * 10_000}},
]


def frame(body: bytes) -> bytes:
    """A frame of any body."""
    return struct.pack("!I", len(body)) + body


def test_messagesAtEveryChunking() -> None:
    """[F19] Whole, one octet at a time, at random splits: the same messages."""
    data = b"".join(map(encodeFrame, MESSAGES))
    for _, chunks in chunkings(data):
        decoder = FrameDecoder()
        assert [m for chunk in chunks for m in decoder.feed(chunk)] == MESSAGES
        assert not decoder.isPartial


JSON: Any = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-(2**70), 2**70)
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | strategies.text(),
    lambda inner: (
        strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner)
    ),
    max_leaves=5,
)


@given(
    strategies.dictionaries(strategies.text(), JSON, max_size=2),
    strategies.integers(1, 50),
)
def test_everyObjectArrivesAsItWas(message: dict[str, Any], size: int) -> None:
    """[F19] Whatever JSON can say, however it is cut."""
    data = encodeFrame(message)
    decoder = FrameDecoder()
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    assert [m for chunk in chunks for m in decoder.feed(chunk)] == [message]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{]", id="no JSON"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"1", id="a number"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(b'{"x":' + b"9" * 5000 + b"}", id="too many digits"),
    ],
)
def test_nonsenseIsToldFromMessages(body: bytes) -> None:
    """Those before it are still given."""
    feeding = FrameDecoder().feed(encodeFrame({"a": 1}) + frame(body))
    assert next(feeding) == {"a": 1}
    with pytest.raises(BadMessage):
        next(feeding)


def test_lengthIsCheckedBeforeAnythingIsKept() -> None:
    """A frame that is too long is refused by its first four octets."""
    for _, chunks in chunkings(struct.pack("!I", LARGEST + 1)):
        decoder = FrameDecoder()
        with pytest.raises(BadMessage, match="16777217 octets"):
            for chunk in chunks:
                list(decoder.feed(chunk))


def test_largestMessageFits() -> None:
    """Sixteen MiB arrive; one octet more is not sent."""
    text = "x" * (LARGEST - len(json.dumps({"t": ""}, separators=(",", ":"))))
    data = encodeFrame({"t": text})
    decoder = FrameDecoder()
    got = [
        message
        for at in range(0, len(data), 1 << 16)
        for message in decoder.feed(data[at : at + (1 << 16)])
    ]
    assert got == [{"t": text}]
    with pytest.raises(TooLarge):
        encodeFrame({"t": text + "x"})


def test_partialFrameIsSeen() -> None:
    """Of every prefix that is not whole, and of no whole one."""
    data = encodeFrame({"a": 1})
    for length in range(len(data) + 1):
        decoder = FrameDecoder()
        assert len(list(decoder.feed(data[:length]))) == (length == len(data))
        assert decoder.isPartial == (0 < length < len(data))
