"""
The place where lines for people go.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any

import pytest
from twisted.logger import Logger

from txconnect.observers.terminal import Terminal


def test_terminalWritesWholeLines() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.write("one")
    terminal.write("two\n")
    assert stream.getvalue() == "one\ntwo\n"


def test_readerThatGoesAwayEndsTheLinesOnly(monkeypatch: pytest.MonkeyPatch) -> None:
    """C{txconnect | head -4} must not end any tunnel."""

    class Gone(io.StringIO):
        writes = 0

        def flush(self) -> None:
            self.writes += 1
            raise BrokenPipeError(32, "Broken pipe")

    events: list[Any] = []
    log = Logger(observer=events.append)
    monkeypatch.setattr("txconnect.observers.terminal._log", log)
    stream = Gone()
    terminal = Terminal(stream)
    terminal.write("one")
    terminal.write("two")
    assert stream.writes == 1
    assert [event["log_level"].name for event in events] == ["warn"]


def test_readerThatDoesNotKeepUpLosesLines() -> None:
    """A full pipe must not stop the reactor; what is lost is counted."""
    reading, writing = os.pipe()
    # Not a hang but an exception, should a write to the full pipe be tried.
    os.set_blocking(writing, False)
    with open(reading, "rb", 0) as reader, open(writing, "w") as stream:
        terminal = Terminal(stream)
        terminal.write("first")
        assert reader.read(100) == b"first\n"
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += os.write(writing, b"x" * 4096)
        for _ in range(3):
            terminal.write("lost")
        while filled:
            filled -= len(reader.read(filled))
        terminal.write("then")
        terminal.write("last")
        assert reader.read(1000) == b"(lines lost, nobody read them: 3)\nthen\nlast\n"
