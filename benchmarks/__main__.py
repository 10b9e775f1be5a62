"""
The command: options in, table, JSON and chart out.  The word C{instructions}
in front of the options makes it another: L{benchmarks.instructions}.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import instructions, report
from benchmarks.builds import ownBuild
from benchmarks.chart import chart
from benchmarks.conditions import machine, show
from benchmarks.figures import Measured, problems
from benchmarks.load import raiseDescriptorLimit
from benchmarks.measuring import Cores, Rounds, Work
from benchmarks.peers import CHECKOUT, PEERS, found, versionOf

__all__ = ["main", "options", "works"]

DOCS = CHECKOUT / "docs" / "performance"
REFERENCE = "squid"
BULK = 8
"""Tunnels of a bulk workload: enough to never wait for one of them."""

QUICK = {"rounds": 1, "seconds": 0.5, "idle": 500}


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this proxy beside others that are installed: the same"
        " work for each, each on one core and its load on another.",
        epilog="benchmarks/README.rst says how to install the others."
        ' "python -m benchmarks instructions" counts instructions in place of'
        " times, and has options of its own.",
    )
    add = parser.add_argument
    known = [peer.name for peer in PEERS]
    add("--proxies", default=",".join(known), help="which, between commas [all]")
    add("--rounds", type=int, default=3, help="interleaved rounds [%(default)s]")
    add("--seconds", type=float, default=3.0, help="of a measurement [%(default)s]")
    add("--concurrency", type=int, default=64, help="tunnels at once [%(default)s]")
    add("--idle", type=int, default=4000, help="idle tunnels [%(default)s]")
    add("--workloads", default=",".join(ORDER), help="which, between commas [all]")
    add("--output", type=Path, help="directory for the JSON, the chart and the table")
    add("--docs", action="store_true", help="write them to docs/performance")
    add("--quick", action="store_true", help="one short round, to see that it works")
    add(
        "--program",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="where a proxy's executable is; repeatable",
    )
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        vars(chosen).update(QUICK)
    if chosen.docs:
        chosen.output = DOCS
    chosen.proxies = chosen.proxies.split(",")
    chosen.workloads = chosen.workloads.split(",")
    chosen.program = dict(pair.partition("=")[::2] for pair in chosen.program)
    if not all(chosen.program.values()):
        parser.error("--program wants NAME=PATH")
    for name in {*chosen.proxies, *chosen.program} - set(known):
        parser.error(f"no proxy {name!r}; there are: {', '.join(known)}")
    for name in set(chosen.workloads) - set(ORDER):
        parser.error(f"no workload {name!r}; there are: {', '.join(ORDER)}")
    if min(chosen.rounds, chosen.concurrency, chosen.idle) < 1 or chosen.seconds <= 0:
        parser.error("rounds, seconds and tunnels must be positive")
    return chosen


ORDER = ("tunnel", "alone", "trip", "down", "up", "idle")
"""The workloads, in this order in each round."""


def works(chosen: argparse.Namespace) -> list[Work]:
    """The workloads with their sizes."""
    sizes = {"idle": chosen.idle, "alone": 1, "down": BULK, "up": BULK}
    return [
        Work(name, sizes.get(name, chosen.concurrency), chosen.seconds)
        for name in ORDER
        if name in chosen.workloads
    ]


def conditions(chosen: argparse.Namespace, cores: Cores) -> dict[str, Any]:
    """What one has to know to read the figures, and to repeat the run."""
    return {
        **machine(),
        "python": platform.python_version(),
        "build": ownBuild(),
        "cores": {
            "proxy": cores.proxy,
            "two workers": sorted(cores.proxies),
            "load": cores.load,
            "destinations": cores.target,
        },
        "rounds": chosen.rounds,
        "seconds": chosen.seconds,
        "concurrency": chosen.concurrency,
        "reference": REFERENCE,
    }


def main(arguments: Sequence[str]) -> int:
    """
    Run it.

    @return: 0, or 1 where a measurement did not count.
    """
    if arguments[:1] == ["instructions"]:
        return instructions.main(arguments[1:])
    chosen = options(arguments)
    if sys.platform != "linux":
        show("This needs Linux: epoll, CPU affinity and /proc.")
        return 1
    proxies = found(chosen.proxies, chosen.program)
    for name in chosen.proxies:
        if name not in proxies:
            show(f"not installed: {name}")
    cores = Cores.of(sorted(os.sched_getaffinity(0)))
    told = conditions(chosen, cores)
    told["versions"] = {
        name: versionOf(peer, program) for name, (peer, program) in proxies.items()
    }
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # Neither this process nor what it starts before a proxy is on its core.
    os.sched_setaffinity(0, {cores.load})
    todo, descriptors = works(chosen), raiseDescriptorLimit()
    measured: list[Measured] = []
    for one in Rounds(proxies, todo, cores, descriptors).measure(chosen.rounds):
        measured.append(one)
        show(report.line(one))
    allowed = {name: peer.cores for name, (peer, _) in proxies.items()}
    run = report.Run(told, allowed, tuple(todo), tuple(measured))
    print("\n".join(report.conditionLines(run)) + "\n")
    print(report.table(run))
    for problem in problems(measured):
        print(f"INVALID: {problem}")
    if chosen.output is not None:
        chosen.output.mkdir(parents=True, exist_ok=True)
        report.write(run, chosen.output)
        (chosen.output / "chart.svg").write_text(chart(run), "utf-8")
        show(f"written to {chosen.output}")
    return 1 if problems(measured) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
