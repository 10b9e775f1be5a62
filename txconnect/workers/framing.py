"""
Frames: messages as the bytes of a stream.

A frame is a length of four octets, in network order, and so many octets of
JSON: one object.  The length is checked before anything is kept.

Pure: bytes in, values out.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

LARGEST = 1 << 24
"""The most octets of a message: 16 MiB."""

_LENGTH = struct.Struct("!I")


class BadMessage(Exception):
    """The other side does not keep to the protocol."""


class TooLarge(ValueError):
    """A message of ours is larger than the other side accepts."""


def encodeFrame(message: Mapping[str, Any], largest: int = LARGEST) -> bytes:
    """
    Return the frame of one message.

    @raise TooLarge: there is none.
    @raise TypeError: JSON cannot carry a value in it.
    """
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > largest:
        raise TooLarge(f"a message has {len(body)} octets, the most are {largest}")
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """
    Cuts a stream into messages, in bounded memory.
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._received = bytearray()

    @property
    def isPartial(self) -> bool:
        """Whether the stream is in the middle of a frame."""
        return bool(self._received)

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """
        Yield the messages that C{data} completes, in order.

        @raise BadMessage: behind the last good one; nothing may be fed then.
        """
        self._received += data
        while (body := self._nextBody()) is not None:
            yield _decode(body)

    def _nextBody(self) -> bytes | None:
        received = self._received
        if len(received) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(received)
        if length > self._largest:
            raise BadMessage(f"a message has {length} octets")
        end = _LENGTH.size + length
        if len(received) < end:
            return None
        body = bytes(received[_LENGTH.size : end])
        del received[:end]
        return body


def _decode(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise BadMessage("a message is not JSON") from None
    if not isinstance(message, dict):
        raise BadMessage("a message is no object")
    return message
