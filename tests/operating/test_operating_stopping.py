"""
Stopping once, however many signals come.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.error import ReactorNotRunning

from txconnect.operating.stopping import StopOnce


class Reactor:
    """A reactor that complains when it is stopped twice, as Twisted's do."""

    def __init__(self) -> None:
        self.stops = 0
        self.threadCalls: list[tuple[Any, ...]] = []
        self.shutdown: list[Callable[[], object]] = []

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        self.threadCalls.append((call, *arguments))

    def addSystemEventTrigger(self, phase: str, event: str, call: Any) -> None:
        assert (phase, event) == ("before", "shutdown")
        self.shutdown.append(call)

    def sigInt(self, number: int, frame: Any) -> None:
        self.stop()

    def sigTerm(self, number: int, frame: Any) -> None:
        self.stop()


class System:
    """
    The signals' handlers: the reactor's own.

    @ivar other: called by SIGINT in the place of the reactor's.
    """

    def __init__(self, reactor: Reactor, other: Any) -> None:
        self.handlers: dict[int, Any] = {
            signal.SIGINT: other or reactor.sigInt,
            signal.SIGTERM: reactor.sigTerm,
        }
        self.getsignal = self.handlers.get

    def signal(self, number: int, handler: Any) -> None:
        self.handlers[number] = handler

    def come(self, number: int) -> None:
        self.handlers[number](number, None)


class Setting:
    """A reactor that runs."""

    def __init__(self, other: Any = None) -> None:
        self.reactor = Reactor()
        self.system = System(self.reactor, other)
        self.told: list[str] = []
        self.stopping = StopOnce(self.reactor, self.told.append, self.system)
        self.stopping.install()

    def begin(self) -> None:
        """The reactor begins to stop."""
        for call in self.reactor.shutdown:
            call()


@pytest.fixture
def setting() -> Setting:
    return Setting()


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_secondSignalIsQuiet(setting: Setting, first: int) -> None:
    """[F18] Twisted's handler is called for the first alone, whichever that is."""
    for number in (first, signal.SIGTERM, signal.SIGINT, first):
        setting.system.come(number)
    assert setting.reactor.stops == 1


def test_theSignalIsToldOfOnce(setting: Setting) -> None:
    """[F28] By its name, in the reactor and not in the handler."""
    for number in (signal.SIGINT, signal.SIGTERM):
        setting.system.come(number)
    assert setting.told == []
    for call, *arguments in setting.reactor.threadCalls:
        call(*arguments)
    assert setting.told == ["SIGINT"]


def test_signalBehindAMessageIsQuiet(setting: Setting) -> None:
    """[F18] A worker that its parent has told, and the other way round."""
    setting.stopping.stop()
    setting.system.come(signal.SIGTERM)
    setting.stopping.stop()
    assert setting.reactor.stops == 1


def test_whatSomebodyElseHasStoppedIsStopped(setting: Setting) -> None:
    """[F18] Whether its end has begun, or is to begin in this turn."""
    setting.reactor.stop()
    setting.stopping.stop()
    setting.begin()
    setting.system.come(signal.SIGTERM)
    assert setting.reactor.stops == 2


def test_handlersThatAreNotTheReactorsStay() -> None:
    """A debugger's (C{twistd --debug}) and Python's own for SIGINT are called each
    time, and stop no reactor."""
    for other in (signal.default_int_handler, lambda number, frame: None):
        assert Setting(other).system.handlers[signal.SIGINT] is other


def test_signalThatStopsNothingIsNoStop() -> None:
    """[F18] A terminal interrupts a worker too, which leaves that to its parent:
    what the parent says then counts."""
    setting = Setting(lambda number, frame: None)
    setting.system.come(signal.SIGINT)
    assert setting.reactor.stops == 0
    setting.stopping.stop()
    assert setting.reactor.stops == 1
