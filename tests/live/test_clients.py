"""
Real clients through the real command, each as its user runs it: plainly, with
Basic credentials sent at once or when asked for, and refused.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from certificates import CertificateAuthority
from clients import CHALLENGED, CLIENTS, Answer, Ask
from conftest import PASSWORD, USER
from loopback import PAGE, Load, Server, Site, pageThenEnd
from proxyprocess import DEADLINE, DENIED, ProxyProcess, environment

PROGRAMS = ("curl", "git", "nc", "openssl")

Asking = Callable[..., Ask]

# What the user of each client is shown; curl and git have the status alone,
# which is why each cause has its own.
_REASON = r"{status} {phrase}"
_STATUS = r"CONNECT tunnel failed, response {status}"
SHOWN = {
    "curl": _STATUS,
    "git": _STATUS,
    "pycurl": _STATUS,
    "pip": r"Tunnel connection failed: " + _REASON,
    "openssl": r"HTTP CONNECT failed.*[ =]" + _REASON,
    "nc": r'Proxy error: "HTTP/1.1 ' + _REASON,
    "requests": r"Tunnel connection failed: " + _REASON,
    "httpx": _REASON,
    "aiohttp": r"{status}, message=.{phrase}",
    "urllib": r"Tunnel connection failed: " + _REASON,
    "http.client": r"Tunnel connection failed: " + _REASON,
}


def shows(name: str, answer: Answer, status: int | str, phrase: str) -> None:
    """The user of C{name} is shown why, as far as that client shows anything."""
    assert answer.page is None
    pattern = SHOWN[name].format(status=status, phrase=phrase)
    assert re.search(pattern, answer.said), answer.said


@pytest.fixture
def speaker() -> Iterator[Server]:
    with Server(pageThenEnd) as serving:
        yield serving


@pytest.fixture
def asking(
    site: Site,
    authority: CertificateAuthority,
    speaker: Server,
    tmp_path: Path,
    program: Callable[[str], str],
) -> Asking:
    """Fills in an L{Ask} to a proxy."""

    def ask(name: str, proxy: ProxyProcess, **changed: Any) -> Ask:
        if name in PROGRAMS:
            program(name)
        made = Ask(
            proxy.address,
            "localhost",
            site.port,
            speaker.port,
            authority.certificate,
            tmp_path,
        )
        return attrs.evolve(made, **changed)

    return ask


def authorityOf(name: str, ask: Ask) -> str:
    """Where C{name} goes."""
    return f"{ask.host}:{ask.speaker if name == 'nc' else ask.port}"


@pytest.mark.parametrize("name", CLIENTS)
def test_plain(name: str, asking: Asking, plain: ProxyProcess) -> None:
    """[H1-04] [H1-30] [H1-31] [T18] Each client gets its page, HTTP/1.0 without
    Host (pip, openssl, urllib of Python 3.11) and Proxy-Connection included."""
    ask = asking(name, plain)
    assert CLIENTS[name](ask).page == PAGE
    record = plain.told(event="closed", authority=authorityOf(name, ask))
    assert record["user"] is None
    assert record["address"] == "127.0.0.1"
    assert record["down"] >= len(PAGE)


@pytest.mark.parametrize("name", CLIENTS)
def test_credentials(name: str, asking: Asking, guarded: ProxyProcess) -> None:
    """[AU-03] [T8] Each client sends Basic credentials as its user gave them,
    a space in the password included, and the log knows the user by name."""
    ask = asking(name, guarded, user=USER, password=PASSWORD)
    assert CLIENTS[name](ask).page == PAGE
    authority = authorityOf(name, ask)
    assert guarded.told(event="closed", authority=authority)["user"] == USER
    if name != "nc":
        # That one waits to be asked, and has no other way.
        assert [one["event"] for one in guarded.records()].count("refused") == 0


@pytest.mark.parametrize("name", ["requests", "aiohttp", "httpx", "curl"])
def test_credentialsBeyondASCII(name: str, asking: Asking, tmp_path: Path) -> None:
    """[F42] One user, whether the client writes Latin-1, as the first two, or UTF-8."""
    (tmp_path / "users").write_text("jürgen:grüße\n", encoding="utf-8")
    proxy = ProxyProcess(tmp_path, ["--auth", "file:users"])
    try:
        ask = asking(name, proxy, user="jürgen", password="grüße")
        assert CLIENTS[name](ask).page == PAGE
        record = proxy.told(event="closed", authority=authorityOf(name, ask))
        assert record["user"] == "jürgen"
    finally:
        proxy.kill()


@pytest.mark.parametrize("name", CHALLENGED)
def test_credentialsWhenAsked(name: str, asking: Asking, guarded: ProxyProcess) -> None:
    """[H1-35] [H1-37] [AU-02] A 407 that announces its close is followed by a
    second connection with credentials."""
    ask = asking(name, guarded, user=USER, password=PASSWORD, challenged=True)
    assert CLIENTS[name](ask).page == PAGE
    authority = authorityOf(name, ask)
    refused = guarded.told(event="refused", authority=authority)
    assert (refused["status"], refused["cause"]) == (407, "credentials-missing")
    assert guarded.told(event="closed", authority=authority)["user"] == USER


@pytest.mark.parametrize("name", CLIENTS)
def test_noCredentials(name: str, asking: Asking, guarded: ProxyProcess) -> None:
    """[H1-38] Without credentials the user is shown a 407."""
    answer = CLIENTS[name](asking(name, guarded))
    shows(name, answer, 407, r"refused: credentials-missing id=\S+")


@pytest.mark.parametrize("name", [name for name in CLIENTS if name != "nc"])
def test_wrongCredentials(name: str, asking: Asking, guarded: ProxyProcess) -> None:
    """[H1-38] [AU-05] So it is with wrong ones; they are not in the log."""
    ask = asking(name, guarded, user=USER, password="wrong word")
    shows(name, CLIENTS[name](ask), 407, r"refused: credentials-refused id=\S+")
    record = guarded.told(event="refused", cause="credentials-refused")
    assert "wrong word" not in str(record)


@pytest.mark.parametrize("name", CLIENTS)
def test_refused(name: str, asking: Asking, plain: ProxyProcess) -> None:
    """[H1-36] [T18] The refusing rule and the id are what the user is shown,
    and the id is the one in the log."""
    answer = CLIENTS[name](asking(name, plain, host=DENIED))
    record = plain.told(event="refused", rule="deny-hosts")
    assert record["status"] == 403
    shows(name, answer, 403, f"refused by rule 'deny-hosts' id={record['id']}")


@pytest.mark.parametrize("name", CLIENTS)
def test_unknownName(name: str, asking: Asking, plain: ProxyProcess) -> None:
    """[PS-03] A name that does not exist has another status than a refusal."""
    answer = CLIENTS[name](asking(name, plain, host="nowhere.invalid"))
    # A resolver that cannot be asked at all says so with a time-out.
    phrase = r"refused: dns-\w+ id=\S+"
    shows(name, answer, "50[24]", phrase)


# curl, further


def curling(ask: Ask, *arguments: str) -> subprocess.CompletedProcess[str]:
    """curl with what its user adds."""
    trust = ["--cacert", str(ask.certificate)]
    return subprocess.run(
        ["curl", "-sS", "-x", f"http://{ask.proxy}", *trust, *arguments],
        cwd=ask.directory,
        env=environment(ask.directory),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def test_curlVerbosely(asking: Asking, plain: ProxyProcess) -> None:
    """[PS-01] C{-v} is where curl's user finds the rule, the id, and
    Proxy-Status."""
    done = curling(asking("curl", plain, host=DENIED), "-v", f"https://{DENIED}/")
    identifier = plain.told(event="refused")["id"]
    assert done.returncode == 56
    told = f"< HTTP/1.1 403 refused by rule 'deny-hosts' id={identifier}"
    assert told in done.stderr
    assert re.search(r"< Proxy-Status: \S+; ?error=http_request_denied", done.stderr)


def test_curlToARefusedPort(asking: Asking, plain: ProxyProcess) -> None:
    """[H1-32] [T3] Nobody listens there: 502, and never a 200 before it."""
    with Server(pageThenEnd) as gone:
        pass
    done = curling(asking("curl", plain), "-v", f"https://{gone.authority}/")
    assert "CONNECT tunnel failed, response 502" in done.stderr
    assert "HTTP/1.1 200" not in done.stderr
    record = plain.told(event="refused", authority=gone.authority)
    assert record["cause"] == "connection-refused"


def test_curlToHttp(asking: Asking, plain: ProxyProcess) -> None:
    """[H1-43] An http:// address, which takes no tunnel, is a 405 that says so."""
    done = curling(asking("curl", plain), "-i", "http://localhost/")
    assert done.stdout.startswith("HTTP/1.1 405 ")
    assert "allow: connect" in done.stdout.lower()
    assert "curl -p" in done.stdout


def test_curlBigFiles(
    asking: Asking, plain: ProxyProcess, site: Site, tmp_path: Path
) -> None:
    """[TU-01] 100 MB up, and the same down again from there, over TLS."""
    load = Load(b"curl")
    file = load.write(tmp_path / "load")
    ask = asking("curl", plain)
    done = curling(ask, "-T", str(file), f"{site.url}/load")
    assert (done.stdout, done.stderr) == (load.digest, "")
    assert plain.told(event="closed")["up"] > load.size
    plain.mark()
    done = curling(ask, "-o", "got", f"{site.url}/load")
    with (tmp_path / "got").open("rb") as got:
        assert hashlib.file_digest(got, "sha256").hexdigest() == load.digest
    assert plain.told(event="closed")["down"] > load.size


@pytest.mark.parametrize("name", ["curl", "pycurl"])
def test_ipv6LiteralsAndOldNumbers(
    name: str, asking: Asking, plain: ProxyProcess
) -> None:
    """[T5] curl writes 127.1 as 127.0.0.1 and keeps the brackets of IPv6."""
    ask = asking(name, plain, host="127.1")
    assert CLIENTS[name](ask).page == PAGE
    assert plain.told(event="closed")["authority"] == f"127.0.0.1:{ask.port}"
    CLIENTS[name](attrs.evolve(ask, host="[::1]"))
    assert plain.told(authority=f"[::1]:{ask.port}")["status"] == 502
