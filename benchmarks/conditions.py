"""
The conditions of a run: the facts one needs to read its figures, and to repeat
it.  No path of this machine is among them.
"""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["machine", "show"]


def show(line: str) -> None:
    """Say something to who runs it, aside from the table."""
    print(line, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """The date, the machine, and how many other processes it runs by now."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 1),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
