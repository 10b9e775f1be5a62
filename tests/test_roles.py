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
    IRequestHandler,
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
        "observer 'watch': its observe is an async def, and nobody awaits it: write a plain "
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


@implementer(IDestinationPolicy)
class Misspelt:
    def decied(self, request: Any) -> Any:
        return Allow()


@implementer(IDestinationPolicy)
class WithoutParameter:
    def decide(self) -> Any:
        return Allow()


@implementer(IDestinationPolicy)
class WithTwo:
    def decide(self, request: Any, more: Any) -> Any:
        return Allow()


@implementer(IDestinationPolicy)
class WithNumber:
    decide = 3


@implementer(IAuthScheme)
class Empty:
    pass


def bare(request: Any) -> Any:
    return Allow()


@pytest.mark.parametrize(
    ("role", "plugin", "sentence"),
    [
        (
            IDestinationPolicy,
            Misspelt(),
            "it has no decide(request), which IDestinationPolicy asks for; is 'decied' "
            "meant to be it?",
        ),
        (
            IDestinationPolicy,
            WithoutParameter(),
            "its decide() takes too few arguments: it is called as decide(request)",
        ),
        (
            IDestinationPolicy,
            WithTwo(),
            "its decide(request, more) needs too many arguments: it is called as "
            "decide(request)",
        ),
        (
            IDestinationPolicy,
            WithNumber(),
            "its decide is an int; it is called as decide(request)",
        ),
        (
            IAuthScheme,
            Empty(),
            "it has no name and no challenge(reason, realm) and no parse(attempt), "
            "which IAuthScheme asks for",
        ),
        (
            ITrafficTap,
            None,
            "it is None, which does not provide ITrafficTap",
        ),
        (
            ITrafficTap,
            "sni:secret",
            "it is a str, which does not provide ITrafficTap",
        ),
        (
            IDestinationPolicy,
            bare,
            "it is a bare function, which does not provide IDestinationPolicy: decorate "
            "it with @policyPlugin(NAME, SUMMARY) of txconnect",
        ),
        (
            IReopens,
            bare,
            "it is a bare function, which does not provide IReopens",
        ),
        (
            ITrafficObserver,
            Plain,
            "it is the class Plain, which does not provide ITrafficObserver; it has "
            "observe(): decorate its class with @implementer(ITrafficObserver)",
        ),
    ],
)
def test_wordsForWhatIsNoPlugin(role: Any, plugin: object, sentence: str) -> None:
    """[F57] One sentence, without zope's own and without an address in memory."""
    assert refusal(role, plugin) == sentence


def test_anotherRoleIsNamed() -> None:
    """[F57] A policy among the observers, and a handler that no option takes."""
    other = implementer(ITrafficTap, IRequestHandler)(type("Other", (), {}))()
    assert refusal(IDestinationPolicy, other) == (
        "it is an Other, which does not provide IDestinationPolicy; it provides "
        "ITrafficTap and IRequestHandler"
    )
