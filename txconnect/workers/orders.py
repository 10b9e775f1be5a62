"""
What a worker is told before anything else: all that it starts from.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import attrs

from txconnect.workers.messages import VERSION, BadMessage

BOOT = (
    "import json,sys;c=open(3,'rb',0,closefd=False);"
    "b=json.loads(c.readline());sys.path[:]=b['path'];"
    "from txconnect.workers.worker import main;main(c,b['size'])"
)
"""
The program of a worker.  It imports nothing of ours before it knows where the
parent has found that, and reads exactly its orders: what stands behind them in
the pipe is the reactor's.
"""


@attrs.frozen(kw_only=True)
class Orders:
    """
    @ivar options: the command line, C{--name} or C{--name=value} each.
    @ivar directory: where relative names in it count from.
    @ivar rundir: where to be afterwards.
    @ivar reactor: the module whose C{install} makes the parent's reactor.
    @ivar foreground: whether somebody sees standard output.
    @ivar sockets: how many listening sockets each C{--listen} has.
    @ivar files: how many descriptors with files' contents follow those.
    @ivar version: of L{txconnect.workers.messages}, as the parent speaks it.
    """

    options: Sequence[str]
    directory: str
    rundir: str
    reactor: str
    foreground: bool
    sockets: Sequence[int]
    files: int = 0
    version: int = VERSION

    def encode(self) -> bytes:
        """As it is sent: what L{BOOT} reads, and the orders."""
        body = json.dumps(attrs.asdict(self)).encode("ascii")
        boot = json.dumps({"path": sys.path, "size": len(body)}).encode("ascii")
        return boot + b"\n" + body

    @classmethod
    def decode(cls, body: bytes) -> Orders:
        """
        As it has arrived.

        @raise BadMessage: when the parent is of another version: the program
            was replaced while the parent went on running.
        """
        told = json.loads(body)
        if told.get("version") != VERSION:
            raise BadMessage(
                "txconnect has been replaced by another version since it was started: "
                "restart it"
            )
        return cls(**told)
