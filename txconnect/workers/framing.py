"""
Frames: messages as the bytes of a stream.

A frame is a length of four octets, in network order, followed by that many
octets of JSON: one object.  The length is checked before the body is awaited.

The other side is our own program, but a plugin shares its process and may have
written to the descriptor: so the decoder trusts nothing.  JSON, not pickle, for
the same reason: reading a message runs no code.

Pure: bytes in, values out.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping

LARGEST = 1 << 24
"""The most octets of a message: 16 MiB."""

_LENGTH = struct.Struct("!I")


class BadMessage(Exception):
    """The other side does not keep to the protocol."""


class TooLarge(ValueError):
    """A message of ours is larger than the other side accepts."""


def encodeFrame(message: Mapping[str, object], largest: int = LARGEST) -> bytes:
    """
    Return the frame of one message.

    @raise TooLarge: the message is larger than a frame may be.
    @raise TypeError: JSON cannot carry a value in it.
    """
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > largest:
        raise TooLarge(f"a message has {len(body)} octets, the most are {largest}")
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """
    A decoder that cuts a stream into messages, in bounded memory.
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._received = bytearray()

    @property
    def isPartial(self) -> bool:
        """True when the stream is in the middle of a frame."""
        return bool(self._received)

    def feed(self, data: bytes) -> Iterator[dict[str, object]]:
        """
        Yield the messages that C{data} completes, in order.

        @raise BadMessage: after the last good message; nothing may be fed then.
        """
        self._received += data
        while (body := self._nextBody()) is not None:
            yield _decodeBody(body)

    def _nextBody(self) -> bytes | None:
        received = self._received
        if len(received) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(received)
        # Now, not when the body is there: it would be kept until then.
        if length > self._largest:
            raise BadMessage(f"a message has {length} octets")
        end = _LENGTH.size + length
        if len(received) < end:
            return None
        body = bytes(received[_LENGTH.size : end])
        del received[:end]
        return body


def _decodeBody(body: bytes) -> dict[str, object]:
    try:
        message = json.loads(body)
    # Deep nesting is an error of the other side too.
    except (ValueError, RecursionError):
        raise BadMessage("a message is not JSON") from None
    if not isinstance(message, dict):
        raise BadMessage("a message is no object")
    return message
