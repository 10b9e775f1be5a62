"""
The requests that signals stand for, and what the log says of each.
"""

from __future__ import annotations

import signal

from rig import logging
from test_operating_signals import Reactor
from twisted.logger import Logger, formatEvent

from txconnect.operating.requests import signalHandlers


class Operated:
    """A program that has done what it was asked."""

    def reopenLogs(self) -> str:
        return "opened the log files again (accesslog)"

    def listTunnels(self) -> None:
        Logger().info("open tunnels: 0")


def saidOf(number: int) -> list[str | None]:
    """What the log says when a signal has come."""
    reactor = Reactor()
    handlers = signalHandlers(reactor, Operated(), lambda: 77)
    before = signal.getsignal(number)
    handlers.install()
    try:
        signal.raise_signal(number)
    finally:
        handlers.remove()
    assert signal.getsignal(number) == before
    with logging() as logged:
        reactor.turn()
    return [formatEvent(event) for event in logged.events]


def test_hangUpReopensAndSaysWhatItDoesNotDo() -> None:
    """[F10] Nobody believes that a new configuration is in force."""
    assert saidOf(signal.SIGHUP) == [
        "SIGHUP: opened the log files again (accesslog); nothing was reloaded: a "
        "changed configuration needs a restart"
    ]


def test_userSignalOneReopens() -> None:
    """[F10]"""
    assert saidOf(signal.SIGUSR1) == ["SIGUSR1: opened the log files again (accesslog)"]


def test_userSignalTwoLists() -> None:
    """[F10]"""
    assert saidOf(signal.SIGUSR2) == ["open tunnels: 0"]


def test_anyOtherIsIgnoredAloud() -> None:
    """[F10] With what would end the program."""
    assert saidOf(signal.SIGALRM) == [
        "SIGALRM has no meaning here and is ignored; SIGTERM to process 77 ends the "
        "program"
    ]
