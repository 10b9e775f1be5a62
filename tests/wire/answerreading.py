"""
How the tests of answers read one: at every chunking, to one outcome.
"""

from __future__ import annotations

from collections.abc import Iterable

from txconnect.testing import chunkings
from txconnect.wire.http1.answer import (
    AnswerHead,
    AnswerLimits,
    AnswerParser,
    BadAnswer,
    Flaw,
)

Outcome = tuple[AnswerHead, bytes] | tuple[Flaw, str] | None
"""An answer and what stands behind it, a flaw, or neither yet."""

DEFAULTS = AnswerLimits()


def readPieces(pieces: Iterable[bytes], limits: AnswerLimits) -> Outcome:
    """Feed pieces until there is an outcome."""
    parser = AnswerParser(limits)
    rest = iter(pieces)
    for piece in rest:
        try:
            answer = parser.feed(piece)
        except BadAnswer as bad:
            return bad.flaw, bad.reason
        if answer is not None:
            return answer, parser.trailing + b"".join(rest)
    return None


def read(stream: bytes, limits: AnswerLimits = DEFAULTS) -> Outcome:
    """Read a stream at every chunking: the outcome must be one."""
    outcomes = {
        how: readPieces(pieces, limits) for how, pieces in chunkings(stream, seed=1)
    }
    outcome = outcomes["whole"]
    assert all(other == outcome for other in outcomes.values()), outcomes
    return outcome


def answered(
    stream: bytes, limits: AnswerLimits = DEFAULTS
) -> tuple[AnswerHead, bytes]:
    """Read a stream that holds an answer: it, and what stands behind it."""
    outcome = read(stream, limits)
    assert outcome is not None
    answer, trailing = outcome
    assert isinstance(answer, AnswerHead), outcome
    assert isinstance(trailing, bytes)
    return answer, trailing


def flawed(stream: bytes, limits: AnswerLimits = DEFAULTS) -> tuple[Flaw, str]:
    """Read a stream that begins no answer: the flaw and the reason."""
    outcome = read(stream, limits)
    assert outcome is not None, "neither answered nor flawed"
    flaw, reason = outcome
    assert isinstance(flaw, Flaw), outcome
    assert isinstance(reason, str)
    return flaw, reason
