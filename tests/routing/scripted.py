"""
A proxy whose parents a test scripts.
"""

from __future__ import annotations

from typing import Any

from rig import Rig, connect

from txconnect.testing import Destination, MemoryNetwork, Peer

PARENT, SECOND, THIRD = "192.0.2.9", "192.0.2.10", "192.0.2.11"
NAMES = {
    "parent": [PARENT],
    "second": [SECOND],
    "third": [THIRD],
    "example.com": ["192.0.2.1"],
}
ONE = "http://parent:3128"
BOTH = "http://parent:3128|http://second:3128"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


def proxy(chunk: Any = None, *routes: str, **arguments: Any) -> Rig:
    """A proxy with these routes; by default all goes to one parent."""
    arguments.setdefault("names", NAMES)
    return Rig(chunk, routes=routes or [ONE], **arguments)


def through(
    chunk: Any = None, *routes: str, **arguments: Any
) -> tuple[Rig, Destination]:
    """The same, and the one parent."""
    rig = proxy(chunk, *routes, **arguments)
    return rig, rig.serve(PARENT, 3128)


def asked(rig: Rig, parent: Destination, *fields: str) -> tuple[Peer, Peer]:
    """A client that has asked, and the parent's end of what follows."""
    client = rig.client(connect("example.com:443", *fields))
    return client, parent.peers[-1]


class Scripted:
    """
    A parent that does one thing to each who asks.

    @ivar destination: where it accepts.
    """

    def __init__(
        self, network: MemoryNetwork, host: str, answer: bytes | None, port: int = 3128
    ) -> None:
        """
        @param answer: what it says, to whatever; L{None}: it hangs up.
        """
        self._answer = answer
        self.destination = network.serve(host, port, accepted=self._accepted)

    def _accepted(self, peer: Peer) -> None:
        if self._answer is None:
            peer.close()
        elif self._answer:
            peer.send(self._answer)
