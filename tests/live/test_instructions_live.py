"""
C{python -m benchmarks instructions}, in small, with the real valgrind.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from proxyprocess import ROOT, environment


def test_bothAreCounted(tmp_path: Path, program: Callable[[str], str]) -> None:
    """
    Units in tunnels that stay and units that are refused, on both proxies: each
    count is of an order that no idle proxy has, and a round trip is cheaper.
    """
    program("valgrind")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "instructions", "--quick"]
        + ["--units", "trip,refusal", "--output", str(tmp_path)],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    read = json.loads((tmp_path / "instructions.json").read_text("utf-8"))
    for proxy in ("txconnect", "squid"):
        counts = {
            unit: figure["instructions"]
            for unit, figure in read["figures"][proxy].items()
        }
        assert list(counts) == ["trip", "refusal"]
        assert 1000 < counts["trip"] < counts["refusal"]
