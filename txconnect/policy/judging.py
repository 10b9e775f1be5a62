"""
How combinators judge: a judgement is a generator that yields what members
answer and is sent their opinions, so that one piece of code serves answers
that are there at once and answers that have to be waited for.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar, Union

import attrs

from txconnect.values import Allow, ConnectRequest, Deny

__all__ = [
    "Abstain",
    "Judgement",
    "Opinion",
    "PerRequest",
    "abstaining",
    "atTop",
    "run",
]

_T = TypeVar("_T")


@attrs.frozen
class Abstain:
    """No opinion; only combinators say and hear this."""

    reason: str = ""


Opinion = Union[Allow, Deny, Abstain]
_OPINIONS = (Allow, Deny, Abstain)
Judgement = Generator[Any, Opinion, Opinion]
"""Yields what members answer, is sent their opinions, and returns one."""


def atTop(judgement: Judgement, hasRule: bool) -> Judgement:
    """
    Nobody above knows of abstaining: what has no rule at a step lets pass.

    @raise TypeError: it abstained, and has a rule.
    """
    opinion = yield from judgement
    if not isinstance(opinion, Abstain):
        return opinion
    if hasRule:
        raise TypeError("a member with a rule abstained")
    return Allow(opinion.reason)


def run(judgement: Judgement) -> Any:
    """Run a judgement straight on; only an answer to wait for makes a coroutine."""
    try:
        answer = next(judgement)
        while type(answer) in _OPINIONS or not isinstance(answer, Awaitable):
            answer = _tell(judgement, answer)
    except StopIteration as done:
        return done.value
    return _wait(judgement, answer)


async def _wait(judgement: Judgement, answer: Any) -> Any:
    try:
        while True:
            try:
                told = await answer if isinstance(answer, Awaitable) else answer
            except Exception as error:
                answer = judgement.throw(error)
            else:
                answer = _tell(judgement, told)
    except StopIteration as done:
        return done.value


def _tell(judgement: Judgement, answer: Any) -> Any:
    """Go on with an answer that is there; what is no decision is an error."""
    if type(answer) in _OPINIONS:
        return judgement.send(answer)
    kind = type(answer).__name__
    return judgement.throw(TypeError(f"a member answered {kind}, not Allow or Deny"))


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
