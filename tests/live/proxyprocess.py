"""
The real command as a process, for live tests: what it logs, what it holds open,
and that it never shows what no operator should see.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import txconnect
from txconnect.tunnel.kernel.pipes import KEPT

T = TypeVar("T")

ROOT = Path(txconnect.__file__).parent.parent
DEADLINE = 60.0
"""Seconds after which what hangs fails its test; no test waits for them."""

DENIED = "denied.example"
"""The host that every one of these proxies refuses, by name."""

OPEN = ["--policy", "networks:any", "--policy", "ports:any"]
_WRONG = re.compile("Traceback|Unhandled")


def eventually(what: str, ask: Callable[[], T]) -> T:
    """What C{ask} answers, as soon as it is true."""
    end = time.monotonic() + DEADLINE
    while not (answer := ask()):
        if time.monotonic() > end:
            raise AssertionError(f"it never came: {what}")
        time.sleep(0.005)
    return answer


def environment(home: Path) -> dict[str, str]:
    """
    For a program that must behave as on any machine: nothing of the one who
    runs the tests, neither proxies nor certificates nor configuration.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "LD_LIBRARY_PATH") or name.startswith("COV")
    }
    return {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8"}


class ProxyProcess:
    """
    A proxy that listens on a loopback port of its own.

    @ivar port: where; a second listener, one of TLS, is at C{securePort}.
    @ivar pid: the process's.
    """

    def __init__(
        self,
        directory: Path,
        arguments: Sequence[str] = (),
        listen: str = "0",
        **variables: str,
    ) -> None:
        """
        @param variables: of its environment.
        """
        self.directory = directory
        self._log = directory / "access.log"
        self._output = directory / "output"
        self._seen = 0
        command = [sys.executable, "-m", "txconnect", "--listen", listen, *OPEN]
        command += ["--policy", f"deny-hosts:{DENIED}"]
        command += ["--observer", "accesslog:access.log", *arguments]
        python = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with open(self._output, "wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env={**environment(directory), **python, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self.pid = self._process.pid
            self.port = int(eventually("the proxy listens", self._listening)[1])
            self._base = self._settled()
        except BaseException:
            self.kill()
            raise

    @property
    def address(self) -> str:
        """C{host:port}."""
        return f"127.0.0.1:{self.port}"

    @property
    def securePort(self) -> int:
        """Where it speaks TLS."""
        found = re.search(r"https://127\.0\.0\.1:(\d+)", self._output.read_text())
        assert found is not None
        return int(found[1])

    def mark(self) -> None:
        """
        From now on only what is logged behind this moment is looked at, when
        every connection so far is closed and accounted for.
        """
        eventually("its sockets are closed", lambda: not self._more()["socket"])
        self._seen = len(self._lines())

    def told(self, **fields: Any) -> dict[str, Any]:
        """The first record behind the mark that has these fields, once it is there."""
        return eventually(f"a record with {fields}", lambda: self._record(fields))

    def records(self) -> list[dict[str, Any]]:
        """All there is behind the mark, as it is now."""
        return [json.loads(line) for line in self._lines()[self._seen :]]

    def descriptors(self, pid: int | None = None) -> Counter[str]:
        """
        What the process, or one of its workers, holds open: files by name, all
        else by kind.
        """
        kinds: Counter[str] = Counter()
        directory = f"/proc/{pid or self.pid}/fd"
        for name in os.listdir(directory):
            try:
                target = os.readlink(f"{directory}/{name}")
            except FileNotFoundError:
                continue
            kinds[re.sub(r":\[\d+\]$", "", target)] += 1
        return kinds

    def memory(self) -> int:
        """The process's own memory in octets, without files and kernel buffers."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"RssAnon:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def end(self) -> None:
        """
        End it as an operator does; every descriptor is given back before, and
        it has said nothing of its inside.
        """
        eventually("its sockets are closed", lambda: not self._more()["socket"])
        # The nested epoll is kept for good, and some pipes for the next bulk.
        kept = Counter({"anon_inode:[eventpoll]": 1, "pipe": 2 * KEPT})
        assert self._more() <= kept, self._more()
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(DEADLINE) == -signal.SIGTERM
        said = self._output.read_text()
        assert not _WRONG.search(said), said

    def kill(self) -> None:
        """Make sure that it is gone."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _settled(self) -> Counter[str]:
        """What is open once it serves; its reactor opens some when it starts."""
        listening = self.descriptors()["socket"]
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert b"".join(iter(lambda: client.recv(4096), b"")).startswith(b"HTTP")
        eventually(
            "the first connection is closed",
            lambda: self.descriptors()["socket"] == listening,
        )
        return self.descriptors()

    def _more(self) -> Counter[str]:
        """What is open that was not at the beginning."""
        return self.descriptors() - self._base

    def _lines(self) -> list[str]:
        # One that is just being written may show in part.
        return self._log.read_text().split("\n")[:-1]

    def _record(self, fields: dict[str, Any]) -> dict[str, Any] | None:
        for record in self.records():
            if all(record[name] == value for name, value in fields.items()):
                return record
        return None

    def _listening(self) -> re.Match[str] | None:
        said = self._output.read_text()
        assert self._process.poll() is None, said
        return re.search(r"http://127\.0\.0\.1:(\d+)", said)
