"""
The three ways to cut bytes: whole, one at a time, at random.

Every parser and protocol is tested in all three, because a bug at the edge of
a chunk shows in one of them only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from txconnect.testing.kernel import Chunk

CHUNKS: tuple[Chunk, ...] = (None, 1, "random")
"""
The values of C{MemoryNetwork(chunk=...)}, such as for
C{@pytest.mark.parametrize("chunk", CHUNKS)}.
"""


def chunkings(data: bytes, seed: int = 0) -> Iterator[tuple[str, list[bytes]]]:
    """
    Cut C{data} in each of the three ways.

    @param seed: for the random pieces, so that a failure can be repeated.
    @return: for each way a name and the pieces, which joined are C{data} again
        and of which none is empty.
    """
    yield "whole", [data] if data else []
    yield "one at a time", [data[at : at + 1] for at in range(len(data))]
    yield "random", list(_randomPieces(data, random.Random(seed)))


def _randomPieces(data: bytes, source: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        # Mostly small pieces, and now and then a big one.
        size = source.randint(1, source.choice((3, 16, max(len(data) - at, 1))))
        yield data[at : at + size]
        at += size
