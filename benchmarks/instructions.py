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
from benchmarks.countreport import (
    BOUND,
    CountRun,
    conditionLines,
    countLine,
    countTable,
    differences,
    worsened,
)
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
from benchmarks.surcharges import PLAIN, VARIANTS, surchargePage, variants
from benchmarks.units import ALLOWED, UNITS, Unit, shortened

__all__ = ["main", "options", "subjects"]

DOCS = CHECKOUT / "docs" / "performance"
OURS, REFERENCE = "txconnect", "squid"
SURCHARGES = "surcharges"
"""Begins the names of their files."""
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
    add(
        "--check",
        action="store_true",
        help=f"fail if a unit of {OURS} takes {BOUND * 100:.0f} %% more than in that run"
        " [the kept one]",
    )
    add(
        "--surcharges",
        action="store_true",
        help="count a password, a parent, a tap and the other relay in place of"
        " other proxies",
    )
    add("--output", type=Path, help="directory for the JSON and the table")
    add("--docs", action="store_true", help="write them to docs/performance")
    add("--quick", action="store_true", help="one small window, to see that it works")
    return parser


def _misuse(chosen: argparse.Namespace) -> Iterator[str]:
    """A sentence for each option that makes no sense."""
    known = list(VARIANTS) if chosen.surcharges else [OURS, REFERENCE]
    for name in set(chosen.proxies) - set(known):
        yield f"no proxy {name!r}; there are: {', '.join(known)}"
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
    if chosen.surcharges:
        _chooseSurcharges(chosen, parser)
    chosen.name = SURCHARGES if chosen.surcharges else countreport.NAME
    chosen.reference = PLAIN if chosen.surcharges else REFERENCE
    if chosen.check and chosen.against is None:
        chosen.against = DOCS / f"{chosen.name}.json"
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


def _chooseSurcharges(
    chosen: argparse.Namespace, parser: argparse.ArgumentParser
) -> None:
    """Take what is there of them, where nothing else is chosen."""
    if chosen.proxies == parser.get_default("proxies"):
        chosen.proxies = ",".join(VARIANTS)
    if chosen.units == parser.get_default("units"):
        chosen.units = "tunnel,trip"


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
            behind = {one for peer, _ in proxies.values() for one in peer.behind}
            stack.enter_context(ahead((os.getpid(), pid, *sorted(behind))))
        for name, (peer, program) in proxies.items():
            home = top / name
            home.mkdir()
            try:
                for unit in units:
                    with started(peer, program, home, {cores.proxy}) as running:
                        target = pid, ports[0]
                        counting = Counting(running, home, target, effort, peer)
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
            "build": python.build,
        },
        "twisted": python.twisted,
        "valgrind": versionSaid((valgrind, "--version")),
        "windows": chosen.effort.windows,
        "load_ahead": mayRunAhead(),
        "reference": chosen.reference,
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
    print("\n".join(conditionLines(run)) + "\n")
    print(countTable(run, earlier))
    for name, why in run.failed.items():
        print(f"INVALID: {name}: {why}")
    if chosen.output is not None:
        chosen.output.mkdir(parents=True, exist_ok=True)
        page = surchargePage(run) if chosen.surcharges else ""
        countreport.write(run, chosen.output, chosen.name, page)
        show(f"written to {chosen.output}")
    worse = _checked(run, earlier, chosen) if chosen.check and earlier else []
    for line in worse:
        print(f"WORSE: {line}")
    return 1 if run.failed or worse else 0


def _checked(
    run: CountRun, earlier: Mapping[str, Any], chosen: argparse.Namespace
) -> list[str]:
    """Return why the run does not pass beside an earlier one; empty: it does."""
    if other := differences(run, earlier):
        return [f"cannot be compared, as these differ: {', '.join(other)}"]
    # The others are there for their ratio, and not ours to mend.
    names = chosen.proxies if chosen.surcharges else [OURS]
    return [
        f"{name}, {line}" for name in names for line in worsened(run, earlier, name)
    ]


def _run(chosen: argparse.Namespace, python: Interpreter, valgrind: str) -> CountRun:
    if not chosen.surcharges:
        return _countAll(chosen, python, valgrind, subjects(chosen.checkout))
    core = Cores.of(sorted(os.sched_getaffinity(0))).target
    with variants(chosen.python, chosen.checkout, core) as peers:
        return _countAll(chosen, python, valgrind, peers)


def _countAll(
    chosen: argparse.Namespace,
    python: Interpreter,
    valgrind: str,
    peers: Sequence[Peer],
) -> CountRun:
    here = found(chosen.proxies, {OURS: chosen.python}, peers)
    told = conditions(python, valgrind, chosen)
    told["versions"] = {
        name: versionOf(peer, program) if name == REFERENCE else python.txconnect
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
