"""
What every relay promises of a tap or a pair that fails before the 200: the client is
told, the leg is reset, and the log has one line.

As in C{relaypromises}, the fixture C{makeRig} says which relay would have served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from relaypromises import MakeRig
from rig import ESTABLISHED, connect, logging
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.logger import LogLevel
from zope.interface import implementer

from txconnect.interfaces import IPairFactory, ITrafficTap
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.values import Cause, Named

Make = Callable[[], object]


@implementer(ITrafficTap, IPairFactory)
class Gives:
    """A tap and a pair factory that gives what C{make} returns."""

    def __init__(self, make: Make) -> None:
        self.tap = self.buildPair = lambda tunnel: make()


def raises(error: BaseException) -> Make:
    """A hook that raises."""

    def fail() -> object:
        raise error

    return fail


async def later() -> None:
    """A coroutine, which no such hook may answer with."""


class Joins(ProxyServer):
    """A half that cannot be joined to another."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "peer":
            raise RuntimeError("it has no other half")
        super().__setattr__(name, value)


FAILURES: dict[str, Make] = {
    "raises": raises(RuntimeError("no disk")),
    "exits": raises(SystemExit(1)),
    "a number": lambda: 7,
    "a string": lambda: "tap",
    "a Deferred": Deferred,
    "a coroutine": later,
}
PAIRS: dict[str, Make] = {
    **FAILURES,
    "nothing": lambda: None,
    "one half": lambda: (ProxyServer(),),
    "classes": lambda: (ProxyServer, ProxyClient),
    "no protocols": lambda: (object(), object()),
    "a list": lambda: [ProxyServer(), ProxyClient()],
    "one that cannot be joined": lambda: (Joins(), ProxyClient()),
    "one that takes no peer": lambda: (Protocol(), 3),
}


def checkRefused(rig: Any) -> None:
    """The client gets the 500, and the log one line with the plugin's name."""
    destination = rig.serve(banner=b"220 I speak first")
    with logging() as logged:
        client = rig.client(connect() + b"early")
        client.end()
        rig.assertOver()
    assert client.received.startswith(b"HTTP/1.1 500 refused by rule 'mine' ")
    assert ESTABLISHED not in client.received
    assert destination.peers[-1].reset
    (event,) = rig.events.refused
    assert (event.cause, event.rule) == (Cause.PLUGIN_ERROR, "mine")
    wrong = [each for each in logged.events if each["log_level"] >= LogLevel.warn]
    assert [each["name"] for each in wrong] == ["mine"], wrong


@pytest.mark.parametrize("failure", FAILURES)
def test_aTapThatFailsAtSetUp(makeRig: MakeRig, failure: str) -> None:
    """[F05] [T11] It raises, or answers what is no tap."""
    rig = makeRig(taps=[Named("mine", Gives(FAILURES[failure]))])
    checkRefused(rig)


@pytest.mark.parametrize("failure", PAIRS)
def test_aPairThatFailsAtSetUp(makeRig: MakeRig, failure: str) -> None:
    """[F05] [T11] It raises, or answers what is no pair."""
    rig = makeRig(pairFactory=Named("mine", Gives(PAIRS[failure])))
    checkRefused(rig)
