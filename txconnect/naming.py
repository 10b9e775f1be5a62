"""
Names: this program's version, a deployment's name, and the ids of requests.
"""

from __future__ import annotations

import os

VERSION = "26.11.0"


class RequestIds:
    """
    Makes the ids of requests: short, and not used again by another worker or
    after a restart, because they begin with six characters that differ.

    @ivar start: these characters.
    """

    def __init__(self, start: str | None = None) -> None:
        self.start = start or os.urandom(3).hex()
        self._count = 0

    def next(self) -> str:
        """Return a fresh id."""
        self._count += 1
        return f"{self.start}-{self._count}"


def freshName(start: str | None = None) -> str:
    """
    Make a deployment's name where the operator gives none.

    @param start: characters that differ at every start.
    """
    return f"txconnect-{start or RequestIds().start}"
