"""
The real command, as a process: what it says, with which status it ends, and
that it never shows a traceback for what the operator did.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from certificates import makeAuthority

import txconnect

ROOT = Path(txconnect.__file__).parent.parent
TWISTD = [sys.executable, str(Path(sys.executable).with_name("twistd"))]
TXCONNECT = [sys.executable, "-m", "txconnect"]
FOREGROUND = [*TWISTD, "-n", "--pidfile=", "connectproxy"]
DEADLINE = 60.0
"""Seconds after which a process that hangs is killed, so that its test fails."""

URL = re.compile(r"http://(127\.0\.0\.1|0\.0\.0\.0):([0-9]+)")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our package found wherever the process stands."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **(extra or {})}


def ends(
    arguments: list[str], directory: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that must end by itself."""
    return subprocess.run(
        arguments,
        cwd=directory,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


class Running:
    """A command in the foreground, and its lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self, pattern: str) -> re.Match[str]:
        """The next line of standard output that a pattern is found in."""
        read: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            read.append(line)
            match = re.search(pattern, line)
            if match:
                return match
        raise AssertionError(f"no line {pattern!r} in {''.join(read)}")

    def port(self) -> int:
        """Where it says that it listens."""
        return int(self.line(URL.pattern)[2])

    def stop(self) -> tuple[int, str, str]:
        """Its status, and what else it said, after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate()
        return self.process.returncode, out, err


@contextlib.contextmanager
def running(arguments: list[str], directory: Path) -> Iterator[Running]:
    """A command that stays, until the block ends."""
    process = subprocess.Popen(
        arguments,
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
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


def answer(port: int, authority: str) -> bytes:
    """What the proxy answers to one CONNECT, to the end."""
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        client.sendall(head.encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port where somebody listens already."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a destination that says back what it hears, once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(DEADLINE)
                while data := connection.recv(65536):
                    connection.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


# Running


def test_txconnectSaysFourLinesThenOneForEachTunnel(tmp_path: Path, echo: int) -> None:
    """The first five minutes: nothing else is on the screen."""
    everything = ["--policy", "networks:any", "--policy", "ports:any"]
    with running([*TXCONNECT, "--listen", "0", *everything], tmp_path) as proxy:
        port = proxy.port()
        assert proxy.line("")[0] is not None
        proxy.line(
            r"^  where destinations that all of these allow:  networks:any  ports:any$"
        )
        proxy.line(
            rf"^  try   curl -x http://127\.0\.0\.1:{port} https://example.com/$"
        )
        head = f"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nHost: 127.0.0.1:{echo}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
            client.sendall(head.encode() + b"hello")
            got = b""
            while not got.endswith(b"hello"):
                got += client.recv(65536)
            proxy.line(
                rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d open   \S+ 127\.0\.0\.1 -> 127\.0\.0\.1:{echo}"
            )
        proxy.line(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d close  .*  up 5 B  down 5 B  ")
        assert got.startswith(b"HTTP/1.1 200 ")
        status, out, err = proxy.stop()
    assert (status, out) == (-signal.SIGTERM, "")
    # [F28] A stop says so, once.
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d SIGTERM: stopping; open tunnels: 0; .*: 0\n",
        err,
    )


def test_withoutOptionsPrivateAddressesAreRefused(tmp_path: Path) -> None:
    """The defaults are safe, and the refusal is one line for both ends."""
    with running([*TXCONNECT, "--listen", "0"], tmp_path) as proxy:
        port = proxy.port()
        proxy.line(r"^  who   anyone on this machine \(loopback only\)")
        proxy.line(r"^  where public addresses, port 443; private, link-local and ")
        said = answer(port, "169.254.169.254:443")
        assert said.startswith(b"HTTP/1.1 403 ")
        proxy.line(
            r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d refuse .* -> 169\.254\.169\.254:443  403 networks: "
        )


def test_twistdUnderTheAsyncioReactor(tmp_path: Path) -> None:
    """No module of ours installs a reactor before twistd does."""
    command = [*TWISTD, "--reactor", "asyncio", "-n", "--pidfile=", "connectproxy"]
    with running([*command, "--listen", "0"], tmp_path) as proxy:
        port = int(proxy.line(URL.pattern + r".*, asyncioselector, 1 process")[2])
        assert answer(port, "10.0.0.1:443").startswith(b"HTTP/1.1 403 ")
        status, out, err = proxy.stop()
    assert status == -signal.SIGTERM
    assert "Traceback" not in out + err


ASYNCIO_POLICY = """
import asyncio
from twisted.internet import reactor, task
from txconnect import Deny, policyPlugin

@policyPlugin("waits", "Waits for both.")
async def waits(request):
    async with asyncio.timeout(30):
        await asyncio.sleep(0.001)
    await task.deferLater(reactor, 0.001, lambda: None)
    await asyncio.wait_for(asyncio.get_running_loop().create_future(), 0.001)
"""


def test_asyncioInAHook(tmp_path: Path) -> None:
    """[F61] Under its reactor; with another, the answer says which it needs."""
    (tmp_path / "mine.py").write_text(ASYNCIO_POLICY)
    options = ["-n", "--pidfile=", "connectproxy", "--listen", "0"]
    options += ["--policy", "./mine.py:waits"]
    for reactor, said in [
        (["--reactor", "asyncio"], "waits: TimeoutError: "),
        ([], "waits: RuntimeError: .*twistd --reactor=asyncio"),
    ]:
        with running([*TWISTD, *reactor, *options], tmp_path) as proxy:
            assert answer(proxy.port(), "a.example:443").startswith(b"HTTP/1.1 500 ")
            proxy.line(said)
            proxy.stop()


def test_twistRunsItToo(tmp_path: Path) -> None:
    """twist has no privileged start and no terminal of ours: lines are logged."""
    twist = [sys.executable, "-m", "twisted", "--log-format=text", "connectproxy"]
    with running([*twist, "--listen", "0"], tmp_path) as proxy:
        port = proxy.port()
        assert answer(port, "10.0.0.1:443").startswith(b"HTTP/1.1 403 ")
        proxy.line(r"refuse .* -> 10\.0\.0\.1:443  403 networks: ")


def test_openProxyMustBeSaid(tmp_path: Path) -> None:
    """[T15] The same listener is refused and, when it is meant, allowed."""
    for command in (TXCONNECT, FOREGROUND):
        ended = ends([*command, "--listen", "0.0.0.0:0"], tmp_path)
        assert ended.returncode == 1
        assert "Traceback" not in ended.stdout + ended.stderr
        assert re.fullmatch(
            r"[\w ]+: refusing to start: 0\.0\.0\.0:\d+ is within reach .*\n",
            ended.stderr,
        )
    listen = ["--listen", "0.0.0.0:0", "--open-proxy"]
    with running([*TXCONNECT, *listen], tmp_path) as proxy:
        proxy.port()
        proxy.line(r"^  who   ANYONE who can reach it, as --open-proxy says$")


def test_passwordsAreAskedFor(tmp_path: Path) -> None:
    """With C{--auth} it may listen anywhere, and nobody passes without."""
    (tmp_path / "users").write_text("alice:secret\n")
    listen = ["--listen", "0.0.0.0:0", "--auth", "file:users"]
    with running([*TXCONNECT, *listen], tmp_path) as proxy:
        port = proxy.port()
        proxy.line(r"^  who   users that file knows$")
        assert answer(port, "example.com:443").startswith(b"HTTP/1.1 407 ")


def test_requiredCertificateGuardsAListener(tmp_path: Path) -> None:
    """[T8] It may listen anywhere, and without a certificate nobody is heard."""
    authority = makeAuthority(tmp_path)
    server, alice = authority.server(), authority.client("alice")
    listen = (
        f"proxytls:0:interface=0.0.0.0:cert={server.certificate}:key={server.key}"
        f":clientCA={authority.certificate}"
    )
    with running([*TXCONNECT, "--listen", listen], tmp_path) as proxy:
        port = int(proxy.line(r"https://0\.0\.0\.0:([0-9]+)")[1])
        proxy.line(r"^  who   clients with a certificate$")
        for known in (True, False):
            context = ssl.create_default_context(cafile=str(authority.certificate))
            if known:
                context.load_cert_chain(alice.certificate, alice.key)
            assert spoken(context, port).startswith(b"HTTP/1.1 403 ") is known
        proxy.line(r"refuse \S+ alice@127\.0\.0\.1 -> 10\.0\.0\.1:443  403 networks: ")


def spoken(context: ssl.SSLContext, port: int) -> bytes:
    """What one CONNECT over TLS is answered; nothing when TLS is refused."""
    head = b"CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 10.0.0.1:443\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
                client.sendall(head)
                return client.recv(65536)
        except (ssl.SSLError, ConnectionError):
            return b""


def test_unixSocketIsLocal(tmp_path: Path) -> None:
    with running([*TXCONNECT, "--listen", "unix:sock"], tmp_path) as proxy:
        proxy.line(rf"on unix:{tmp_path}/sock ")
        proxy.line(r"^  who   anyone on this machine")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "sock"))
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert client.recv(9) == b"HTTP/1.1 "


def test_softLimitOfDescriptorsIsTheHardOne(tmp_path: Path) -> None:
    command = ["sh", "-c", 'ulimit -S -n 256; exec "$@"', "sh", *TXCONNECT]
    with running([*command, "--listen", "0"], tmp_path) as proxy:
        proxy.port()
        limits = Path(f"/proc/{proxy.process.pid}/limits").read_text()
    match = re.search(r"Max open files +(\d+) +(\d+)", limits)
    assert match is not None
    assert match[1] == match[2] != "256"


# What the operator did wrong


WRONG = {
    "an unknown option": (
        ["--polcy", "x"],
        "--polcy: there is no such option; did you mean --policy?",
    ),
    "a word too many": (["3128"], "'3128' is no option"),
    "an unknown policy": (
        ["--policy", "prots:443"],
        "policy 'prots' is not installed; did you mean 'ports'?",
    ),
    "a bad argument": (
        ["--policy", "ports:http"],
        "--policy ports:http: 'http' is not a port",
    ),
    "a bad endpoint": (["--listen", "tcp:x"], "--listen 'tcp:x' is no endpoint: "),
    "a bad port": (["--listen", "70000"], "cannot listen on 70000: "),
    "no such directory": (
        ["--listen", "unix:/nope/s"],
        "cannot listen on unix:/nope/s: No such file or directory",
    ),
    "no such address": (
        ["--listen", "192.0.2.1:3128", "--open-proxy"],
        "cannot listen on 192.0.2.1:3128: ",
    ),
    "a bad setting": (["--head-timeout", "soon"], "--head-timeout: 'soon' is not a "),
    "no password file": (["--auth", "file:users"], "users: No such file or directory"),
    "no htpasswd file": (["--auth", "htpasswd:users"], "--auth htpasswd: "),
    "no policy file": (["--policy", "./no.py:x"], "there is no file "),
    "no directory for the log": (
        ["--observer", "accesslog:no/log"],
        "--observer accesslog:no/log: ",
    ),
}


@pytest.mark.parametrize(
    "command", [TXCONNECT, FOREGROUND], ids=["txconnect", "twistd"]
)
@pytest.mark.parametrize("what", WRONG)
def test_mistakesAreOneClearLineAndStatusOne(
    command: list[str], what: str, tmp_path: Path
) -> None:
    arguments, reason = WRONG[what]
    ended = ends([*command, "--listen", "0", *arguments], tmp_path)
    assert ended.returncode == 1, ended
    assert "Traceback" not in ended.stdout + ended.stderr
    program = "txconnect" if command is TXCONNECT else "twistd connectproxy"
    line = re.fullmatch(rf"{program}: (.*)\n", ended.stderr)
    assert line is not None, ended.stderr
    assert reason in line[1]
    # Once it listens, twistd's own log is on standard output.
    if command is TXCONNECT or not reason.startswith("cannot listen"):
        assert ended.stdout == ""


@pytest.mark.parametrize(
    "command", [TXCONNECT, FOREGROUND], ids=["txconnect", "twistd"]
)
def test_portInUseIsOneClearLine(
    command: list[str], tmp_path: Path, taken: int
) -> None:
    ended = ends([*command, "--listen", str(taken)], tmp_path)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    assert re.fullmatch(
        rf"[\w ]+: cannot listen on 127\.0\.0\.1:{taken}: Address already in use\n",
        ended.stderr,
    )


def test_portInUseLeavesNoPidfile(tmp_path: Path, taken: int) -> None:
    """A stale one is the next start's "Another twistd server is running"."""
    command = [*TWISTD, "-n", "connectproxy", "--listen", str(taken)]
    assert ends(command, tmp_path).returncode == 1
    assert not (tmp_path / "twistd.pid").exists()


def test_brokenPluginModuleIsNamed(tmp_path: Path) -> None:
    """[F28] It may be the one that has what is wanted; in one line, with the place."""
    plugins = tmp_path / "site" / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "sick_plugin.py").write_text("import no_such_module\n")
    path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'site'}"}
    ended = ends([*TXCONNECT, "--policy", "sick"], tmp_path, path)
    assert ended.returncode == 1
    assert "policy 'sick' is not installed." in ended.stderr
    sick = plugins / "sick_plugin.py"
    assert ended.stderr.endswith(
        f" {sick} could not be imported: ModuleNotFoundError: No module named "
        f"'no_such_module' ({sick}, line 1).\n"
    )
    # And it stops nobody who wants something else.
    ended = ends([*TXCONNECT, "--policy", "ports:443", "--version"], tmp_path, path)
    assert ended.returncode == 0


def test_helpAndPasswdEndByThemselves(tmp_path: Path) -> None:
    for arguments, shown in [
        (["--help"], "Usage: txconnect [options]"),
        (["--help-policy"], "ports:"),
        (["--version"], f"txconnect {txconnect.__version__}"),
    ]:
        ended = ends([*TXCONNECT, *arguments], tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert shown in ended.stdout
    assert ends([*TXCONNECT, "passwd"], tmp_path).returncode == 2


# Daemons


def stopDaemon(pidfile: Path) -> None:
    """End a daemon by its pidfile, and wait until it is gone."""
    pid = int(pidfile.read_text())
    watched = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        assert select.select([watched], [], [], DEADLINE)[0]
    finally:
        os.close(watched)


def test_daemonStartsListensLogsAndStops(tmp_path: Path) -> None:
    """The parent's status, the pidfile, relative paths under --rundir."""
    (tmp_path / "run").mkdir()
    (tmp_path / "users").write_text("alice:secret\n")
    options = ["--listen", "unix:sock", "--listen", "0", "--auth", "file:users"]
    command = [*TWISTD, "--rundir", "run", "--logfile", "twistd.log", "connectproxy"]
    ended = ends([*command, *options], tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    try:
        log = (tmp_path / "twistd.log").read_text()
        found = URL.search(log)
        assert found is not None, log
        assert answer(int(found[2]), "example.com:443").startswith(b"HTTP/1.1 407 ")
        assert (tmp_path / "sock").is_socket()
    finally:
        stopDaemon(tmp_path / "twistd.pid")
    assert not (tmp_path / "twistd.pid").exists()
    log = (tmp_path / "twistd.log").read_text()
    assert "refuse " in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        ("in use", "cannot listen on {listen}: Address already in use"),
        ("open", "refusing to start: 0.0.0.0:"),
        ("no directory", "cannot listen on unix:/nope/s: No such file or directory"),
        ("no log", "cannot start: accesslog: /proc/no: "),
    ],
)
def test_daemonThatCannotListenTellsItsCaller(
    tmp_path: Path, taken: int, problem: str, line: str
) -> None:
    """[F21] One line as in the foreground, status 1, no pidfile; one line in the log."""
    listen = {
        "in use": f"127.0.0.1:{taken}",
        "open": "0.0.0.0:0",
        "no directory": "unix:/nope/s",
    }.get(problem, "0")
    command = [*TWISTD, "--logfile", "log", "connectproxy", "--listen", listen]
    if problem == "no log":
        command += ["--observer", "accesslog:/proc/no"]
    ended = ends(command, tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    line = line.format(listen=listen)
    assert ended.stderr.startswith(f"twistd connectproxy: {line}"), ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "twistd.pid").exists()
    log = (tmp_path / "log").read_text()
    assert log.count(line) == 1
    assert "Traceback" not in log and "Unhandled" not in log


def test_daemonsLines(tmp_path: Path) -> None:
    """[F28] Date and name once each; a stop is one line, with what it ends."""
    command = [*TWISTD, "--logfile", "log", "connectproxy", "--listen", "0"]
    ended = ends(command, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    try:
        found = URL.search((tmp_path / "log").read_text())
        assert found is not None
        idle = socket.create_connection(("127.0.0.1", int(found[2])), DEADLINE)
        assert answer(int(found[2]), "10.0.0.1:443").startswith(b"HTTP/1.1 403 ")
    finally:
        stopDaemon(tmp_path / "twistd.pid")
    idle.close()
    log = (tmp_path / "log").read_text()
    lines = [line for line in log.splitlines() if "txconnect" in line]
    assert any(re.search(r"\[txconnect#info\] .*refuse ", line) for line in lines)
    assert not any("observers" in line for line in lines)
    # The one that is idle, and perhaps the refused one, whose end lingers.
    stops = r"SIGTERM: stopping; open tunnels: 0; connections of clients: [12]\n"
    assert len(re.findall(stops, log)) == 1
