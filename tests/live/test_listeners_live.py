"""
Tunnels through listeners that are no port of the proxy's own: a C{unix:} socket,
and one that a service manager has bound.
"""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_command_live import DEADLINE, TXCONNECT, Running, environment

ANYTHING = ["--policy", "networks:any", "--policy", "ports:any"]
SAID = b"all that the client says\n" * 10_000
"""More than a socket's buffers and the early data take at once."""

# As a service manager starts a program: descriptor 3, and its own pid.
HANDED = [
    *("sh", "-c"),
    'exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=proxy exec "$@"',
    "sh",
]


@contextmanager
def proxy(
    directory: Path, listen: str, stdin: int | socket.socket, *before: str
) -> Iterator[Running]:
    """The command with one listener, and the descriptor it inherits as 0."""
    process = subprocess.Popen(
        [*before, *TXCONNECT, "--listen", listen, *ANYTHING],
        cwd=directory,
        env=environment(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(DEADLINE, process.kill)
    watchdog.start()
    try:
        yield Running(process)
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def late() -> Iterator[int]:
    """
    The port of a destination that says back what it has heard, but not before
    the end of that: without a half-close it would be heard by nobody.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(DEADLINE)
                heard = toTheEnd(connection)
                connection.sendall(heard)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def toTheEnd(connection: socket.socket) -> bytes:
    """What comes until the other side ends."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def halfClosed(client: socket.socket, destination: int) -> None:
    """Tunnel, say everything and end; then hear everything, and the end."""
    authority = f"127.0.0.1:{destination}"
    client.settimeout(DEADLINE)
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"
    client.sendall(head.encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        data = client.recv(65536)
        assert data, answer
        answer += data
    assert answer.startswith(b"HTTP/1.1 200 ")
    client.sendall(SAID)
    client.shutdown(socket.SHUT_WR)
    assert toTheEnd(client) == SAID


def told(running: Running, destination: int) -> None:
    """Both directions are accounted for, and it ends as it should."""
    running.line(rf" open   .* -> 127\.0\.0\.1:{destination}")
    both = f"up {len(SAID) / 1000} kB  down {len(SAID) / 1000} kB  "
    running.line(rf" close  .*  {re.escape(both)}.*  client closed")
    _, out, err = running.stop()
    assert "Traceback" not in out + err


def test_tunnelThroughAUnixSocket(tmp_path: Path, late: int) -> None:
    """[TU-03] A half-close through C{unix:}, whose transport is like TCP's but is
    none: no option of TCP, no address of the client, no relay in the kernel."""
    with proxy(tmp_path, "unix:sock", subprocess.DEVNULL) as running:
        running.line("^  try ")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "sock"))
            halfClosed(client, late)
        told(running, late)


def test_tunnelThroughASocketOfSystemd(tmp_path: Path, late: int) -> None:
    """[TU-03] A half-close through a socket that was bound before the start."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        listen = "systemd:domain=INET:name=proxy"
        with proxy(tmp_path, listen, server, *HANDED) as running:
            assert running.port() == port
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
                halfClosed(client, late)
            told(running, late)
