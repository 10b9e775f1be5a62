"""
Early data: what is held ahead of the 200, and when a client is paused.
"""

from __future__ import annotations

import tracemalloc

from txconnect.tunnel.early import EarlyData

LIMIT = 65536


def test_onePieceIsKeptAsItCame() -> None:
    """[TU-07] The usual early data, one read, is not copied."""
    early, data = EarlyData(), b"\x16\x03\x01 hello"
    assert early.takeData(data, LIMIT) is False
    assert early.release() is data


def test_piecesComeOutInOrder() -> None:
    """[TU-07] They are released once, as one."""
    early = EarlyData()
    for piece in (b"a", b"bc", b"d"):
        early.takeData(piece, LIMIT)
    assert early.release() == b"abcd"
    assert early.release() == b""


def test_pausesOnceAtTheBound() -> None:
    """[TU-07] At the bound and not ahead of it; the read that may still come is held,
    and pauses nobody again."""
    early = EarlyData()
    assert [early.takeData(b"x" * 4, 10) for _ in range(2)] == [False, False]
    assert not early.paused
    assert early.takeData(b"yy", 10) is True
    assert early.paused
    assert early.takeData(b"z" * 20, 10) is False
    assert early.release() == b"x" * 8 + b"yy" + b"z" * 20


def test_smallPiecesCostNoMoreThanTheirOctets() -> None:
    """[T12] A client that sends two octets at a time has no more memory than one that
    sends all at once."""
    tracemalloc.start()
    try:
        early = EarlyData()
        for number in range(LIMIT // 2):
            early.takeData(number.to_bytes(2), LIMIT)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert early.paused
    assert held < 2 * LIMIT
