"""
The environment's proxies: the answers that are written down in
C{noproxycases} are the ones that curl gives.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import Server
from noproxycases import CASES, Case
from proxyprocess import DEADLINE, environment

DIRECT = 7
"""curl's status for a connection that was refused."""


class Recorder:
    """A proxy that says no to everybody, and remembers that it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def serve(self, connection: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n") and (data := connection.recv(4096)):
            head += data
        self.asked.append(head)
        connection.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def proxy(recorder: Recorder) -> Iterator[str]:
    with Server(recorder.serve) as server:
        yield f"http://{server.authority}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_curlsAnswers(
    case: Case,
    recorder: Recorder,
    proxy: str,
    program: Callable[[str], str],
    tmp_path: Path,
) -> None:
    """
    What curl does not ask the proxy for ends at a port of loopback on which
    nobody listens: no name is looked up, and nothing leaves this machine.
    """
    recorder.asked.clear()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"::127.0.0.1:{closed.getsockname()[1]}"
        done = subprocess.run(
            [program("curl"), "-q", "-sS", "--connect-to", nowhere, case.url],
            env={**environment(tmp_path), **case.environ(proxy)},
            capture_output=True,
            timeout=DEADLINE,
        )
    assert bool(recorder.asked) is case.proxied, done.stderr
    assert (done.returncode == DIRECT) is not case.proxied, done.stderr
