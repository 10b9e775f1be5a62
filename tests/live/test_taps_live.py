"""
C{--tap sni} as operators run it, with curl.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import CertificateAuthority
from loopback import PAGE, Load, Site
from proxyprocess import DEADLINE, ProxyProcess, environment

LISTED = "cdn.example"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyProcess]:
    directory = tmp_path_factory.mktemp("sni")
    one = ProxyProcess(directory, ["--tap", f"sni:{LISTED}"])
    try:
        yield one
        one.end()
    finally:
        one.kill()


class Curl:
    """curl through the proxy, to the site under any name."""

    def __init__(
        self, proxy: ProxyProcess, site: Site, authority: CertificateAuthority
    ) -> None:
        self._proxy, self._site = proxy, site
        self._trust = ["--cacert", str(authority.certificate)]

    def __call__(
        self, directory: Path, name: str, path: str, *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        """The CONNECT is to localhost, whatever the URL and so the SNI names."""
        port = self._site.port
        if name != "localhost":
            arguments += ("-k", "--connect-to", f"{name}:{port}:localhost:{port}")
        self._proxy.mark()
        return subprocess.run(
            ["curl", "-sS", "-x", f"http://{self._proxy.address}", *self._trust]
            + [*arguments, f"https://{name}:{port}/{path}"],
            cwd=directory,
            env=environment(directory),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )


@pytest.fixture
def curl(proxy: ProxyProcess, site: Site, authority: CertificateAuthority) -> Curl:
    return Curl(proxy, site, authority)


@pytest.mark.parametrize("name", ["localhost", LISTED])
def test_theHostsOwnNameAndAListedOne(
    curl: Curl, proxy: ProxyProcess, tmp_path: Path, name: str
) -> None:
    """[F54] They pass."""
    done = curl(tmp_path, name, "page.txt")
    assert (done.stdout, done.stderr) == (PAGE, "")
    record = proxy.told(event="closed")
    # Whoever was first to end it.
    assert record["closed"] in ("client", "destination")
    assert (record["rule"], record["reason"]) == (None, None)


def test_aForeignName(curl: Curl, proxy: ProxyProcess, tmp_path: Path) -> None:
    """[F54] curl is reset; the log has the rule and the reason; no traceback."""
    done = curl(tmp_path, "other.example", "page.txt")
    assert done.returncode == 35
    assert done.stdout == ""
    record = proxy.told(event="closed")
    assert (record["closed"], record["rule"]) == ("policy", "sni")
    assert record["reason"] == "the ClientHello names other.example, not localhost"
    assert record["down"] == 0


def test_noTLS(proxy: ProxyProcess, site: Site, tmp_path: Path) -> None:
    """[F54] Nor does plain HTTP pass."""
    proxy.mark()
    done = subprocess.run(
        ["curl", "-sS", "-p", "-x", f"http://{proxy.address}"]
        + [f"http://localhost:{site.port}/"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 56
    record = proxy.told(event="closed", rule="sni")
    assert record["reason"] == "the client sends no TLS"


def test_bulkBehindTheVerdict(curl: Curl, proxy: ProxyProcess, tmp_path: Path) -> None:
    """[F54] [TU-01] 50 MB up, and the same down again, over the kernel relay."""
    load = Load(b"sni", 50)
    file = load.write(tmp_path / "load")
    done = curl(tmp_path, "localhost", "load", "-T", str(file))
    assert (done.stdout, done.stderr) == (load.digest, "")
    assert proxy.told(event="closed")["up"] > load.size
    done = curl(tmp_path, "localhost", "load", "-o", "got")
    with (tmp_path / "got").open("rb") as got:
        assert hashlib.file_digest(got, "sha256").hexdigest() == load.digest
    assert proxy.told(event="closed")["down"] > load.size
