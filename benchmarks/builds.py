"""
How a Python was built, as it says itself: the instructions of a tunnel depend on it.

Paths are left out, as they say nothing.  A distribution may optimize without saying so:
Debian profiles its Python and links it as a whole, and strips the flags for that from
what C{sysconfig} tells.
"""

from __future__ import annotations

import shlex
import sysconfig
from collections.abc import Mapping
from typing import Any

__all__ = ["VARIABLES", "buildOf", "ownBuild", "shownBuild"]

VARIABLES = ("CONFIG_ARGS", "OPT", "PY_CORE_CFLAGS", "PY_CORE_LDFLAGS")
"""The variables of C{sysconfig} that L{buildOf} reads."""

_CHOICES = ("--enable-", "--disable-", "--with-", "--without-")


def buildOf(variables: Mapping[str, object]) -> dict[str, Any]:
    """
    Return the choices of C{configure}, the compiler's flags, and whether either says
    that the build was profiled (PGO) and linked as a whole (LTO).
    """
    given = shlex.split(str(variables.get("CONFIG_ARGS") or ""))
    flags = " ".join(str(variables.get(name) or "") for name in VARIABLES[1:])
    return {
        "configure": [
            word for word in given if word.startswith(_CHOICES) and "/" not in word
        ],
        "opt": str(variables.get("OPT") or ""),
        "pgo": "--enable-optimizations" in given or "-fprofile-use" in flags,
        "lto": any(_choosesLto(word) for word in given) or "-flto" in flags,
    }


def _choosesLto(word: str) -> bool:
    return word.startswith("--with-lto") and word != "--with-lto=no"


def ownBuild() -> dict[str, Any]:
    """Return L{buildOf} of the Python that runs this."""
    return buildOf(sysconfig.get_config_vars())


def shownBuild(build: Mapping[str, Any]) -> str:
    """Return a build in a line: its optimizations, and what it says of the two."""
    level = next((w for w in build["opt"].split()[::-1] if w.startswith("-O")), "no -O")
    said = [name.upper() for name in ("pgo", "lto") if build[name]]
    return f"{level}, {' and '.join(said) or 'neither PGO nor LTO'} by its flags"
