"""
What a proxy asks with C{Proxy-Authenticate}: challenges (RFC 9110, 11.6.1).

The grammar has commas between challenges and between the parameters of one
challenge, so that a name alone does not tell which of the two it begins.  It
is read strictly: a field that is not exactly of the grammar is left out as a
whole, because credentials must not be built on half of what was asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from txconnect.wire.grammar import TOKEN

__all__ = ["Challenge", "parseChallenges"]

MOST = 64
"""Challenges of one answer: who has more to ask than that wastes our time."""

_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_END = r"[\t ]*(?:,|\Z)"
# One element of the list, with the comma behind it.  A parameter is tried
# first: what could be both is one ("a=b"), and what cannot ("a==") is a token68.
_PARAMETER = re.compile(rf"({TOKEN})[\t ]*=[\t ]*(?:({TOKEN})|({_QUOTED})){_END}")
_TOKEN68 = re.compile(rf"([A-Za-z0-9\-._~+/]+=*){_END}")
_SCHEME = re.compile(rf"({TOKEN})(?:[ ]+|(?={_END}))")
_NOTHING = re.compile(_END)
_EMPTY = re.compile(r"[\t ]*,?")
_PAIR = re.compile(r"\\(.)", re.DOTALL)


def _unchangeable(parameters: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(parameters))


@attrs.frozen
class Challenge:
    """
    One challenge: a scheme, and what it needs to know.

    @ivar scheme: in lower case, such as C{"basic"}.
    @ivar parameters: names in lower case, values without their quotes, a
        character an octet (ISO 8859-1).  Empty when there is a C{token68}.
    @ivar token68: what stands in place of parameters, as with
        C{"Negotiate YII="}; or L{None}.
    """

    scheme: str
    parameters: Mapping[str, str] = attrs.field(
        factory=lambda: dict[str, str](), converter=_unchangeable, hash=False
    )
    token68: str | None = None


def parseChallenges(values: Sequence[bytes]) -> tuple[Challenge, ...]:
    """
    Read all C{Proxy-Authenticate} fields of an answer.

    Several challenges may stand in one field.  A parameter may stand only
    once in a challenge (RFC 9110, 11.2).

    @param values: the values of the fields, in order.
    @return: the challenges, in order; none of a field that cannot be read, or
        from the one on that brings them over L{MOST}.
    """
    challenges: list[Challenge] = []
    for value in values:
        room = MOST - len(challenges)
        found = _readField(value.decode("iso-8859-1"), room)
        if found is None:
            break
        challenges += found
    return tuple(challenges)


def _readField(text: str, room: int) -> Sequence[Challenge] | None:
    """
    @return: none of what cannot be read; L{None} for more than C{room}.
    """
    found: list[_Found] = []
    at = 0
    while (at := _skipEmpty(text, at)) < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is None:
            at = _readScheme(text, at, found)
        elif found and found[-1].takes(parameter):
            at = parameter.end()
        else:
            at = -1
        if at < 0:
            return ()
        if len(found) > room:
            return None
    return [Challenge(one.scheme, one.parameters, one.token68) for one in found]


def _readScheme(text: str, at: int, found: list[_Found]) -> int:
    """
    Begin a challenge.

    @return: where its first parameter, or the next element, is; -1 when
        neither can follow.
    """
    scheme = _SCHEME.match(text, at)
    if scheme is None:
        return -1
    at = scheme.end()
    token = None
    if not _PARAMETER.match(text, at):
        token = _TOKEN68.match(text, at)
        end = token or _NOTHING.match(text, at)
        if end is None:
            return -1
        at = end.end()
    found.append(_Found(scheme[1].lower(), token and token[1]))
    return at


def _skipEmpty(text: str, at: int) -> int:
    # RFC 9110, 5.6.1.2: empty elements of a list count for nothing.
    while (match := _EMPTY.match(text, at)) is not None and match.end() > at:
        at = match.end()
    return at


class _Found:
    """A challenge that is being read."""

    def __init__(self, scheme: str, token68: str | None) -> None:
        self.scheme = scheme
        self.token68 = token68
        self.parameters: dict[str, str] = {}

    def takes(self, parameter: re.Match[str]) -> bool:
        """Add a parameter; false when it cannot have it."""
        name = parameter[1].lower()
        if self.token68 is not None or name in self.parameters:
            return False
        plain, quoted = parameter[2], parameter[3]
        self.parameters[name] = (
            plain if quoted is None else _PAIR.sub(r"\1", quoted[1:-1])
        )
        return True
