"""
The Python that runs this proxy, and the tree that is run.

The instructions of a tunnel depend much on how the interpreter was built, so
each count names it; but not where on a machine it is.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.builds import VARIABLES, buildOf
from benchmarks.running import Failed

__all__ = ["Interpreter", "kindOfPython", "probe", "treeOf"]

_PROBE = """
import json, os, platform, sys, sysconfig
import twisted, txconnect
print(json.dumps({
    "version": platform.python_version(),
    "program": os.path.realpath(sys.executable),
    "twisted": twisted.__version__,
    "txconnect": txconnect.__version__,
    "source": os.path.realpath(txconnect.__file__),
    "build": {name: sysconfig.get_config_var(name) for name in sys.argv[1:]},
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """
    A Python, and what it imports.

    @ivar program: the executable behind all links and environments.
    @ivar source: the file of the package C{txconnect}.
    @ivar build: see L{buildOf}.
    """

    version: str
    program: str
    twisted: str
    txconnect: str
    source: str
    build: dict[str, Any]


def kindOfPython(program: str, debian: bool) -> str:
    """
    The kind of an executable, without its path: the distribution's builds are
    optimized, and those that people make for themselves mostly are not.

    @param program: the executable behind all links.
    @param debian: C{True} on Debian and its kin.
    """
    path = Path(program)
    if path.parent == Path("/usr/bin"):
        return f"{'Debian' if debian else 'the system'}'s {path.name}"
    return f"a {path.name} of another build"


def probe(program: str, checkout: Path) -> Interpreter:
    """
    Ask a Python what it is and what it would run.

    @raise Failed: it lacks Twisted, or imports another tree.
    """
    done = subprocess.run(
        [program, "-c", _PROBE, *VARIABLES],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2]
        raise Failed(f"this Python cannot run the proxy: {why}")
    said = json.loads(done.stdout)
    found = Interpreter(**{**said, "build": buildOf(said["build"])})
    if not Path(found.source).is_relative_to(checkout):
        raise Failed("this Python imports another tree than the one to measure")
    return found


def treeOf(checkout: Path) -> str:
    """The commit of a tree, with C{-dirty} if it was changed; C{""} without git."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
