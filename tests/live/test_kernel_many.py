"""
Nine thousand idle tunnels in one process, then traffic on all, then the end.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from loopback import reset
from test_soak import Counted, Ends, ended, ours

MANY = 9000
SPARE = 500
"""Descriptors for all that is no tunnel's."""


@pytest.fixture
def tunnels() -> Iterator[int]:
    """
    How many: as many descriptors are there for both ends, here and in the
    proxy, which inherits the limit.  Fewer where nobody may raise it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MANY + SPARE
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield (wanted - SPARE) // 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def counted(tunnels: int, tmp_path: Path) -> Iterator[Counted]:
    proxy = Counted(tmp_path)
    try:
        yield proxy
        proxy.end()
    finally:
        proxy.kill()


def talk(number: int, one: socket.socket, other: socket.socket) -> None:
    """Each sends the other something of its own."""
    one.sendall(b"up %8d" % number)
    other.sendall(b"down %8d" % number)


def hear(number: int, one: socket.socket, other: socket.socket) -> None:
    """Each has what it was sent, and nobody else's."""
    assert other.recv(11, socket.MSG_WAITALL) == b"up %8d" % number
    assert one.recv(13, socket.MSG_WAITALL) == b"down %8d" % number


def test_thousandsOfIdleTunnels(counted: Counted, tunnels: int) -> None:
    """[T11] [TU-05] All are idle, all are busy at once, all end; nothing is left."""
    with Ends(counted.port) as ends:
        ends.clientFirst()
        before = counted.ask()
        with ExitStack() as stack:
            opened = [ends.open() for _ in range(tunnels)]
            for pair in opened:
                for each in pair:
                    stack.callback(each.close)
            for number, pair in enumerate(opened):
                talk(number, *pair)
            for number, pair in enumerate(opened):
                hear(number, *pair)
            for number, (client, destination) in enumerate(opened):
                (socket.socket.close, socket.socket.close, reset)[number % 3](
                    destination if number % 3 == 1 else client
                )
            for number, (client, destination) in enumerate(opened):
                assert ended(client if number % 3 == 1 else destination) is (
                    number % 3 != 2
                )
                client.close()
                destination.close()
        after = counted.ask()
    assert (after["timers"], after["swept"]) == (0, 0)
    assert after["descriptors"] == before["descriptors"]
    assert ours(after["objects"]) == ours(before["objects"])
