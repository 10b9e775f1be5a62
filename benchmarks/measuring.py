"""
Putting each workload on each proxy in turn.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.figures import Measured
from benchmarks.peers import CHECKOUT, Peer
from benchmarks.running import Failed, Running, destinations, started

__all__ = ["Cores", "Plan", "Rounds", "Work", "carryOut"]

SPARE = 200
"""Descriptors of a process that are not tunnels."""

LOAD_LIMIT = 90.0
"""Seconds a load may take beside those that it measures."""


@dataclass(frozen=True)
class Cores:
    """
    Who runs where.

    @ivar proxy: the core of a proxy of one process.
    @ivar proxies: those of one with two workers.
    @ivar load: that of the load.
    @ivar target: that of the destinations.
    """

    proxy: int
    proxies: tuple[int, ...]
    load: int
    target: int

    @classmethod
    def of(cls, usable: Sequence[int]) -> Cores:
        """
        Share out the C{usable} cores.  With two, load and destinations share
        one, and two workers share both with them; with one, all share it.
        """
        at = sorted(usable, reverse=True)
        load = at[min(1, len(at) - 1)]
        target = at[min(2, len(at) - 1)]
        second = at[min(3, len(at) - 1)] if len(at) > 2 else load
        return cls(at[0], (at[0], second), load, target)

    def forProxy(self, count: int) -> set[int]:
        """The cores of a proxy that may use C{count}."""
        return {self.proxy} if count == 1 else set(self.proxies)


@dataclass(frozen=True)
class Work:
    """One workload: its name, how many tunnels at once, for how long."""

    workload: str
    concurrency: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What a load is told; see L{benchmarks.load.measure}."""

    workload: str
    concurrency: int
    seconds: float
    proxyPid: int
    proxyPort: int
    targetPid: int
    targetPorts: tuple[int, ...]
    cores: tuple[int, ...]


def carryOut(plan: Plan, name: str, round: int) -> Measured:
    """Run one load in its own process."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load", json.dumps(asdict(plan))],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=plan.seconds + LOAD_LIMIT,
        )
    except subprocess.TimeoutExpired:
        return Measured(name, round, plan.workload, errors={"the load hung": 1})
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2] or "the load failed"
        return Measured(name, round, plan.workload, errors={why: 1})
    return Measured(name, round, **json.loads(done.stdout))


class Rounds:
    """
    All measurements of a run.

    In each round, and for each workload, every proxy is started afresh: what
    one load left behind (a heap, descriptors that wait for a collector) is not
    measured with the next.  Then the load is put on one proxy after the other
    (A B C, A B C, ...), so that neighbours in the table were neighbours in
    time.
    """

    def __init__(
        self,
        proxies: Mapping[str, tuple[Peer, str]],
        works: Sequence[Work],
        cores: Cores,
        descriptors: int,
    ) -> None:
        """
        @param proxies: by name, each with its executable.
        @param descriptors: how many a process may have.
        """
        self._proxies = proxies
        self._works = works
        self._cores = cores
        self._descriptors = descriptors

    def measure(self, rounds: int) -> Iterator[Measured]:
        """
        Measure, C{rounds} times.  A proxy that does not come up is one invalid
        measurement, and left out of that round.
        """
        with ExitStack() as stack:
            top = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            top.chmod(0o755)  # for those who change to a user of their own
            pid, ports = stack.enter_context(destinations(self._cores.target))
            for name in self._proxies:
                (top / name).mkdir()
            for round in range(1, rounds + 1):
                for work in self._works:
                    yield from self._turn(round, work, top, pid, ports)

    def _turn(
        self,
        round: int,
        work: Work,
        top: Path,
        targetPid: int,
        targetPorts: tuple[int, ...],
    ) -> Iterator[Measured]:
        """One workload on every proxy."""
        with ExitStack() as stack:
            running = []
            for name in self._proxies:
                try:
                    running.append(stack.enter_context(self._start(name, top / name)))
                except Failed as failed:
                    yield Measured(name, round, work.workload, errors={str(failed): 1})
            for proxy in running:
                proxy.settle()
                plan = Plan(
                    **asdict(self._fitted(work, proxy.name)),
                    proxyPid=proxy.pid,
                    proxyPort=proxy.port,
                    targetPid=targetPid,
                    targetPorts=targetPorts,
                    cores=(self._cores.load,),
                )
                yield carryOut(plan, proxy.name, round)
                proxy.settle()

    def _fitted(self, work: Work, name: str) -> Work:
        """The work, with no more tunnels than there are descriptors for."""
        peer = self._proxies[name][0]
        most = (self._descriptors - SPARE) // peer.descriptors
        return replace(work, concurrency=min(work.concurrency, most))

    def _start(self, name: str, home: Path) -> AbstractContextManager[Running]:
        peer, program = self._proxies[name]
        return started(peer, program, home, self._cores.forProxy(peer.cores))
