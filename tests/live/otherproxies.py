"""
The proxies of others as processes: squid, tinyproxy, Apache and microsocks of
Debian, each on a loopback port of its own, with a configuration of its own.

None of them runs as root: what root starts is nobody from the beginning, so
that it is the same for everyone who runs the tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import attrs
import bcrypt
from certificates import Issued
from proxyprocess import DEADLINE, environment, eventually

USER, PASSWORD = "alice", "open-sesame.1"
"""What all of them take; tinyproxy has no words for a space."""

DENIED = "127.0.0.2"
"""The destination that all of them refuse."""

REALM = "others"
NOBODY = 65534
_ATTEMPTS = 5
_APACHE = Path("/usr/lib/apache2/modules")
_SQUID = Path("/usr/lib/squid")


@attrs.frozen
class Recipe:
    """
    How one proxy is started.

    @ivar command: the program and its arguments.
    @ivar files: by name, what it reads from its directory.
    """

    command: tuple[str, ...]
    files: dict[str, str]


Setup = Callable[[Path, int], Recipe]
"""Called with a directory and a port."""


# The configurations


def squid(auth: str = "", tls: Issued | None = None) -> Setup:
    """
    squid.

    @param auth: C{"basic"}, C{"digest"} or nothing.
    @param tls: a certificate, with which it speaks TLS to its clients.
    """

    def setup(home: Path, port: int) -> Recipe:
        where = f"http_port 127.0.0.1:{port}"
        if tls is not None:
            where = (
                f"https_port 127.0.0.1:{port} tls-cert={home}/cert tls-key={home}/key"
            )
        # Debian's denies CONNECT to other ports than 443; nothing here does.
        text = f"""\
{where}
visible_hostname squid.test
{_SQUID_AUTH[auth].format(home=home, helpers=_SQUID, realm=REALM)}
acl denied dst {DENIED}
http_access deny denied
http_access allow {"known" if auth else "localhost"}
http_access deny all
cache deny all
access_log stdio:{home}/access.log
cache_log {home}/cache.log
coredump_dir {home}
pid_filename none
pinger_enable off
netdb_filename none
max_filedescriptors 1024
shutdown_lifetime 0 seconds
"""
        files = {"squid.conf": text, **_users(), **_keyPair(tls)}
        command = ("squid", "-N", "-n", _named(port), "-f", f"{home}/squid.conf")
        return Recipe(command, files)

    return setup


_SQUID_AUTH = {
    "": "",
    "basic": """\
auth_param basic program {helpers}/basic_ncsa_auth {home}/users
auth_param basic realm {realm}
auth_param basic children 1
acl known proxy_auth REQUIRED""",
    "digest": """\
auth_param digest program {helpers}/digest_file_auth -c {home}/digests
auth_param digest realm {realm}
auth_param digest children 1
acl known proxy_auth REQUIRED""",
}


def tinyproxy(auth: str = "") -> Setup:
    """
    tinyproxy.

    @param auth: C{"basic"} or nothing.
    """

    def setup(home: Path, port: int) -> Recipe:
        text = f"""\
Port {port}
Listen 127.0.0.1
Timeout 600
MaxClients 100
Allow 127.0.0.1
Filter "{home}/denied"
FilterExtended On
LogFile "{home}/access.log"
LogLevel Connect
{f"BasicAuth {USER} {PASSWORD}" if auth else ""}
"""
        denied = f"^{DENIED}$\n".replace(".", r"\.")
        command = ("tinyproxy", "-d", "-c", f"{home}/tinyproxy.conf")
        return Recipe(command, {"tinyproxy.conf": text, "denied": denied})

    return setup


def apache(auth: str = "") -> Setup:
    """
    Apache with mod_proxy_connect.

    @param auth: C{"basic"} or nothing.
    """

    def setup(home: Path, port: int) -> Recipe:
        loaded = "\n".join(
            f"LoadModule {name}_module {_APACHE}/mod_{name}.so"
            for name in _APACHE_MODULES.split()
        )
        text = f"""\
ServerRoot {home}
ServerName 127.0.0.1
DefaultRuntimeDir {home}
PidFile {home}/apache.pid
Listen 127.0.0.1:{port}
{loaded}
ErrorLog {home}/error.log
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
Timeout 600
ProxyRequests On
AllowCONNECT 1-65535
ProxyBlock {DENIED}
<Proxy "*">
{_APACHE_AUTH.format(home=home, realm=REALM) if auth else "Require local"}
</Proxy>
"""
        command = ("apache2", "-f", f"{home}/apache.conf", "-D", "FOREGROUND")
        return Recipe(command, {"apache.conf": text, **_users()})

    return setup


def microsocks(auth: str = "") -> Setup:
    """
    microsocks, which speaks SOCKS5 and looks names up itself.

    @param auth: C{"basic"} or nothing.
    """

    def setup(home: Path, port: int) -> Recipe:
        user = ("-u", USER, "-P", PASSWORD) if auth else ()
        return Recipe(("microsocks", "-i", "127.0.0.1", "-p", str(port), *user), {})

    return setup


_APACHE_MODULES = """
    mpm_event auth_basic authn_core authn_file authz_core authz_host authz_user
    proxy proxy_connect
"""

_APACHE_AUTH = """\
AuthType Basic
AuthName {realm}
AuthUserFile {home}/users
Require valid-user"""


def _named(port: int) -> str:
    """Of each squid of a machine; no other squid has the port."""
    return f"otherproxy{port}"


def _users() -> dict[str, str]:
    """The files of users: an htpasswd one, and one of digests' secrets."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    secret = hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest()
    return {
        "users": f"{USER}:{hashed}\n",
        "digests": f"{USER}:{REALM}:{secret}\n",
    }


def _keyPair(tls: Issued | None) -> dict[str, str]:
    if tls is None:
        return {}
    return {"cert": tls.certificate.read_text(), "key": tls.key.read_text()}


# The processes


class OtherProxy:
    """
    One of them, which listens when this has returned.

    @ivar port: where.
    @ivar address: C{127.0.0.1:port}.
    """

    def __init__(self, setup: Setup) -> None:
        # Not below pytest's directory, which is closed to other users.
        self._home = Path(tempfile.mkdtemp(prefix="otherproxy-"))
        try:
            self._process = self._started(setup)
        except BaseException:
            shutil.rmtree(self._home)
            raise
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self) -> OtherProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def kill(self) -> None:
        """End it and its helpers, as a crash does."""
        _end(self._process)

    def end(self) -> None:
        """The same, and remove what it has written."""
        self.kill()
        shutil.rmtree(self._home)
        # What squid shares among its processes stays when it is killed.
        for path in Path("/dev/shm").glob(f"{_named(self.port)}-*"):
            path.unlink()

    def logs(self) -> str:
        """What it has written into its logs, for the failure of a test."""
        texts = [path.read_text() for path in sorted(self._home.glob("*.log"))]
        return "".join([*texts, (self._home / "output").read_text()])

    def _started(self, setup: Setup) -> subprocess.Popen[bytes]:
        for _ in range(_ATTEMPTS):
            self.port = _freePort()
            process = self._run(setup(self._home, self.port))
            if self._listens(process):
                return process
            # Somebody else may have taken the port in between.
        raise AssertionError(self.logs())

    def _listens(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it came to that; it is gone when it did not."""
        try:
            eventually("it listens, or is gone", lambda: self._settled(process))
        except BaseException:
            _end(process)
            raise
        return process.poll() is None

    def _run(self, recipe: Recipe) -> subprocess.Popen[bytes]:
        for name, text in recipe.files.items():
            (self._home / name).write_text(text)
        with open(self._home / "output", "wb") as output:
            root = os.geteuid() == 0
            if root:
                for path in (self._home, *self._home.iterdir()):
                    os.chown(path, NOBODY, NOBODY)
            return subprocess.Popen(
                [_found(recipe.command[0]), *recipe.command[1:]],
                cwd=self._home,
                env=environment(self._home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=NOBODY if root else None,
                group=NOBODY if root else None,
                extra_groups=[] if root else None,
            )

    def _settled(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            return True
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self.port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """The session that is ended is the process's own, with its helpers."""
    # Asked politely, squid takes seconds.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(DEADLINE)


def _found(name: str) -> str:
    # Debian keeps servers where the PATH of a mere user does not look.
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert path, f"{name} is not installed; .ci/run names its Debian package"
    return path


def _freePort() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Others:
    """
    Those that a run has asked for so far, each started once.

    @ivar tls: with which the one that speaks TLS does.
    """

    def __init__(self, tls: Issued) -> None:
        self._setups: dict[str, Setup] = {
            "squid": squid(),
            "squid-basic": squid("basic"),
            "squid-digest": squid("digest"),
            "squid-tls": squid(tls=tls),
            "tinyproxy": tinyproxy(),
            "tinyproxy-basic": tinyproxy("basic"),
            "apache": apache(),
            "apache-basic": apache("basic"),
            "socks": microsocks(),
            "socks-basic": microsocks("basic"),
        }
        self._running: dict[str, OtherProxy] = {}

    def __call__(self, name: str) -> OtherProxy:
        """The one of this name."""
        if name not in self._running:
            self._running[name] = OtherProxy(self._setups[name])
        return self._running[name]

    def end(self) -> None:
        """End them all."""
        while self._running:
            self._running.popitem()[1].end()
