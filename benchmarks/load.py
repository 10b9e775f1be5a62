"""
The load: many tunnels through one proxy, from one epoll, in a process of its
own: C{python -m benchmarks.load PLAN}, where the plan is JSON
(L{benchmarks.measuring.Plan}); the result is one line of JSON.

The process reads the proxy's CPU time itself, at the very begin and end of the
time that counts.  What precedes (opening, warming up) and what follows
(closing) is not in the figures.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.connections import WORKLOADS, Connection
from benchmarks.figures import percentile
from benchmarks.procfs import Tree

__all__ = ["CHUNK", "Load", "raiseDescriptorLimit"]

CHUNK = 1 << 18
"""Octets of one read or write of bulk."""

DESCRIPTORS = 1 << 16
"""As many as the greatest idle load needs, in the greediest proxy."""

BURST = 64
"""Tunnels that are being opened at once before an idle or steady load."""

OPENING = 30.0
"""Seconds in which all tunnels must be open."""

WARM = 0.3
"""Seconds of load before the time that counts."""

TOO_MANY = 100
"""Errors after which a load gives up."""


def raiseDescriptorLimit() -> int:
    """Take as many descriptors as this process may have, and say how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    except (PermissionError, ValueError):  # not root
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return DESCRIPTORS


class GaveUp(Exception):
    """There is no sense in going on: too many errors, or no end of opening."""


class Load:
    """
    All connections of one measurement.

    @ivar steps: by descriptor, what its next event calls.
    @ivar times: seconds that each finished tunnel or round trip took.
    @ivar octets: bulk that was moved.
    @ivar errors: how often what went wrong.
    """

    def __init__(
        self,
        proxy: tuple[str, int],
        target: int,
        kind: type[Connection],
        fields: str = "",
    ) -> None:
        """
        @param fields: further fields of each request's head, with their ends of line.
        """
        self.proxy = proxy
        authority = f"127.0.0.1:{target}"
        self.request = (
            f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
            f"User-Agent: benchmarks\r\nProxy-Connection: keep-alive\r\n{fields}\r\n"
        ).encode()
        self.kind = kind
        self.steps: dict[int, Callable[[], None]] = {}
        self.times = array("d")
        self.buffer = bytearray(CHUNK)
        self.octets = 0
        self.open = 0
        self.errors: Counter[str] = Counter()
        self._left = 0
        self._connections: list[Connection] = []
        self._epoll = select.epoll()
        self.register = self._epoll.register
        self.modify = self._epoll.modify

    def failed(self, why: str) -> None:
        """
        Count an error.

        @raise GaveUp: it was one too many.
        """
        self.errors[why] += 1
        if self.errors.total() >= TOO_MANY:
            raise GaveUp

    def beginNext(self) -> None:
        """Open one more, if one is left to open."""
        if self._left:
            self._left -= 1
            connection = self.kind(self)
            self._connections.append(connection)
            connection.begin()

    def again(self, connection: Connection) -> None:
        """Let a connection that has finished a unit of work do the next."""
        connection.repeat()

    def start(self, count: int) -> None:
        """Begin to open C{count} tunnels, a burst at a time."""
        self._left = count
        for _ in range(min(count, BURST)):
            self.beginNext()

    def run(self, until: Callable[[], bool], deadline: float) -> None:
        """
        Serve events until C{until} or the C{deadline} of the monotonic clock.
        """
        steps, poll = self.steps, self._epoll.poll
        while not until() and time.monotonic() < deadline:
            for fd, _ in poll(0.02):
                step = steps.get(fd)
                if step is None:
                    continue  # closed in this very turn
                try:
                    step()
                except BlockingIOError:
                    continue
                except OSError as error:
                    self._end(step, error)

    @staticmethod
    def _end(step: Callable[[], None], error: OSError) -> None:
        connection: Connection = step.__self__  # type: ignore[attr-defined]
        connection.fail(error)

    def forget(self) -> None:
        """What counts begins now."""
        self.times = array("d")
        self.octets = 0

    def close(self) -> None:
        """End every tunnel."""
        for connection in self._connections:
            connection.close()


def _never() -> bool:
    return False


def measure(plan: dict[str, Any]) -> dict[str, Any]:
    """
    Carry out one plan.

    @return: what L{benchmarks.figures.Measured} is made of.
    """
    kind, port = WORKLOADS[plan["workload"]]
    tree, target = Tree(plan["proxyPid"]), Tree(plan["targetPid"])
    load = Load(("127.0.0.1", plan["proxyPort"]), plan["targetPorts"][port], kind)
    count, seconds = plan["concurrency"], plan["seconds"]
    empty = tree.memory()
    result: dict[str, Any] = {"workload": plan["workload"], "seconds": 0.0}
    try:
        load.start(count)
        if kind.steady:
            load.run(lambda: load.open == count, time.monotonic() + OPENING)
            if load.open < count:
                load.errors[f"only {load.open} of {count} tunnels opened"] += 1
                raise GaveUp
        load.run(_never, time.monotonic() + WARM)
        load.forget()
        cpu, own, began = tree.cpu(), time.process_time(), time.monotonic()
        helper = target.cpu()
        load.run(_never, began + seconds)
        took = time.monotonic() - began
        result["cpu"] = tree.cpu() - cpu
        result["seconds"] = took
        own = time.process_time() - own + target.cpu() - helper
        result["loadCPU"] = own
        if plan["workload"] == "idle":
            result["memory"] = tree.memory() - empty
    except GaveUp:
        pass
    result["open"] = load.open
    result["octets"] = load.octets
    result["done"] = len(load.times)
    times = sorted(load.times)
    result["p50"], result["p99"] = percentile(times, 50), percentile(times, 99)
    result["errors"] = dict(load.errors)
    load.close()
    return result


def main(arguments: list[str]) -> None:
    """Carry out the plan that the one argument is."""
    plan = json.loads(arguments[0])
    os.sched_setaffinity(0, set(plan["cores"]))
    raiseDescriptorLimit()
    gc.disable()  # nothing here makes cycles
    print(json.dumps(measure(plan)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
