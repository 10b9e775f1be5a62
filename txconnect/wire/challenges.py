"""
The challenges in a proxy's C{Proxy-Authenticate} fields (RFC 9110, 11.6.1).

The grammar has commas between challenges and between the parameters of one
challenge, so that a name alone does not show which of the two it begins.  The
parser is strict: it drops a field that is not exactly of the grammar as a
whole, because credentials must not be built on half of a challenge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from txconnect.wire.grammar import TOKEN

__all__ = ["Challenge", "parseChallenges"]

MOST = 64
"""Most challenges of one answer: a proxy that sends more wastes our time."""

_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_END = r"[\t ]*(?:,|\Z)"
# One element of the list, with the comma after it.  A parameter is tried first:
# "a=b", which could be both, is a parameter, and "a==", which could not, a token68.
_PARAMETER = re.compile(rf"({TOKEN})[\t ]*=[\t ]*(?:({TOKEN})|({_QUOTED})){_END}")
_TOKEN68 = re.compile(rf"([A-Za-z0-9\-._~+/]+=*){_END}")
_SCHEME = re.compile(rf"({TOKEN})(?:[ ]+|(?={_END}))")
_NOTHING = re.compile(_END)
_EMPTY = re.compile(r"[\t ]*,?")
_PAIR = re.compile(r"\\(.)", re.DOTALL)


def _freezeParameters(parameters: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(parameters))


@attrs.frozen
class Challenge:
    """
    One challenge: a scheme and its parameters.

    @ivar scheme: in lower case, such as C{"basic"}.
    @ivar parameters: names in lower case, values without their quotes, a
        character an octet (ISO 8859-1).  Empty when there is a C{token68}.
    @ivar token68: the token that replaces the parameters, as in
        C{"Negotiate YII="}; or L{None}.
    """

    scheme: str
    parameters: Mapping[str, str] = attrs.field(
        factory=lambda: dict[str, str](), converter=_freezeParameters, hash=False
    )
    token68: str | None = None


def parseChallenges(values: Sequence[bytes]) -> tuple[Challenge, ...]:
    """
    Read all C{Proxy-Authenticate} fields of an answer.

    One field may hold several challenges.  A challenge may hold a parameter
    only once (RFC 9110, 11.2).

    @param values: the values of the fields, in order.
    @return: the challenges, in order, without those of a field that cannot be
        parsed; the first field that brings them over L{MOST} and all fields
        after it are dropped.
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
    Read the challenges of one field.

    @param room: the most challenges that it may hold.
    @return: the challenges, none of them if the field cannot be parsed; L{None}
        if there are more than C{room}.
    """
    found: list[_PartialChallenge] = []
    at = 0
    while (at := _skipEmpty(text, at)) < len(text):
        # A name with "=" and a value belongs to the challenge before it; any
        # other name begins a challenge.
        parameter = _PARAMETER.match(text, at)
        if parameter is None:
            at = _readScheme(text, at, found)
        elif found and found[-1].addParameter(parameter):
            at = parameter.end()
        else:
            at = -1
        if at < 0:
            return ()
        if len(found) > room:
            return None
    return [Challenge(one.scheme, one.parameters, one.token68) for one in found]


def _readScheme(text: str, at: int, found: list[_PartialChallenge]) -> int:
    """
    Begin a challenge.

    @return: the position of its first parameter, or of the next element; -1 if
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
    found.append(_PartialChallenge(scheme[1].lower(), token and token[1]))
    return at


def _skipEmpty(text: str, at: int) -> int:
    # RFC 9110, 5.6.1.2: empty elements of a list count for nothing.
    while (match := _EMPTY.match(text, at)) is not None and match.end() > at:
        at = match.end()
    return at


class _PartialChallenge:
    """A challenge of which the parser has not seen all parameters yet."""

    def __init__(self, scheme: str, token68: str | None) -> None:
        self.scheme = scheme
        self.token68 = token68
        self.parameters: dict[str, str] = {}

    def addParameter(self, parameter: re.Match[str]) -> bool:
        """Add a parameter; return false if the challenge cannot have it."""
        name = parameter[1].lower()
        if self.token68 is not None or name in self.parameters:
            return False
        plain, quoted = parameter[2], parameter[3]
        self.parameters[name] = (
            plain if quoted is None else _PAIR.sub(r"\1", quoted[1:-1])
        )
        return True
