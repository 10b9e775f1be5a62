"""
The real command when descriptors run out.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from proxyprocess import DEADLINE, ProxyProcess, eventually

LIMIT = 48
SHORTAGE = "out of file descriptors"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[ProxyProcess]:
    """A proxy with few descriptors."""
    process = ProxyProcess(tmp_path)
    try:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        process.mark()
        yield process
    finally:
        process.kill()


def connected(proxy: ProxyProcess) -> socket.socket:
    """A client that says nothing yet; it waits in the queue, if it has to."""
    return socket.create_connection(("127.0.0.1", proxy.port), DEADLINE)


def test_theShortage(proxy: ProxyProcess, tmp_path: Path) -> None:
    """[F16] One warning, with the numbers; the lost are in the log; and whoever waits
    is served as soon as there are descriptors again."""
    output = tmp_path / "output"
    with socket.create_server(("127.0.0.1", 0)) as destination:
        where = f"127.0.0.1:{destination.getsockname()[1]}"
        with ExitStack() as idle:
            for _ in range(3 * LIMIT):
                idle.enter_context(connected(proxy))
            eventually("the warning", lambda: SHORTAGE in output.read_text())
            lost = proxy.told(cause="not-accepted")
            assert lost["client"].startswith("127.0.0.1:")
            assert lost["authority"] is None
            waiting = connected(proxy)
            waiting.sendall(
                f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode()
            )
        # The others have left, and their descriptors come back.
        with waiting:
            assert waiting.recv(100).startswith(b"HTTP/1.1 200")
        eventually("it is over", lambda: "free again" in output.read_text())
    said = output.read_text()
    assert said.count(SHORTAGE) == 1
    assert f"{LIMIT} of {LIMIT} are open" in said
    assert "LimitNOFILE=" in said
    proxy.end()


def test_dialling(proxy: ProxyProcess, tmp_path: Path) -> None:
    """[F16] Requests that cannot dial for want of descriptors are refused in words, and
    the shortage is told of all the same."""
    output = tmp_path / "output"
    with socket.create_server(("127.0.0.1", 0)) as destination, ExitStack() as clients:
        where = f"127.0.0.1:{destination.getsockname()[1]}"
        for _ in range(LIMIT):
            client = clients.enter_context(connected(proxy))
            client.sendall(
                f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode()
            )
        assert proxy.told(cause="exhausted")["status"] == 503
        eventually("the warning", lambda: SHORTAGE in output.read_text())
    eventually("it is over", lambda: "free again" in output.read_text())
    proxy.end()


def test_names(proxy: ProxyProcess) -> None:
    """[F16] A name that cannot be looked up for want of a descriptor is no unknown
    name, although the resolver says so."""
    with ExitStack() as clients:
        ports = [clients.enter_context(connected(proxy)) for _ in range(LIMIT)]
        for client in ports:
            client.sendall(b"CONNECT localhost:9 HTTP/1.1\r\nHost: localhost:9\r\n\r\n")
        # Some may have been looked up before the last descriptor was gone.
        reason = "the resolver failed: Too many open files"
        assert proxy.told(cause="exhausted", reason=reason)["status"] == 503
    proxy.end()
