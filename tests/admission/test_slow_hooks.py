"""
Hooks that keep the reactor, and whom the log blames.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rig import Logged, Rig, connect, logging, status
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from zope.interface import implementer

from txconnect.admission.hooks import SLOW
from txconnect.admission.rules import isStock
from txconnect.interfaces import IDestinationPolicy, ITrafficObserver, ITrafficTap
from txconnect.plugins.functions import FunctionPolicy
from txconnect.policy.combinators import allOf, anyOf
from txconnect.policy.hosts import HostsPolicy
from txconnect.policy.ports import PortsPolicy
from txconnect.routing.rules import RuleRouter
from txconnect.values import Allow, Named


@pytest.fixture
def logged() -> Iterator[Logged]:
    """The log."""
    with logging() as logged:
        yield logged


@implementer(IDestinationPolicy)
class Policy:
    """Answers as a test says."""

    def __init__(self, decide: Callable[[], Any]) -> None:
        self._decide = decide

    def decide(self, request: Any) -> Any:
        return self._decide()


def blamed(logged: Logged) -> list[str]:
    """The lines about hooks, up to the request's id."""
    lines = [formatEvent(each) for each in logged.events]
    return [line.partition(" over ")[0] for line in lines if "kept the reactor" in line]


@pytest.fixture(autouse=True)
def watch(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The stopwatch, which stands still but for the tests."""
    watch = Clock()
    monkeypatch.setattr("txconnect.admission.hooks.stopwatch", watch.seconds)
    return watch


@pytest.mark.parametrize("asynchronous", [False, True])
def test_slowPolicies(logged: Logged, watch: Clock, asynchronous: bool) -> None:
    """[F26] A hook that keeps the reactor is in the log, with its plugin's name."""

    async def later() -> Any:
        watch.advance(2 * SLOW)
        return Allow()

    def slow() -> Any:
        if asynchronous:
            return later()
        watch.advance(2 * SLOW)
        return Allow()

    rig = Rig(policies=[Named("slow", Policy(slow)), Named("quick", Policy(Allow))])
    rig.serve()
    assert status(rig.client(connect())) == 200
    assert blamed(logged) == ["slow kept the reactor for 0.50 s"]


def test_aSlowHookThatFails(logged: Logged, watch: Clock) -> None:
    """[F26] It is blamed all the same."""

    def slow() -> Any:
        watch.advance(2 * SLOW)
        raise RuntimeError("a bug")

    rig = Rig(policies=[Named("slow", Policy(slow))])
    assert status(rig.client(connect())) == 500
    assert blamed(logged) == ["slow kept the reactor for 0.50 s"]


def test_slowObserversAndTaps(logged: Logged, watch: Clock) -> None:
    """[F26] Observers at each event, and taps; each by its own name."""

    @implementer(ITrafficObserver)
    class Observer:
        def observe(self, event: Any) -> None:
            watch.advance(2 * SLOW)

    @implementer(ITrafficTap)
    class Tap:
        def tap(self, tunnel: Any) -> None:
            watch.advance(2 * SLOW)

    rig = Rig(observers=[Named("seen", Observer())], taps=[Named("mine", Tap())])
    rig.serve()
    rig.client(connect())
    assert blamed(logged) == [
        f"{name} kept the reactor for 0.50 s" for name in ("mine", "seen")
    ]


def test_noPluginIsBlamedForOthers(logged: Logged, watch: Clock) -> None:
    """[F26] Where the time goes elsewhere, none is: neither the proxy's own, nor
    another's that was quick."""

    def slow(name: Any) -> Any:
        watch.advance(2 * SLOW)
        return lookUp(name)

    rig = Rig(
        policies=[
            Named("every port", PortsPolicy("any")),
            Named("names", allOf(HostsPolicy("example.com"))),
            Named("quick", Policy(Allow)),
        ]
    )
    lookUp = rig.proxy.lookups.lookup
    rig.proxy.lookups.lookup = slow  # type: ignore[method-assign]
    rig.serve()
    assert status(rig.client(connect())) == 200
    assert blamed(logged) == []


def test_theWallsClockMayBeSet(logged: Logged) -> None:
    """[F26] Then no plugin is blamed for it."""

    def quick() -> Any:
        rig.network.clock.rightNow += 3600
        return Allow()

    rig = Rig(policies=[Named("quick", Policy(quick))])
    rig.serve()
    rig.client(connect())
    assert blamed(logged) == []


def test_anOwnPluginIsNeverBlamed(logged: Logged, watch: Clock) -> None:
    """[F26] Its time is not even taken: it is other programs that are slow."""
    rig = Rig()
    own = HostsPolicy("example.com")
    decide = own.decide

    def slow(request: Any) -> Any:
        watch.advance(2 * SLOW)
        return decide(request)

    own.decide = slow  # type: ignore[method-assign]
    rules = rig.proxy.makeRules(
        policies=[own, *rig.proxy.policies], observers=[rig.events]
    )
    rig.proxy.replaceRules(rules)
    rig.serve()
    assert status(rig.client(connect())) == 200
    assert "hosts" not in rules.watched
    assert blamed(logged) == []


def test_whoseTimeIsTaken() -> None:
    """[F26] That of others' plugins, also within a combinator, a route, a function."""
    own, other = HostsPolicy("example.com"), Policy(Allow)
    route: Any = None
    assert isStock(own)
    assert isStock(anyOf(own, own))
    assert isStock(RuleRouter(own, route))
    assert isStock(RuleRouter(None, route))
    assert not isStock(other)
    assert not isStock(anyOf(own, allOf(other)))
    assert not isStock(RuleRouter(other, route))
    assert not isStock(FunctionPolicy("mine", "One.", lambda request: Allow()))


def test_aSlowChecker(logged: Logged, watch: Clock) -> None:
    """[F26] A checker of another's that blocks is told of as authentication."""

    @implementer(ICredentialsChecker)
    class Slow:
        credentialInterfaces = (IUsernamePassword,)

        def requestAvatarId(self, credentials: Any) -> Any:
            watch.advance(2 * SLOW)
            return b"ada"

    rig = Rig(checkers=[Slow()])
    rig.serve()
    basic = b64encode(b"ada:secret").decode()
    client = rig.client(
        connect("example.com:443", f"Proxy-Authorization: Basic {basic}")
    )
    assert status(client) == 200
    assert blamed(logged) == ["authentication kept the reactor for 0.50 s"]
