"""
Proxies by URLs and by endpoint strings, for real: names are looked up,
certificates are verified, and one string leads through two proxies.
"""

from __future__ import annotations

from typing import Any

import pytest
from certificates import CertificateAuthority
from loopback import BANNER, Server, bannerThenEcho
from OpenSSL import SSL
from otherproxies import PASSWORD, USER, Others
from proxyprocess import ProxyProcess
from service_identity import VerificationError
from turning import Turning
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    clientFromString,
    connectProtocol,
    quoteStringArgument,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure

from txconnect.client import ProxyAuthenticationRequired, ProxyURL, tunnelEndpoint


class Listener(Protocol):
    """Hears a banner, and leaves."""

    transport: Any

    def __init__(self) -> None:
        self.heard = b""
        self.gone: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if len(self.heard) >= len(BANNER):
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(self.heard)


async def banner(endpoint: Any) -> bytes:
    """What the destination says first."""
    listener: Any = await connectProtocol(endpoint, Listener())
    heard: bytes = await listener.gone
    return heard


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("squid", "http://localhost:{port}"),
        ("squid-basic", "http://{user}:{password}@127.0.0.1:{port}/"),
        ("squid-digest", "http://{user}:{password}@localhost:{port}"),
        ("apache-basic", "http://{user}:{password}@localhost:{port}"),
        ("socks", "socks5h://localhost:{port}"),
        ("socks-basic", "socks5://{user}:{password}@127.0.0.1:{port}"),
    ],
)
def test_urls(turn: Turning, others: Others, name: str, url: str) -> None:
    """A user and a password are what the proxy wants them to be."""
    port = others(name).port
    proxy = ProxyURL.parse(url.format(port=port, user=USER, password=PASSWORD))
    with Server(bannerThenEcho) as server:
        endpoint = tunnelEndpoint(turn.reactor, proxy, "127.0.0.1", server.port)
        assert turn(banner(endpoint)) == BANNER


def test_aWrongPassword(turn: Turning, others: Others) -> None:
    proxy = ProxyURL.parse(
        f"http://{USER}:wrong@localhost:{others('squid-basic').port}"
    )
    endpoint = tunnelEndpoint(turn.reactor, proxy, "127.0.0.1", 1)
    with pytest.raises(ProxyAuthenticationRequired):
        turn(banner(endpoint))


def test_aProxysOwnCertificate(
    turn: Turning, others: Others, authority: CertificateAuthority
) -> None:
    """It is verified for the URL's host; C{tls=} brings an authority of one's own."""
    trust = trustRootFromCertificates(
        [Certificate.loadPEM(authority.certificate.read_bytes())]
    )
    proxy = ProxyURL.parse(f"https://localhost:{others('squid-tls').port}")
    with Server(bannerThenEcho) as server:
        place = ("127.0.0.1", server.port)
        tls = optionsForClientTLS("localhost", trust)
        endpoint = tunnelEndpoint(turn.reactor, proxy, *place, tls=tls)
        assert turn(banner(endpoint)) == BANNER
    endpoint = tunnelEndpoint(turn.reactor, proxy, *place)
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        turn(banner(endpoint))
    tls = optionsForClientTLS("other.example", trust)
    endpoint = tunnelEndpoint(turn.reactor, proxy, *place, tls=tls)
    with pytest.raises(VerificationError, match=r"other\.example"):
        turn(banner(endpoint))


def test_oneStringThroughTwoProxies(
    turn: Turning, others: Others, plain: ProxyProcess
) -> None:
    """squid first, and ours behind it."""
    near = quoteStringArgument(f"http://127.0.0.1:{others('squid').port}")
    far = f"connect:127.0.0.1:{plain.port}:proxy={near}"
    with Server(bannerThenEcho) as server:
        description = (
            f"connect:127.0.0.1:{server.port}:proxy={quoteStringArgument(far)}"
        )
        assert turn(banner(clientFromString(turn.reactor, description))) == BANNER
        assert plain.told(event="closed", authority=server.authority)
