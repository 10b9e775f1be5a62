"""
The page on TLS, tried: its certificates, its listeners, and curl, which asks
by ALPN what is spoken (RFC 7301).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_command_live import DEADLINE, URL, environment, running

DOCS = Path(__file__).parent.parent.parent / "docs"
TXCONNECT = [sys.executable, "-m", "txconnect"]
HTTPS = URL.pattern.replace("http", "https", 1)


@pytest.fixture
def certificates(tmp_path: Path, program: Callable[[str], str]) -> Path:
    """A directory with what the page's commands make."""
    program("openssl")
    script = str(DOCS / "howto" / "certificates.sh")
    subprocess.run(["sh", "-e", script], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def curl(path: str, directory: Path, port: int, *options: str) -> str:
    """What curl says of a tunnel to where no default policy lets it go."""
    proxy = ["--noproxy", "", "--proxy-cacert", "ca.pem", *options]
    done = subprocess.run(
        [path, "-sv", *proxy, "-x", f"https://localhost:{port}", "https://10.0.0.1/"],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    return done.stderr


def test_listenerWithACertificate(
    certificates: Path, program: Callable[[str], str]
) -> None:
    listen = "ssl:0:interface=127.0.0.1:privateKey=proxy.key:certKey=proxy.pem"
    with running([*TXCONNECT, "--listen", listen], certificates) as process:
        port = int(process.line(HTTPS)[2])
        said = curl(program("curl"), certificates, port)
        assert "< HTTP/1.1 403 refused by rule 'networks' id=" in said
        process.line(r"refuse \S+ 127\.0\.0\.1 -> 10\.0\.0\.1:443  403 networks: ")


def test_listenerThatAsksForACertificate(
    certificates: Path, program: Callable[[str], str]
) -> None:
    """Who comes without one gets no answer; who has one, is known by it."""
    listen = "proxytls:0:cert=proxy.pem:key=proxy.key:clientCA=ca.pem"
    with running([*TXCONNECT, "--listen", listen], certificates) as process:
        port = int(process.line(HTTPS)[2])
        process.line(r"^  who   clients with a certificate$")
        assert (
            "HTTP/1.1"
            not in curl(program("curl"), certificates, port).partition(
                "CONNECT 10.0.0.1:443 HTTP/1.1"
            )[2]
        )
        mine = ["--proxy-cert", "alice.pem", "--proxy-key", "alice.key"]
        said = curl(program("curl"), certificates, port, *mine)
        assert "< HTTP/1.1 403 refused by rule 'networks' id=" in said
        process.line(
            r"refuse \S+ alice@127\.0\.0\.1 -> 10\.0\.0\.1:443  403 networks: "
        )
