"""
What a tree of processes has used, as Linux tells it in C{/proc}.

CPU time is the figure to trust on a machine that does other things as well:
how long something took depends on who else ran, what it cost hardly.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "PROC",
    "Tree",
    "Process",
    "members",
    "parsePss",
    "parseStat",
    "parseState",
    "sleeps",
]

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """
    One line of C{/proc/PID/stat}.

    @ivar ticks: CPU time in clock ticks: its own, and that of all children
        that have ended and were waited for.
    """

    pid: int
    parent: int
    session: int
    ticks: int


def parseStat(line: str) -> Process:
    """
    Read a C{stat} line (proc(5)).

    The name stands in parentheses and may hold both spaces and parentheses, so
    the fields begin behind the last one.
    """
    pid, _, rest = line.partition(" ")
    fields = rest.rpartition(")")[2].split()
    # The state is field 3 of the manual, and item 0 here.
    return Process(
        pid=int(pid),
        parent=int(fields[1]),
        session=int(fields[3]),
        ticks=sum(map(int, fields[11:15])),
    )


def parseState(line: str) -> str:
    """The letter for a process's state in its C{stat} line: C{S} is asleep."""
    return line.rpartition(")")[2].split()[0]


def parsePss(text: str) -> int:
    """
    The proportional set size that C{smaps_rollup} tells, in octets: what
    several processes share counts once over all of them.
    """
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no Pss in smaps_rollup")


def members(root: int, processes: Iterable[Process]) -> list[Process]:
    """
    C{root}, all that descend from it, and all in its session: a process whose
    parent has left belongs to init, and still to its session.
    """
    children: dict[int, list[Process]] = {}
    found: dict[int, Process] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
        if process.pid == root or process.session == root:
            found[process.pid] = process
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                waiting.append(child.pid)
    return list(found.values())


def _all(proc: Path) -> Iterator[Process]:
    for entry in os.listdir(proc):
        if entry.isdecimal():
            try:
                yield parseStat((proc / entry / "stat").read_text("utf-8", "replace"))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended since the directory was read


def sleeps(pid: int, proc: Path = PROC) -> bool:
    """
    Find out if a process waits for something to happen.  One that has work and
    is kept from it, because others run, does not.
    """
    line = (proc / str(pid) / "stat").read_text("utf-8", "replace")
    return parseState(line) == "S"


@dataclass(frozen=True)
class Tree:
    """
    A process that leads a session of its own, and all that come from it.

    @ivar root: its process id.
    """

    root: int
    proc: Path = PROC

    def pids(self) -> list[int]:
        """The ids of those that are alive."""
        return [process.pid for process in members(self.root, _all(self.proc))]

    def cpu(self) -> float:
        """
        Seconds of CPU, user and system, of all in the tree, the ended included:
        a child's time moves to its parent when it is waited for.
        """
        found = members(self.root, _all(self.proc))
        return sum(process.ticks for process in found) / TICKS

    def memory(self) -> int:
        """The tree's proportional set size in octets."""
        total = 0
        for pid in self.pids():
            try:
                total += parsePss((self.proc / str(pid) / "smaps_rollup").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # as above
        return total
