"""
The word of a daemon to its caller, with a fork that does not happen.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from txconnect.command.daemonstart import DaemonStart


class Forks:
    """What is registered for forks."""

    def __init__(self) -> None:
        self.hooks: list[Callable[[], None]] = []

    def register(self, *, after_in_parent: Callable[[], None]) -> None:
        self.hooks.append(after_in_parent)


def started() -> tuple[DaemonStart, Callable[[], None], int]:
    """A start, its hook, and the child's end of its pipe, as a fork would leave it."""
    forks = Forks()
    start = DaemonStart(forks.register)
    (hook,) = forks.hooks
    return start, hook, os.dup(start._writing)


def test_theCallerPrintsTheLine(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[F21] And ends with status 1."""
    _, hook, child = started()
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    os.write(child, "twistd x: cannot listen: schön\n".encode())
    os.close(child)
    hook()
    assert codes == [1]
    assert capfd.readouterr().err == "twistd x: cannot listen: schön\n"


def test_aStartThatSucceeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """[F21] The caller goes on, once; later forks pass by."""
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    for word in (b"", b"\0"):
        _, hook, child = started()
        os.write(child, word)
        os.close(child)
        hook()
        hook()
    assert codes == []


def test_otherProcessesPassBy(monkeypatch: pytest.MonkeyPatch) -> None:
    """[F21] A process that is not the caller does not wait, whatever it forks."""
    start, hook, child = started()
    os.close(child)
    monkeypatch.setattr("os.getpid", lambda: 1)
    hook()
    assert start._open
    start.over()


def test_theDaemonsSide() -> None:
    """[F21] It writes once; when it runs, nothing is open any more."""
    start, hook, child = started()
    reading = os.dup(start._reading)
    start.failed("one\n")
    start.failed("two\n")
    start.over()
    os.close(child)
    assert os.read(reading, 100) == b"one\n"
    assert os.read(reading, 100) == b""
    os.close(reading)
    again, _, child = started()
    reading = os.dup(again._reading)
    again.over()
    assert os.read(reading, 100) == b"\0"
    os.close(reading)
    os.close(child)
    # Done: its forks are nobody's business.
    hook()
