"""
What live tests share: a site, two proxies as processes, and clean hands.

The proxies live as long as the session, and hold at its end no socket that
they did not hold at its beginning.
"""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import CertificateAuthority, makeAuthority
from loopback import PAGE, Site
from otherproxies import Others
from proxyprocess import ProxyProcess, environment
from turning import Turning, turning

USER, PASSWORD = "alice", "open sesame"


@pytest.fixture(autouse=True)
def nothingOfThisMachine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the one who runs the tests reaches a client library."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in (
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
        ):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Who signs the site's certificate."""
    return makeAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def site(
    tmp_path_factory: pytest.TempPathFactory, authority: CertificateAuthority
) -> Iterator[Site]:
    """A page, a git repository and a package index, all with the same text."""
    directory = tmp_path_factory.mktemp("site")
    (directory / "page.txt").write_text(PAGE)
    (directory / "page.html").write_text(f"<!doctype html><p>{PAGE}</p>")
    _repository(directory)
    _index(directory)
    serving = Site(directory, authority.server())
    yield serving
    serving.end()


def _repository(directory: Path) -> None:
    """What git can clone from a server that knows nothing of git."""
    work = directory / "work"
    work.mkdir()
    (work / "page.txt").write_text(PAGE)
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for arguments in (
        ["init", "-q", "work"],
        ["-C", "work", "add", "page.txt"],
        [*author, "-C", "work", "commit", "-q", "-m", "A page"],
        ["clone", "-q", "--bare", "work", "repository.git"],
        ["-C", "repository.git", "update-server-info"],
    ):
        subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env={**environment(directory), "GIT_CONFIG_NOSYSTEM": "1"},
            check=True,
        )


def _index(directory: Path) -> None:
    """What pip can install a package from."""
    folder = directory / "simple" / "onepage"
    folder.mkdir(parents=True)
    name, info = "onepage-1.0-py3-none-any.whl", "onepage-1.0.dist-info"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("onepage.txt", PAGE)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: onepage\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{name}">{name}</a>')


def _started(directory: Path, *arguments: str) -> Iterator[ProxyProcess]:
    proxy = ProxyProcess(directory, arguments)
    try:
        yield proxy
        proxy.end()
    finally:
        proxy.kill()


@pytest.fixture(scope="session")
def _plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyProcess]:
    yield from _started(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def _guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyProcess]:
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "users").write_text(f"{USER}:{PASSWORD}\n")
    yield from _started(directory, "--auth", "file:users")


@pytest.fixture
def plain(_plain: ProxyProcess) -> ProxyProcess:
    """A proxy for everybody; its log begins with the test."""
    _plain.mark()
    return _plain


@pytest.fixture
def guarded(_guarded: ProxyProcess) -> ProxyProcess:
    """A proxy for L{USER} alone; its log begins with the test."""
    _guarded.mark()
    return _guarded


@pytest.fixture(scope="session")
def others(authority: CertificateAuthority) -> Iterator[Others]:
    """The proxies of others: C{others("squid-basic").port}."""
    proxies = Others(authority.server())
    yield proxies
    proxies.end()


@pytest.fixture(scope="session")
def turn() -> Iterator[Turning]:
    """Runs coroutines that need a reactor: C{turn(work())}."""
    with turning() as turned:
        yield turned
