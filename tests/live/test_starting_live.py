"""
C{python -m benchmarks.starting}, each start once.
"""

from __future__ import annotations

import pytest

from benchmarks import starting


def test_eachStartHasALine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that end, and programs that are ready when their port accepts."""
    monkeypatch.setattr(starting, "TIMES", 1)
    assert starting.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:24].strip() for line in lines[-2:]] == [
        peer.name for peer in starting.STARTS
    ]
    assert all(" ms " in line for line in lines)
