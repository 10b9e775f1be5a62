"""
Credentials and a proxy that checks them: how many requests it takes, and which.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from txconnect.client import Basic, ConnectEndpoint, Digest, Password
from txconnect.client.errors import ProxyAuthenticationRequired
from txconnect.testing import CHUNKS, MemoryNetwork, Peer
from txconnect.wire.challenges import parseChallenges

PROXY = "192.0.2.9"
USER, PASSWORD = "al\u00efce", "open sesame"


class DigestProxy:
    """
    A proxy that takes Digest alone, and each of its nonces for C{uses} requests.

    @ivar seen: of each request, the scheme of its credentials, or nothing.
    """

    def __init__(self, network: MemoryNetwork, closes: bool, uses: int) -> None:
        self.seen: list[str] = []
        self._closes = closes
        self._uses = uses
        self._nonces: dict[str, int] = {}
        self._heads: dict[Peer, bytes] = {}
        self._network = network
        network.serve(PROXY, 3128, accepted=self._accepted)

    def _accepted(self, peer: Peer) -> None:
        def dataReceived(data: bytes) -> None:
            head = self._heads.get(peer, b"") + data
            if head.endswith(b"\r\n\r\n"):
                peer.send(self._answer(head))
                if self._closes and b"407" in self._last:
                    peer.close()
                head = b""
            self._heads[peer] = head

        peer.dataReceived = dataReceived  # type: ignore[method-assign]

    def _answer(self, head: bytes) -> bytes:
        self._last = self._judge(head)
        return self._last

    def _judge(self, head: bytes) -> bytes:
        values = [
            line.partition(b": ")[2]
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"proxy-authorization:")
        ]
        if not values:
            self.seen.append("")
            return self._asks(stale=False)
        # Credentials have the form of a challenge (RFC 9110, 11.4).
        [given] = parseChallenges(values)
        self.seen.append(given.scheme)
        if given.scheme != "digest" or not self._isRight(dict(given.parameters)):
            return self._asks(stale=False)
        nonce = given.parameters["nonce"]
        assert int(given.parameters["nc"], 16) == self._nonces[nonce] + 1, "a replay"
        if self._nonces[nonce] == self._uses:
            return self._asks(stale=True)
        self._nonces[nonce] += 1
        return b"HTTP/1.1 200 OK\r\n\r\n"

    def _isRight(self, given: dict[str, str]) -> bool:
        def digest(*parts: str) -> str:
            return hashlib.sha256(":".join(parts).encode("iso-8859-1")).hexdigest()

        def octets(text: str) -> str:
            return text.encode().decode("iso-8859-1")

        assert given["username"] == octets(USER) and given["realm"] == "the realm"
        assert given["uri"] == "destination.example:443" and given["opaque"] == "o"
        return given["response"] == digest(
            digest(octets(USER), "the realm", octets(PASSWORD)),
            *(given[name] for name in ("nonce", "nc", "cnonce", "qop")),
            digest("CONNECT", "destination.example:443"),
        )

    def _asks(self, stale: bool) -> bytes:
        nonce = f"nonce{len(self._nonces)}"
        self._nonces[nonce] = 0
        asked = f'Digest realm="the realm", nonce="{nonce}", opaque="o", qop="auth"'
        asked += ", algorithm=SHA-256" + (", stale=true" if stale else "")
        return (
            "HTTP/1.1 407 Proxy Authentication Required\r\n"
            f"Proxy-Authenticate: {asked}\r\nContent-Length: 4\r\n"
            f"{'Connection: close' if self._closes else 'X-Stays: yes'}\r\n\r\nbody"
        ).encode("ascii")


@pytest.fixture(params=CHUNKS, ids=str)
def network(request: pytest.FixtureRequest) -> MemoryNetwork:
    """The network, cutting what arrives."""
    return MemoryNetwork(chunk=request.param)


def connect(network: MemoryNetwork, credentials: Any) -> list[Any]:
    """Begin to connect; what comes of it."""
    way = TCP4ClientEndpoint(network, PROXY, 3128)
    endpoint = ConnectEndpoint(
        way, "destination.example", 443, credentials=credentials, clock=network
    )
    factory = Factory.forProtocol(Protocol)
    factory.noisy = False
    outcome: list[Any] = []
    connecting: Deferred[Any] = endpoint.connect(factory)
    connecting.addBoth(outcome.append)
    return outcome


def tunnel(network: MemoryNetwork, credentials: Any) -> None:
    """Connect, which must succeed."""
    outcome = connect(network, credentials)
    network.flush()
    assert isinstance(outcome[0], Protocol), outcome


def refused(network: MemoryNetwork, credentials: Any) -> ProxyAuthenticationRequired:
    """Connect, which must be refused for good."""
    outcome = connect(network, credentials)
    network.flush()
    assert isinstance(outcome[0], Failure), outcome
    error = outcome[0].value
    assert isinstance(error, ProxyAuthenticationRequired)
    assert network.getDelayedCalls() == []
    return error


@pytest.mark.parametrize("closes", [False, True])
def test_digest(network: MemoryNetwork, closes: bool) -> None:
    """Asked once, the proxy's nonce is good for what follows, until it is stale."""
    proxy = DigestProxy(network, closes, uses=2)
    digest = Digest(USER, PASSWORD)
    for _ in range(3):
        tunnel(network, digest)
    assert proxy.seen == ["", "digest", "digest", "digest", "digest"]
    network.flush()


@pytest.mark.parametrize("closes", [False, True])
def test_password(network: MemoryNetwork, closes: bool) -> None:
    """A URL's password goes as Basic once, and from then on as what was asked."""
    proxy = DigestProxy(network, closes, uses=9)
    password = Password(USER, PASSWORD)
    tunnel(network, password)
    tunnel(network, password)
    assert proxy.seen == ["basic", "digest", "digest"]


@pytest.mark.parametrize("closes", [False, True])
def test_wrongPassword(network: MemoryNetwork, closes: bool) -> None:
    """A wrong password is tried once a connection, so that nobody is locked out."""
    proxy = DigestProxy(network, closes, uses=9)
    digest = Digest(USER, "wrong")
    for _ in range(2):
        error = refused(network, digest)
        assert [one.scheme for one in error.challenges] == ["digest"]
    assert proxy.seen == ["", "digest"] * 2


def test_anotherScheme(network: MemoryNetwork) -> None:
    """Basic with a proxy that does not take it is refused at once."""
    proxy = DigestProxy(network, False, uses=9)
    refused(network, Basic(USER, PASSWORD))
    assert proxy.seen == ["basic"]


def test_atOnce(network: MemoryNetwork) -> None:
    """Tunnels that are begun together share a nonce, or have one each."""
    proxy = DigestProxy(network, False, uses=3)
    digest = Digest(USER, PASSWORD)
    outcomes = [connect(network, digest) for _ in range(5)]
    network.flush()
    assert all(isinstance(outcome[0], Protocol) for outcome in outcomes), outcomes
    assert proxy.seen.count("") == 5
