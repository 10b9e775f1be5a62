"""
What the real command says of TLS handshakes that fail, and of clients that speak
something else.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import CertificateAuthority, Issued, makeAuthority
from proxyprocess import DEADLINE, ProxyProcess
from twisted.copyright import version as twistedVersion


class Listening:
    """
    A proxy with a plain port, one of TLS, and one that wants a certificate.

    @ivar ports: of the two, by the kind.
    """

    def __init__(self, directory: Path) -> None:
        self.authority = makeAuthority(directory)
        self.stranger = makeAuthority(directory, "other")
        server = self.authority.server()
        certified = (
            f"proxytls:0:cert={server.certificate}:key={server.key}"
            f":clientCA={self.authority.certificate}:interface=127.0.0.1"
        )
        plain = (
            f"ssl:0:certKey={server.certificate}:privateKey={server.key}"
            ":interface=127.0.0.1"
        )
        self.proxy = ProxyProcess(
            directory,
            ["--listen", plain, "--listen", certified, "--head-timeout", "2"],
        )
        said = (directory / "output").read_text()
        found = re.findall(r"https://127\.0\.0\.1:(\d+)", said)
        self.ports = dict(zip(("ssl", "proxytls"), map(int, found[:2]), strict=True))
        self.proxy.mark()

    def connect(self, port: str) -> socket.socket:
        """Open a connection."""
        where = self.ports.get(port, self.proxy.port)
        return socket.create_connection(("127.0.0.1", where), DEADLINE)

    def say(self, port: str, octets: bytes) -> None:
        """Send some octets, and read until the proxy closes."""
        with self.connect(port) as client:
            client.sendall(octets)
            _drain(client)

    def shake(
        self,
        port: str,
        own: Issued | None = None,
        trusts: CertificateAuthority | None = None,
        alpn: list[str] | None = None,
        version: ssl.TLSVersion | None = None,
    ) -> None:
        """Try a handshake, and read until the proxy closes."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        trusted = (trusts or self.authority).certificate
        context.load_verify_locations(str(trusted))
        if own is not None:
            context.load_cert_chain(str(own.certificate), str(own.key))
        if alpn:
            context.set_alpn_protocols(alpn)
        if version is not None:
            context.maximum_version = version
        with self.connect(port) as client:
            try:
                with context.wrap_socket(client) as secured:
                    _drain(secured)
            except OSError as error:
                assert isinstance(error, ssl.SSLError | ConnectionError), error

    def reason(self, cause: str = "tls-handshake") -> str:
        """The reason of the one event there is; it is as it should be."""
        record = self.proxy.told(cause=cause)
        assert record["event"] == "refused"
        assert record["client"].startswith("127.0.0.1:")
        assert record["authority"] is None
        self.proxy.mark()
        return str(record["reason"])


def _drain(client: socket.socket) -> None:
    try:
        while client.recv(4096):
            pass
    except ConnectionError:
        # Reset: it has octets that it did not read.
        return


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Listening]:
    """Such a proxy."""
    listening = Listening(tmp_path)
    try:
        yield listening
        listening.proxy.end()
    finally:
        listening.proxy.kill()


def hello() -> bytes:
    """A client's first octets."""
    arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    session = context.wrap_bio(arriving, leaving, server_hostname="proxy.example")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return leaving.read()


VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def test_certificates(rig: Listening) -> None:
    """[F15] None, a foreign one, an old one; and a client that distrusts ours."""
    for version in VERSIONS:
        rig.shake("proxytls", version=version)
        assert "sent no certificate" in rig.reason()
        rig.shake("proxytls", rig.stranger.client("mallory"), version=version)
        assert "no CA that this listener trusts" in rig.reason()
        rig.shake("proxytls", rig.authority.client("old", expired=True))
        assert "expired" in rig.reason()
        rig.shake("ssl", trusts=rig.stranger, version=version)
        assert "does not trust this proxy's certificate" in rig.reason()


def test_plainProtocolsOnTLS(rig: Listening) -> None:
    """[F15] HTTP is named, with what to do; the others speak no TLS."""
    requests = b"GET / HTTP/1.1\r\n\r\n", b"CONNECT a.example:443 HTTP/1.1\r\n\r\n"
    for request in requests:
        rig.say("ssl", request)
        assert "looks like plain HTTP" in (reason := rig.reason())
        assert "write https://" in reason
    rig.say("ssl", b"SSH-2.0-OpenSSH_9.2\r\n")
    assert "does not speak TLS" in rig.reason()


def test_tlsOnPlain(rig: Listening) -> None:
    """[F15] curl -x https:// to a plain port, and others."""
    rig.shake("plain")
    assert "looks like TLS: is the proxy's URL https://?" in rig.reason(
        "other-protocol"
    )
    rig.say("plain", b"SSH-2.0-OpenSSH_9.2\r\n")
    assert "looks like SSH" in rig.reason("other-protocol")


@pytest.mark.skipif(
    tuple(map(int, twistedVersion.split(".")[:2])) < (26, 4),
    reason="this Twisted lets such a client through",
)
def test_noCommonProtocol(rig: Listening) -> None:
    """[F15] ALPN with nothing that is spoken here."""
    rig.shake("ssl", alpn=["h2"])
    assert "ALPN" in rig.reason()


@pytest.mark.parametrize(
    "leave", [lambda client: None, lambda client: _reset(client)], ids=["fin", "rst"]
)
def test_leavingInTheMiddle(
    rig: Listening, leave: Callable[[socket.socket], None]
) -> None:
    """[F15] Who leaves in the middle is told of; who said nothing is not."""
    with rig.connect("ssl") as silent:
        leave(silent)
    with rig.connect("ssl") as client:
        client.sendall(hello())
        assert client.recv(1)
        leave(client)
    assert "in the middle of the handshake" in rig.reason()
    assert rig.proxy.records() == []


def test_tooLate(rig: Listening) -> None:
    """[F15] A handshake that does not go on."""
    with rig.connect("ssl") as client:
        client.sendall(hello())
        _drain(client)
    assert "did not end within 2 seconds" in rig.reason()


def test_aFlood(rig: Listening) -> None:
    """[F15] Ten lines, and no more until a minute is over; other causes have theirs."""
    for _ in range(25):
        rig.say("ssl", b"GET / HTTP/1.1\r\n\r\n")
    rig.say("plain", b"\x05\x01\x00")
    assert "SOCKS 5" in str(rig.proxy.told(cause="other-protocol")["reason"])
    found = [each["cause"] for each in rig.proxy.records()]
    assert found == ["tls-handshake"] * 10 + ["other-protocol"]


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
