"""Lists in files, by the real command: what changes while it runs, and what is said."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from proxyprocess import DEADLINE, ProxyProcess, eventually


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[tuple[Path, ProxyProcess]]:
    """A list of hosts, and a proxy that allows them."""
    path = tmp_path / "hosts.list"
    path.write_text("localhost:9\n")
    proxy = ProxyProcess(tmp_path, ["--policy", "hosts:@hosts.list"])
    yield path, proxy
    proxy.kill()


def rule(proxy: ProxyProcess, target: str) -> str:
    """The rule that refuses a target, as the client is told."""
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as client:
        client.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        line = client.makefile("rb").readline().decode()
    found = re.fullmatch(r"HTTP/1\.1 [0-9]{3} (.*)\r\n", line)
    assert found is not None, line
    return found[1]


def test_aChangeCounts(listed: tuple[Path, ProxyProcess]) -> None:
    """[F31] Without a signal; what is half-written or gone changes nothing."""
    path, proxy = listed
    output = proxy.directory / "output"
    assert "hosts" not in rule(proxy, "localhost:9")
    assert "hosts" in rule(proxy, "127.0.0.1:9")
    path.write_text("localhost:9\n127.0.0.1:9\n")
    eventually("the new item", lambda: "hosts" not in rule(proxy, "127.0.0.1:9"))
    path.write_text("localhost:9\n127.0")

    def said(words: str) -> bool:
        assert "hosts" not in rule(proxy, "127.0.0.1:9")
        return words in output.read_text()

    eventually("the half", lambda: said(f"{path}:2: the last line has no end"))
    path.unlink()
    eventually("the end", lambda: said(f"{path}: the list of hosts cannot be read"))
    path.write_text("localhost:9\n")
    eventually("the old list", lambda: "hosts" in rule(proxy, "127.0.0.1:9"))
    assert "is good again" in output.read_text()
