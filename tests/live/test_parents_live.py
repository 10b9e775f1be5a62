"""
C{--route} with other people's proxies as parents, and with our own: chains,
credentials at each hop, failover, parents that die, and a ring.

Which parent is taken is said by the destination's address, so that one proxy
serves most of these tests.
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import pytest
from certificates import CertificateAuthority, makeAuthority
from clients import Ask, curl
from conftest import PASSWORD as OUR_PASSWORD, USER as OUR_USER
from loopback import (
    BANNER,
    ESTABLISHED,
    PAGE,
    Deaf,
    Load,
    Server,
    Site,
    bannerThenEcho,
    readAll,
    readExactly,
    reset,
)
from otherproxies import DENIED, PASSWORD, USER, OtherProxy, Others, squid
from proxyprocess import ProxyProcess, eventually
from test_tunnels import connected, head, tunnel

# By the way there, what stands behind the "=" of --route.
WAYS = {
    "squid": "http://{squid}",
    "tinyproxy": "http://{tinyproxy}",
    "apache": "http://{apache}",
    "squid-basic": "http://{squid-basic},credentials=right",
    "tinyproxy-basic": "http://{tinyproxy-basic},credentials=right",
    "apache-basic": "http://{apache-basic},credentials=env:RIGHT",
    "squid-digest": "http://{squid-digest},credentials=right",
    "squid-tls": "https://{squid-tls},ca=ca",
    "ours-tls": "https://{ours},ca=ca,cert=alice.pem,key=alice.key",
    "socks": "socks5://{socks}",
    "socks-basic": "socks5://{socks-basic},credentials=right",
    "direct": "direct",
    "bound": "bind:127.0.0.9",
    "no credentials": "http://{squid-basic}",
    "wrong at squid": "http://{squid-basic},credentials=wrong",
    "wrong at tinyproxy": "http://{tinyproxy-basic},credentials=wrong",
    "wrong at apache": "http://{apache-basic},credentials=wrong",
    "wrong digest": "http://{squid-digest},credentials=wrong",
    "wrong at socks": "socks5://{socks-basic},credentials=wrong",
    "another authority": "https://{squid-tls},ca=other",
    "no certificate": "https://{ours},ca=ca",
    "no TLS there": "https://{squid},ca=ca",
    "nobody there": "http://{nobody}",
    "silent": "http://{silent}|http://{squid}",
    "failover": "http://{nobody}|http://{deaf}|http://{silent}|http://{squid}",
}
GOOD = list(WAYS)[: list(WAYS).index("no credentials")]


def hostOf(way: str) -> str:
    """The destination's address for which a way is taken."""
    return f"127.0.1.{list(WAYS).index(way) + 1}"


class Silent:
    """
    A parent that takes each request and never answers.

    @ivar asked: the heads that it has been sent.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def __call__(self, connection: socket.socket) -> None:
        with suppress(ConnectionError):
            self.asked.append(connection.recv(65536))
            readAll(connection)

    def for_(self, authority: str) -> list[bytes]:
        """Those for one destination."""
        line = f"CONNECT {authority} HTTP/1.1\r\n".encode()
        return [one for one in self.asked if one.startswith(line)]


@attrs.frozen
class Town:
    """The proxy with all these routes, and one of its parents."""

    proxy: ProxyProcess
    silent: Silent


@pytest.fixture(scope="module")
def town(
    tmp_path_factory: pytest.TempPathFactory,
    authority: CertificateAuthority,
    others: Others,
) -> Iterator[Town]:
    home = tmp_path_factory.mktemp("town")
    issued = authority.server()
    listener = f"proxytls:0:interface=127.0.0.1:cert={issued.certificate}"
    listener += f":key={issued.key}:clientCA={authority.certificate}"
    parent = ProxyProcess(tmp_path_factory.mktemp("parent"), ["--listen", listener])
    with Server(bannerThenEcho) as gone:
        pass
    try:
        silent = Silent()
        with Deaf() as deaf, Server(silent) as dumb:
            places = {
                name: f"localhost:{others(name).port}"
                for name in WAYS
                if name.startswith(("squid", "tinyproxy", "apache", "socks"))
            }
            places |= {
                "ours": f"localhost:{parent.securePort}",
                "nobody": gone.authority,
                "deaf": f"127.0.0.1:{deaf.port}",
                "silent": dumb.authority,
            }
            files(home, authority)
            options = ["--connect-timeout", "6"]
            for way, target in WAYS.items():
                route = f"hosts:{hostOf(way)}={target.format(**places)}"
                options += ["--route", route]
            options += ["--route", f"hosts:{DENIED}=http://{places['squid']}"]
            proxy = ProxyProcess(home, options, RIGHT=f"{USER}:{PASSWORD}")
            try:
                yield Town(proxy, silent)
                proxy.end()
            finally:
                proxy.kill()
        parent.end()
    finally:
        parent.kill()


def files(home: Path, authority: CertificateAuthority) -> None:
    """What the routes name."""
    (home / "right").write_text(f"{USER}:{PASSWORD}\n")
    (home / "wrong").write_text(f"{USER}:wrong word\n")
    (home / "ca").write_bytes(authority.certificate.read_bytes())
    other = makeAuthority(home, "another")
    (home / "other").write_bytes(other.certificate.read_bytes())
    alice = authority.client("alice")
    (home / "alice.pem").write_bytes(alice.certificate.read_bytes())
    (home / "alice.key").write_bytes(alice.key.read_bytes())


@pytest.fixture
def proxy(town: Town) -> ProxyProcess:
    """Its log begins with the test."""
    town.proxy.mark()
    return town.proxy


def answerTo(proxy: ProxyProcess, authority: str, *fields: bytes) -> bytes:
    """What it answers, to the end."""
    with connected(proxy) as client:
        client.sendall(head(authority, *fields))
        return readAll(client)


def statusOf(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


# Each kind of parent


@pytest.mark.parametrize("way", GOOD)
def test_destinationSpeaksFirst(way: str, proxy: ProxyProcess) -> None:
    """[UP-01] [UP-02] [UP-03] [T2] The 200 is ours, and what the destination says
    at once stands behind it."""
    with (
        Server(bannerThenEcho, hostOf(way)) as server,
        tunnel(proxy, server.authority) as client,
    ):
        client.sendall(b"me too")
        assert readExactly(client, len(BANNER) + 6) == BANNER + b"me too"
    record = proxy.told(event="closed", authority=server.authority)
    assert (record["route"] == "direct") == (way == "direct")
    assert (record["up"], record["down"]) == (6, len(BANNER) + 6)


@pytest.mark.parametrize("way", GOOD)
def test_oneMegabyteEachWay(way: str, proxy: ProxyProcess) -> None:
    """[TU-01] One after the other, by checksum."""
    up, down = Load(b"up", 1), Load(b"down", 1)

    def serve(connection: socket.socket) -> str:
        got = hashlib.sha256(readExactly(connection, up.size)).hexdigest()
        for block in down.blocks():
            connection.sendall(block)
        return got

    with (
        Server(serve, hostOf(way)) as server,
        tunnel(proxy, server.authority) as client,
    ):
        for block in up.blocks():
            client.sendall(block)
        got = hashlib.sha256(readExactly(client, down.size)).hexdigest()
        assert (got, server.result()) == (down.digest, up.digest)


def test_sourceAddress(proxy: ProxyProcess) -> None:
    def serve(connection: socket.socket) -> str:
        return str(connection.getpeername()[0])

    with Server(serve, hostOf("bound")) as server:
        tunnel(proxy, server.authority).close()
        assert server.result() == "127.0.0.9"


@pytest.mark.parametrize(
    ("way", "status", "cause"),
    [
        ("no credentials", 502, "parent-credentials"),
        ("wrong at squid", 502, "parent-credentials"),
        ("wrong at apache", 502, "parent-credentials"),
        ("wrong digest", 502, "parent-credentials"),
        # It answers 401.
        ("wrong at tinyproxy", 502, "parent-credentials"),
        ("wrong at socks", 502, "parent-credentials"),
        ("another authority", 502, "parent-certificate"),
        ("no certificate", 502, "parent-tls-alert"),
        ("no TLS there", 502, "parent-tls"),
        ("nobody there", 503, "parent-unreachable"),
    ],
)
def test_theParentIsTheTrouble(
    way: str, status: int, cause: str, proxy: ProxyProcess
) -> None:
    """[UP-08] [T4] The client is never asked for the credentials that the parent
    wants of us, and the password is in no log."""
    answer = answerTo(proxy, f"{hostOf(way)}:443")
    assert statusOf(answer) == status
    assert b"proxy-authenticate" not in answer.lower()
    record = proxy.told(event="refused")
    assert (record["cause"], record["status"]) == (cause, status)
    assert "wrong word" not in str(record)


def test_theParentRefuses(proxy: ProxyProcess) -> None:
    """[T4] [UP-09] Its 403 is one of ours, which says what was received."""
    answer = answerTo(proxy, f"{DENIED}:443")
    assert statusOf(answer) == 403
    assert b"received-status=403" in answer
    assert proxy.told(event="refused")["cause"] == "parent-denied"


@pytest.mark.parametrize(
    ("way", "status", "cause"),
    [
        ("squid", 503, "parent-unavailable"),
        ("apache", 503, "parent-unavailable"),
        ("tinyproxy", 502, "parent-refused"),
        ("ours-tls", 502, "parent-refused"),
        ("socks", 502, "connection-refused"),
        ("direct", 502, "connection-refused"),
    ],
)
def test_nobodyListensThere(
    way: str, status: int, cause: str, proxy: ProxyProcess
) -> None:
    """[T4] What each says of a destination that refuses."""
    with Server(bannerThenEcho, hostOf(way)) as gone:
        pass
    assert statusOf(answerTo(proxy, gone.authority)) == status
    assert proxy.told(event="refused")["cause"] == cause


# Time


def test_theClientLeaves(town: Town, proxy: ProxyProcess) -> None:
    """[TU-05] While a parent is waited for: that is over too, and no other is asked.
    That every socket is closed is seen to by the fixture."""
    authority = f"{hostOf('silent')}:443"
    client = connected(proxy)
    client.sendall(head(authority))
    eventually("the parent is asked", lambda: town.silent.for_(authority))
    reset(client)
    assert proxy.told(event="refused")["cause"] == "client-left"


def test_failover(town: Town, proxy: ProxyProcess) -> None:
    """One that nobody listens at, one that takes no connection and one that never
    answers are passed over within the connect deadline; a second client does
    not wait for them."""
    with Server(bannerThenEcho, hostOf("failover")) as server:
        for _ in range(2):
            with tunnel(proxy, server.authority) as client:
                assert readExactly(client, len(BANNER)) == BANNER
    assert len(town.silent.for_(server.authority)) == 1


def test_noneAnswers(tmp_path: Path) -> None:
    """All are black holes: one answer, when the connect deadline is over."""
    silent = Silent()
    with Deaf() as deaf, Server(silent) as dumb:
        route = f"http://127.0.0.1:{deaf.port}|http://{dumb.authority}"
        options = ["--connect-timeout", "1", "--route", route]
        for proxy in started(tmp_path, *options):
            answer = answerTo(proxy, "127.0.0.1:443")
            assert statusOf(answer) == 504
            assert proxy.told(event="refused")["cause"] == "parent-silent"
        assert len(silent.asked) == 1


def started(
    directory: Path, *arguments: str, listen: str = "0"
) -> Iterator[ProxyProcess]:
    """A proxy of the test's own; for it as C{for proxy in started(...)}."""
    proxy = ProxyProcess(directory, arguments, listen)
    try:
        proxy.mark()
        yield proxy
        proxy.end()
    finally:
        proxy.kill()


def test_bannerWithTheAnswer(tmp_path: Path) -> None:
    """[UP-02] [UP-03] [T2] In one segment with a parent's answer, whose framing
    fields mean nothing: the client has it behind our 200."""

    def serve(connection: socket.socket) -> bytes:
        asked = connection.recv(65536)
        connection.sendall(
            b"HTTP/1.1 204 All yours\r\nContent-Length: 0\r\n\r\n" + BANNER
        )
        return asked

    with Server(serve) as parent:
        for proxy in started(tmp_path, "--route", f"http://{parent.authority}"):
            answer = answerTo(proxy, "192.0.2.1:22", b"Proxy-Connection: keep-alive")
            assert answer == ESTABLISHED + BANNER
        asked = parent.result()
        assert isinstance(asked, bytes)
        assert asked.startswith(
            b"CONNECT 192.0.2.1:22 HTTP/1.1\r\nHost: 192.0.2.1:22\r\n"
        )
        assert b"proxy-connection" not in asked.lower()


# A parent that dies


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[tuple[OtherProxy, ProxyProcess]]:
    """A squid that a test may kill, and a proxy with it as its parent."""
    with OtherProxy(squid()) as parent:
        for proxy in started(tmp_path, "--route", f"http://{parent.address}"):
            yield parent, proxy


def test_parentDiesInTheMiddle(mortal: tuple[OtherProxy, ProxyProcess]) -> None:
    """[T4] The tunnel is over for both, and the log has a line for it."""
    parent, proxy = mortal

    def serve(connection: socket.socket) -> None:
        connection.sendall(BANNER)
        over(connection)

    with Server(serve) as server, tunnel(proxy, server.authority) as client:
        assert readExactly(client, len(BANNER)) == BANNER
        parent.kill()
        over(client)
    record = proxy.told(event="closed", authority=server.authority)
    assert record["closed"] in ("destination", "destination-reset")


def over(connection: socket.socket) -> None:
    """Hear the end: what a crash closes is ended or reset."""
    with suppress(ConnectionError):
        assert readAll(connection) == b""


def test_parentDiesWhileItConnects(mortal: tuple[OtherProxy, ProxyProcess]) -> None:
    """[UP-11] [T2] Its connection ends without an answer: a refusal, no 200."""
    parent, proxy = mortal
    with Deaf() as deaf, connected(proxy) as client:
        client.sendall(head(f"127.0.0.1:{deaf.port}"))
        eventually("squid dials", lambda: dialled(deaf.port))
        parent.kill()
        assert statusOf(readAll(client)) == 502
    assert proxy.told(event="refused")["cause"] == "parent-broke-off"


def dialled(port: int) -> bool:
    """Whether somebody on this machine waits for an answer from that port."""
    return f"0100007F:{port:04X} 02" in Path("/proc/net/tcp").read_text()


# Two of ours


@pytest.fixture
def ask(site: Site, authority: CertificateAuthority, tmp_path: Path) -> Asking:
    """Fills in what curl is asked."""

    def fill(proxy: ProxyProcess, user: str, password: str) -> Ask:
        home = tmp_path / "curl"
        home.mkdir(exist_ok=True)
        return Ask(
            proxy.address,
            "localhost",
            site.port,
            0,
            authority.certificate,
            home,
            user,
            password,
        )

    return fill


Asking = Callable[[ProxyProcess, str, str], Ask]


@pytest.fixture
def chain(tmp_path: Path, guarded: ProxyProcess) -> Iterator[ProxyProcess]:
    """
    Knows bob, and goes on to the one that knows alice: with her password where
    the destination is C{localhost}, with a wrong one elsewhere.
    """
    (tmp_path / "users").write_text("bob:wonder land\n")
    (tmp_path / "right").write_text(f"{OUR_USER}:{OUR_PASSWORD}\n")
    (tmp_path / "wrong").write_text(f"{OUR_USER}:wrong word\n")
    parent = f"http://{guarded.address}"
    routes = ["--route", f"hosts:localhost={parent},credentials=right"]
    routes += ["--route", f"{parent},credentials=wrong"]
    yield from started(tmp_path, "--auth", "file:users", *routes)


def test_curlThroughTwo(
    chain: ProxyProcess, guarded: ProxyProcess, ask: Asking
) -> None:
    """[UP-06] Each hop has credentials of its own, and knows its own user."""
    asked = ask(chain, "bob", "wonder land")
    assert curl(asked).page == PAGE
    authority = f"localhost:{asked.port}"
    assert chain.told(event="closed", authority=authority)["user"] == "bob"
    assert guarded.told(event="closed", authority=authority)["user"] == OUR_USER


def test_curlIsNotKnownAtTheFirst(
    chain: ProxyProcess, guarded: ProxyProcess, ask: Asking
) -> None:
    """The parent's user is none of ours: our 407, and the parent is not asked."""
    answer = curl(ask(chain, OUR_USER, OUR_PASSWORD))
    assert "response 407" in answer.said
    assert chain.told(event="refused")["cause"] == "credentials-refused"
    assert guarded.records() == []


def test_theFirstIsNotKnownAtTheSecond(
    chain: ProxyProcess, guarded: ProxyProcess, ask: Asking
) -> None:
    """[UP-08] The client gave what is right: no 407, but a 502 in which
    both proxies have their member of Proxy-Status, ours last."""
    asked = attrs.evolve(ask(chain, "bob", "wonder land"), host="127.0.0.1")
    assert "response 502" in curl(asked).said
    assert chain.told(event="refused")["cause"] == "parent-credentials"
    assert guarded.told(event="refused")["cause"] == "credentials-refused"


def test_theSecondsRefusal(plain: ProxyProcess, tmp_path: Path) -> None:
    """[UP-09] Both have their member of Proxy-Status, ours last."""
    route = ["--route", f"http://{plain.address}", "--name", "outer"]
    for proxy in started(tmp_path, *route):
        with Server(bannerThenEcho) as gone:
            pass
        answer = answerTo(proxy, gone.authority)
        (line,) = re.findall(rb"(?im)^proxy-status: (.*)\r$", answer)
        first, last = line.split(b", ")
        assert b"connection_refused" in first
        assert last.startswith(b"outer;")
        assert b"received-status=502" in last


def test_ringOfTwo(tmp_path: Path) -> None:
    """[T15] [UP-07] Two that have each other for parents: one round, and the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    homes = [tmp_path / name for name in ("one", "two")]
    for home in homes:
        home.mkdir()
    route = ["--route", f"http://127.0.0.1:{port}"]
    for one in started(homes[0], *route):
        back = ["--route", f"http://{one.address}"]
        for two in started(homes[1], *back, listen=str(port)):
            assert statusOf(answerTo(one, "192.0.2.1:443")) == 502
            refused = one.told(event="refused", cause="loop")
            assert refused["client"] is not None
            assert len(two.records()) == 1
            assert len(one.records()) == 2
