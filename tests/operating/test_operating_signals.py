"""
Signals: which are caught, what a handler does, and whose handlers stay.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from rig import Rig
from twisted.application.service import Service
from twisted.internet.defer import Deferred

from txconnect.operating.signals import (
    SignalHandlers,
    SignalService,
    endingSignals,
    releaseSignals,
    signalName,
    signalsHeld,
)

FAULTS = "SEGV BUS FPE ILL ABRT SYS TRAP".split()


class System:
    """The module C{signal}, with handlers of its own."""

    def __init__(self, **before: Any) -> None:
        self.handlers: dict[int, Any] = dict.fromkeys(
            signal.valid_signals(), signal.SIG_DFL
        )
        for name, handler in before.items():
            self.handlers[getattr(signal, name)] = handler
        self.restarting: set[int] = set()

    def signal(self, number: int, handler: Any) -> Any:
        before, self.handlers[number] = self.handlers[number], handler
        return before

    def getsignal(self, number: int) -> Any:
        return self.handlers[number]

    def siginterrupt(self, number: int, flag: bool) -> None:
        assert flag is False
        self.restarting.add(number)

    def caught(self) -> set[int]:
        return {n for n, handler in self.handlers.items() if callable(handler)}


class Reactor:
    """Keeps what it is told from a handler."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def callFromThread(self, f: Callable[..., object], *arguments: Any) -> None:
        self.calls.append((f, arguments))

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for f, arguments in calls:
            f(*arguments)


class Setting:
    """Handlers that are installed, and what they have asked for."""

    def __init__(self, **before: Any) -> None:
        self.asked: list[str] = []
        self.reactor = Reactor()
        self.system = System(**before)
        self.handlers = SignalHandlers(
            self.reactor,
            {signal.SIGUSR1: lambda name: self.asked.append(f"asked {name}")},
            lambda name: self.asked.append(f"other {name}"),
            self.system,
        )
        self.handlers.install()

    def kill(self, number: int) -> None:
        self.system.handlers[number](number, None)


def test_whatWouldEndTheProgramIsCaught() -> None:
    """[F10] All of it, but for what is meant to end it and for faults."""
    names = {signalName(number) for number in endingSignals()}
    assert names >= {
        f"SIG{name}"
        for name in (
            "HUP QUIT USR1 USR2 ALRM VTALRM PROF IO PWR STKFLT XCPU XFSZ PIPE "
            "RTMIN RTMIN+1 RTMAX"
        ).split()
    }
    assert not names & {f"SIG{name}" for name in ("INT TERM KILL STOP".split())}
    assert not names & {f"SIG{name}" for name in FAULTS}
    assert not names & {f"SIG{name}" for name in "CHLD CONT TSTP WINCH".split()}
    setting = Setting()
    assert setting.system.caught() == set(endingSignals())
    assert setting.system.restarting == set(endingSignals())


def test_namesOfSignals() -> None:
    numbers = [signal.SIGHUP, signal.SIGRTMIN, signal.SIGRTMIN + 2, signal.SIGRTMAX]
    assert [signalName(number) for number in numbers] == [
        *("SIGHUP", "SIGRTMIN", "SIGRTMIN+2", "SIGRTMAX")
    ]


def test_handlerLeavesAllToTheReactor() -> None:
    """[F10] It may run between any two instructions."""
    setting = Setting()
    setting.kill(signal.SIGUSR1)
    setting.kill(signal.SIGALRM)
    assert setting.asked == []
    setting.reactor.turn()
    assert setting.asked == ["asked SIGUSR1", "other SIGALRM"]


def test_signalThatWaitsIsNotQueuedTwice() -> None:
    """A thousand of them cost one turn; one that comes later is another."""
    setting = Setting()
    for _ in range(1000):
        setting.kill(signal.SIGUSR1)
    assert len(setting.reactor.calls) == 1
    setting.reactor.turn()
    setting.kill(signal.SIGUSR1)
    setting.reactor.turn()
    assert setting.asked == ["asked SIGUSR1"] * 2


def test_handlerOfAnotherIsCalledToo() -> None:
    """[F10] twistd rotates its log on SIGUSR1, and still does."""
    heard: list[int] = []
    setting = Setting(SIGUSR1=lambda number, frame: heard.append(number))
    setting.kill(signal.SIGUSR1)
    setting.reactor.turn()
    assert heard == [signal.SIGUSR1]
    assert setting.asked == ["asked SIGUSR1"]


def test_handlerOfAnotherThatFailsTakesNothingAway() -> None:
    """Its exception is its own matter."""

    def fail(number: int, frame: Any) -> None:
        raise RuntimeError("no")

    setting = Setting(SIGUSR1=fail)
    with pytest.raises(RuntimeError):
        setting.kill(signal.SIGUSR1)
    setting.reactor.turn()
    assert setting.asked == ["asked SIGUSR1"]


def test_whatHasNoMeaningHereIsLeftToOthers() -> None:
    """A profiler's timer, and what Python ignores, stay as they are."""

    def profile(number: int, frame: Any) -> None:
        raise AssertionError

    before = {"SIGPROF": profile, "SIGXFSZ": signal.SIG_IGN, "SIGALRM": None}
    setting = Setting(**before)
    for name, handler in before.items():
        assert setting.system.getsignal(getattr(signal, name)) is handler


def test_nohupDoesNotTakeTheMeaningAway() -> None:
    """Under nohup a request is still heard; what no Python has set stays."""
    setting = Setting(SIGUSR1=signal.SIG_IGN)
    setting.kill(signal.SIGUSR1)
    setting.reactor.turn()
    assert setting.asked == ["asked SIGUSR1"]
    assert Setting(SIGUSR1=None).system.getsignal(signal.SIGUSR1) is None


def test_removePutsBackWhatWasThere() -> None:
    """Not in the place of somebody who has come since."""

    def mine(number: int, frame: Any) -> None:
        raise AssertionError

    setting = Setting(SIGUSR1=signal.SIG_IGN)
    setting.system.signal(signal.SIGALRM, mine)
    setting.handlers.remove()
    setting.handlers.remove()
    assert setting.system.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    assert setting.system.getsignal(signal.SIGALRM) is mine
    assert setting.system.caught() == {signal.SIGALRM}


class Slow(Service):
    """A service that stops when it is told to, or cannot start."""

    error: BaseException | None = None

    def __init__(self) -> None:
        self.stopped: Deferred[None] = Deferred()

    def startService(self) -> None:
        Service.startService(self)
        if self.error is not None:
            raise self.error

    def stopService(self) -> Deferred[None]:
        Service.stopService(self)
        return self.stopped


def test_signalsAreCaughtUntilTheServiceHasStopped() -> None:
    """[F10] A stop that takes its time is not cut short either."""
    setting, slow = Setting(), Slow()
    setting.handlers.remove()
    service = SignalService(slow, setting.handlers)
    assert setting.system.caught() == set()
    service.startService()
    assert slow.running and setting.system.caught() == set(endingSignals())
    done: list[Any] = []
    service.stopService().addCallback(done.append)
    assert not slow.running and setting.system.caught() == set(endingSignals())
    slow.stopped.callback(None)
    assert len(done) == 1 and setting.system.caught() == set()


def test_serviceThatCannotStartCatchesNothing() -> None:
    setting, slow = Setting(), Slow()
    setting.handlers.remove()
    slow.error = SystemExit(1)
    with pytest.raises(SystemExit):
        SignalService(slow, setting.handlers).startService()
    assert setting.system.caught() == set()


def test_embeddedProxyInstallsNothing() -> None:
    """[F10] Signals are the program's that embeds it."""

    def handlers() -> list[Any]:
        return [signal.getsignal(number) for number in signal.valid_signals()]

    before = handlers()
    rig = Rig()
    client, _ = rig.tunnel()
    assert handlers() == before
    rig.proxy.stopService()
    assert client.received and handlers() == before


def test_signalsWaitWhileAProcessIsStarted() -> None:
    """[F10] Its interpreter has no handlers yet, and is ended by none."""
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: heard.append(number))
    try:
        with signalsHeld():
            held = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            # To this thread: another one, of an earlier test, would take it.
            signal.raise_signal(signal.SIGALRM)
            assert heard == []
        assert heard == [signal.SIGALRM]
        assert held == {*endingSignals(), signal.SIGINT, signal.SIGTERM}
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
        signal.pthread_sigmask(signal.SIG_BLOCK, held)
        releaseSignals()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    finally:
        signal.signal(signal.SIGALRM, before)
