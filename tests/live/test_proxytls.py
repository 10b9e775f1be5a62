"""
Who gets through "proxytls:", over real sockets on loopback, with TLS 1.2 and
with 1.3.

In 1.3 a client has ended its handshake, and may have sent its request, before
the server has looked at its certificate: so what counts is what reaches the
application's protocol, never what the client believes.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from certificates import CertificateAuthority, Issued, makeAuthority
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL.crypto import X509, PKey
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    SSL4ClientEndpoint,
    quoteStringArgument,
    serverFromString,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from txconnect.auth.certificate import certificateIdentity
from txconnect.values import Identity

pytestmark = pytest.mark.filterwarnings(
    "ignore:Passing pyOpenSSL .* deprecated:DeprecationWarning"
)

VERSIONS = (TLSVersion.TLSv1_2, TLSVersion.TLSv1_3)


class Application(Protocol):
    """Keeps what it gets, and answers the whole of it."""

    def __init__(self) -> None:
        self.received = b""
        self.identity: Identity | None = None
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.identity = certificateIdentity(self.transport.getPeerCertificate())
        self.transport.write(b"welcome")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class Applications(Factory):
    """Keeps what it builds."""

    def __init__(self) -> None:
        self.built: list[Application] = []

    def buildProtocol(self, _: object) -> Application:
        self.built.append(Application())
        return self.built[-1]


class Client(Protocol):
    """Sends at once, and leaves when it has been welcomed."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"CONNECT")

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


def loadPEM(issued: Issued) -> tuple[PKey, list[X509]]:
    key = load_pem_private_key(issued.key.read_bytes(), None)
    chain = x509.load_pem_x509_certificates(issued.certificate.read_bytes())
    return (
        PKey.from_cryptography_key(key),
        [X509.from_cryptography(one) for one in chain],
    )


def clientOptions(
    authority: CertificateAuthority, issued: Issued | None, version: object
) -> CertificateOptions:
    trusted = Certificate(X509.from_cryptography(authority.x509))
    key, chain = (None, []) if issued is None else loadPEM(issued)
    return CertificateOptions(
        privateKey=key,
        certificate=chain[0] if chain else None,
        extraCertChain=chain[1:] or None,
        trustRoot=trustRootFromCertificates([trusted]),
        insecurelyLowerMinimumTo=version,
        lowerMaximumSecurityTo=version,
    )


class ProxyTLSTests(TestCase):
    """[T8] A client without a valid certificate gets no further."""

    def setUp(self) -> None:
        self.authority = self.makeAuthority("test-ca")
        self.applications = Applications()

    def makeAuthority(self, name: str) -> CertificateAuthority:
        # trial's own mktemp leaves its directories where the tests are run.
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        return makeAuthority(Path(directory), name)

    async def listen(self, server: Issued, clientCA: CertificateAuthority) -> int:
        files = {
            "cert": server.certificate,
            "key": server.key,
            "clientCA": clientCA.certificate,
        }
        given = ":".join(
            f"{name}={quoteStringArgument(str(path))}" for name, path in files.items()
        )
        endpoint = serverFromString(
            reactor, f"proxytls:0:{given}:interface=127.0.0.1:backlog=5"
        )
        port = await endpoint.listen(self.applications)
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    async def connect(
        self,
        issued: Issued | None,
        server: Issued | None = None,
        clientCA: CertificateAuthority | None = None,
    ) -> list[tuple[Application, Client]]:
        """Both ends of a connection with each version, when it is over."""
        port = await self.listen(
            server or self.authority.server(), clientCA or self.authority
        )
        ends = []
        for version in VERSIONS:
            options = clientOptions(self.authority, issued, version)
            endpoint = SSL4ClientEndpoint(reactor, "127.0.0.1", port, options)
            client = Client()
            await endpoint.connect(Factory.forProtocol(lambda client=client: client))
            await client.lost
            application = self.applications.built[-1]
            await application.lost
            ends.append((application, client))
        return ends

    async def assertPasses(self, *given: Any, **also: Any) -> None:
        for application, client in await self.connect(*given, **also):
            assert (application.received, client.received) == (b"CONNECT", b"welcome")
            assert application.identity == Identity("alice", "certificate")

    async def assertRefused(self, *given: Any, **also: Any) -> None:
        for application, client in await self.connect(*given, **also):
            assert (application.received, client.received) == (b"", b"")

    async def test_valid(self) -> None:
        """One of the authority's passes, and its name is the Identity."""
        await self.assertPasses(self.authority.client("alice"))

    async def test_chainOfTheClient(self) -> None:
        """An intermediate's passes when the client sends it along."""
        middle = self.authority.intermediate("middle")
        await self.assertPasses(middle.client("alice"))

    async def test_intermediateAsClientCA(self) -> None:
        """An intermediate may be who is trusted, without its root; then the
        root's other clients are not."""
        middle = self.authority.intermediate("middle")
        await self.assertPasses(middle.client("alice"), clientCA=middle)
        await self.assertRefused(self.authority.client("alice"), clientCA=middle)

    async def test_chainOfTheServer(self) -> None:
        """The chain behind the server's certificate is sent."""
        server = self.authority.intermediate("middle").server()
        await self.assertPasses(self.authority.client("alice"), server=server)

    async def test_none(self) -> None:
        """Without one, not a byte passes."""
        await self.assertRefused(None)

    async def test_expired(self) -> None:
        """With an expired one, not a byte passes."""
        await self.assertRefused(self.authority.client("alice", expired=True))

    async def test_otherAuthority(self) -> None:
        """With another authority's, not a byte passes; nor when that authority
        has taken the same name."""
        for name in ("other-ca", "test-ca"):
            await self.assertRefused(self.makeAuthority(name).client("alice"))

    async def test_serversCertificate(self) -> None:
        """A certificate that is for servers lets no client in."""
        await self.assertRefused(self.authority.server("alice"))
