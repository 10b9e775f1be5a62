"""
Stopping once, however many signals come.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.error import ReactorNotRunning

from txconnect.listening import StopOnce


class Reactor:
    """A reactor that complains when it is stopped twice, as Twisted's do."""

    def __init__(self) -> None:
        self.stops = 0
        self.shutdown: list[Callable[[], object]] = []

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning

    def addSystemEventTrigger(self, phase: str, event: str, call: Any) -> None:
        assert (phase, event) == ("before", "shutdown")
        self.shutdown.append(call)


class System:
    """The signals' handlers: the reactor's own, but none for SIGINT."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self.handlers: dict[int, Any] = {
            signal.SIGINT: signal.default_int_handler,
            signal.SIGTERM: self._term,
        }
        self.getsignal = self.handlers.get

    def signal(self, number: int, handler: Any) -> None:
        self.handlers[number] = handler

    def _term(self, number: int, frame: Any) -> None:
        self._reactor.stop()

    def term(self) -> None:
        self.handlers[signal.SIGTERM](signal.SIGTERM, None)


class Setting:
    """A reactor that runs."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.system = System(self.reactor)
        self.stopping = StopOnce(self.reactor, self.system)
        self.stopping.install()

    def begin(self) -> None:
        """The reactor begins to stop."""
        for call in self.reactor.shutdown:
            call()


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_secondSignalIsQuiet(setting: Setting) -> None:
    """[F18] Twisted's handler is called for the first alone."""
    setting.system.term()
    setting.system.term()
    assert setting.reactor.stops == 1


def test_signalBehindAMessageIsQuiet(setting: Setting) -> None:
    """[F18] A worker that its parent has told, and the other way round."""
    setting.stopping.stop()
    setting.system.term()
    setting.stopping.stop()
    assert setting.reactor.stops == 1


def test_whatSomebodyElseHasStoppedIsStopped(setting: Setting) -> None:
    """[F18] Whether its end has begun, or is to begin in this turn."""
    setting.reactor.stop()
    setting.stopping.stop()
    setting.begin()
    setting.system.term()
    assert setting.reactor.stops == 2


def test_handlersThatAreNotTheReactorsStay(setting: Setting) -> None:
    """Python's own for SIGINT raises, and means no stop of a reactor."""
    assert setting.system.handlers[signal.SIGINT] is signal.default_int_handler
