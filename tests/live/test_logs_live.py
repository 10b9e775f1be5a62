"""
[F22] Logs whose readers read nothing, of the real command: pipes, terminals, sockets
and FIFOs that are full.  The proxy goes on serving, and SIGTERM stops it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from proxyprocess import DEADLINE, OPEN, ROOT, environment, eventually
from tunnelling import Echo, alive, asked, echoing, end

FLOOD = 5000
"""Requests whose lines fill each of the outputs here, and the queue before it."""

Ends = tuple[int, int]
Start = Callable[..., subprocess.Popen[bytes]]


def _socketEnds() -> Ends:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


ENDS: dict[str, Callable[[], Ends]] = {
    "pipe": os.pipe,
    "terminal": os.openpty,
    "socket": _socketEnds,
}
"""For each kind of output, what makes the end that is read and the one written."""


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A destination that says back what it hears."""
    with echoing() as made:
        yield made


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a proxy on the UNIX socket C{sock}; it is gone after the test."""
    with ExitStack() as stack:

        def made(*arguments: str, **streams: int) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "txconnect", "--listen", "unix:sock"),
                    *OPEN,
                    *arguments,
                ],
                cwd=tmp_path,
                env={**environment(tmp_path), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                **streams,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            eventually("it listens", (tmp_path / "sock").is_socket)
            return process

        yield made


def connected(home: Path) -> socket.socket:
    """A client's connection."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(DEADLINE)
    client.connect(str(home / "sock"))
    return client


def flood(home: Path, count: int = FLOOD) -> None:
    """Have so many requests refused, each of which leaves a line."""
    for _ in range(count):
        with connected(home) as client:
            client.sendall(
                b"GET http://packages.example/%b HTTP/1.1\r\n" % (b"x" * 200)
            )
            assert client.recv(100).startswith(b"HTTP/1.1 405 ")


def serves(home: Path, echo: Echo) -> socket.socket:
    """A tunnel, as a client gets it while the outputs are full."""
    client = connected(home)
    assert asked(client, f"127.0.0.1:{echo.port}").startswith(b"HTTP/1.1 200 ")
    assert alive(client)
    return client


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_nobodyReadsTheTerminal(
    start: Start, tmp_path: Path, echo: Echo, kind: str, workers: str
) -> None:
    """
    [F22] Standard output has the lines for people, standard error the access log and
    the program's own: neither is ever read, and both are full.
    """
    with ExitStack() as stack:
        streams = {}
        for name in ("stdout", "stderr"):
            ours, theirs = ENDS[kind]()
            stack.callback(os.close, ours)
            streams[name] = theirs
        process = start(
            *("--observer", "console", "--observer", "accesslog:/dev/stderr"),
            *("--workers", workers),
            **streams,
        )
        for theirs in streams.values():
            os.close(theirs)
        flood(tmp_path, FLOOD * int(workers))
        with serves(tmp_path, echo) as client:
            process.send_signal(signal.SIGTERM)
            assert end(client) in ("end", "reset")
        assert process.wait(DEADLINE) == -signal.SIGTERM


@pytest.mark.parametrize("workers", ["1", "2"])
def test_closedStreams(tmp_path: Path, echo: Echo, workers: str) -> None:
    """[F22] A program that is started without standard streams serves all the same, and
    no socket of its gets their numbers."""
    script = 'exec "$@" <&- >&- 2>&-'
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "txconnect"]
    process = subprocess.Popen(
        [*command, "--listen", "unix:sock", "--workers", workers, *OPEN],
        cwd=tmp_path,
        env={**environment(tmp_path), "PYTHONPATH": str(ROOT)},
    )
    try:
        eventually("it listens", (tmp_path / "sock").is_socket)
        serves(tmp_path, echo).close()
        for number in range(3):
            assert os.readlink(f"/proc/{process.pid}/fd/{number}") == os.devnull
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


def test_theNextLineIsTheCount(start: Start, tmp_path: Path) -> None:
    """[F22] A FIFO whose reader begins to read finds all lines, or their number."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    process = start("--observer", "accesslog:fifo", stdout=subprocess.DEVNULL)
    flood(tmp_path)
    os.set_blocking(reader, True)
    with open(reader, encoding="ascii") as file:
        records = [json.loads(file.readline()) for _ in range(100)]
        more = 0
        while True:
            # The line of this one comes behind the count, once there is room.
            flood(tmp_path, 1)
            records += [json.loads(file.readline()) for _ in range(40)]
            more += 1
            if any(record["event"] == "lost" for record in records):
                break
        process.send_signal(signal.SIGTERM)
        records += map(json.loads, file)
    assert process.wait(DEADLINE) == -signal.SIGTERM
    lost = sum(record["lost"] or 0 for record in records)
    refused = [record for record in records if record["event"] == "refused"]
    assert lost > 0
    assert {record["method"] for record in refused} == {"GET"}
    assert len(refused) + lost == FLOOD + more


def test_whatWaitsIsWrittenAtTheEnd(start: Start, tmp_path: Path, echo: Echo) -> None:
    """A reader that reads gets every line, also those of the stop itself."""
    process = start(
        *("--observer", "console", "--observer", "accesslog:/dev/stderr"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    clients = [serves(tmp_path, echo) for _ in range(20)]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=DEADLINE)
    for client in clients:
        client.close()
    assert out.decode().count("  proxy stopped\n") == 20
    # The line of the stop is among them.
    lines = [each for each in err.decode().splitlines() if "SIGTERM" not in each]
    records = [json.loads(line) for line in lines]
    assert [record["closed"] for record in records] == ["shutdown"] * 20


def test_aKilledProgramLosesNoLine(start: Start, tmp_path: Path, echo: Echo) -> None:
    """[F17] [F22] A file has every line at once: what is open when it is killed, too."""
    observer = "accesslog:log,events=open+close+refuse"
    process = start("--observer", observer, stdout=subprocess.DEVNULL)
    with serves(tmp_path, echo):
        flood(tmp_path, 3)
        process.kill()
        process.wait(DEADLINE)
    records = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert [record["event"] for record in records] == ["opened"] + ["refused"] * 3


@pytest.mark.parametrize("events", ["opened", "close+"])
def test_wrongWordsStopTheStart(tmp_path: Path, events: str) -> None:
    """[F17] One line that says what can be written."""
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "txconnect",
            "--observer",
            f"accesslog:x,events={events}",
        ],
        cwd=tmp_path,
        env={**environment(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.count("\n") == 1
    assert "Write open, close or refuse with + between them" in ran.stderr
