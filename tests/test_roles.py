"""
Roles: whether an object is what its interface says, hooks that nobody awaits among
them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from zope.interface import implementer

from txconnect.errors import ConfigurationError
from txconnect.interfaces import (
    IAuthScheme,
    IDestinationPolicy,
    IPairFactory,
    IReopens,
    ITrafficObserver,
    ITrafficTap,
)
from txconnect.plugins import observerPlugin
from txconnect.proxy import ConnectProxy
from txconnect.roles import isCoroutineFunction, verifyRole
from txconnect.testing import MemoryNetwork
from txconnect.values import Allow

ALL = (ITrafficObserver, ITrafficTap, IPairFactory, IAuthScheme, IReopens)


class Plain:
    """Has every hook, none of which waits."""

    name = "plain"

    def observe(self, event: Any) -> None:
        """Nothing."""

    def tap(self, tunnel: Any) -> Any:
        """Nothing."""

    def buildPair(self, tunnel: Any) -> Any:
        """Nothing."""

    def challenge(self, reason: Any, realm: Any) -> Any:
        """Nothing."""

    def parse(self, attempt: Any) -> Any:
        """Nothing."""

    def reopen(self) -> None:
        """Nothing."""


async def later(first: Any = None, *more: Any) -> None:
    """Nothing, later."""


async def several(first: Any = None, *more: Any) -> Any:
    """Something, again and again."""
    yield 1


class Called:
    """An object whose call is a coroutine."""

    async def __call__(self, *arguments: Any) -> None:
        """Nothing, later."""


def refusal(role: Any, plugin: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        verifyRole(role, plugin)
    return str(caught.value)


@pytest.mark.parametrize(
    ("role", "hook"),
    [
        (ITrafficObserver, "observe"),
        (ITrafficTap, "tap"),
        (IPairFactory, "buildPair"),
        (IAuthScheme, "challenge"),
        (IAuthScheme, "parse"),
        (IReopens, "reopen"),
    ],
)
def test_hookThatNobodyAwaitsIsRefused(role: Any, hook: str) -> None:
    """[F61] It would be accepted, called, and never do anything."""
    good = implementer(*ALL)(type("Good", (Plain,), {}))()
    verifyRole(role, good)
    for wrong in (later, several):
        bad = implementer(*ALL)(type("Bad", (Plain,), {hook: wrong}))()
        assert refusal(role, bad) == (
            f"its {hook} is an async def, and nobody awaits it: write a plain def, and "
            "let that start what has to wait"
        )


@pytest.mark.parametrize(
    ("hook", "wanted"),
    [
        (later, True),
        (partial(later, 1), True),
        (Called(), True),
        (Called().__call__, True),
        (several, True),
        (print, False),
        (lambda: later(), False),
        (Plain().observe, False),
    ],
)
def test_coroutineFunctions(hook: Any, wanted: bool) -> None:
    """[F61] Functions, methods, partial ones and objects that are called."""
    assert isCoroutineFunction(hook) is wanted


def test_asyncObserverStopsTheStart() -> None:
    """[F61] However it is given."""
    decorated: Any = observerPlugin("watch", "Watch.")(later)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError) as caught:
        ConnectProxy(MemoryNetwork(), observers=[decorated])
    assert str(caught.value) == (
        "'watch': its observe is an async def, and nobody awaits it: write a plain "
        "def, and let that start what has to wait"
    )


def test_classInTheObjectsPlace() -> None:
    """[F57] A pair of brackets that is missing is told as such."""

    @implementer(IDestinationPolicy)
    class Mine:
        def decide(self, request: Any) -> Any:
            return Allow()

    assert refusal(IDestinationPolicy, Mine) == (
        "it is the class Mine: give an object of it, Mine(...)"
    )
    verifyRole(IDestinationPolicy, Mine())


def test_hookWithoutItsInterface() -> None:
    """[F57] The hint is the line that is missing."""
    text = refusal(ITrafficObserver, Plain())
    assert text.endswith(
        "; it has observe(): decorate its class with @implementer(ITrafficObserver)"
    )
    assert "\n" not in text
