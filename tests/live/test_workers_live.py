"""
Worker processes of the real command: who serves, what becomes of one that is
killed, and that nothing stays behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

import pytest
from certificates import makeAuthority
from otherproxies import PASSWORD, USER, Others
from proxyprocess import DEADLINE, OPEN, ROOT, ProxyProcess, eventually
from tunnelling import alive, asked, echoing, tunnel

from txconnect.command.passwd import main as passwd

TWISTD = [sys.executable, str(Path(sys.executable).with_name("twistd"))]
TXCONNECT = [sys.executable, "-m", "txconnect"]
NOWHERE = (StringIO(), StringIO())
SECRET = "correct-horse-battery"


def childrenOf(pid: int) -> list[int]:
    """The processes that a process has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


class Crew:
    """A proxy with workers, in the foreground, and what it says."""

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        command: Sequence[str] = TXCONNECT,
        workers: int = 2,
        stdin: int | socket.socket = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._output = directory / "output"
        self._watched: list[int] = []
        self.workers = workers
        with open(self._output, "wb") as output:
            self.process = subprocess.Popen(
                [*command, "--workers", str(workers), *arguments],
                cwd=directory,
                env=environment or {**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.said(r"  try   curl|  try   printf")
        self.watch()

    def output(self) -> str:
        return self._output.read_text()

    def said(self, pattern: str) -> re.Match[str]:
        """Where a pattern stands in what it said, once it is there."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output())
            assert found or self.process.poll() is None, self.output()
            return found

        return eventually(pattern, look)

    @property
    def port(self) -> int:
        return int(self.said(r"(?:127\.0\.0\.1|0\.0\.0\.0):(\d+)")[1])

    def pids(self) -> list[int]:
        return childrenOf(self.process.pid)

    def watch(self) -> None:
        """Remember the workers that there are, to see them end."""
        pids = eventually(
            "all workers",
            lambda: pids if len(pids := self.pids()) == self.workers else None,
        )
        self._watched += [os.pidfd_open(pid) for pid in pids]

    def replaced(self, pid: int) -> int:
        """Kill a worker; the process that takes its place, once it serves."""
        others = set(self.pids())
        os.kill(pid, signal.SIGKILL)
        new = eventually(
            "another worker", lambda: next(iter(set(self.pids()) - others), None)
        )
        self.said(rf"is process {new}\b")
        self.watch()
        return int(new)

    def end(self) -> str:
        """Stop it as an operator does; no process is left."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE) == -signal.SIGTERM, self.output()
        self.allGone(0.0)
        return self.output()

    def allGone(self, seconds: float) -> None:
        """Every worker that was seen has ended, or does so in time."""
        for watched in self._watched:
            assert select.select([watched], [], [], seconds)[0], "a worker lives on"

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for watched in self._watched:
            if not select.select([watched], [], [], DEADLINE)[0]:
                signal.pidfd_send_signal(watched, signal.SIGKILL)
            os.close(watched)


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Callable[..., Crew]]:
    """C{crew(...)} starts one that is gone behind the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **keywords: object) -> Crew:
            where = keywords.pop("directory", tmp_path)
            made = Crew(where, *arguments, **keywords)  # type: ignore[arg-type]
            stack.callback(made.kill)
            return made

        yield start


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a destination that says back what it hears."""
    with echoing() as made:
        yield made.port


def tunnelsOfBoth(
    port: int, destination: int, log: Callable[[], str]
) -> list[tuple[str, socket.socket]]:
    """
    Tunnels until both workers have some, each with what its request id begins
    with: every process has another one.
    """
    found: list[tuple[str, socket.socket]] = []

    def opened() -> list[str]:
        return re.findall(r" open   (\w+)-\w+ ", log())

    for _ in range(500):
        client = tunnel(port, destination)
        eventually("the line of a tunnel", lambda: len(opened()) > len(found))
        found.append((opened()[len(found)], client))
        if len(found) > 20 and len({worker for worker, _ in found}) == 2:
            return found
    raise AssertionError("one worker got everything")


# Sharing


def test_workersShareTheListenerAndTheLog(
    crew: Callable[..., Crew], tmp_path: Path, echo: int
) -> None:
    """Both get connections; the lines of both are whole, in one file."""
    proxy = crew("--listen", "0", *OPEN, "--observer", "accesslog:access.log")
    assert ", 2 processes)" in proxy.output()
    port, each = proxy.port, 150

    def work() -> None:
        for _ in range(each):
            with tunnel(port, echo) as client:
                assert alive(client)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = tmp_path / "access.log"
    eventually("every line", lambda: log.read_bytes().count(b"\n") == 4 * each)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert len({record["id"] for record in records}) == 4 * each
    assert len({record["id"].partition("-")[0] for record in records}) == 2
    proxy.end()


def test_killedWorkerTakesOnlyItsOwnTunnels(
    crew: Callable[..., Crew], echo: int
) -> None:
    """The others go on; another worker takes its place, and serves."""
    proxy = crew("--listen", "0", *OPEN)
    found = tunnelsOfBoth(proxy.port, echo, proxy.output)
    killed, *_ = proxy.pids()
    new = proxy.replaced(killed)
    assert new != killed
    lost = {worker for worker, client in found if not alive(client)}
    kept = {worker for worker, client in found if alive(client)}
    assert len(lost) == len(kept) == 1 and lost != kept
    for _, client in found:
        client.close()
    assert re.search(r"warn worker \d has ended \(SIGKILL\); the next ", proxy.output())
    # The one that was there all the time must go, for the new one to be asked.
    proxy.replaced(next(pid for pid in proxy.pids() if pid != new))
    with tunnel(proxy.port, echo) as client:
        assert alive(client)
    assert "Traceback" not in proxy.end()


def test_stoppingEndsAllWorkersAndTheirTunnels(
    crew: Callable[..., Crew], echo: int
) -> None:
    """No process is left, and no port; every worker told its figures."""
    proxy = crew("--listen", "0", *OPEN, "--observer", "counters", workers=3)
    port = proxy.port
    with tunnel(port, echo) as client:
        said = proxy.end()
        assert not alive(client)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), DEADLINE)
    told = re.findall(r"worker (\d): tunnels: (\d)", said)
    assert sorted(worker for worker, _ in told) == ["1", "2", "3"]
    assert sum(int(tunnels) for _, tunnels in told) == 1
    assert "Traceback" not in said


def test_signalsToTheWholeGroupAreQuiet(crew: Callable[..., Crew], echo: int) -> None:
    """[F18] Every process gets SIGTERM, some twice, and workers a message too."""
    for _ in range(3):
        proxy = crew("--listen", "0", *OPEN)
        with tunnel(proxy.port, echo):
            for pid in (*proxy.pids(), proxy.process.pid):
                os.kill(pid, signal.SIGTERM)
            os.kill(proxy.process.pid, signal.SIGTERM)
            assert "ReactorNotRunning" not in proxy.end()
            assert "critical" not in proxy.output()


def test_workersEndWhenTheParentIsKilled(crew: Callable[..., Crew], echo: int) -> None:
    """Nobody is left to tell them: they notice."""
    proxy = crew("--listen", "0", *OPEN)
    with tunnel(proxy.port, echo) as client:
        proxy.process.kill()
        proxy.process.wait()
        proxy.allGone(DEADLINE)
        assert not alive(client)


def test_interruptOfATerminalIsTheParents(crew: Callable[..., Crew]) -> None:
    """A terminal sends it to every process; a worker waits to be told."""
    proxy = crew("--listen", "0")
    pids = proxy.pids()
    for pid in pids:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGHUP)
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as client:
        assert asked(client, "10.0.0.1:443").startswith(b"HTTP/1.1 403 ")
    assert proxy.pids() == pids
    proxy.end()


# What a worker is told


def test_noSecretIsAmongArgumentsOrInTheEnvironment(
    crew: Callable[..., Crew],
) -> None:
    """Anybody may read the command line of a process."""
    proxy = crew("--listen", "0", "--auth", f"memory:alice:{SECRET}")
    for pid in proxy.pids():
        for name in ("cmdline", "environ"):
            assert SECRET.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as client:
        assert asked(client, "10.0.0.1:443").startswith(b"HTTP/1.1 407 ")
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as client:
        said = asked(client, "10.0.0.1:443", credentials())
        assert said.startswith(b"HTTP/1.1 403 ")
    proxy.end()


def test_configurationMayBeLarge(crew: Callable[..., Crew]) -> None:
    """[F19] Larger than what a pipe or a socket takes at once: it arrives whole."""
    hosts = [
        "hosts:" + ",".join(f"h{n}-{m}.example" for m in range(6000))
        for n in "abcdefgh"
    ]
    policies = [argument for each in hosts for argument in ("--policy", each)]
    proxy = crew("--listen", "0", *policies)
    for pid in proxy.pids():
        proxy.replaced(pid)
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as client:
        assert asked(client, "10.0.0.1:443").startswith(b"HTTP/1.1 403 ")
    proxy.end()


def credentials() -> str:
    """Alice's."""
    return (
        f"Proxy-Authorization: Basic {b64encode(f'alice:{SECRET}'.encode()).decode()}"
    )


def test_workerHoldsNothingButItsOwn(crew: Callable[..., Crew]) -> None:
    """The listening socket is shared; no end of another worker's channel is."""
    proxy = crew("--listen", "0", workers=3)

    def held(pid: int, kind: str) -> list[str]:
        links = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
        return [link for link in links if link.startswith(kind)]

    for kind, shared in (("pipe:", 0), ("socket:", 1)):
        first, second, third = (set(held(pid, kind)) for pid in proxy.pids())
        assert len(first & second) == len(first & second & third) == shared
        assert len(second & third) == len(first & third) == shared
    proxy.end()


def test_workersHaveTheParentsReactor(crew: Callable[..., Crew]) -> None:
    command = [*TWISTD, "--reactor", "asyncio", "-n", "--pidfile=", "connectproxy"]
    proxy = crew("--listen", "0", command=command)
    assert "asyncioselector, 2 processes" in proxy.output()
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as client:
        assert asked(client, "10.0.0.1:443").startswith(b"HTTP/1.1 403 ")
    for pid in proxy.pids():
        assert "asyncio" in Path(f"/proc/{pid}/maps").read_text()
    proxy.end()


# Listeners


def test_unixSocketOutlivesAWorker(crew: Callable[..., Crew], tmp_path: Path) -> None:
    """Its path is the parent's, who removes it."""
    proxy = crew("--listen", "unix:sock")
    first, _ = proxy.pids()
    os.kill(first, signal.SIGTERM)
    proxy.said(r"has ended \(status 0\)")
    proxy.said(r"is process \d+")
    proxy.watch()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(str(tmp_path / "sock"))
        assert asked(client, "10.0.0.1:443").startswith(b"HTTP/1.1 403 ")
    proxy.end()
    assert not (tmp_path / "sock").exists()


def test_systemdHandsSocketsToTheParent(crew: Callable[..., Crew]) -> None:
    """The workers get them from there, and know nothing of systemd."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 "
        command += 'LISTEN_FDNAMES=proxy exec "$@"'
        proxy = crew(
            *("--listen", "systemd:domain=INET:name=proxy"),
            command=["sh", "-c", command, "sh", *TXCONNECT],
            stdin=server,
        )
        port = server.getsockname()[1]
    assert proxy.port == port
    for pid in proxy.pids():
        assert b"LISTEN_" not in Path(f"/proc/{pid}/environ").read_bytes()
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        assert asked(client, "10.0.0.1:443").startswith(b"HTTP/1.1 403 ")
    proxy.end()


def test_tlsIsSpokenByTheWorkers(crew: Callable[..., Crew], tmp_path: Path) -> None:
    """C{ssl:} and C{proxytls:} alike; what guards a listener guards it here."""
    authority = makeAuthority(tmp_path)
    server, alice = authority.server(), authority.client("alice")
    files = f"cert={server.certificate}:key={server.key}"
    plain = f"ssl:0:privateKey={server.key}:certKey={server.certificate}"
    strict = f"proxytls:0:interface=0.0.0.0:{files}:clientCA={authority.certificate}"
    proxy = crew("--listen", f"{plain}:interface=127.0.0.1", "--listen", strict)
    ports = re.findall(r"https://[0-9.]+:(\d+)", proxy.output())
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(alice.certificate, alice.key)
    for port in map(int, ports[:2]):
        with (
            socket.create_connection(("127.0.0.1", port), DEADLINE) as connection,
            context.wrap_socket(connection, server_hostname="127.0.0.1") as client,
        ):
            assert asked(client, "10.0.0.1:443").startswith(b"HTTP/1.1 403 ")
    proxy.said(r"refuse \S+ alice@127\.0\.0\.1 -> 10\.0\.0\.1:443  403 networks: ")
    proxy.end()


# Starts that fail


def ends(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must end by itself."""
    return subprocess.run(
        [*TXCONNECT, "--listen", "0", "--workers", "2", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--workers", "0"], "--workers: '0' is not 1 to 1024"),
        (
            ["--policy", "prots:1"],
            "--policy prots:1: policy 'prots' is not installed; ",
        ),
        (["--listen", "0.0.0.0:0"], "refusing to start: 0.0.0.0:"),
        (["--observer", "accesslog:/proc/no"], "cannot start: accesslog: /proc/no: "),
        (["--listen", "stdio:"], "cannot listen: workers can share only "),
    ],
)
def test_startThatFailsIsOneLine(
    tmp_path: Path, arguments: list[str], line: str
) -> None:
    ended = ends(tmp_path, *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"txconnect: {line}"), ended.stderr
    assert ended.stderr.count("\n") == 1


def test_portInUseIsOneLine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ended = ends(tmp_path, "--listen", str(port))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"txconnect: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    )


# Daemons, and other users


def test_daemonWithWorkers(tmp_path: Path, echo: int) -> None:
    """The lines of all are in the log; the pidfile's process ends them all."""
    command = [*TWISTD, "--logfile", "log", "connectproxy", "--workers", "2"]
    ended = subprocess.run(
        [*command, "--listen", "0", *OPEN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    log = tmp_path / "log"
    parent = int((tmp_path / "twistd.pid").read_text())
    watched = [os.pidfd_open(parent)]
    try:
        found = eventually(
            "it listens", lambda: re.search(r"127\.0\.0\.1:(\d+)", log.read_text())
        )
        watched += [os.pidfd_open(pid) for pid in childrenOf(parent)]
        assert len(watched) == 3
        with tunnel(int(found[1]), echo) as client:
            assert alive(client)
        pattern = r"worker \d: close  \S+ 127\.0\.0\.1 -> \S+  up 1 B"
        eventually("its line", lambda: re.search(pattern, log.read_text()))
    finally:
        os.kill(parent, signal.SIGTERM)
        for each in watched:
            assert select.select([each], [], [], DEADLINE)[0]
            os.close(each)
    assert not (tmp_path / "twistd.pid").exists()
    assert "Traceback" not in log.read_text()


def test_aRingThroughAnotherWorker(crew: Callable[..., Crew], tmp_path: Path) -> None:
    """[T15] [UP-07] All workers have one name in Via: whichever a request comes
    back to, it has been there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    route = ["--route", f"http://127.0.0.1:{port}"]
    proxy = crew("--listen", "0", *OPEN, *route)
    home = tmp_path / "other"
    home.mkdir()
    back = ["--route", f"http://127.0.0.1:{proxy.port}"]
    other = ProxyProcess(home, back, listen=str(port))
    try:
        other.mark()
        rounds = 20
        for _ in range(rounds):
            with socket.create_connection(
                ("127.0.0.1", proxy.port), DEADLINE
            ) as client:
                assert asked(client, "192.0.2.1:443").startswith(b"HTTP/1.1 502 ")
        eventually("all are told", lambda: len(other.records()) >= rounds)
        assert len(other.records()) == rounds
        other.end()
    finally:
        other.kill()
    proxy.end()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that every user may enter."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


NOBODY = 65534


def interpreter() -> tuple[str, dict[str, str]]:
    """A Python that everybody may run, and the environment that it needs."""
    version = f"/usr/bin/python3.{sys.version_info.minor}"
    path = os.pathsep.join([str(ROOT), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    for candidate in (sys.executable, version, "/usr/local" + version[4:]):
        with contextlib.suppress(OSError):
            subprocess.run(
                [candidate, "-c", "import txconnect.proxy, OpenSSL"],
                cwd="/",
                env=environment,
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                check=True,
                capture_output=True,
            )
            return candidate, environment
    pytest.fail(f"nobody but root may run {sys.executable} or read {ROOT}")


if os.geteuid() == 0:

    def test_whatOnlyRootMayReadIsHandedOn(
        crew: Callable[..., Crew], reachable: Path
    ) -> None:
        """Key and passwords, also to a worker that is started later."""
        python, environment = interpreter()
        authority = makeAuthority(reachable)
        server = authority.server()
        server.key.chmod(0o600)
        users = reachable / "users"
        assert passwd([str(users), "alice"], StringIO(f"{SECRET}\n"), *NOWHERE) == 0
        assert users.stat().st_mode & 0o777 == 0o600
        listen = f"ssl:0:privateKey={server.key}:certKey={server.certificate}"
        twistd = [python, "-c", "from twisted.scripts.twistd import run; run()"]
        user = ["--uid", str(NOBODY), "--gid", str(NOBODY)]
        proxy = crew(
            *("--listen", f"{listen}:interface=127.0.0.1"),
            *("--auth", "htpasswd:users"),
            command=[*twistd, "-n", "--pidfile=", *user, "connectproxy"],
            directory=reachable,
            environment=environment,
        )
        context = ssl.create_default_context(cafile=str(authority.certificate))

        def answered(*fields: str) -> bytes:
            with (
                socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
            ):
                return asked(client, "10.0.0.1:443", *fields)

        for _ in range(2):
            for pid in proxy.pids():
                status = Path(f"/proc/{pid}/status").read_text()
                assert re.search(r"Uid:\s+65534\s+65534\s+65534", status)
            assert answered().startswith(b"HTTP/1.1 407 ")
            assert answered(credentials()).startswith(b"HTTP/1.1 403 ")
            for pid in proxy.pids():
                proxy.replaced(pid)
        assert "Traceback" not in proxy.end()

    def test_credentialsThatOnlyRootMayRead(
        crew: Callable[..., Crew], reachable: Path, others: Others, echo: int
    ) -> None:
        """Those of a route are handed on too, also to a later worker."""
        python, environment = interpreter()
        secret = reachable / "parent"
        secret.write_text(f"{USER}:{PASSWORD}\n")
        secret.chmod(0o600)
        twistd = [python, "-c", "from twisted.scripts.twistd import run; run()"]
        user = ["--uid", str(NOBODY), "--gid", str(NOBODY)]
        parent = f"http://{others('squid-basic').address},credentials=parent"
        proxy = crew(
            *("--listen", "0", *OPEN, "--route", parent),
            command=[*twistd, "-n", "--pidfile=", *user, "connectproxy"],
            directory=reachable,
            environment=environment,
        )
        for _ in range(2):
            with tunnel(proxy.port, echo) as client:
                assert alive(client)
            for pid in proxy.pids():
                proxy.replaced(pid)
        assert PASSWORD not in proxy.end()
