"""
The command C{txconnect-nc}: what its command line means, and what it says when
something goes wrong.  tests/live/test_nc.py runs it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from namednetwork import NamedNetwork
from OpenSSL.SSL import Error as SSLError
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint

from txconnect.client import nc
from txconnect.client.endpoint import ConnectEndpoint
from txconnect.client.nc import ChosenEndpoint, chooseEndpoint, converse, parseArguments
from txconnect.testing import MemoryNetwork

SECRET = "s3cr3t"
PROXY = "192.0.2.1"


def chosen(line: str, environ: Mapping[str, str] | None = None) -> ChosenEndpoint:
    """Where a command line leads."""
    return chooseEndpoint(NamedNetwork(), parseArguments(line.split()), environ or {})


@pytest.mark.parametrize(
    ("line", "environ", "endpoint", "first"),
    [
        (
            "db 22 --proxy http://u:p@proxy:3128",
            {"all_proxy": "http://other:1"},
            "<ConnectEndpoint db:22 by <HostnameEndpoint proxy:3128>>",
            "the proxy http://proxy:3128",
        ),
        (
            "--proxy http://proxy:3128 ::1 22",
            {},
            "<ConnectEndpoint [::1]:22 by <HostnameEndpoint proxy:3128>>",
            "the proxy http://proxy:3128",
        ),
        (
            "db 22",
            {"HTTPS_PROXY": "u:p@proxy", "http_proxy": "http://other:1"},
            "<ConnectEndpoint db:22 by <HostnameEndpoint proxy:1080>>",
            "the proxy http://proxy:1080",
        ),
        (
            "a.example 22",
            {"ALL_PROXY": "http://proxy:1", "NO_PROXY": ".example"},
            "<HostnameEndpoint a.example:22>",
            "a.example:22",
        ),
        (
            "[2001:db8::7] 22",
            {"NO_PROXY": "2001:db8::/32"},
            "<HostnameEndpoint [2001:db8::7]:22>",
            "[2001:db8::7]:22",
        ),
    ],
)
def test_chosenEndpoints(
    line: str, environ: dict[str, str], endpoint: str, first: str
) -> None:
    """The option goes before the environment, which may except a host."""
    found = chosen(line, environ)
    assert (repr(found.endpoint), found.firstHop) == (endpoint, first)


def test_anEndpointStringIsNotShown() -> None:
    """It may have a password deep in it."""
    found = chosen(rf"db 22 --proxy connect:a:1:proxy=http\://u\:{SECRET}@proxy\:1")
    assert isinstance(found.endpoint, ConnectEndpoint)
    assert found.firstHop == "the proxy"


def asked(arguments: list[str], environ: Mapping[str, str]) -> bytes:
    """The first octets that the proxy gets."""
    network = MemoryNetwork()
    proxy = network.serve(PROXY, 3128)
    line = ["db", "22", "--proxy", f"tcp:{PROXY}:3128", *arguments]
    found = chooseEndpoint(network, parseArguments(line), environ)
    said: list[Any] = []
    converse(found, Streams()).addCallback(said.append)
    network.flush()
    head = proxy.peer.received
    proxy.peer.abort()
    network.flush()
    assert len(said) == 1
    network.assertClean()
    return head


def test_credentials(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("u:p\n")
    basic = b"\r\nProxy-Authorization: Basic dTpw\r\n"
    assert basic in asked(["--credentials", str(path)], {})
    assert basic in asked(["--credentials", "env:IT"], {"IT": "u:p"})
    assert b"Authorization" not in asked([], {})


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "the following arguments are required: HOST, PORT"),
        ("db", "the following arguments are required: PORT"),
        (f"db 22 http://u:{SECRET}@proxy:1", "arguments after HOST and PORT"),
        ("db 22 --prox http://proxy:1", "options; did you mean --proxy? (txconnect-nc"),
        ("-x http://proxy:1 db 22", "options; did you mean --proxy? (txconnect-nc"),
        ("db 22 --user=u:p", "options; did you mean --credentials? (txconnect-nc"),
        ("db 22 --qqqq", "or unknown options (txconnect-nc -h"),
        ("db 22 --proxy", "argument --proxy: expected one argument"),
        (f"db 22 --proxy http://u:{SECRET}@proxy", "has no port"),
        (f"db 22 --proxy u:{SECRET}@proxy:1", "is neither a URL such as"),
        ("db x --proxy http://proxy:1", "the port is not 1 to 65535"),
        ("d/b 22 --proxy http://proxy:1", "the host is no name"),
        ("db 22 --proxy http://proxy:1 --timeout -1", "no number of seconds"),
        ("db 22 --proxy http://proxy:1 --timeout 0", "no number of seconds"),
        ("db 22 --proxy http://proxy:1 --credentials env:NOT", "no such environment"),
        ("db 22", "there is no proxy: give --proxy URL, or set HTTPS_PROXY or"),
    ],
)
def test_wrongUsageIsOneLine(
    line: str,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """[F28] On standard error, with status 2, and without a password."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["txconnect-nc", *line.split()])
    assert nc.main() == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("txconnect-nc: ") and complaint in err
    assert SECRET not in err


def test_hints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """[F62] What NO_PROXY holds in vain is said, for a few entries, where a proxy is
    used."""
    environ = {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "*.a,*.b,*.c,*.d,db2"}
    found = chosen("db 22", environ)
    assert len(found.hints) == 4 and chosen("db2 22", environ).hints == ()
    monkeypatch.setattr(nc, "chooseEndpoint", lambda *arguments: found)
    monkeypatch.setattr(nc, "_runReactor", lambda *arguments: 0)
    monkeypatch.setattr(sys, "argv", ["txconnect-nc", "db", "22"])
    assert nc.main() == 0
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == [
        f"txconnect-nc: {hint}" for hint in found.hints[:3]
    ]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parseArguments(["-h"])
    assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert "ProxyCommand txconnect-nc %h %p --proxy" in out and err == ""


# What becomes of it


class Streams:
    """Input that ends at once, and output that takes all."""

    def isInteractive(self) -> bool:
        return False

    def read(self) -> Deferred[bytes]:
        return succeed(b"")

    def write(self, data: bytes) -> Deferred[None]:
        return succeed(None)

    def end(self) -> Deferred[None]:
        return succeed(None)


def said(
    network: MemoryNetwork, found: ChosenEndpoint, drive: Any = None
) -> str | None:
    """What the user is told in the end."""
    results: list[str | None] = []
    converse(found, Streams()).addCallback(results.append)
    network.flush()
    if drive is not None:
        drive()
        network.flush()
    (result,) = results
    network.assertClean()
    return result


def through(network: MemoryNetwork) -> ChosenEndpoint:
    """By way of the proxy."""
    proxy = TCP4ClientEndpoint(network, PROXY, 3128)
    endpoint = ConnectEndpoint(proxy, "db", 22, clock=network)
    return ChosenEndpoint(endpoint, "the proxy http://proxy:3128")


def test_aGoodEnd() -> None:
    network = MemoryNetwork()
    proxy = network.serve(PROXY, 3128)

    def drive() -> None:
        proxy.peer.send(b"HTTP/1.1 200 OK\r\n\r\nbanner")
        proxy.peer.end()

    assert said(network, through(network), drive) is None


def test_aRefusalSpeaksForItself() -> None:
    """The error of the endpoint names the destination and says what to do."""
    network = MemoryNetwork()
    proxy = network.serve(PROXY, 3128)

    def drive() -> None:
        proxy.peer.send(b"HTTP/1.1 403 ports\r\nContent-Length: 0\r\n\r\n")

    line = said(network, through(network), drive)
    assert line is not None and line.startswith("no tunnel to db:22 through ")
    assert "403 ports" in line and "\n" not in line


def test_aProxyThatCannotBeReached() -> None:
    network = MemoryNetwork()
    network.refuse(PROXY)
    line = said(network, through(network))
    assert line is not None
    assert line.startswith("cannot connect to the proxy http://proxy:3128: Connection")


def test_tlsThatFails() -> None:
    """In words, and not as OpenSSL's list of tuples."""

    class NoTLS:
        def connect(self, factory: object) -> Deferred[Any]:
            return fail(SSLError([("SSL routines", "", "wrong version number")]))

    endpoint: Any = NoTLS()
    line = said(
        MemoryNetwork(), ChosenEndpoint(endpoint, "the proxy https://proxy:3128")
    )
    assert line == (
        "cannot connect to the proxy https://proxy:3128: TLS failed: wrong version "
        "number"
    )


def test_aTunnelThatIsLost() -> None:
    network = MemoryNetwork()
    proxy = network.serve(PROXY, 3128)

    def drive() -> None:
        proxy.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        network.flush()
        proxy.peer.abort()

    line = said(network, through(network), drive)
    assert line is not None and "Connection" in line and "\n" not in line
