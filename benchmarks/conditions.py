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

__all__ = ["machine", "processor", "secondCache", "show"]

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def show(line: str) -> None:
    """Say something to who runs it, aside from the table."""
    print(line, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """The date, the machine, and how many other processes it runs by now."""
    # A tunnel's objects fit into a large second-level cache and not into a small one.
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "l2": secondCache(),
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 1),
    }


def _processor() -> str:
    return processor(Path("/proc/cpuinfo").read_text("utf-8")) or platform.machine()


def processor(text: str) -> str:
    """
    Return the name in the text of C{/proc/cpuinfo}, with family and model where there
    are any: a virtual machine's name alone may tell neither.
    """
    first = text.partition("\n\n")[0]
    pairs = (line.partition(":")[::2] for line in first.splitlines())
    facts = {name.strip(): value.strip() for name, value in pairs}
    name = facts.get("model name", "")
    if name and {"cpu family", "model"} <= facts.keys():
        name += f" (family {facts['cpu family']}, model {facts['model']})"
    return name


def secondCache(directory: Path = CACHES) -> str:
    """Return the size of a core's second-level cache, such as C{512K}; or nothing."""
    for level in sorted(directory.glob("index*/level")):
        if level.read_text("ascii").strip() == "2":
            return (level.parent / "size").read_text("ascii").strip()
    return ""
