"""
What the kit says to the writer of a test: about what only a running proxy has, and about
arguments of a wrong kind.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from txconnect import (
    Allow,
    Decision,
    Event,
    Identity,
    Request,
    policyPlugin,
    tapPlugin,
)
from txconnect.interfaces import IDestinationPolicy, ITrafficObserver
from txconnect.testing import (
    checkObserver,
    checkPolicy,
    checkTap,
    decide,
    decideAsync,
    makeRequest,
    proxyOnMemory,
)

HINT = "; it is a service: call its startService() before, and stopService()"
HOSTS = {"a.example": "93.184.215.14"}


@implementer(ITrafficObserver, IDestinationPolicy)
class Stored(Service):
    """Has its store only while it runs, as one that opens a file has."""

    store: list[object]

    def startService(self) -> None:
        super().startService()
        self.store = []

    def observe(self, event: Event) -> None:
        self.store.append(event)

    def decide(self, request: Request) -> Decision:
        self.store.append(request)
        return Allow()


@pytest.mark.parametrize(
    "check", [checkObserver, checkPolicy, lambda plugin: decide(plugin)]
)
def test_serviceThatWasNotStarted(check: Any) -> None:
    """The proxy starts a service; a check of it alone does not, and says so."""
    stored = Stored()
    with pytest.raises(AssertionError) as caught:
        check(stored)
    assert str(caught.value).endswith(HINT)
    stored.startService()
    check(stored)
    assert stored.store
    stored.stopService()


def test_otherMistakesOfAServiceThatRuns() -> None:
    """The hint is for one that does not run."""
    stored = Stored()
    stored.startService()
    del stored.store
    with pytest.raises(AssertionError, match="AttributeError") as caught:
        checkObserver(stored)
    assert HINT not in str(caught.value)


@policyPlugin("waits", "Wait for ever.")
async def waits(request: Request) -> Decision:
    await Deferred()
    return Allow()


def test_waitingPolicyIsCancelledQuietly() -> None:
    """The check itself cancels it: no traceback of that is logged."""
    heard: list[Any] = []
    globalLogPublisher.addObserver(heard.append)
    try:
        checkPolicy(waits)
        with pytest.raises(AssertionError, match="waits has not answered yet"):
            decide(waits)
    finally:
        globalLogPublisher.removeObserver(heard.append)
    assert [each for each in heard if each.get("log_failure")] == []


@policyPlugin("sleeps", "Wait as asyncio does.")
async def sleeps(request: Request) -> Decision:
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
    return Allow("slept")


def test_asyncioPolicyNeedsALoop() -> None:
    """The remedy is one for a test."""
    with pytest.raises(AssertionError) as caught:
        decide(sleeps)
    assert str(caught.value).endswith(
        "; in a test, await decideAsync in a running loop"
    )


def test_asyncioPolicyInALoop() -> None:
    async def ask() -> Decision:
        loop = asyncio.get_running_loop()
        return await decideAsync(sleeps, "a.example:443").asFuture(loop)

    assert asyncio.run(ask()) == Allow("slept")


@tapPlugin("first", "Take one argument too few.")
def narrow(tunnel: Any) -> Any:
    return lambda data: None


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (
            lambda: proxyOnMemory(hosts=["a.example"]),
            TypeError,
            "hosts: give {NAME: ADDRESS}, not a value of type list",
        ),
        (
            lambda: proxyOnMemory(hosts={"a.example": "b.example"}),
            ValueError,
            "hosts: 'b.example' of a.example is no address",
        ),
        (
            lambda: proxyOnMemory(hosts={"a.example": ["192.0.2.1", "x"]}),
            ValueError,
            "hosts: 'x' of a.example is no address",
        ),
        (
            lambda: proxyOnMemory(hosts=HOSTS).connectThrough(
                "a.example:443", headers={"X-A": "b"}
            ),
            TypeError,
            "headers: give pairs, [(NAME, VALUE)]: a name may come twice",
        ),
        (
            lambda: proxyOnMemory().ask("GET", "/", headers={"Host": "p.example"}),
            TypeError,
            "headers: give pairs, [(NAME, VALUE)]: a name may come twice",
        ),
        (
            lambda: makeRequest(user="ada", groups="staff"),
            TypeError,
            "groups are several: write groups=['staff']",
        ),
        (
            lambda: Identity("ada", "mine", "staff"),
            TypeError,
            "an Identity's groups are several: write ('staff',)",
        ),
        (
            lambda: checkTap(narrow),
            AssertionError,
            "first raised over bytes up: TypeError: narrow.<locals>.<lambda>() takes 1 "
            "positional argument but 2 were given",
        ),
    ],
)
def test_argumentsOfAWrongKind(call: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence
