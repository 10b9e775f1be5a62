"""
What is left behind by ten thousand tunnels, and what a reader costs that never
reads.  Both are counted, on a proxy in a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from leakcheck import DENIED, UNDECIDED
from loopback import ESTABLISHED, reset
from proxyprocess import DEADLINE, ROOT, ProxyProcess, environment

TUNNELS = 10_000
THREADS = 4


def end(connection: socket.socket) -> None:
    """Send FIN and read on."""
    connection.shutdown(socket.SHUT_WR)


def ended(connection: socket.socket) -> bool:
    """Read to the end, whatever kind of end it is."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return False
    return True


class Ends:
    """
    Both ends of tunnels, in one thread: it is the client, and it is the
    destination too, whose connections it accepts itself.
    """

    def __init__(self, proxy: int) -> None:
        self._proxy = proxy
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(DEADLINE)
        self.port = self._listener.getsockname()[1]
        self._abandoned = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._abandoned.setblocking(False)
        with socket.create_server(("127.0.0.1", 0)) as gone:
            self.gone = gone.getsockname()[1]

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()
        self._abandoned.close()

    def connect(self) -> socket.socket:
        """A client that has said nothing yet."""
        return socket.create_connection(("127.0.0.1", self._proxy), DEADLINE)

    def ask(self, authority: str, behind: bytes = b"") -> socket.socket:
        """A client that has asked for a tunnel."""
        client = self.connect()
        head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"
        client.sendall(head.encode() + behind)
        return client

    def open(
        self, behind: bytes = b"", host: str = "127.0.0.1"
    ) -> tuple[socket.socket, socket.socket]:
        """Both ends of an established tunnel."""
        client = self.ask(f"{host}:{self.port}", behind)
        destination, _ = self._listener.accept()
        destination.settimeout(DEADLINE)
        assert client.recv(len(ESTABLISHED), socket.MSG_WAITALL) == ESTABLISHED
        return client, destination

    def refused(self, authority: str, status: bytes) -> None:
        """A client that is refused, and reads its answer."""
        with self.ask(authority) as client:
            assert client.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 " + status
            assert ended(client)

    # How tunnels end

    def clientFirst(self) -> None:
        client, destination = self.open()
        with client, destination:
            client.sendall(b"ping")
            assert destination.recv(4, socket.MSG_WAITALL) == b"ping"
            end(client)
            assert ended(destination)
            destination.sendall(b"pong")
            end(destination)
            assert ended(client)

    def destinationFirst(self) -> None:
        client, destination = self.open()
        with client, destination:
            destination.sendall(b"banner")
            end(destination)
            assert ended(client)
            client.sendall(b"late")
            end(client)
            assert ended(destination)

    def clientCloses(self) -> None:
        client, destination = self.open()
        with destination:
            client.close()
            assert ended(destination)

    def destinationCloses(self) -> None:
        client, destination = self.open()
        with client:
            destination.close()
            assert ended(client)

    def clientResets(self) -> None:
        client, destination = self.open()
        with destination:
            reset(client)
            assert not ended(destination)

    def destinationResets(self) -> None:
        client, destination = self.open()
        with client:
            reset(destination)
            assert not ended(client)

    def clientLeavesInTheMiddle(self) -> None:
        client, destination = self.open()
        with destination:
            destination.sendall(bytes(100_000))
            client.recv(1)
            client.close()
            ended(destination)

    def resetBehindAnEnd(self) -> None:
        client, destination = self.open()
        end(client)
        with client:
            assert ended(destination)
            reset(destination)
            assert not ended(client)

    def bothResetAtOnce(self) -> None:
        client, destination = self.open()
        reset(client)
        reset(destination)

    def earlyBytes(self) -> None:
        client, destination = self.open(b"early")
        with client, destination:
            assert destination.recv(5, socket.MSG_WAITALL) == b"early"
            end(client)

    def byName(self) -> None:
        # Its other address refuses, in part of the machines.
        client, destination = self.open(host="localhost")
        client.close()
        destination.close()

    # How none begins

    def refusedPort(self) -> None:
        self.refused(f"127.0.0.1:{self.gone}", b"502")

    def refusedByPolicy(self) -> None:
        self.refused(f"{DENIED}:443", b"403")

    def refusedAsLoop(self) -> None:
        self.refused(f"127.0.0.1:{self._proxy}", b"502")

    def malformed(self) -> None:
        self.refused("no port", b"400")

    def leavesWithinTheHead(self) -> None:
        client = self.connect()
        client.sendall(b"CONNECT exa")
        client.close()

    def leavesUndecided(self) -> None:
        self.ask(f"{UNDECIDED}:443").close()

    def resetsUndecided(self) -> None:
        reset(self.ask(f"{UNDECIDED}:443"))

    def leavesPaused(self) -> None:
        # More than is read ahead, so that the watch alone can see it leave.
        self.ask(f"{UNDECIDED}:443", bytes(65536)).close()

    def leavesAtOnce(self) -> None:
        # Whether it is dialled or not, it meets no other manner's accept.
        reset(self.ask(f"127.0.0.1:{self._abandoned.getsockname()[1]}"))
        with contextlib.suppress(BlockingIOError):
            while True:
                self._abandoned.accept()[0].close()


ENDS: list[Callable[[Ends], None]] = [
    Ends.clientFirst,
    Ends.destinationFirst,
    Ends.clientCloses,
    Ends.destinationCloses,
    Ends.clientResets,
    Ends.destinationResets,
    Ends.clientLeavesInTheMiddle,
    Ends.resetBehindAnEnd,
    Ends.bothResetAtOnce,
    Ends.earlyBytes,
    Ends.byName,
]
BEGINNINGS: list[Callable[[Ends], None]] = [
    Ends.refusedPort,
    Ends.refusedByPolicy,
    Ends.refusedAsLoop,
    Ends.malformed,
    Ends.leavesWithinTheHead,
    Ends.leavesUndecided,
    Ends.resetsUndecided,
    Ends.leavesPaused,
    Ends.leavesAtOnce,
]


class Counted:
    """The proxy that counts."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("leakcheck.py"))],
            cwd=directory,
            env={**environment(directory), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.port = int(self._line())

    def ask(self) -> dict[str, Any]:
        """What it holds, as soon as it has no connection."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return dict(json.loads(self._line()))

    def end(self) -> None:
        """Let it end; it has nothing to say."""
        out, err = self._process.communicate(timeout=DEADLINE)
        assert (self._process.returncode, out, err) == (0, b"", b"")

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], DEADLINE)
        assert ready, "the proxy says nothing"
        return self._process.stdout.readline()


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    proxy = Counted(tmp_path)
    try:
        yield proxy
        proxy.end()
    finally:
        proxy.kill()


def drive(port: int, rounds: int) -> int:
    """Every manner, so often; returns how many tunnels there were."""
    with Ends(port) as ends:
        for _ in range(rounds):
            for manner in (*ENDS, *BEGINNINGS):
                manner(ends)
    return rounds * len(ENDS)


def driveAll(port: int, tunnels: int) -> int:
    """The same from several threads, so that tunnels overlap."""
    rounds = -(-tunnels // (len(ENDS) * THREADS))
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(lambda _: drive(port, rounds), range(THREADS)))


def ours(objects: dict[str, int]) -> dict[str, int]:
    """Those that this package, or Twisted for it, makes for tunnels."""
    return {
        name: count
        for name, count in objects.items()
        if name.startswith(("txconnect.", "twisted.internet.tcp."))
    }


def test_nothingIsLeftBehind(counted: Counted) -> None:
    """[T11] [TU-05] [TU-08] Ten thousand tunnels, ended in every manner, and as
    many that never began, leave no descriptor, no timer and no object."""
    driveAll(counted.port, 1000)
    before = counted.ask()
    assert driveAll(counted.port, TUNNELS) >= TUNNELS
    after = counted.ask()
    assert (after["timers"], after["swept"]) == (0, 0)
    assert after["descriptors"] == before["descriptors"]
    assert ours(after["objects"]) == ours(before["objects"])
    for name in (
        "Http1Front",
        "HeadReading",
        "Tunnel",
        "Leg",
        "Candidate",
        "TransportRelay",
    ):
        assert not any(
            count and kind.endswith(f".{name}")
            for kind, count in after["objects"].items()
        )
    # Whatever it is: one manner alone would leave some eight hundred.  What is bounded
    # may be fuller than it was before.
    grown = {
        name: count - before["objects"].get(name, 0)
        for name, count in after["objects"].items()
    }
    assert {name: more for name, more in grown.items() if more >= 300} == {}


# Memory

MUCH = 200_000_000
LITTLE = 4_000_000


def fill(*writers: socket.socket) -> list[int]:
    """
    Write to each as long as it takes anything, up to a lot.

    A second in which no writer may write ends it: everything on the way is
    full by then.  (On a machine that slow, less is written, and the test
    shows less; it does not fail.)
    """
    written = dict.fromkeys(writers, 0)
    chunk = bytes(262144)
    for writer in writers:
        writer.setblocking(False)
    while True:
        hungry = [one for one in writers if written[one] < MUCH]
        _, ready, _ = select.select([], hungry, [], 1.0)
        if not ready:
            break
        for writer in ready:
            written[writer] += writer.send(chunk)
    for writer in writers:
        writer.settimeout(DEADLINE)
    return list(written.values())


def drain(reader: socket.socket, size: int) -> None:
    """Read so much, and all of it is there."""
    left, buffer = size, bytearray(1_000_000)
    while left:
        got = reader.recv_into(buffer, min(left, len(buffer)))
        assert got, f"{left} of {size} are missing"
        left -= got


@pytest.mark.parametrize("way", ["up", "down", "both"])
def test_aReaderThatNeverReads(plain: ProxyProcess, way: str) -> None:
    """[T10] [TU-06] It costs the proxy no memory, in either direction and in both
    at once; when it reads at last, everything is there."""
    with Ends(plain.port) as ends:
        client, destination = ends.open()
    with client, destination:
        before = plain.memory()
        given = {"up": [client], "down": [destination]}
        writers = given.get(way, [client, destination])
        written = fill(*writers)
        assert plain.memory() - before < LITTLE
        for count in written:
            # More than any buffer of the proxy's own, and not all there was.
            assert 1_000_000 < count < MUCH
        for writer, count in zip(writers, written, strict=True):
            drain(destination if writer is client else client, count)
        assert plain.memory() - before < LITTLE
    record = plain.told(event="closed")
    totals = {"up": 0, "down": 0}
    totals.update(zip(["up", "down"] if way == "both" else [way], written, strict=True))
    assert {name: record[name] for name in totals} == totals
