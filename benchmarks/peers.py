"""
The proxies: how each is found, configured and called.

Each is set up as its own documentation would have it for the job: CONNECT to
any port for clients on this machine, no caching, and an access log to a file
where it has one.  Each runs in the foreground, so that it can be ended by its
process id.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "CHECKOUT",
    "PEERS",
    "Peer",
    "Setup",
    "found",
    "squid",
    "txconnect",
    "versionOf",
    "versionSaid",
]

CHECKOUT = Path(__file__).parent.parent
DESCRIPTORS = 20000
"""Descriptors a peer that must be told is allowed: two a tunnel, and some."""

PROGRAM = "{program}"
"""Stands for the executable in a command."""

GOPATH = Path("/usr/share/gocode")
GO_LIBRARY = GOPATH / "src/github.com/elazarl/goproxy"


@dataclass(frozen=True)
class Setup:
    """
    How one proxy is started.

    @ivar command: the program and its arguments.
    @ivar files: configuration by its path; written before it is started.
    @ivar build: a command that has to be run once before, or nothing.
    @ivar environment: what it needs in its environment.
    @ivar user: the user to run it as where root starts it; nothing means root,
        or a user of the proxy's own choice.
    """

    command: tuple[str, ...]
    files: Mapping[Path, str] = field(default_factory=dict)
    build: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""


@dataclass(frozen=True)
class Peer:
    """
    One row of the table.

    @ivar program: the executable to look for.
    @ivar setup: called with the executable, a directory of its own and the
        port to listen on at 127.0.0.1.
    @ivar version: a command that says its version.
    @ivar cores: how many cores it may use.
    @ivar descriptors: how many it needs for a tunnel.
    @ivar present: what else must hold for it to count as installed.
    @ivar fields: further fields of each request's head, with their ends of line.
    @ivar behind: ids of processes through which its tunnels go, too.
    """

    name: str
    program: str
    setup: Callable[[str, Path, int], Setup]
    version: tuple[str, ...] = (PROGRAM, "--version")
    cores: int = 1
    descriptors: int = 2
    present: Callable[[], bool] = lambda: True
    fields: str = ""
    behind: tuple[int, ...] = ()


def txconnect(
    *options: str, ports: str = "any", checkout: Path = CHECKOUT
) -> Callable[[str, Path, int], Setup]:
    """
    Make the C{setup} of this proxy.

    @param options: further ones of its command.
    @param ports: the ports that its policy allows.
    @param checkout: the tree that is run.
    """

    def setup(program: str, home: Path, port: int) -> Setup:
        command = (
            f"-m txconnect --listen 127.0.0.1:{port} --policy networks:any"
            f" --policy ports:{ports} --observer counters"
        )
        log = ("--observer", f"accesslog:{home / 'access.log'}")
        where = {"PYTHONPATH": str(checkout)}
        return Setup((program, *command.split(), *log, *options), environment=where)

    return setup


def _hasWorkers() -> bool:
    shown = subprocess.run(
        [sys.executable, "-m", "txconnect", "--help"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    return "--workers" in shown.stdout


def squid(ports: str = "", user: str = "") -> Callable[[str, Path, int], Setup]:
    """
    Make the C{setup} of squid.

    @param ports: the ports that its rule allows; any when it names none.
    @param user: see L{Setup}; squid itself changes from root to the user that
        Debian made for it.
    """
    rules = "http_access allow localhost\n"
    if ports:
        rules = f"acl allowed port {ports}\nhttp_access allow localhost allowed\n"

    def setup(program: str, home: Path, port: int) -> Setup:
        # "stdio" is the cheaper of its logs: "daemon", Debian's, hands each
        # line to another process.
        text = f"""\
http_port 127.0.0.1:{port}
{rules}http_access deny all
cache deny all
access_log stdio:{home}/access.log
cache_log {home}/cache.log
coredump_dir {home}
pid_filename none
pinger_enable off
max_filedescriptors {DESCRIPTORS}
shutdown_lifetime 0 seconds
"""
        config = home / "squid.conf"
        # Squids of one name share memory, and a second one does not start.
        command = (program, "-N", "-n", f"benchmark{port}", "-f", str(config))
        return Setup(command, {config: text}, user=user)

    return setup


def _tinyproxy(program: str, home: Path, port: int) -> Setup:
    text = f"""\
Port {port}
Listen 127.0.0.1
Timeout 600
MaxClients 10000
Allow 127.0.0.1
LogFile "{home}/access.log"
LogLevel Connect
"""
    config = home / "tinyproxy.conf"
    return Setup((program, "-d", "-c", str(config)), {config: text})


_GO = """\
package main

import (
	"github.com/elazarl/goproxy"
	"log"
	"net/http"
	"os"
)

func main() {
	log.Fatal(http.ListenAndServe(os.Args[1], goproxy.NewProxyHttpServer()))
}
"""


def _goproxy(program: str, home: Path, port: int) -> Setup:
    # It logs nothing by itself, and a log is not asked of it.
    source, built = home / "main.go", home / "goproxy"
    return Setup(
        (str(built), f"127.0.0.1:{port}"),
        {source: _GO},
        build=(program, "build", "-o", str(built), str(source)),
        environment={
            "GO111MODULE": "off",
            "GOPATH": str(GOPATH),
            "GOCACHE": str(home / "cache"),
            "GOFLAGS": "",
        },
    )


def _apache(program: str, home: Path, port: int) -> Setup:
    # A thread a tunnel: as many as the idle tunnels need.
    modules = Path("/usr/lib/apache2/modules")
    names = ("mpm_event", "authz_core", "authz_host", "proxy", "proxy_connect")
    loaded = "\n".join(
        f"LoadModule {name}_module {modules}/mod_{name}.so" for name in names
    )
    user = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
    text = f"""\
ServerRoot {home}
ServerName 127.0.0.1
DefaultRuntimeDir {home}
PidFile {home}/apache.pid
Listen 127.0.0.1:{port}
{loaded}
{user}ErrorLog {home}/error.log
CustomLog {home}/access.log "%h %l %u %t \\"%r\\" %>s %b"
ThreadLimit 128
ThreadsPerChild 128
ServerLimit 40
MaxRequestWorkers 5120
Timeout 600
ProxyRequests On
AllowCONNECT 1-65535
<Proxy "*">
    Require local
</Proxy>
"""
    config = home / "apache.conf"
    return Setup((program, "-f", str(config), "-D", "FOREGROUND"), {config: text})


def _proxypy(program: str, home: Path, port: int) -> Setup:
    options = (
        "--hostname 127.0.0.1 --num-workers 1 --num-acceptors 1 --log-level INFO"
        f" --backlog 1024 --open-file-limit {DESCRIPTORS} --timeout 600"
    )
    log = ("--log-file", str(home / "access.log"), "--data-dir", str(home / "data"))
    return Setup((program, *options.split(), "--port", str(port), *log))


def _mitmproxy(program: str, home: Path, port: int) -> Setup:
    # Passing through: it looks into nothing, as the others here.
    options = "--listen-host 127.0.0.1 --quiet --ignore-hosts .*"
    where = ("--set", f"confdir={home}", "--listen-port", str(port))
    return Setup((program, *options.split(), *where))


_VERSION = (PROGRAM, "-m", "txconnect", "--version")
_GO_VERSION = (
    "dpkg-query",
    "-W",
    "-f",
    "${Version}",
    "golang-github-elazarl-goproxy-dev",
)

PEERS: tuple[Peer, ...] = (
    Peer("txconnect", sys.executable, txconnect(), _VERSION),
    Peer(
        "txconnect-2-workers",
        sys.executable,
        txconnect("--workers", "2"),
        _VERSION,
        cores=2,
        present=_hasWorkers,
    ),
    Peer("squid", "squid", squid()),
    Peer("tinyproxy", "tinyproxy", _tinyproxy, (PROGRAM, "-v")),
    Peer(
        "goproxy",
        "go",
        _goproxy,
        _GO_VERSION,
        descriptors=6,  # splice has a pipe for each direction
        present=GO_LIBRARY.is_dir,
    ),
    Peer("apache", "apache2", _apache, (PROGRAM, "-v")),
    Peer("proxy.py", "proxy", _proxypy),
    Peer("mitmproxy", "mitmdump", _mitmproxy),
)
"""All that are known, in the order of the table."""


def found(
    wanted: Sequence[str],
    programs: Mapping[str, str],
    peers: Sequence[Peer] = PEERS,
) -> dict[str, tuple[Peer, str]]:
    """
    Which of the C{wanted} proxies are installed, with their executables.

    @param programs: executables by the proxy's name, where not in C{PATH}.
    @param peers: the proxies to choose from.
    """
    # Debian keeps servers where the PATH of a mere user does not look.
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin"
    here = {}
    for peer in peers:
        if peer.name in wanted:
            program = shutil.which(programs.get(peer.name, peer.program), path=path)
            if program is not None and peer.present():
                here[peer.name] = peer, os.path.abspath(program)
    return here


def versionOf(peer: Peer, program: str) -> str:
    """What the program says its version is."""
    return versionSaid([part.replace(PROGRAM, program) for part in peer.version])


def versionSaid(command: Sequence[str]) -> str:
    """The first number with a dot in what a command says."""
    try:
        said = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    except FileNotFoundError:
        return ""  # a system without the program that would say it
    match = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return match.group() if match else ""
