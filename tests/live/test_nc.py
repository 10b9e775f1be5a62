"""
C{txconnect-nc} as it is run: by pipes, files and a terminal, through our proxy
and others', and by ssh.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import CertificateAuthority
from conftest import PASSWORD, USER
from loopback import (
    BANNER,
    PAGE,
    Load,
    Server,
    afterTheEnd,
    bannerThenEcho,
    endThenListen,
    pageThenEnd,
    reset,
)
from otherproxies import (
    DENIED as FORBIDDEN,
    PASSWORD as OTHERS_PASSWORD,
    USER as OTHERS_USER,
    Others,
)
from proxyprocess import DEADLINE, DENIED, ROOT, ProxyProcess, environment, eventually

PIPE = subprocess.PIPE
COMMAND = [sys.executable, "-m", "txconnect.client.nc"]


def variables(home: Path, **more: str) -> dict[str, str]:
    """Its environment."""
    return {**environment(home), "PYTHONPATH": str(ROOT), **more}


def run(
    home: Path, *arguments: object, typed: bytes = b"", **more: str
) -> subprocess.CompletedProcess[bytes]:
    """What becomes of it when this is piped into it."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=variables(home, **more),
        input=typed,
        capture_output=True,
        timeout=DEADLINE,
    )


@contextmanager
def running(
    home: Path, *arguments: object, stdin: int = PIPE, stdout: int = PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """The process itself; it is gone afterwards."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=variables(home),
        stdin=stdin,
        stdout=stdout,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def ended(done: subprocess.CompletedProcess[bytes], output: bytes) -> None:
    """It came to a good end, silently."""
    assert (done.stdout, done.stderr, done.returncode) == (output, b"", 0)


def complained(done: subprocess.CompletedProcess[bytes], *words: str) -> None:
    """One line on standard error, and status 1."""
    line = done.stderr.decode()
    assert done.returncode == 1, line
    assert line.startswith("txconnect-nc: ") and line.count("\n") == 1, line
    assert all(word in line for word in words), line
    assert PASSWORD not in line


# The two directions


def test_whoSpeaksFirstIsHeard(plain: ProxyProcess, tmp_path: Path) -> None:
    """[T2] The banner may come together with the proxy's answer."""
    with Server(bannerThenEcho) as server:
        proxy = f"http://{plain.address}"
        arguments = ["127.0.0.1", server.port, "--proxy", proxy]
        ended(run(tmp_path, *arguments, typed=b"hello"), BANNER + b"hello")


def test_theEndOfTheInputIsSentOn(plain: ProxyProcess, tmp_path: Path) -> None:
    """The answer comes only then."""
    with Server(afterTheEnd) as server:
        proxy = f"http://{plain.address}"
        arguments = ["127.0.0.1", server.port, "--proxy", proxy]
        ended(run(tmp_path, *arguments, typed=b"this"), b"you said this")


def test_theOtherSidesEndEndsTheOutput(plain: ProxyProcess, tmp_path: Path) -> None:
    """And what is typed from then on still arrives."""
    with Server(endThenListen) as server:
        proxy = f"tcp:{plain.address}"
        arguments = ["127.0.0.1", server.port, "--proxy", proxy]
        with running(tmp_path, *arguments) as process:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.read() == b"that is all"
            process.stdin.write(b"but not for me")
            process.stdin.close()
            assert server.result() == b"but not for me"
            assert process.wait(DEADLINE) == 0


def test_filesBothWays(plain: ProxyProcess, tmp_path: Path) -> None:
    """100 MB from a file come back into a file."""

    def echoes(connection: socket.socket) -> None:
        while data := connection.recv(262144):
            connection.sendall(data)

    load = Load(b"nc")
    source, sink = load.write(tmp_path / "source"), tmp_path / "sink"
    with Server(echoes) as server, source.open("rb") as typed, sink.open("wb") as out:
        proxy = f"http://{plain.address}"
        arguments = ["127.0.0.1", server.port, "--proxy", proxy]
        files = {"stdin": typed.fileno(), "stdout": out.fileno()}
        with running(tmp_path, *arguments, **files) as process:
            assert process.wait(DEADLINE) == 0
    with sink.open("rb") as got:
        assert hashlib.file_digest(got, "sha256").hexdigest() == load.digest


def test_aTerminalIsGivenBack(plain: ProxyProcess, tmp_path: Path) -> None:
    """At the other side's end, without a key."""
    keyboard, terminal = os.openpty()
    with Server(pageThenEnd) as server:
        proxy = f"http://{plain.address}"
        arguments = ["127.0.0.1", server.port, "--proxy", proxy]
        with running(tmp_path, *arguments, stdin=terminal) as process:
            assert process.stdout is not None
            assert process.stdout.read() == PAGE.encode()
            assert process.wait(DEADLINE) == 0
    os.close(keyboard)
    os.close(terminal)


# What goes wrong


def test_aResetIsNoGoodEnd(plain: ProxyProcess, tmp_path: Path) -> None:
    def half(connection: socket.socket) -> None:
        connection.sendall(b"half of it")
        connection.recv(100)
        reset(connection)

    with Server(half) as server:
        proxy = f"http://{plain.address}"
        arguments = ["127.0.0.1", server.port, "--proxy", proxy]
        done = run(tmp_path, *arguments, typed=b"x")
    complained(done, "Connection")
    assert done.stdout == b"half of it"


def test_nobodyReadsTheOutput(plain: ProxyProcess, tmp_path: Path) -> None:
    def isReset(connection: socket.socket) -> bool:
        connection.sendall(BANNER)
        try:
            return connection.recv(100) != b""
        except ConnectionResetError:
            return True

    with Server(isReset) as server:
        proxy = f"http://{plain.address}"
        arguments = ["127.0.0.1", server.port, "--proxy", proxy]
        reading, writing = os.pipe()
        os.close(reading)
        with running(tmp_path, *arguments, stdout=writing) as process:
            os.close(writing)
            assert process.wait(DEADLINE) == 1
            assert process.stderr is not None
            said = process.stderr.read()
        assert server.result() is True
    assert said == b"txconnect-nc: standard output: Broken pipe\n"


def test_aRefusal(plain: ProxyProcess, tmp_path: Path) -> None:
    """The proxy's own words, in one line."""
    proxy = f"http://{plain.address}"
    complained(run(tmp_path, DENIED, 22, "--proxy", proxy), f"{DENIED}:22", "403")


CLOSED = {
    "0<&-": b"",
    "2>&-": b"",
    "0<&- 2>&-": b"",
    "1>&-": b"txconnect-nc: standard output is closed, so nothing that comes could be "
    b"written; to drop it, write >/dev/null\n",
    "1>&- 2>&-": b"",
}


@pytest.mark.parametrize("redirections", CLOSED)
def test_closedStreams(plain: ProxyProcess, tmp_path: Path, redirections: str) -> None:
    """[F62] A closed input is one at its end; a closed output is said to be."""
    proxy = f"http://{plain.address}"
    with Server(bannerThenEcho) as server:
        command = shlex.join(
            [*COMMAND, "localhost", str(server.port), "--proxy", proxy]
        )
        done = subprocess.run(
            ["sh", "-c", f"{command} {redirections}"],
            env=variables(tmp_path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
        )
    closed = "1>&-" in redirections
    assert done.stderr == CLOSED[redirections]
    assert done.stdout == (b"" if closed else BANNER)
    assert done.returncode == (2 if closed else 0)


def test_noProxyThere(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://{USER}:{PASSWORD}@127.0.0.1:{closed.getsockname()[1]}"
        done = run(tmp_path, "db", 22, "--proxy", proxy.replace(" ", "%20"))
    complained(done, "cannot connect to the proxy http://127.0.0.1:", "refused")


def test_aSignalEndsIt(plain: ProxyProcess, tmp_path: Path) -> None:
    """
    And the proxy learns of it.  C{SIGTERM}: a terminal's C{SIGINT} is ignored by
    what a shell without one has put into the background, these tests too.
    """
    with Server(bannerThenEcho) as server:
        proxy = f"http://{plain.address}"
        arguments = ["127.0.0.1", server.port, "--proxy", proxy]
        with running(tmp_path, *arguments) as process:
            assert process.stdout is not None
            assert process.stdout.read(len(BANNER)) == BANNER
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 1
            assert server.result() is None
            assert process.stderr is not None
            assert process.stderr.read() == b""


def test_nobodyReadsTheComplaint(tmp_path: Path) -> None:
    """It ends all the same, and with its status."""
    reading, writing = os.pipe()
    os.close(reading)
    wrong, refused = ["db"], ["db", "22", "--proxy", "tcp:127.0.0.1:1"]
    for arguments, status in ((wrong, 2), (refused, 1)):
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=variables(tmp_path),
            stdin=subprocess.DEVNULL,
            stderr=writing,
        )
        try:
            assert process.wait(DEADLINE) == status
        finally:
            process.kill()
            process.wait()
    os.close(writing)


# Credentials, and which proxy


@pytest.mark.parametrize("stored", ["FILE", "env:SECRET"])
def test_credentials(guarded: ProxyProcess, tmp_path: Path, stored: str) -> None:
    """They are not on the command line, where everybody reads them."""
    path = tmp_path / "credentials"
    path.write_text(f"{USER}:{PASSWORD}\n")
    with Server(pageThenEnd) as server:
        arguments = ["127.0.0.1", server.port, "--proxy", f"http://{guarded.address}"]
        arguments += ["--credentials", stored.replace("FILE", str(path))]
        done = run(tmp_path, *arguments, SECRET=f"{USER}:{PASSWORD}")
        ended(done, PAGE.encode())
    assert guarded.told(user=USER)


def test_wrongCredentials(guarded: ProxyProcess, tmp_path: Path) -> None:
    arguments = ["db", 22, "--proxy", f"http://{USER}:wrong@{guarded.address}"]
    complained(run(tmp_path, *arguments), "407")


def test_theEnvironmentsProxy(plain: ProxyProcess, tmp_path: Path) -> None:
    """With HTTPS_PROXY through it, and with NO_PROXY not."""
    with Server(pageThenEnd) as server:
        arguments = ["127.0.0.1", server.port]
        proxy = f"http://{plain.address}"
        ended(run(tmp_path, *arguments, HTTPS_PROXY=proxy), PAGE.encode())
        assert plain.told(event="closed", authority=server.authority)
        plain.mark()
        direct = {"HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.0/8"}
        ended(run(tmp_path, *arguments, **direct), PAGE.encode())
    assert plain.records() == []


# Other proxies


def test_overTLSTheAnswerIsWaitedFor(
    others: Others, authority: CertificateAuthority, tmp_path: Path
) -> None:
    """
    Its end cannot be sent on through TLS, and nothing is lost for that; the
    proxy's certificate is verified.
    """

    def answers(connection: socket.socket) -> None:
        said = connection.recv(100)
        connection.sendall(b"you said " + said)

    trust = {"SSL_CERT_FILE": str(authority.certificate)}
    with Server(answers) as server:
        proxy = f"https://localhost:{others('squid-tls').port}"
        arguments = ["127.0.0.1", server.port, "--proxy", proxy]
        ended(run(tmp_path, *arguments, typed=b"this", **trust), b"you said this")
        complained(run(tmp_path, *arguments), "certificate verify failed")


def heard(home: Path, *arguments: object) -> bytes:
    """
    The first of what is said back to C{hello}.

    Most of these proxies end a tunnel both ways when one has ended, so the
    input goes on until then.
    """
    with running(home, *arguments) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"hello")
        process.stdin.flush()
        said = process.stdout.read(len(BANNER) + 5)
        process.stdin.close()
        assert process.wait(DEADLINE) == 0
    return said


@pytest.mark.parametrize("name", ["squid", "tinyproxy", "apache"])
def test_throughOtherProxies(others: Others, tmp_path: Path, name: str) -> None:
    proxy = f"http://{others(name).address}"
    with Server(bannerThenEcho) as server:
        arguments = ["127.0.0.1", server.port, "--proxy", proxy]
        assert heard(tmp_path, *arguments) == BANNER + b"hello"
    complained(run(tmp_path, FORBIDDEN, 22, "--proxy", proxy), "403")


def test_throughSOCKS(others: Others, tmp_path: Path) -> None:
    """With the user and the password of a file, and not without."""
    path = tmp_path / "credentials"
    path.write_text(f"{OTHERS_USER}:{OTHERS_PASSWORD}")
    with Server(bannerThenEcho) as server:
        proxy = f"socks5://{others('socks-basic').address}"
        arguments = ["localhost", server.port, "--proxy", proxy]
        complained(run(tmp_path, *arguments), "no tunnel to localhost:")
        arguments += ["--credentials", path]
        assert heard(tmp_path, *arguments) == BANNER + b"hello"


# ssh


@pytest.fixture
def sshServer(tmp_path: Path, program: Callable[[str], str]) -> Iterator[int]:
    """A port at which whoever runs the tests gets in by the key C{key}."""
    for name in ("key", "hostkey"):
        command = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", ""]
        subprocess.run([*command, "-f", tmp_path / name], check=True)
    os.replace(tmp_path / "key.pub", tmp_path / "authorized")
    if os.geteuid() == 0:
        # Debian's own, which starting its service would have made.
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    options = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": tmp_path / "hostkey",
        "AuthorizedKeysFile": tmp_path / "authorized",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
    }
    arguments = [f"-o{name}={value}" for name, value in options.items()]
    with open(tmp_path / "sshd.log", "wb") as log:
        server = subprocess.Popen(
            [program("sshd"), "-D", "-e", "-f", "/dev/null", *arguments],
            env=environment(tmp_path),
            stderr=log,
        )
    try:
        eventually("sshd listens", lambda: listens(port))
        yield port
    finally:
        server.terminate()
        server.wait(DEADLINE)


def listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def test_ssh(
    plain: ProxyProcess,
    sshServer: int,
    tmp_path: Path,
    program: Callable[[str], str],
) -> None:
    """[T2] As its ProxyCommand: the server's banner, both ends, and the status."""
    mine = shlex.join(COMMAND) + f" %h %p --proxy http://{plain.address}"
    options = {
        "ProxyCommand": mine,
        "IdentityFile": tmp_path / "key",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": tmp_path / "known",
        "StrictHostKeyChecking": "accept-new",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
    }
    arguments = [f"-o{name}={value}" for name, value in options.items()]
    user = pwd.getpwuid(os.geteuid()).pw_name
    load = Load(b"ssh")
    with load.write(tmp_path / "source").open("rb") as source:
        done = subprocess.run(
            [program("ssh"), "-F", "none", *arguments, "-p", str(sshServer)]
            + [f"{user}@127.0.0.1", "sha256sum; exit 7"],
            env=variables(tmp_path),
            stdin=source,
            capture_output=True,
            timeout=DEADLINE,
        )
    assert (done.stdout.split()[:1], done.stderr) == ([load.digest.encode()], b"")
    assert done.returncode == 7
    assert plain.told(event="closed", authority=f"127.0.0.1:{sshServer}")
