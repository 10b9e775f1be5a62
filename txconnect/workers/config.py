"""
The start of a worker: the program that its interpreter runs, and the values
that the parent sends.

A worker is a new interpreter and no fork of the parent: a fork would inherit
the parent's reactor, its descriptors and its signal handlers.
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
The version of the messages between parent and worker: it changes when a known
message changes its meaning.
"""

CHANNEL = 3
"""The worker's descriptor of the channel to its parent."""

FIRST_SOCKET = 4
"""The worker's first listening socket; all others follow, then the files."""

STOP_TIMEOUT = 10.0
"""Seconds that a worker has to end before it is killed."""

START_TIMEOUT = 60.0
"""Seconds that a worker has until it must accept connections."""

LONGEST_LINE = 1 << 15
"""The most characters kept of one event of a worker's log."""

BOOT = (
    "import json,sys;c=open(3,'rb',0,closefd=False);"
    "b=json.loads(c.readline());sys.path[:]=b['path'];"
    "from txconnect.workers.worker import main;main(b['reactor'])"
)
"""
The program of a worker.  It imports nothing of ours before it has the parent's
C{sys.path}.  It reads exactly one line: after it the channel begins.
"""


def bootLine(reactor: str) -> bytes:
    """
    Return the line that L{BOOT} reads.

    @param reactor: the module whose C{install} makes the parent's reactor.
    """
    # ASCII, as a path may hold surrogates that UTF-8 cannot carry.
    return json.dumps({"path": sys.path, "reactor": reactor}).encode("ascii") + b"\n"


@attrs.frozen(kw_only=True)
class WorkerConfig:
    """
    The values from which a worker starts, as the message C{start} carries them.

    @ivar configuration: the parent's, with the paths that the worker can read.
    @ivar directory: the directory from which relative names in it count.
    @ivar rundir: the current directory afterwards.
    @ivar foreground: true when standard output is seen, as the parent is no
        daemon.
    @ivar sockets: for each listener the number of its sockets.
    @ivar files: the number of descriptors with files' contents after those.
    @ivar version: the parent's L{VERSION}.
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
        """Every descriptor that the worker has inherited besides the channel."""
        return range(FIRST_SOCKET, FIRST_SOCKET + sum(self.sockets) + self.files)

    def toData(self) -> dict[str, Any]:
        """Return the fields of the message."""
        return attrs.asdict(self)

    @classmethod
    def fromData(cls, fields: Mapping[str, Any]) -> WorkerConfig:
        """
        Make the value from the result of L{toData}.

        @raise ConfigurationError: the parent is of another version: the program
            was replaced while the parent went on running.
        """
        # First: the other fields may mean something else in another version.
        if fields.get("version") != VERSION:
            raise ConfigurationError(
                "txconnect has been replaced by another version since it was started: "
                "restart it"
            )
        configuration = Configuration.fromData(fields["configuration"])
        sockets = tuple(fields["sockets"])
        return cls(**{**fields, "configuration": configuration, "sockets": sockets})
