"""
The operator's own words in a refusal: a text with placeholders.

C{%{host}} stands for the destination's host, and so on (L{PLACEHOLDERS}); C{%%} is a
percent sign.  A text is parsed once, when the proxy starts, and a mistake in it is
found then.  The values that are put in come from outside: each is made plain and
bounded by whoever fills the note, and the whole note is bounded here, as one
placeholder may stand in it many times.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

PLACEHOLDERS = ("host", "port", "rule", "id", "cause", "user")

LONGEST = 500
"""Most characters of the operator's text."""

_FILLED = 1000
"""Most characters of a note with its values."""

# A percent sign is always looked at with what follows it.
_PIECE = re.compile(r"%(%|\{([^{}%]*)\})?|[^%]+")


class BadNote(ValueError):
    """The text is no note; C{str()} says why, for the operator."""


@attrs.frozen
class Note:
    """
    A note that has been parsed.

    @ivar pieces: its parts in order, C{(text, is a placeholder)}.
    """

    pieces: tuple[tuple[str, bool], ...] = ()

    def fill(self, values: Mapping[str, str]) -> str:
        """
        Return the note with the values of one refusal.

        @param values: one for each of L{PLACEHOLDERS}, without line breaks; an empty
            one is shown as a hyphen.
        """
        text = "".join(
            (values[piece] or "-") if isPlaceholder else piece
            for piece, isPlaceholder in self.pieces
        )
        return text if len(text) <= _FILLED else text[: _FILLED - 3] + "..."


def parseNote(text: str) -> Note:
    """
    Parse the operator's text.

    @raise BadNote: it is too long, is more than a line, or has an unknown placeholder.
    """
    if len(text) > LONGEST:
        raise BadNote(f"{len(text)} characters; a note has at most {LONGEST}")
    if not text.isprintable():
        # Line breaks, and what steers a terminal that shows the answer.
        raise BadNote("a note is one line of printable characters")
    pieces = []
    for match in _PIECE.finditer(text):
        literal, escape, name = match.group(0, 1, 2)
        if not literal.startswith("%"):
            pieces.append((literal, False))
        elif escape == "%":
            pieces.append(("%", False))
        elif name in PLACEHOLDERS:
            pieces.append((name, True))
        else:
            raise BadNote(_explainPlaceholder(text[match.start() :]))
    return Note(tuple(pieces))


def _explainPlaceholder(rest: str) -> str:
    wrong = rest[: rest.find("}") + 1] if rest.startswith("%{") else rest[:2]
    known = ", ".join(f"%{{{name}}}" for name in PLACEHOLDERS)
    return (
        f"{(wrong or rest)!r} is no placeholder: these are {known}, and %% is a "
        "percent sign"
    )
