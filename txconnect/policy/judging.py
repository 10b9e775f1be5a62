"""
Judgements, the work of a combinator at one step: a judgement is a generator, run
by L{txconnect.maybeasync.run}, which asks one member after the other and returns
an opinion.

An opinion is a decision, or L{Abstain}.  L{Abstain} is a class of its own, which
the proxy does not know, and not an L{Allow} with a mark: one that reaches the proxy
by mistake refuses the request and does not let it pass.
"""

from __future__ import annotations

import weakref
from collections.abc import Generator
from typing import Generic, TypeGuard, TypeVar, Union

import attrs
from twisted.internet.defer import Deferred

from txconnect.maybeasync import settle
from txconnect.values import Allow, Decision, Deny, Request

__all__ = [
    "Abstain",
    "Judgement",
    "Opinion",
    "PerRequest",
    "abstainingJudgement",
    "atTop",
    "opinionOf",
]

_T = TypeVar("_T")


@attrs.frozen
class Abstain:
    """No opinion; only combinators return this, and only to combinators."""

    reason: str = ""


Opinion = Union[Allow, Deny, Abstain]
_OPINIONS = (Allow, Deny, Abstain)
Judgement = Generator[Deferred[object], object, Opinion]
"""A generator that yields the Deferreds it waits for, and returns an opinion."""


def atTop(
    judgement: Judgement, hasRule: bool
) -> Generator[Deferred[object], object, Decision]:
    """
    Make abstaining, which only combinators know, an allowance for the proxy.

    @raise TypeError: it abstained, and has a rule.
    """
    # A combinator that only reports must not refuse; every other policy, and its
    # own other step, must still allow the request.  One that has a rule cannot
    # abstain unless a member is wrong, so that is an error, which refuses.
    opinion = yield from judgement
    if not isinstance(opinion, Abstain):
        return opinion
    if hasRule:
        raise TypeError("a member with a rule abstained")
    return Allow(opinion.reason)


def opinionOf(answer: object) -> Judgement:
    """
    Wait for the answer of a member.

    @raise TypeError: it is not a decision.
    """
    if _isOpinion(answer):
        return answer
    answer = settle(answer)
    if isinstance(answer, Deferred):
        answer = yield answer
    if _isOpinion(answer):
        return answer
    raise TypeError(f"a member answered {type(answer).__name__}, not Allow or Deny")


def _isOpinion(answer: object) -> TypeGuard[Opinion]:
    # Exactly these types: a subclass might mean something else by its Allow.
    return type(answer) in _OPINIONS


def abstainingJudgement() -> Judgement:
    """Abstain without asking a member."""
    yield from ()
    return Abstain()


class PerRequest(Generic[_T]):
    """
    A value for each live request.

    Requests are equal by value, so the keys are their identities; an entry goes
    with its request, even if the second step never comes.
    """

    def __init__(self) -> None:
        self._values: dict[int, tuple[weakref.ref[Request], _T]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def keep(self, request: Request, value: _T) -> None:
        """Keep a value until L{drop}, or until the request is collected."""
        key, values = id(request), self._values
        values[key] = (weakref.ref(request, lambda _: values.pop(key, None)), value)

    def drop(self, request: Request) -> None:
        """Drop the value of a request, if there is one."""
        self._values.pop(id(request), None)

    def get(self, request: Request) -> _T | None:
        """Return the value that was kept for this very request, if any."""
        # A collected request's number may belong to the next one already.
        entry = self._values.get(id(request))
        return entry[1] if entry is not None and entry[0]() is request else None
