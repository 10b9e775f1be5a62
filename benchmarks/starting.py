"""
The command C{python -m benchmarks.starting}: the CPU time of a start.

Measures, with the Python that runs it: C{--version} and C{--help}, until they end;
C{txconnect}, until its port accepts; and beside it C{twistd} with a bare port and nothing
else, which is Twisted's own part.  User and system time together; what is shown is the
median of seven.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers import CHECKOUT, Peer, Setup
from benchmarks.procfs import Tree
from benchmarks.running import started

__all__ = ["STARTS", "main", "untilEnd", "untilReady"]

TIMES = 7

_BARE = """
from twisted.application.internet import TCPServer
from twisted.application.service import Application
from twisted.internet.protocol import Factory, Protocol

application = Application("bare")
server = TCPServer({port}, Factory.forProtocol(Protocol), interface="127.0.0.1")
server.setServiceParent(application)
"""


def _environment() -> Mapping[str, str]:
    # Bytecode is kept, as where the program is installed.
    return {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": ""}


def _txconnect(program: str, home: Path, port: int) -> Setup:
    command = (program, "-m", "txconnect", "--listen", f"127.0.0.1:{port}")
    return Setup(command, environment=_environment())


def _bareTwistd(program: str, home: Path, port: int) -> Setup:
    tac = home / "bare.tac"
    run = "from twisted.scripts.twistd import run; run()"
    command = (program, "-c", run, "--nodaemon", "--pidfile=", "--python", str(tac))
    return Setup(command, {tac: _BARE.format(port=port)}, environment=_environment())


STARTS = (
    Peer("txconnect, ready", sys.executable, _txconnect),
    Peer("twistd with a bare port", sys.executable, _bareTwistd),
)
"""The programs that stay."""


def untilEnd(command: Sequence[str]) -> float:
    """Return the CPU seconds of a program that ends by itself."""
    before = os.times()
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        env={**os.environ, **_environment()},
    )
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def untilReady(peer: Peer, home: Path) -> float:
    """Return the CPU seconds that a program has taken when its port accepts."""
    cores = os.sched_getaffinity(0)
    with started(peer, sys.executable, home, cores) as running:
        return Tree(running.pid).cpu()


def main() -> int:
    """Measure, and print a line for each start."""
    ends = {
        "python, nothing": ("-c", "pass"),
        "--version": ("-m", "txconnect", "--version"),
        "--help": ("-m", "txconnect", "--help"),
        "usage and strcred": (
            "-c",
            "import twisted.python.usage, twisted.cred.strcred",
        ),
    }
    for name, arguments in ends.items():
        _print(name, [untilEnd((sys.executable, *arguments)) for _ in range(TIMES)])
    for peer in STARTS:
        with tempfile.TemporaryDirectory() as home:
            _print(peer.name, [untilReady(peer, Path(home)) for _ in range(TIMES)])
    return 0


def _print(name: str, seconds: Sequence[float]) -> None:
    middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
    print(
        f"{name:24} {middle * 1000:4.0f} ms  ({least * 1000:.0f} to {most * 1000:.0f})"
    )


if __name__ == "__main__":
    sys.exit(main())
