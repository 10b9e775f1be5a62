"""
The examples of pairs and of a router as an operator runs them: processes on loopback,
with real threads and a real clock.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from exampleprograms import EXAMPLES
from loopback import ESTABLISHED, Server, readAll, readExactly, reset
from proxyprocess import DEADLINE
from test_command_live import running

TXCONNECT = [sys.executable, "-m", "txconnect", "--listen", "0"]
ANYTHING = ["--policy", "ports:any", "--policy", "networks:any"]


def echo(connection: socket.socket) -> bytes | str:
    """Answer all of it once it has come, and end."""
    try:
        said = readAll(connection)
    except ConnectionResetError:
        return "reset"
    connection.sendall(said)
    connection.shutdown(socket.SHUT_WR)
    readAll(connection)
    return said


def tunnel(port: int, server: Server) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), DEADLINE)
    client.sendall(
        b"CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n" % server.authority.encode()
    )
    assert readExactly(client, len(ESTABLISHED)) == ESTABLISHED
    return client


@pytest.mark.parametrize("relay", ["auto", "transport"])
@pytest.mark.parametrize(
    ("pair", "changed"),
    [
        ("rewriting_pair.py:rewritingPair", b"hELLO "),
        ("throttling_pair.py:ThrottlingPair:2000000", b"Hello "),
    ],
)
def test_aPair(pair: str, changed: bytes, relay: str, tmp_path: Path) -> None:
    """
    [F51] [TU-03] What is behind the client's end waits for its thread, or its tokens,
    and the answer comes back whole.  Neither example does without the bytes, so that
    the setting of the relay makes no difference to them.
    """
    arguments = [*ANYTHING, "--pair", f"{EXAMPLES}/{pair}", "--relay", relay]
    with running([*TXCONNECT, *arguments], tmp_path) as process, Server(echo) as server:
        client = tunnel(process.port(), server)
        client.sendall(b"Hello " * 500_000)
        client.shutdown(socket.SHUT_WR)
        assert readAll(client) == changed * 500_000
        assert server.result() == changed * 500_000
        client.close()
        other = tunnel(process.port(), server)
        other.sendall(b"Hello")
        reset(other)
        assert server.result() == "reset"
        status, out, err = process.stop()
    assert "Traceback" not in out + err


def test_aParentByUser(tmp_path: Path) -> None:
    """[F52] Nobody has proved to be anybody here: it goes direct, and is served."""
    router = f"{EXAMPLES}/parent_by_user.py:ParentByUser:ada=http://127.0.0.1:1"
    arguments = [*ANYTHING, "--router", router]
    with running([*TXCONNECT, *arguments], tmp_path) as process, Server(echo) as server:
        client = tunnel(process.port(), server)
        client.sendall(b"direct")
        client.shutdown(socket.SHUT_WR)
        assert readAll(client) == b"direct"
        client.close()
        status, out, err = process.stop()
    assert "Traceback" not in out + err
