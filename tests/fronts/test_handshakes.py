"""
TLS handshakes that fail, on the memory network: what the observers are told.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from certificates import makeAuthority
from OpenSSL import SSL
from rig import Rig
from twisted.internet.error import ConnectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from txconnect.fronts.handshakes import brokenHandshake, isMidHandshake
from txconnect.fronts.http1 import Http1Front
from txconnect.fronts.opening import Opened
from txconnect.listening.proxytls import clientCertificateOptions
from txconnect.testing import CHUNKS
from txconnect.testing.peers import Peer
from txconnect.values import Cause

PORT = 3129

pytestmark = pytest.mark.filterwarnings(
    "ignore:Passing pyOpenSSL .* deprecated:DeprecationWarning"
)


class Through:
    """Lets every connection through to HTTP/1, with an opening in front."""

    def feed(self, data: bytes) -> Opened:
        return Opened(Http1Front, data)


class SecureRig(Rig):
    """A proxy with a listener of TLS, too."""

    def __init__(self, directory: Path, opening: bool = False, **more: Any) -> None:
        super().__init__(**more)
        authority = makeAuthority(directory)
        server = authority.server()
        options = clientCertificateOptions(
            str(server.certificate), str(server.key), str(authority.certificate)
        )
        if opening:
            self.factory._first = Through
        self.network.listenTCP(
            PORT,
            TLSMemoryBIOFactory(options, False, self.factory),
            interface="127.0.0.1",
        )

    def secureClient(self, data: bytes = b"") -> Peer:
        """Connect to that listener, and send octets as they are."""
        peer = self.network.connect("127.0.0.1", PORT)
        if data:
            peer.send(data)
        self.network.flush()
        return peer

    def told(self) -> tuple[Cause, str]:
        """The cause and the reason of the one event there is."""
        (event,) = self.events.events
        assert event.request is None  # type: ignore[union-attr]
        assert str(event.client.host) == "127.0.0.1"  # type: ignore[union-attr]
        return event.cause, event.reason  # type: ignore[union-attr]


def hello() -> bytes:
    """A client's first octets."""
    arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    session = context.wrap_bio(arriving, leaving, server_hostname="proxy.example")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return leaving.read()


everyChunk = pytest.mark.parametrize("chunk", CHUNKS)
both = pytest.mark.parametrize("opening", [False, True])


@everyChunk
@both
@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "looks like plain HTTP"),
        (b"CONNECT a.example:443 HTTP/1.1\r\n\r\n", "looks like plain HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS"),
    ],
)
def test_otherProtocols(
    tmp_path: Path, chunk: Any, opening: bool, octets: bytes, words: str
) -> None:
    """[F15] Whole, one octet at a time, and in random pieces."""
    rig = SecureRig(tmp_path, opening, chunk=chunk)
    client = rig.secureClient(octets)
    client.close()
    rig.assertOver()
    cause, reason = rig.told()
    assert cause is Cause.HANDSHAKE
    assert words in reason


@everyChunk
@both
def test_leavingInTheMiddle(tmp_path: Path, chunk: Any, opening: bool) -> None:
    """[F15] Behind a whole hello it is told of; without a word it is not."""
    rig = SecureRig(tmp_path, opening, chunk=chunk)
    rig.secureClient().abort()
    rig.secureClient(hello()).abort()
    rig.assertOver()
    assert rig.told() == (
        Cause.HANDSHAKE,
        "the client left in the middle of the handshake",
    )


@both
def test_tooLate(tmp_path: Path, opening: bool) -> None:
    """[F15] It is told of once, and the connection closed."""
    rig = SecureRig(tmp_path, opening, settings={"headTimeout": 5})
    client = rig.secureClient(hello())
    rig.secureClient()
    rig.network.advance(6)
    assert client.ended or client.reset
    client.close()
    rig.network.advance(10)
    assert rig.told() == (Cause.HANDSHAKE, "it did not end within 5 seconds")


def test_theStop(tmp_path: Path) -> None:
    """[F15] [T11] The proxy's own stop is no failed handshake."""
    rig = SecureRig(tmp_path)
    rig.secureClient(hello())
    rig.proxy.stopService()
    rig.flush()
    assert rig.events.events == []


@pytest.mark.parametrize(
    ("openssl", "words"),
    [
        ("peer did not return a certificate", "sent no certificate"),
        ("certificate verify failed", "no CA that this listener trusts"),
        ("no shared cipher", "no cipher"),
        ("unsupported protocol", "no version of TLS"),
        ("no application protocol", "ALPN"),
        ("tlsv1 alert unknown ca", "does not trust this proxy's certificate"),
        ("sslv3 alert bad certificate", "does not trust this proxy's certificate"),
        ("tlsv1 alert user cancelled", "with an alert: user cancelled"),
        ("something new", "something new"),
        ("", "OpenSSL gives no reason"),
    ],
)
def test_words(openssl: str, words: str) -> None:
    """[F15] OpenSSL's own, where there are no better ones."""
    failure = Failure(SSL.Error([("SSL routines", "", openssl)]))
    refused = brokenHandshake(None, failure)
    assert refused is not None
    assert words in refused.reason
    bare = brokenHandshake(None, Failure(SSL.Error()))
    assert bare is not None and bare.reason == "OpenSSL gives no reason"


def test_plainConnections() -> None:
    """[F15] They have no handshake."""
    assert not isMidHandshake(object())
    assert brokenHandshake(object(), Failure(ConnectionDone())) is None
