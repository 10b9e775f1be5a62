"""
The place where lines for people go.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import Logger

from txconnect.observers.outputs import ROOM, drainOutputs
from txconnect.observers.terminal import Terminal


def test_terminalWritesWholeLines() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.write("one")
    terminal.write("two\n")
    assert stream.getvalue() == "one\ntwo\n"


def test_readerThatGoesAwayEndsTheLinesOnly(monkeypatch: pytest.MonkeyPatch) -> None:
    """C{txconnect | head -4} must not end any tunnel, and is said once."""
    events: list[Any] = []
    monkeypatch.setattr(
        "txconnect.observers.terminal._log", Logger(observer=events.append)
    )
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stream:
        terminal = Terminal(stream)
        for _ in range(5):
            terminal.write("one")
            drainOutputs()
    assert [event["log_level"].name for event in events] == ["warn"]
    assert events[0]["reason"] == "Broken pipe"


def test_readerThatDoesNotKeepUpLosesLines() -> None:
    """[F22] A full pipe must not stop the reactor; what is lost is counted."""
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, open(writing, "w") as stream:
        terminal = Terminal(stream)
        terminal.write("first")
        assert reader.readline() == b"first\n"
        # Those at the end are lost: a pipe and a queue have room for half of these.
        for _ in range(2 * ROOM // 100):
            terminal.write("x" * 99)
        got = 0
        while len(reader.readline()) == 100:
            got += 1
            # The line of this one comes behind the count, once there is room.
            terminal.write("then")
        assert ROOM // 100 <= got < 2 * ROOM // 100
        reader.close()
        drainOutputs()


def test_noStandardOutput(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without a standard output writes no lines, and fails at nothing."""
    monkeypatch.setattr("sys.__stdout__", None)
    monkeypatch.setattr("txconnect.observers.terminal._log", Logger(observer=id))
    Terminal().write("one")


def test_closedStream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one whose standard output was closed."""
    monkeypatch.setattr("txconnect.observers.terminal._log", Logger(observer=id))
    stream = io.StringIO()
    stream.close()
    Terminal(stream).write("one")


def test_anyText(tmp_path: Path) -> None:
    """Text that has no UTF-8, as a file's name may have none, is written escaped."""
    with open(tmp_path / "out", "w") as stream:
        Terminal(stream).write("\udcff")
    assert (tmp_path / "out").read_text() == "\\udcff\n"
