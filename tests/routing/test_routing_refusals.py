"""
What a client is told when a parent opens no tunnel.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import http_sf
import pytest
from certificates import CertificateAuthority, makeAuthority
from rig import Rig, body, connect, logging, status
from scripted import OK, PARENT, asked, proxy, through
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    DefaultOpenSSLContextFactory,
    PrivateCertificate,
)
from twisted.logger import formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory

from txconnect.testing import CHUNKS, Destination, Peer
from txconnect.testing.transports import OutsidePort
from txconnect.values import Cause, Closed, TunnelRefused

# Twisted gives pyOpenSSL what that would like to have in another form.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Passing pyOpenSSL .* deprecated:DeprecationWarning"
)


def members(peer: Peer) -> list[tuple[Any, dict[str, Any]]]:
    """The Proxy-Status of an answer, as another implementation reads it."""
    for line in peer.received.split(b"\r\n\r\n")[0].split(b"\r\n"):
        if line.startswith(b"Proxy-Status: "):
            return [
                (str(name), parameters)
                for name, parameters in http_sf.parse(line[14:], tltype="list")
            ]
    raise AssertionError(f"no Proxy-Status in {peer.received!r}")


def refusedBy(
    rig: Rig, client: Peer, cause: Cause, error: str | None = None
) -> TunnelRefused:
    """Check that a client was told one thing, and that it was the end."""
    assert status(client) == cause.status, client.received
    assert b"Proxy-Authenticate" not in client.received
    assert b"Connection: close\r\n" in client.received
    assert members(client)[-1][1]["error"] == http_sf.Token(cause.error)
    (refused,) = rig.events.refused
    assert refused.cause is cause
    client.end()
    rig.assertNoTunnel()  # type: ignore[attr-defined]
    return refused


@pytest.fixture(autouse=True)
def noTunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of a tunnel, and no probe but those of the marks."""

    def assertNoTunnel(rig: Rig) -> None:
        rig.flush()
        assert not rig.events.established
        # Down parents are looked at again, until the proxy stops.
        rig.proxy.stopService()
        rig.assertOver()

    monkeypatch.setattr(Rig, "assertNoTunnel", assertNoTunnel, raising=False)


ANSWERS = [
    (403, Cause.PARENT_DENIED),
    (429, Cause.PARENT_UNAVAILABLE),
    (503, Cause.PARENT_UNAVAILABLE),
    (504, Cause.PARENT_TIMEOUT),
    (401, Cause.PARENT_CREDENTIALS),
    (407, Cause.PARENT_CREDENTIALS),
    (101, Cause.PARENT_REFUSED),
    (302, Cause.PARENT_REFUSED),
    (404, Cause.PARENT_REFUSED),
    (500, Cause.PARENT_REFUSED),
    (502, Cause.PARENT_REFUSED),
    (599, Cause.PARENT_REFUSED),
]


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(
    ("code", "cause"), [pytest.param(*row, id=str(row[0])) for row in ANSWERS]
)
def test_answers(chunk: Any, code: int, cause: Cause) -> None:
    """
    [UP-04] [UP-07] [UP-08] [T4] A parent's refusal is one of ours: never a
    tunnel, never our own 407, and it says what the parent has said.
    """
    rig, parent = through(chunk, settings={"name": "here"})
    client, peer = asked(rig, parent, "Proxy-Authorization: Basic eDp5")
    peer.send(
        b"HTTP/1.1 %d No \xe9\r\n"
        b"Proxy-Authenticate: Basic realm=x\r\n"
        b"Content-Length: 5\r\n"
        b"\r\n"
        b"sorryHTTP/1.1 200 OK\r\n\r\n" % code
    )
    rig.flush()
    assert b"\r\nVia: 1.1 here\r\n" in client.received
    assert members(client)[-1][1]["received-status"] == code
    refused = refusedBy(rig, client, cause)
    assert refused.reason.startswith(f"http://parent:3128 answered {code} No")
    assert refused.rule == cause.label
    assert peer.closed or peer.reset


@pytest.mark.parametrize("chunk", CHUNKS)
def test_proxyStatusOfParents(chunk: Any) -> None:
    """
    [UP-09] [PS-05] What other proxies said is kept in front, ours stands last;
    in brief, without what a network shows by.
    """
    said = (
        b"HTTP/1.1 502 Bad\r\n"
        b'Proxy-Status: far; error=dns_error; rcode="NXDOMAIN"; details="10.0.0.1"\r\n'
        b'Proxy-Status: "near by";error=connection_refused;next-hop="10.0.0.2";'
        b"received-status=500;x=?1;y=1.5;z=:YQ==:\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    brief = [
        ("far", {"error": "dns_error", "rcode": "NXDOMAIN"}),
        ("near by", {"error": "connection_refused", "received-status": 500}),
    ]
    full: list[tuple[str, dict[str, Any]]] = [
        ("far", {**brief[0][1], "details": "10.0.0.1"}),
        ("near by", {**brief[1][1], "next-hop": "10.0.0.2", "x": True}),
    ]
    for errors, expected in (("brief", brief), ("full", full)):
        rig, parent = through(chunk, settings={"name": "here", "errors": errors})
        client, peer = asked(rig, parent)
        peer.send(said)
        rig.flush()
        *others, own = members(client)
        assert [
            (
                name,
                {k: v if isinstance(v, (int, bool)) else str(v) for k, v in p.items()},
            )
            for name, p in others
        ] == expected
        assert own[0] == "here"
        assert own[1]["received-status"] == 502


def test_proxyStatusIsBounded() -> None:
    """[UP-09] A long trail loses its far end."""
    rig, parent = through(settings={"name": "here", "errors": "full"})
    client, peer = asked(rig, parent)
    far = b", ".join(b'p%d;details="%b"' % (n, b"x" * 380) for n in range(20))
    peer.send(b"HTTP/1.1 502 Bad\r\nProxy-Status: %b\r\n\r\n" % far)
    peer.end()
    rig.flush()
    names = [name for name, _ in members(client)]
    assert names == ["p15", "p16", "p17", "p18", "p19", "here"]


def test_proxyStatusThatCannotBeRead() -> None:
    """[UP-09] [PS-01] What is none is left out, whole."""
    rig, parent = through(settings={"name": "here"})
    client, peer = asked(rig, parent)
    peer.send(b"HTTP/1.1 502 Bad\r\nProxy-Status: a, \x22\r\nContent-Length: 0\r\n\r\n")
    rig.flush()
    assert [name for name, _ in members(client)] == ["here"]


NONSENSE = [
    (b"SSH-2.0-OpenSSH_9.2\r\n", Cause.PARENT_MALFORMED, "another protocol"),
    (b"HTTP/2.0 200 OK\r\n\r\n", Cause.PARENT_MALFORMED, "another version"),
    (b"HTTP/1.1 20 OK\r\n\r\n", Cause.PARENT_MALFORMED, "two digits"),
    (b"HTTP/1.1 2000 OK\r\n\r\n", Cause.PARENT_MALFORMED, "four digits"),
    (b"HTTP/1.1 200 OK\n\n", Cause.PARENT_MALFORMED, "no CR"),
    (b"HTTP/1.1 200 O\x00K\r\n\r\n", Cause.PARENT_MALFORMED, "NUL"),
    (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Cause.PARENT_MALFORMED, "a bad field"),
    (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Cause.PARENT_MALFORMED, "folded"),
    (
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1_000_000,
        Cause.PARENT_HEAD_TOO_LARGE,
        "a head of a megabyte",
    ),
    (
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        Cause.PARENT_HEAD_TOO_LARGE,
        "a thousand fields",
    ),
]


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(
    ("octets", "cause"), [pytest.param(*row[:2], id=row[2]) for row in NONSENSE]
)
def test_nonsense(chunk: Any, octets: bytes, cause: Cause) -> None:
    """[UP-11] [T2] [T4] What is no answer is a 502, and the connection goes."""
    rig, parent = through(chunk)
    client, peer = asked(rig, parent)
    peer.send(octets)
    rig.flush()
    assert b"Via:" not in client.received
    refusedBy(rig, client, cause)
    assert peer.closed or peer.reset


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("octets", [b"", b"HTTP/1.1 200 OK\r\nX: y\r\n"])
@pytest.mark.parametrize("how", ["end", "close", "abort"])
def test_brokenOff(chunk: Any, octets: bytes, how: str) -> None:
    """[UP-11] [T2] An answer that is not complete is none."""
    rig, parent = through(chunk)
    client, peer = asked(rig, parent)
    peer.send(octets)
    rig.flush()
    getattr(peer, how)()
    rig.flush()
    refusedBy(rig, client, Cause.PARENT_BROKE_OFF)


def test_silence() -> None:
    """A parent that says nothing has as long as a destination has."""
    rig, parent = through(settings={"connectTimeout": 7.0})
    client, peer = asked(rig, parent)
    rig.network.advance(6.9)
    assert client.received == b""
    rig.network.advance(0.2)
    refusedBy(rig, client, Cause.PARENT_SILENT)
    assert peer.closed or peer.reset


@pytest.mark.parametrize(
    ("how", "seconds"),
    [("refuse", 0.0), ("unroutable", 0.0), ("blackhole", 15.1)],
)
def test_unreachable(how: str, seconds: float) -> None:
    """A parent that cannot be reached at all."""
    rig = proxy()
    getattr(rig.network, how)(PARENT)
    client = rig.client(connect())
    rig.network.advance(seconds)
    refused = refusedBy(rig, client, Cause.PARENT_UNREACHABLE)
    assert "parent:3128" in refused.reason


def test_unknown() -> None:
    """A parent whose name nobody knows."""
    rig = proxy(None, "http://nowhere.test:3128")
    client = rig.client(connect())
    refused = refusedBy(rig, client, Cause.PARENT_UNREACHABLE)
    assert "EAI_NONAME" in refused.reason


def test_ownTroubleIsNotTheParents() -> None:
    """[PS-02] Who has no descriptors left says so, and marks nobody."""
    rig = proxy()
    rig.network.exhaust()
    client = rig.client(connect())
    refusedBy(rig, client, Cause.EXHAUSTED)


# SOCKS

GREETED = b"\x05\x00"
REPLY = b"\x00\x01\x00\x00\x00\x00\x00\x00"
SOCKS = [
    (GREETED + b"\x05\x01" + REPLY, Cause.PARENT_REFUSED),
    (GREETED + b"\x05\x02" + REPLY, Cause.PARENT_DENIED),
    (GREETED + b"\x05\x03" + REPLY, Cause.UNROUTABLE),
    (GREETED + b"\x05\x04" + REPLY, Cause.UNROUTABLE),
    (GREETED + b"\x05\x05" + REPLY, Cause.CONNECTION_REFUSED),
    (GREETED + b"\x05\x06" + REPLY, Cause.PARENT_TIMEOUT),
    (GREETED + b"\x05\x07" + REPLY, Cause.PARENT_REFUSED),
    (GREETED + b"\x05\x63" + REPLY, Cause.PARENT_REFUSED),
    (b"\x05\xff", Cause.PARENT_CREDENTIALS),
    (b"\x04\x00", Cause.PARENT_MALFORMED),
    (b"HTTP/1.1 400 Bad\r\n\r\n", Cause.PARENT_MALFORMED),
]


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(("octets", "cause"), SOCKS)
def test_socks(chunk: Any, octets: bytes, cause: Cause) -> None:
    """[UP-11] [T4] What a SOCKS parent says, in this proxy's words."""
    rig, parent = through(chunk, "socks5://parent:3128")
    client, peer = asked(rig, parent)
    peer.send(octets)
    rig.flush()
    refused = refusedBy(rig, client, cause)
    assert "socks5://parent:3128" in refused.reason


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_socksTunnel(chunk: Any, scheme: str) -> None:
    """[UP-01] [UP-03] The name goes to the parent, which looks it up."""
    rig, parent = through(chunk, f"{scheme}://parent:3128")
    client, peer = asked(rig, parent)
    peer.send(GREETED)
    rig.flush()
    asks = b"\x05\x01\x00\x03\x0bexample.com\x01\xbb"
    assert peer.received.endswith(asks)
    peer.send(b"\x05\x00" + REPLY + b"banner")
    rig.flush()
    assert body(client) == b"banner"
    client.send(b"up")
    rig.flush()
    assert peer.received.endswith(asks + b"up")
    assert rig.lookup.calls == ["parent"]
    rig.proxy.stopService()
    rig.assertOver()


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return makeAuthority(Path(tmp_path_factory.mktemp("tls")))


Serve = Callable[..., tuple[Rig, Destination]]


@pytest.fixture
def encrypted(authority: CertificateAuthority) -> Serve:
    """A proxy and its parent, between which TLS is spoken."""

    def serve(
        chunk: Any = None,
        *,
        dns: tuple[str, ...] = ("parent",),
        items: str = "",
        trusts: bool = True,
        asks: bool = False,
        expired: bool = False,
    ) -> tuple[Rig, Destination]:
        issued = authority.server(dns=dns, expired=expired)
        context: Any = DefaultOpenSSLContextFactory(
            str(issued.key), str(issued.certificate)
        )
        if asks:
            pem = issued.key.read_bytes() + issued.certificate.read_bytes()
            own = PrivateCertificate.loadPEM(pem)
            root = Certificate.loadPEM(authority.certificate.read_bytes())
            context = CertificateOptions(
                own.privateKey.original, own.original, trustRoot=root
            )
        ca = f",ca={authority.certificate}" if trusts else ""
        rig = proxy(chunk, f"https://parent:3128{ca}{items}")
        parent = Destination()
        wrapped = TLSMemoryBIOFactory(context, False, parent, rig.network)
        rig.network._startPort(OutsidePort(3128, wrapped, 50, PARENT, rig.network))
        return rig, parent

    return serve


@pytest.mark.parametrize("chunk", CHUNKS)
def test_tlsTunnel(chunk: Any, encrypted: Serve) -> None:
    """
    [UP-01] [UP-03] The same within TLS, verified for the parent's host.

    In bulk it is more than the windows hold; one octet at a time, where each
    one sent is a record of its own, more than the longest record, of 16384.
    """
    bulk = 20_000 if chunk == 1 else 200_000
    rig, parent = encrypted(chunk)
    client, peer = asked(rig, parent)
    assert peer.received.startswith(b"CONNECT example.com:443 HTTP/1.1\r\n")
    peer.send(OK + b"banner")
    rig.flush()
    assert body(client) == b"banner"
    client.send(b"x" * bulk)
    rig.flush()
    assert peer.received.endswith(b"\r\n\r\n" + b"x" * bulk)
    peer.send(b"y" * bulk)
    peer.close()
    rig.flush()
    assert body(client) == b"banner" + b"y" * bulk
    assert client.ended
    client.end()
    rig.assertOver()


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("resets", [True, False])
def test_tlsThatIsCutOff(chunk: Any, encrypted: Serve, resets: bool) -> None:
    """
    [TU-04] [T11] A reset behind TLS is one for the client, which must not take
    what was cut off for all there is.  A mere end without close_notify is an end.
    """
    rig, parent = encrypted(chunk)
    client, peer = asked(rig, parent)
    peer.send(OK + b"half of")
    rig.flush()
    below = peer.transport.transport
    below.abortConnection() if resets else below.loseConnection()
    rig.flush()
    assert client.received.endswith(b"half of")
    assert client.reset is resets
    if not resets:
        assert client.ended
        client.end()
    rig.assertOver()
    (closed,) = rig.events.closed
    assert closed.reason is (Closed.DESTINATION_RESET if resets else Closed.DESTINATION)


@pytest.mark.parametrize("trusts", [True, False])
def test_tlsLook(encrypted: Serve, trusts: bool) -> None:
    """A look at a parent goes as far as its certificate, and does not linger."""
    rig, parent = encrypted(trusts=trusts)
    rig.network.refuse(PARENT)
    with logging() as logged:
        client = rig.client(connect())
        assert status(client) == 503
        client.end()
        rig.network.kernel.fates.clear()
        rig.network.advance(1.5)
        assert len(parent.peers) == 1
        assert not rig.network.open
        assert bool(rig.network.getDelayedCalls()) is not trusts
        said = [formatEvent(each) for each in logged.events]
    assert ("parent https://parent:3128 is up again" in said) is trusts
    rig.proxy.stopService()
    rig.assertOver()


def test_tlsClientCertificate(
    encrypted: Serve, authority: CertificateAuthority
) -> None:
    """A parent that asks for a certificate is shown one."""
    issued = authority.client("proxy")
    rig, parent = encrypted(
        asks=True, items=f",cert={issued.certificate},key={issued.key}"
    )
    client, peer = asked(rig, parent)
    peer.send(OK)
    rig.flush()
    assert status(client) == 200


def test_tlsAlert(encrypted: Serve) -> None:
    """[PS-02] A parent that asks for a certificate, and is shown none."""
    rig, _ = encrypted(asks=True)
    client = rig.client(connect())
    refused = refusedBy(rig, client, Cause.PARENT_ALERT)
    assert "alert" in refused.reason


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"trusts": False}, "certificate verify failed"),
        ({"dns": ("other",)}, "another host"),
        ({"expired": True}, "certificate verify failed"),
    ],
)
def test_tlsCertificate(encrypted: Serve, how: Any, why: str) -> None:
    """[PS-02] A certificate that is not to be trusted for this host."""
    rig, parent = encrypted(**how)
    client = rig.client(connect())
    refused = refusedBy(rig, client, Cause.PARENT_CERTIFICATE)
    assert why in refused.reason
    assert all(peer.received == b"" for peer in parent.peers)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_tlsThatIsNone(chunk: Any) -> None:
    """[PS-02] [UP-11] A parent that does not speak TLS."""
    rig, parent = through(chunk, "https://parent:3128")
    client, peer = asked(rig, parent)
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    rig.flush()
    refusedBy(rig, client, Cause.PARENT_TLS)


def test_tlsBrokenOff() -> None:
    """[UP-11] A parent that hangs up within the handshake."""
    rig, parent = through(None, "https://parent:3128")
    client, peer = asked(rig, parent)
    peer.close()
    rig.flush()
    refusedBy(rig, client, Cause.PARENT_BROKE_OFF)
