"""
The start of a worker: the program that its interpreter runs, and everything
that the parent tells it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import attrs

from txconnect.configuration import Configuration
from txconnect.errors import ConfigurationError

VERSION = 2
"""
Of the messages between parent and worker: another one when a known message
changes its meaning.
"""

CHANNEL = 3
"""The worker's descriptor of the channel to its parent."""

FIRST_SOCKET = 4
"""The worker's first listening socket; all others follow, then the files."""

STOP_TIMEOUT = 10.0
"""Seconds that a worker has to end by itself."""

START_TIMEOUT = 60.0
"""Seconds until a worker must accept."""

LONGEST_LINE = 1 << 15
"""Characters of one event of a worker's log that are kept."""

BOOT = (
    "import json,sys;c=open(3,'rb',0,closefd=False);"
    "b=json.loads(c.readline());sys.path[:]=b['path'];"
    "from txconnect.workers.worker import main;main(b['reactor'])"
)
"""
The program of a worker.  It imports nothing of ours before it knows where the
parent has found that.  It reads exactly one line: behind it the channel begins.
"""


def bootLine(reactor: str) -> bytes:
    """
    Return the line that L{BOOT} reads.

    @param reactor: the module whose C{install} makes the parent's reactor.
    """
    return json.dumps({"path": sys.path, "reactor": reactor}).encode("ascii") + b"\n"


@attrs.frozen(kw_only=True)
class WorkerConfig:
    """
    Everything that a worker starts from, as the message C{start} carries it.

    @ivar configuration: the parent's, with the paths that the worker can read.
    @ivar directory: where relative names in it count from.
    @ivar rundir: the current directory afterwards.
    @ivar foreground: whether somebody sees standard output.
    @ivar sockets: for each listener the number of its sockets.
    @ivar files: the number of descriptors with files' contents after those.
    @ivar version: L{VERSION}, as the parent speaks it.
    """

    configuration: Configuration
    directory: str
    rundir: str
    foreground: bool
    sockets: tuple[int, ...]
    files: int = 0
    version: int = VERSION

    @property
    def descriptors(self) -> range:
        """Every descriptor that the worker has got besides the channel."""
        return range(FIRST_SOCKET, FIRST_SOCKET + sum(self.sockets) + self.files)

    def toData(self) -> dict[str, Any]:
        """Return the fields of the message."""
        return attrs.asdict(self)

    @classmethod
    def fromData(cls, fields: Mapping[str, Any]) -> WorkerConfig:
        """
        Return what L{toData} gave.

        @raise ConfigurationError: the parent is of another version: the program
            was replaced while the parent went on running.
        """
        if fields.get("version") != VERSION:
            raise ConfigurationError(
                "txconnect has been replaced by another version since it was started: "
                "restart it"
            )
        configuration = Configuration.fromData(fields["configuration"])
        sockets = tuple(fields["sockets"])
        return cls(**{**fields, "configuration": configuration, "sockets": sockets})
