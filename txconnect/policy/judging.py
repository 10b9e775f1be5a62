"""
How combinators judge: a judgement is a generator, run by
L{txconnect.maybeasync.run}, which asks one member after the other and returns an
opinion.
"""

from __future__ import annotations

import weakref
from collections.abc import Generator
from typing import Any, Generic, TypeVar, Union

import attrs
from twisted.internet.defer import Deferred

from txconnect.maybeasync import settle
from txconnect.values import Allow, ConnectRequest, Decision, Deny

__all__ = [
    "Abstain",
    "Judgement",
    "Opinion",
    "PerRequest",
    "abstaining",
    "atTop",
    "opinionOf",
]

_T = TypeVar("_T")


@attrs.frozen
class Abstain:
    """No opinion; only combinators say and hear this."""

    reason: str = ""


Opinion = Union[Allow, Deny, Abstain]
_OPINIONS = (Allow, Deny, Abstain)
Judgement = Generator[Deferred[Any], Any, Opinion]
"""Yields what it has to wait for, and returns an opinion."""


def atTop(
    judgement: Judgement, hasRule: bool
) -> Generator[Deferred[Any], Any, Decision]:
    """
    Turn abstaining, of which only combinators know, into an allowance.

    @raise TypeError: it abstained, and has a rule.
    """
    opinion = yield from judgement
    if not isinstance(opinion, Abstain):
        return opinion
    if hasRule:
        raise TypeError("a member with a rule abstained")
    return Allow(opinion.reason)


def opinionOf(answer: Any) -> Judgement:
    """
    Wait for what a member answers.

    @raise TypeError: it is no decision.
    """
    if type(answer) not in _OPINIONS:
        answer = settle(answer)
        if isinstance(answer, Deferred):
            answer = yield answer
        if type(answer) not in _OPINIONS:
            kind = type(answer).__name__
            raise TypeError(f"a member answered {kind}, not Allow or Deny")
    return answer  # type: ignore[no-any-return]


def abstaining() -> Judgement:
    """Have no opinion without asking anybody."""
    yield from ()
    return Abstain()


class PerRequest(Generic[_T]):
    """
    A value a live request.  Requests are equal by value, so they are told
    apart by identity; an entry goes when its request does, whether the second
    step ever comes or not.
    """

    def __init__(self) -> None:
        self._values: dict[int, tuple[weakref.ref[ConnectRequest], _T]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def keep(self, request: ConnectRequest, value: _T) -> None:
        """Remember a value."""
        key, values = id(request), self._values
        values[key] = (weakref.ref(request, lambda _: values.pop(key, None)), value)

    def drop(self, request: ConnectRequest) -> None:
        """Forget what was kept."""
        self._values.pop(id(request), None)

    def get(self, request: ConnectRequest) -> _T | None:
        """The value that was kept for this very request."""
        entry = self._values.get(id(request))
        return entry[1] if entry is not None and entry[0]() is request else None
