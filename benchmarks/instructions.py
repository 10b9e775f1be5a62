"""
The command C{python -m benchmarks instructions}: counts in place of times.

CPU time moves by a fifth from run to run on a machine that others use as well;
the number of instructions does not, so that a change of a few parts in a
hundred shows.  What it leaves out: the kernel's half of the work, and that not
all instructions take the same time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import countreport
from benchmarks.callgrind import underCallgrind
from benchmarks.conditions import machine, show
from benchmarks.counting import FULL, QUICK, Counted, Counting, Effort
from benchmarks.countreport import CountRun, countLine, countTable
from benchmarks.interpreter import Interpreter, kindOfPython, probe, treeOf
from benchmarks.measuring import Cores
from benchmarks.peers import (
    CHECKOUT,
    Peer,
    found,
    squid,
    txconnect,
    versionOf,
    versionSaid,
)
from benchmarks.running import Failed, destinations, started
from benchmarks.scheduling import ahead, mayRunAhead
from benchmarks.units import ALLOWED, UNITS, Unit, shortened

__all__ = ["main", "options", "subjects"]

DOCS = CHECKOUT / "docs" / "performance"
OURS, REFERENCE = "txconnect", "squid"
NAMES = [unit.name for unit in UNITS]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks instructions",
        description="Count the instructions in user space that a tunnel, a round"
        " trip and a refusal take, with valgrind's callgrind.",
    )
    add = parser.add_argument
    add("--proxies", default=f"{OURS},{REFERENCE}", help="which [%(default)s]")
    add("--units", default=",".join(NAMES), help="which [%(default)s]")
    add(
        "--windows", type=int, default=FULL.windows, help="counts of each [%(default)s]"
    )
    add("--checkout", type=Path, default=CHECKOUT, help="the tree to measure [this]")
    add("--python", default=sys.executable, help="what runs txconnect [this one]")
    add("--against", type=Path, metavar="JSON", help="show the change since that run")
    add("--output", type=Path, help="directory for the JSON and the table")
    add("--docs", action="store_true", help="write them to docs/performance")
    add("--quick", action="store_true", help="one small window, to see that it works")
    return parser


def _misuse(chosen: argparse.Namespace) -> Iterator[str]:
    """A sentence for each option that makes no sense."""
    for name in set(chosen.proxies) - {OURS, REFERENCE}:
        yield f"no proxy {name!r}; there are: {OURS}, {REFERENCE}"
    for name in set(chosen.units) - set(NAMES):
        yield f"no unit {name!r}; there are: {', '.join(NAMES)}"
    if chosen.windows < 1:
        yield "windows must be positive"
    if not (chosen.checkout / "txconnect").is_dir():
        yield "--checkout: no tree of txconnect"
    if chosen.against is not None and not chosen.against.is_file():
        yield "--against: no such file"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line behind the word C{instructions}."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    chosen.proxies = chosen.proxies.split(",")
    chosen.units = chosen.units.split(",")
    chosen.checkout = chosen.checkout.resolve()
    for problem in _misuse(chosen):
        parser.error(problem)
    chosen.units = tuple(unit for unit in UNITS if unit.name in chosen.units)
    chosen.effort = replace(FULL, windows=chosen.windows)
    if chosen.quick:
        chosen.effort = QUICK
        chosen.units = tuple(map(shortened, chosen.units))
    if chosen.docs:
        chosen.output = DOCS
    return chosen


def subjects(checkout: Path) -> tuple[Peer, ...]:
    """
    The proxies, set up as for the timed runs, but that they refuse low ports.
    """
    return (
        Peer(OURS, sys.executable, txconnect(ports=ALLOWED, checkout=checkout)),
        # Callgrind loses sight of a process that changes its user.
        Peer(REFERENCE, "squid", squid(ports=ALLOWED, user="nobody")),
    )


def counts(
    proxies: Mapping[str, tuple[Peer, str]],
    units: Sequence[Unit],
    effort: Effort,
    failed: dict[str, str],
) -> Iterator[Counted]:
    """
    Count on one proxy after the other.

    @param failed: takes the names of those that cannot be counted, with why.
    """
    cores = Cores.of(sorted(os.sched_getaffinity(0)))
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        top.chmod(0o755)  # for those who change to a user of their own
        pid, ports = stack.enter_context(destinations(cores.target))
        if mayRunAhead():
            stack.enter_context(ahead((os.getpid(), pid)))
        for name, (peer, program) in proxies.items():
            home = top / name
            home.mkdir()
            try:
                for unit in units:
                    with started(peer, program, home, {cores.proxy}) as running:
                        counting = Counting(running, home, (pid, ports[0]), effort)
                        yield counting.count(unit)
            except Failed as error:
                failed[name] = str(error)


def conditions(
    python: Interpreter, valgrind: str, chosen: argparse.Namespace
) -> dict[str, Any]:
    """The facts one needs to read the figures, and to repeat the run."""
    debian = Path("/etc/debian_version").exists()
    return {
        **machine(),
        "tree": treeOf(chosen.checkout),
        "python": {
            "version": python.version,
            "program": kindOfPython(python.program, debian),
        },
        "twisted": python.twisted,
        "valgrind": versionSaid((valgrind, "--version")),
        "windows": chosen.effort.windows,
        "load_ahead": mayRunAhead(),
        "reference": REFERENCE,
    }


def main(arguments: Sequence[str]) -> int:
    """
    Run it.

    @return: 0, or 1 where something could not be counted.
    """
    chosen = options(arguments)
    valgrind = shutil.which("valgrind")
    if sys.platform != "linux" or valgrind is None:
        show("This needs Linux and valgrind.")
        return 1
    earlier = json.loads(chosen.against.read_text("utf-8")) if chosen.against else None
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        python = probe(chosen.python, chosen.checkout)
    except Failed as error:
        show(str(error))
        return 1
    if not mayRunAhead():
        show("Not root: on a busy machine the counts repeat less well.")
    run = _run(chosen, python, valgrind)
    print(countTable(run, earlier))
    for name, why in run.failed.items():
        print(f"INVALID: {name}: {why}")
    if chosen.output is not None:
        chosen.output.mkdir(parents=True, exist_ok=True)
        countreport.write(run, chosen.output)
        show(f"written to {chosen.output}")
    return 1 if run.failed else 0


def _run(chosen: argparse.Namespace, python: Interpreter, valgrind: str) -> CountRun:
    here = found(chosen.proxies, {OURS: chosen.python}, subjects(chosen.checkout))
    told = conditions(python, valgrind, chosen)
    told["versions"] = {
        name: python.txconnect if name == OURS else versionOf(peer, program)
        for name, (peer, program) in here.items()
    }
    failed = {name: "not installed" for name in chosen.proxies if name not in here}
    proxies = {
        name: (underCallgrind(peer, valgrind), program)
        for name, (peer, program) in here.items()
    }
    counted = []
    for one in counts(proxies, chosen.units, chosen.effort, failed):
        counted.append(one)
        show(countLine(one))
    return CountRun(told, tuple(here), chosen.units, tuple(counted), failed)
