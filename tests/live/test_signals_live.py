"""
Signals to the real command, of one process and with workers: none but SIGINT
and SIGTERM ends it, and whatever ends it resets and logs every tunnel.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from proxyprocess import DEADLINE, DENIED, OPEN, ROOT, ProxyProcess, eventually
from tunnelling import Echo, alive, asked, echoing, end, tunnel

from txconnect.operating.signals import endingSignals, signalName

TWISTD = [sys.executable, str(Path(sys.executable).with_name("twistd"))]

BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""Ignored in every Python program, whoever starts it."""

Start = Callable[..., "Program"]


class Program(ProxyProcess):
    """
    A proxy of one process or with workers.

    @ivar pids: all its processes, the one that an operator knows first.
    """

    def __init__(self, directory: Path, workers: int, *arguments: str) -> None:
        self._watched: list[int] = []
        self._clients: list[socket.socket] = []
        super().__init__(directory, ["--workers", str(workers), *arguments])
        self.pids = [self.pid, *self.children()]
        self._watched = [os.pidfd_open(pid) for pid in self.pids]

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(child) for child in listed.split()]

    def tunnels(self, echo: Echo, count: int) -> list[socket.socket]:
        """Clients with a tunnel each, closed when the program is gone."""
        clients = [tunnel(self.port, echo.port) for _ in range(count)]
        self._clients += clients
        return clients

    def serving(self) -> list[int]:
        """The processes that accept connections."""
        return self.pids[1:] or self.pids

    def output(self) -> str:
        return (self.directory / "output").read_text()

    def said(self, pattern: str, times: int = 1) -> list[str]:
        """What it has said that a pattern matches, once there is so much of it."""

        def look() -> list[str] | None:
            found = re.findall(pattern, self.output(), re.MULTILINE)
            return found if len(found) >= times else None

        return eventually(pattern, look)

    def holds(self, pid: int, path: Path) -> int:
        """How many descriptors of a process lead to a file."""
        return self.descriptors(pid)[str(path)]

    def lives(self) -> bool:
        """Whether its processes are those that there were at the beginning."""
        gone = select.select(self._watched, [], [], 0)[0]
        return not gone and self.children() == self.pids[1:]

    def awaitEnd(self) -> int:
        """Its status, once no process is left."""
        status = self._process.wait(DEADLINE)
        for watched in self._watched:
            assert select.select([watched], [], [], DEADLINE)[0], "a worker lives on"
        return status

    def kill(self) -> None:
        super().kill()
        for client in self._clients:
            client.close()
        for watched in self._watched:
            select.select([watched], [], [], DEADLINE)
            os.close(watched)


@pytest.fixture(autouse=True)
def nothingIgnored() -> Iterator[None]:
    """A shell has what it starts in the background ignore some; not so here."""
    ignored = [
        number
        for number in signal.valid_signals() - BY_PYTHON
        if signal.getsignal(number) == signal.SIG_IGN
    ]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A destination that says back what it hears."""
    with echoing() as made:
        yield made


@pytest.fixture
def start(tmp_path: Path, echo: Echo) -> Iterator[Start]:
    """C{start(workers, ...)} starts a program that is gone after the test."""
    with ExitStack() as stack:

        def made(workers: int, *arguments: str) -> Program:
            program = Program(tmp_path, workers, *arguments)
            stack.callback(program.kill)
            program.mark()
            return program

        yield made


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def program(request: pytest.FixtureRequest, start: Start) -> Program:
    """A program of either kind."""
    return start(request.param)


def masks(pid: int) -> dict[str, set[int]]:
    """
    The signals that a process ignores, blocks and catches, by the kernel's names;
    those that the C library keeps for itself are left out.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    found: list[tuple[str, str]] = re.findall(r"Sig(Ign|Blk|Cgt):\s+(\w+)", status)
    return {
        name: {n for n in signal.valid_signals() if int(mask, 16) >> (n - 1) & 1}
        for name, mask in found
    }


def test_noOtherSignalEndsIt(program: Program, echo: Echo) -> None:
    """[F10] Not the parent, not a worker; each is told of; the tunnels go on."""
    clients = program.tunnels(echo, 8)
    for number in endingSignals():
        for pid in program.pids:
            os.kill(pid, number)
        if number not in BY_PYTHON:
            name = re.escape(signalName(number))
            said = "open tunnels" if number == signal.SIGUSR2 else rf"\b{name}\b"
            program.said(said, len(program.pids))
    assert program.lives()
    assert all(alive(client) for client in clients)
    assert echo.ends == []
    for client in clients:
        client.close()
    program.end()


def test_aSignalWithoutAMeaningIsOneLine(program: Program) -> None:
    """[F10] It says what would end the program: the process that an operator knows."""
    for pid in program.pids:
        os.kill(pid, signal.SIGQUIT)
    line = (
        "SIGQUIT has no meaning here and is ignored; "
        rf"SIGTERM to process {program.pid} ends the program$"
    )
    assert len(program.said(line, len(program.pids))) == len(program.pids)
    program.end()


@pytest.mark.parametrize(
    ("name", "everyone"), [("SIGHUP", False), ("SIGUSR1", False), ("SIGHUP", True)]
)
def test_renamedLogIsOpenedAgain(
    program: Program, echo: Echo, name: str, everyone: bool
) -> None:
    """
    [F10] As logrotate does it, also where a process group gets the signal: no line
    goes to the old file any more, and no octet of a tunnel is lost.
    """
    log, old = program.directory / "access.log", program.directory / "access.log.1"
    clients = program.tunnels(echo, 4)
    octets = os.urandom(4_000_000)
    got = [bytearray() for _ in clients]
    threads = [
        threading.Thread(target=exchange, args=(client, octets, into))
        for client, into in zip(clients, got, strict=True)
    ]
    for thread in threads:
        thread.start()
    log.rename(old)
    for pid in program.pids if everyone else program.pids[:1]:
        os.kill(pid, getattr(signal, name))
    for pid in program.serving():
        eventually("the old file", lambda pid=pid: not program.holds(pid, old))
        eventually("one new file", lambda pid=pid: program.holds(pid, log) == 1)
    before = old.read_bytes()
    for thread in threads:
        thread.join()
    assert all(bytes(each) == octets for each in got)
    for client in clients:
        client.close()
    eventually("a line each", lambda: log.read_bytes().count(b"\n") == len(clients))
    lines = log.read_text().splitlines()
    assert {json.loads(line)["up"] for line in lines} == {len(octets)}
    assert old.read_bytes() == before
    said = f"^[0-9: -]+ {name}: (opened the log files again|told 2 workers to open)"
    (line, *_) = [
        line for line in program.output().splitlines() if re.match(said, line)
    ]
    assert ("nothing was reloaded" in line) is (name == "SIGHUP")
    assert program.lives()
    program.end()


def exchange(client: socket.socket, octets: bytes, got: bytearray) -> None:
    """Send octets to an echo, and take back as many."""
    sending = threading.Thread(target=client.sendall, args=(octets,))
    sending.start()
    while len(got) < len(octets) and (data := client.recv(65536)):
        got += data
    sending.join()


def test_openTunnelsAreListed(program: Program, echo: Echo) -> None:
    """[F10] How many, and a line for each, of every process that serves."""
    clients = program.tunnels(echo, 70)
    assert all(alive(client) for client in clients)
    os.kill(program.pid, signal.SIGUSR2)
    line = (
        rf"tunnel (\S+) 127\.0\.0\.1:(\d+) -> 127\.0\.0\.1:{echo.port} "
        r"\[127\.0\.0\.1\]  direct  \d+\.\d s  up 1 B  down 1 B$"
    )
    found = program.said(line, len(clients))
    assert len({name for name, _ in found}) == len(clients)
    assert {int(port) for _, port in found} == {
        client.getsockname()[1] for client in clients
    }
    serving = len(program.serving())
    counted = program.said(r"open tunnels: (\d+); connections of clients: ", serving)
    assert len(counted) == serving and sum(map(int, counted)) == len(clients)
    for client in clients:
        client.close()
    program.end()


def test_logThatCannotBeOpenedAgain(program: Program, echo: Echo) -> None:
    """[F10] The old file stays in use, and the log says so."""
    log, old = program.directory / "access.log", program.directory / "access.log.1"
    log.rename(old)
    log.mkdir()
    os.kill(program.pid, signal.SIGHUP)
    count = len(program.serving())
    line = "error .*accesslog: its file cannot be opened again, .*: Is a directory$"
    assert len(program.said(line, count)) == count
    log.rmdir()
    os.kill(program.pid, signal.SIGUSR1)
    eventually("the new file", log.exists)
    program.end()


@pytest.mark.parametrize("workers", [1, 2])
def test_daemonsOwnLogIsRotatedToo(tmp_path: Path, workers: int) -> None:
    """[F10] SIGUSR1 does what twistd has it do, and opens the access log again."""
    arguments = ["--listen", "0", "--observer", "accesslog:access.log"]
    command = [*TWISTD, "--logfile", "log", "connectproxy", *arguments]
    subprocess.run(
        [*command, "--workers", str(workers)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        timeout=DEADLINE,
        check=True,
    )
    pid = int((tmp_path / "twistd.pid").read_text())
    watched = os.pidfd_open(pid)
    log, access = tmp_path / "log", tmp_path / "access.log"
    try:
        eventually("it serves", lambda: "curl -x" in log.read_text())
        access.rename(tmp_path / "access.log.1")
        os.kill(pid, signal.SIGHUP)
        eventually("the access log", access.exists)
        access.rename(tmp_path / "access.log.2")
        os.kill(pid, signal.SIGUSR1)
        eventually("the access log", access.exists)
        eventually("its own log", lambda: "SIGUSR1: " in log.read_text())
        assert "SIGHUP: " in (tmp_path / "log.1").read_text()
        os.kill(pid, signal.SIGQUIT)
        eventually("a line", lambda: f"process {pid} ends the" in log.read_text())
    finally:
        os.kill(pid, signal.SIGTERM)
        assert select.select([watched], [], [], DEADLINE)[0]
        os.close(watched)
    assert not (tmp_path / "twistd.pid").exists()


ENDS: dict[str, Callable[[Program], list[tuple[int, int]]]] = {
    "TERM": lambda program: [(program.pid, signal.SIGTERM)],
    "INT": lambda program: [(program.pid, signal.SIGINT)],
    "TERM twice": lambda program: [(program.pid, signal.SIGTERM)] * 2,
    "TERM to all": lambda program: [(pid, signal.SIGTERM) for pid in program.pids],
    "TERM to all, the parent last": lambda program: [
        (pid, signal.SIGTERM) for pid in reversed(program.pids)
    ],
    "INT to all": lambda program: [(pid, signal.SIGINT) for pid in program.pids],
}


@pytest.mark.parametrize("how", ENDS)
def test_anEndResetsAndLogsEveryTunnel(program: Program, echo: Echo, how: str) -> None:
    """
    [F10] [F28] What was cut short never looks complete; and one line is said of it,
    also where several processes are told, or one is told twice.
    """
    clients = program.tunnels(echo, 8)
    before = program.output()
    sent = ENDS[how](program)
    for pid, number in sent:
        os.kill(pid, number)
    assert [end(client) for client in clients] == ["reset"] * 8
    assert program.awaitEnd() == -sent[0][1]
    assertAllLogged(program, echo, 8)
    said = program.output().removeprefix(before).splitlines()
    name = signal.Signals(sent[0][1]).name
    assert len([line for line in said if f"{name}: stopping; " in line]) == 1
    # Each process says how much it ends.
    counts = [re.search(r"open tunnels: (\d+)", line) for line in said]
    assert sum(int(found[1]) for found in counts if found) == 8
    assert all("stopping; " in line for line in said)


def assertAllLogged(program: Program, echo: Echo, count: int) -> None:
    """Every tunnel was reset at its other end too, and has its line."""
    closed = [record["closed"] for record in program.records() if record["closed"]]
    assert closed == ["shutdown"] * count
    eventually("every end", lambda: echo.ends == ["reset"] * count)


def test_workersWhoseParentIsKilledResetAndLog(start: Start, echo: Echo) -> None:
    """[F10] They notice that it is gone."""
    program = start(2)
    clients = program.tunnels(echo, 8)
    os.kill(program.pid, signal.SIGKILL)
    assert [end(client) for client in clients] == ["reset"] * 8
    assert program.awaitEnd() == -signal.SIGKILL
    assertAllLogged(program, echo, 8)


PLUGINS = """
import sys
from twisted.internet import reactor
from txconnect.plugins import observerPlugin
from txconnect.values import TunnelRefused

@observerPlugin("stops", "Ends the program.")
def stops(event):
    if isinstance(event, TunnelRefused) and event.request is not None:
        reactor.stop()

@observerPlugin("exits", "Ends the program.")
def exits(event):
    sys.exit(3)
"""


def test_aPluginThatStopsTheReactor(start: Start, tmp_path: Path, echo: Echo) -> None:
    """[F10] Its way to end is an end like any other."""
    (tmp_path / "plugins.py").write_text(PLUGINS)
    program = start(1, "--observer", "./plugins.py:stops")
    clients = program.tunnels(echo, 4)
    with socket.create_connection(("127.0.0.1", program.port), DEADLINE) as client:
        asked(client, f"{DENIED}:443")
        assert [end(each) for each in clients] == ["reset"] * 4
    assert program.awaitEnd() == 0
    assertAllLogged(program, echo, 4)


def test_anObserverThatWantsToExit(start: Start, tmp_path: Path, echo: Echo) -> None:
    """[F10] Its SystemExit ends neither the program nor the end of the others."""
    (tmp_path / "plugins.py").write_text(PLUGINS)
    program = start(1, "--observer", "./plugins.py:exits")
    clients = program.tunnels(echo, 4)
    assert all(alive(client) for client in clients)
    os.kill(program.pid, signal.SIGTERM)
    assert [end(client) for client in clients] == ["reset"] * 4
    assert program.awaitEnd() == -signal.SIGTERM
    assertAllLogged(program, echo, 4)


LATE = """
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.internet.protocol import Factory, Protocol
from twisted.plugin import IPlugin
from zope.interface import implementer

class Late:
    def listen(self, factory):
        from twisted.internet import reactor
        failed = Deferred()
        class Asked(Protocol):
            def connectionMade(self):
                failed.errback(CannotListenError("127.0.0.1", 1, OSError(98, "late")))
        reactor.listenUNIX("asked", Factory.forProtocol(Asked))
        return failed

@implementer(IPlugin, IStreamServerEndpointStringParser)
class Parser:
    prefix = "late"
    def parseStreamServer(self, reactor, *arguments):
        return Late()

parser = Parser()
"""


def test_aLaterListenerThatFails(tmp_path: Path, echo: Echo) -> None:
    """[F10] The first one serves already: what goes through it is reset and logged."""
    plugins = tmp_path / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "late_plugin.py").write_text(LATE)
    command = [sys.executable, "-m", "txconnect", *OPEN, "--listen", "unix:sock"]
    command += ["--listen", "late:", "--observer", "accesslog:access.log"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        eventually("the other listener", (tmp_path / "asked").is_socket)
        with (
            socket.socket(socket.AF_UNIX) as client,
            socket.socket(socket.AF_UNIX) as asking,
        ):
            client.connect(str(tmp_path / "sock"))
            said = asked(client, f"127.0.0.1:{echo.port}")
            assert said.startswith(b"HTTP/1.1 200 ") and alive(client)
            asking.connect(str(tmp_path / "asked"))
            _, errors = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, errors) == (
        1,
        "txconnect: cannot listen on 127.0.0.1:1: late\n",
    )
    record = json.loads((tmp_path / "access.log").read_text())
    assert record["closed"] == "shutdown"
    eventually("the other end", lambda: echo.ends == ["reset"])


@pytest.mark.parametrize("workers", [1, 2])
def test_aTerminalThatIsClosed(tmp_path: Path, echo: Echo, workers: int) -> None:
    """[F10] It sends SIGHUP to all, and nobody can write to it any more."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", TERMINAL, sys.executable, "-m", "txconnect"),
            *("--listen", "0", *OPEN, "--workers", str(workers)),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        said = b""
        while b"  try " not in said:
            said += os.read(ours, 4096)
        port = int(said.partition(b"127.0.0.1:")[2].split()[0])
        with tunnel(port, echo.port) as client:
            os.close(ours)
            for _ in range(20):
                with tunnel(port, echo.port) as other:
                    assert alive(other)
            assert alive(client)
            process.send_signal(signal.SIGTERM)
            assert end(client) == "reset"
        assert process.wait(DEADLINE) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes standard input the terminal that controls the process, and goes on."""


def test_programsThatPluginsStartInheritNothing(program: Program) -> None:
    """[F10] No signal is ignored or blocked but by Python, in any process."""
    for pid in program.pids:
        found = masks(pid)
        assert found["Ign"] == BY_PYTHON
        assert found["Blk"] == set()
        assert found["Cgt"] >= {*endingSignals()} - BY_PYTHON
    program.end()
