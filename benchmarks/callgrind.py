"""
Running a proxy under valgrind's callgrind, and asking it what it has counted.

Callgrind counts the instructions that a process executes in user space.  That
number does not depend on the machine's clock, its caches or its other work.
The kernel's share is not in it.

The proxy starts without being counted, which is quicker; C{vgdb}, a part of
valgrind, then switches the counting on, and later asks for the sums.  A sum
comes as a file in callgrind's format, and begins where the one before ended.
"""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.peers import Peer, Setup
from benchmarks.running import Failed, asUser

__all__ = ["Callgrind", "parseTotal", "underCallgrind"]

ANSWERING = 60.0
"""Seconds in which callgrind must have done as it is told."""

OUTPUT = "callgrind.out"
PREFIX = "vgdb"
"""Begins the names of the pipes that lead to callgrind."""

_EVENTS = re.compile(r"^events: (.*)$", re.MULTILINE)
_TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)

_ENVIRONMENT = {
    # Dictionaries and sets of strings are the same in each run.
    "PYTHONHASHSEED": "0",
    # Neither the settings of who runs it nor a coverage measurement.
    "VALGRIND_OPTS": "",
    "COVERAGE_PROCESS_START": "",
    "COVERAGE_PROCESS_CONFIG": "",
}


def parseTotal(text: str) -> int:
    """
    Read the number of instructions from a file in callgrind's format.

    @raise ValueError: it counts something else as well, or has no total, as
        when it is not whole.
    """
    events, totals = _EVENTS.search(text), _TOTALS.search(text)
    if events is None or events[1].strip() != "Ir":
        raise ValueError("no file that counts instructions, and only them")
    if totals is None:
        raise ValueError("no total in callgrind's file")
    return int(totals[1])


def underCallgrind(peer: Peer, valgrind: str) -> Peer:
    """
    The same proxy, started by callgrind.

    @param valgrind: valgrind's executable.
    """

    def setup(program: str, home: Path, port: int) -> Setup:
        plain = peer.setup(program, home, port)
        return replace(
            plain,
            command=(valgrind, *_options(home), *plain.command),
            environment={**plain.environment, **_ENVIRONMENT},
        )

    return replace(peer, setup=setup)


def _options(home: Path) -> tuple[str, ...]:
    return (
        "--tool=callgrind",
        "--instr-atstart=no",
        "--cache-sim=no",
        "--branch-sim=no",
        "--separate-threads=no",
        f"--callgrind-out-file={home / OUTPUT}",
        f"--vgdb-prefix={home / PREFIX}",
    )


class Callgrind:
    """
    The callgrind that runs one proxy.
    """

    def __init__(
        self, home: Path, pid: int, tell: Callable[..., None] | None = None
    ) -> None:
        """
        @param home: the proxy's directory.
        @param pid: its process id.
        @param tell: in place of C{vgdb}, for tests.
        """
        self._home = home
        self._pid = pid
        self._tell = tell or self._vgdb
        self._taken = 0

    def begin(self) -> None:
        """Begin to count."""
        self._tell("instrumentation", "on")

    def take(self) -> int:
        """
        The instructions since the last call, or since the beginning.

        @raise Failed: callgrind does not answer, or has not written them.
        """
        self._tell("dump")
        self._taken += 1
        path = self._home / f"{OUTPUT}.{self._taken}"
        try:
            text = path.read_text("utf-8", "replace")
            path.unlink()
            return parseTotal(text)
        except (FileNotFoundError, ValueError) as error:
            raise Failed(f"callgrind: {error}") from error

    def _vgdb(self, *words: str) -> None:
        prefix = f"--vgdb-prefix={self._home / PREFIX}"
        # Callgrind wants to see who asks, and it may not see a process of root.
        owner = pwd.getpwuid(os.stat(f"/proc/{self._pid}").st_uid).pw_name
        try:
            done = subprocess.run(
                ["vgdb", prefix, f"--pid={self._pid}", *words],
                capture_output=True,
                text=True,
                timeout=ANSWERING,
                **asUser(owner),
            )
        except subprocess.TimeoutExpired as error:
            raise Failed("callgrind does not answer") from error
        if done.returncode:
            raise Failed(f"vgdb: {done.stderr.strip()[-300:]}")
