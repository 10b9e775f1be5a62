"""
The examples that are programs, as processes on loopback: the embedding, the
package that another distribution would be, and the clients.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from certificates import CertificateAuthority
from exampleprograms import EXAMPLES
from loopback import BANNER, Server, Site, bannerThenEcho
from otherproxies import PASSWORD, USER, Others
from test_command_live import ROOT, answer, ends, running

# What a resolver says is part of the machine; here every name is this machine.
RESOLVING = """
import runpy, socket, sys
def getaddrinfo(host, port, *rest, **more):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))]
socket.getaddrinfo = getaddrinfo
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def head(port: int, authority: str) -> str:
    """The status line of the proxy's answer."""
    return answer(port, authority).partition(b"\r\n")[0].decode()


def test_embedding(tmp_path: Path) -> None:
    """
    A name that it lets through comes as far as the defaults, which stand; any
    other is refused by its own policy; and both are printed.
    """
    program = [sys.executable, "-c", RESOLVING, str(EXAMPLES / "embedding.py"), "0"]
    with running(program, tmp_path) as process:
        port = int(process.line(r"^listening on (\d+)$")[1])
        assert head(port, "example.com:443").startswith("HTTP/1.1 403 ")
        process.line(r"^refused: hosts: 'example\.com is not among the allowed hosts'")
        assert head(port, "www.example.org:443").startswith("HTTP/1.1 403 ")
        process.line(r"^refused: networks: '127\.0\.0\.1 is ")
        status, out, err = process.stop()
    assert "Traceback" not in out + err


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package on the import path, as an editable install puts it there."""
    copy = tmp_path / "assetregister"
    shutil.copytree(EXAMPLES / "assetregister", copy)
    monkeypatch.setattr("test_command_live.ROOT", f"{ROOT}:{copy}")
    (tmp_path / "hosts").write_text("127.0.0.1\n")
    return tmp_path


TXCONNECT = [sys.executable, "-m", "txconnect"]


def test_packageIsListed(package: Path) -> None:
    """Its policy has a name, a sentence and an argument like a stock one."""
    ended = ends([*TXCONNECT, "--help-policy"], package)
    assert "  registered-hosts:PATH\n      Allow only hosts that a file" in ended.stdout


def test_packageTakesEffect(package: Path) -> None:
    """
    What is not registered is refused by it, and what is comes as far as the
    defaults, which stand.
    """
    policy = ["--policy", "registered-hosts:hosts"]
    with running([*TXCONNECT, "--listen", "0", *policy], package) as process:
        port = process.port()
        assert "by rule 'registered-hosts'" in head(port, "other.example:443")
        assert "by rule 'networks'" in head(port, "127.0.0.1:443")


def test_packageWithoutItsRegisterDoesNotStart(package: Path) -> None:
    ended = ends([*TXCONNECT, "--policy", "registered-hosts:none"], package)
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "txconnect: --policy registered-hosts:none: the register cannot be read: "
    )
    assert "Traceback" not in ended.stderr


# Clients


def test_tunnelClient(tmp_path: Path, others: Others) -> None:
    program = [sys.executable, str(EXAMPLES / "tunnel_client.py")]
    with Server(bannerThenEcho) as server:
        where = [f"tcp:{others('squid').address}", "127.0.0.1", str(server.port)]
        ended = ends([*program, *where], tmp_path)
    assert (ended.stdout.encode(), ended.stderr) == (BANNER.strip() + b"\n", "")


def test_tunnelClientThatIsRefused(tmp_path: Path, others: Others) -> None:
    """One line, and no traceback."""
    program = [sys.executable, str(EXAMPLES / "tunnel_client.py")]
    squid = others("squid-basic").address
    where = [f"tcp:{squid}", "example.org", "22"]
    ended = ends([*program, *where], tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(
        f"no tunnel to example.org:22 through {squid}: the proxy answered 407"
    )
    assert ended.stderr.count("\n") == 1


def test_nestedProxies(
    tmp_path: Path, others: Others, site: Site, authority: CertificateAuthority
) -> None:
    """TLS with the server is verified by what the system trusts, as ever."""
    program = [sys.executable, str(EXAMPLES / "nested_proxies.py")]
    far = others("apache-basic").address
    where = [others("squid").address, far, site.authority]
    trust = {"SSL_CERT_FILE": str(authority.certificate)}
    known = {**trust, "FAR_USER": USER, "FAR_PASSWORD": PASSWORD}
    ended = ends([*program, *where], tmp_path, known)
    assert ended.stdout.startswith("HTTP/1.0 200 OK\n")
    ended = ends([*program, *where], tmp_path, {**known, "FAR_PASSWORD": "wrong"})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "answered 407" in ended.stderr
