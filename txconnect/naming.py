"""
Names: this program's version, a deployment's name, the ids of requests, and the
public names of packages.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module

VERSION = "26.11.0"


class RequestIds:
    """
    Makes the ids of requests: short, and not used again by another worker or
    after a restart, because they begin with six characters that differ.

    @ivar start: these characters.
    """

    def __init__(self, start: str | None = None) -> None:
        # Random and not the process's number: a container's is 1 after each restart.
        self.start = start or os.urandom(3).hex()
        self._count = 0

    def nextId(self) -> str:
        """Return a fresh id."""
        self._count += 1
        return f"{self.start}-{self._count}"


def freshName(start: str | None = None) -> str:
    """
    Make a deployment's name where the operator gives none.

    @param start: characters that differ at every start.
    """
    return f"txconnect-{start or RequestIds().start}"


def namesWhenUsed(
    package: str, homes: Mapping[str, str], into: dict[str, object]
) -> Callable[[str], object]:
    """
    Make a package's C{__getattr__}, which imports each name when it is first used
    (PEP 562).

    @param homes: the module of each name, relative to the package where it begins
        with a dot.
    @param into: the package's globals, where a name then stays.
    """

    def getName(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = into[name] = getattr(import_module(homes[name], package), name)
        return value

    return getName
