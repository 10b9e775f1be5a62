"""
Starting a proxy and the destinations, knowing when a proxy is at rest, and
ending all that was started, by its process id.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import CHECKOUT, Peer, Setup
from benchmarks.procfs import Tree

__all__ = ["Failed", "Running", "asUser", "destinations", "started"]

STARTING = 60.0
"""Seconds a proxy may take until it listens."""

STOPPING = 5.0
"""Seconds it has to end when asked to."""

SETTLING = 10.0
"""Seconds to wait for it to clear up after a workload."""

QUIET = 0.01
"""CPU seconds in a tenth of a second below which a proxy is at rest."""


class Failed(Exception):
    """A proxy cannot be measured; the message says which and why."""


@dataclass(frozen=True)
class Running:
    """A proxy that listens."""

    name: str
    pid: int
    port: int

    def settle(self) -> None:
        """
        Wait until it is at rest: what it clears up behind one load must not
        be done on the core on which the next proxy is measured.
        """
        tree, end = Tree(self.pid), time.monotonic() + SETTLING
        before, resting = tree.cpu(), 0
        while resting < 2 and time.monotonic() < end:
            time.sleep(0.1)
            now = tree.cpu()
            resting = resting + 1 if now - before <= QUIET else 0
            before = now


def asUser(name: str) -> dict[str, Any]:
    """Arguments of C{Popen} by which root, and only root, becomes that user."""
    if not name or os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(name)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def freePort() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _stop(process: subprocess.Popen[Any]) -> None:
    """End a process that was started here, and all that came from it."""
    pids = Tree(process.pid).pids()
    process.terminate()
    try:
        process.wait(STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # Its helpers end with it; these did not.
    for pid in {*pids, *Tree(process.pid).pids()} - {process.pid}:
        if _sessionOf(pid) == process.pid:
            os.kill(pid, signal.SIGKILL)


def _sessionOf(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def prepare(peer: Peer, program: str, home: Path, port: int) -> Setup:
    """
    Write a proxy's configuration, and build what is not built yet.

    @raise Failed: it cannot be built.
    """
    setup = peer.setup(program, home, port)
    for path, text in setup.files.items():
        path.write_text(text, "utf-8")
    if setup.build and not Path(setup.command[0]).exists():
        done = subprocess.run(
            setup.build,
            env={**os.environ, **setup.environment},
            cwd=home,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Failed(f"{peer.name} was not built: {done.stderr.strip()[-300:]}")
    return setup


def _listens(process: subprocess.Popen[Any], port: int) -> bool:
    """Wait until somebody answers at the port, or there is no hope."""
    end = time.monotonic() + STARTING
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


@contextmanager
def started(peer: Peer, program: str, home: Path, cores: set[int]) -> Iterator[Running]:
    """
    Run a proxy in a session of its own, on C{cores}, while the context lasts.

    @param home: a directory for its files; the same one when it is started again.
    @raise Failed: it does not come up.
    """
    # Some change to a user of their own, who must be able to write there.
    home.chmod(0o777)
    port = freePort()
    setup = prepare(peer, program, home, port)
    output = home / "output"
    with output.open("ab") as stream:
        process = subprocess.Popen(
            setup.command,
            cwd=home,
            env={**os.environ, **setup.environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
            **asUser(setup.user),
        )
    try:
        if not _listens(process, port):
            said = output.read_text("utf-8", "replace").strip()[-300:]
            raise Failed(f"{peer.name} does not come up: {said}")
        yield Running(peer.name, process.pid, port)
    finally:
        _stop(process)


@contextmanager
def destinations(core: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Run the destinations; their process id and ports."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.target", str(core)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101
    try:
        yield process.pid, tuple(json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.stdout.close()
        _stop(process)
