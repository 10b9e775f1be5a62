"""
How the tests of the head read one: at every chunking, to one outcome.
"""

from __future__ import annotations

from collections.abc import Iterable

from txconnect.testing import chunkings
from txconnect.wire.http1.badhead import BadHead
from txconnect.wire.http1.head import Head, HeadLimits, HeadParser
from txconnect.wire.refusals import Cause

Outcome = tuple[Head, bytes] | tuple[Cause, str] | None
"""A head and what stands behind it, a refusal, or neither yet."""


DEFAULTS = HeadLimits()


def readPieces(pieces: Iterable[bytes], limits: HeadLimits) -> Outcome:
    """Feed pieces until there is an outcome."""
    parser = HeadParser(limits)
    rest = iter(pieces)
    for piece in rest:
        try:
            head = parser.feed(piece)
        except BadHead as bad:
            return bad.cause, bad.reason
        if head is not None:
            return head, parser.trailing + b"".join(rest)
    return None


def read(stream: bytes, limits: HeadLimits = DEFAULTS) -> Outcome:
    """Read a stream at every chunking: the outcome must be one."""
    outcomes = {
        how: readPieces(pieces, limits) for how, pieces in chunkings(stream, seed=1)
    }
    outcome = outcomes["whole"]
    assert all(other == outcome for other in outcomes.values()), outcomes
    return outcome


def accepted(stream: bytes, limits: HeadLimits = DEFAULTS) -> Head:
    """Read a stream that holds a head and nothing behind it."""
    outcome = read(stream, limits)
    assert outcome is not None
    head, trailing = outcome
    assert isinstance(head, Head), outcome
    assert trailing == b""
    return head


def refused(stream: bytes, limits: HeadLimits = DEFAULTS) -> tuple[Cause, str]:
    """Read a stream that is refused: the cause and the reason."""
    outcome = read(stream, limits)
    assert outcome is not None, "neither accepted nor refused"
    cause, reason = outcome
    assert isinstance(cause, Cause), outcome
    assert isinstance(reason, str)
    return cause, reason
