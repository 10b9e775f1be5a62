"""
Proxies behind proxies, and TLS on either side of a proxy, with real TLS on the
memory network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from certificates import CertificateAuthority, makeAuthority
from connectrig import ASKED, OK, Caller, ClientRig, CountingFactory, HalfCaller
from OpenSSL import SSL
from rig import ANYTHING, Rig
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    KeyPair,
    PrivateCertificate,
    optionsForClientTLS,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from txconnect.client.credentials import Basic
from txconnect.client.endpoint import ConnectEndpoint
from txconnect.client.errors import ProxyClosed, ProxyRefused, ProxyTimeout
from txconnect.proxy import ConnectProxyFactory
from txconnect.testing import CHUNKS, MemoryNetwork

# Twisted's own use of what newer pyOpenSSLs deprecate.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Passing pyOpenSSL:DeprecationWarning",
)
everyChunk = pytest.mark.parametrize("chunk", CHUNKS)


def connectOf(target: str) -> bytes:
    """A CONNECT without further fields."""
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()


def nest(rig: ClientRig, *hops: str) -> None:
    """Let the rig's endpoint go through these proxies behind its own."""
    endpoint = rig.way()
    for hop in (*hops, "example.com:443"):
        host, port = hop.rsplit(":", 1)
        endpoint = ConnectEndpoint(endpoint, host, int(port), clock=rig.network)
    rig.endpoint = endpoint


HOPS = [("b.example:3128",), ("b.example:3128", "c.example:8080")]


@everyChunk
@pytest.mark.parametrize("hops", HOPS)
@pytest.mark.parametrize("protocol", [Caller, HalfCaller])
def test_nested(chunk: Any, hops: tuple[str, ...], protocol: Any) -> None:
    """[UP-01] [UP-03] Each proxy is asked for the next; the last one's banner comes."""
    rig = ClientRig(chunk, protocol=protocol)
    nest(rig, *hops)
    rig.connect()
    for hop in hops:
        assert rig.peer.take() == connectOf(hop)
        rig.peer.send(OK)
        rig.network.flush()
    assert rig.peer.take() == connectOf("example.com:443")
    rig.peer.send(OK + b"banner")
    rig.network.flush()
    caller = rig.caller
    rig.says(b" and more")
    assert caller.heard == ["made", b"banner and more"]
    caller.transport.write(b"hello")
    rig.network.flush()
    assert rig.peer.take() == b"hello"
    rig.peer.end()
    rig.network.flush()
    assert caller.heard[2:] == (["end"] if protocol is HalfCaller else ["lost"])
    if protocol is HalfCaller:
        caller.transport.loseConnection()
        rig.network.flush()
    assert (rig.factory.starts, rig.factory.stops) == (1, 1)
    rig.network.assertClean()


@everyChunk
def test_allInOneSegment(chunk: Any) -> None:
    """
    [UP-03] [T2] Behind one 200 there may be the next one, if that proxy does not
    wait: each reader takes its own, and the banner is still the caller's.
    """
    rig = ClientRig(chunk)
    nest(rig, *HOPS[1])
    rig.connect()
    rig.peer.send(OK + OK + OK + b"banner")
    rig.peer.end()
    rig.network.flush()
    assert rig.caller.heard == ["made", b"banner", "lost"]
    rig.network.assertClean()


def test_noFramesOfNesting() -> None:
    """However many proxies are nested, no call of theirs stays in the way."""
    rig = ClientRig()
    nest(rig, *HOPS[1])
    rig.connect()
    rig.says(OK + OK + OK)
    caller = rig.caller
    outermost = caller.transport.protocol._wrappedProtocol
    assert outermost.dataReceived == caller.dataReceived


def test_address() -> None:
    """Only the caller's factory is told of the destination."""
    rig = ClientRig()
    nest(rig, *HOPS[0])
    rig.connect()
    rig.says(OK + OK)
    assert [each.hostname for each in rig.factory.addresses] == [b"example.com"]


def test_refusedByTheSecond() -> None:
    """[T4] What an inner proxy refuses names what that one was asked for."""
    rig = ClientRig()
    nest(rig, *HOPS[0])
    rig.connect()
    rig.says(OK)
    rig.says(b"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n")
    assert str(rig.failed(ProxyRefused).authority) == "example.com:443"
    rig = ClientRig()
    nest(rig, *HOPS[0])
    rig.connect()
    rig.says(b"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n")
    assert str(rig.failed(ProxyRefused).authority) == "b.example:3128"


@pytest.mark.parametrize("agreed", [0, 1, 2])
def test_cancelledNested(agreed: int) -> None:
    """Cancelling leaves nothing, however far it got."""
    rig = ClientRig()
    nest(rig, *HOPS[1])
    connecting = rig.connect()
    rig.says(OK * agreed)
    connecting.cancel()
    rig.failed(ConnectingCancelledError)


@pytest.mark.parametrize("agreed", [0, 1, 2])
def test_lateNested(agreed: int) -> None:
    """The deadline of whichever proxy is slow leaves nothing either."""
    rig = ClientRig()
    nest(rig, *HOPS[1])
    rig.connect()
    rig.says(OK * agreed)
    rig.network.advance(30)
    rig.failed(ProxyTimeout)


@pytest.mark.parametrize("agreed", [0, 1, 2])
def test_closedNested(agreed: int) -> None:
    """So does the first proxy's leaving."""
    rig = ClientRig()
    nest(rig, *HOPS[1])
    rig.connect()
    rig.says(OK * agreed)
    rig.peer.close()
    rig.network.flush()
    rig.failed(ProxyClosed)


@everyChunk
def test_ourOwnProxies(chunk: Any) -> None:
    """Two proxies of this package, one behind the other, and a destination."""
    rig = Rig(chunk)
    destination = rig.serve("192.0.2.1", 443, banner=b"hi", echo=True)
    way: Any = TCP4ClientEndpoint(rig.network, "127.0.0.1", 3128)
    second = ConnectProxyFactory(rig.network, policies=ANYTHING)
    rig.network.listenTCP(3130, second, interface="127.0.0.1")
    for host, port in (("127.0.0.1", 3130), ("192.0.2.1", 443)):
        way = ConnectEndpoint(way, host, port, clock=rig.network)
    outcome: list[Any] = []
    way.connect(CountingFactory(HalfCaller)).addBoth(outcome.append)
    rig.network.flush()
    [caller] = outcome
    caller.transport.write(b" there")
    caller.transport.loseWriteConnection()
    rig.network.flush()
    assert caller.data == b"hi there" and "end" in caller.heard
    assert destination.peer.closed


# TLS.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Whom both sides trust."""
    return makeAuthority(tmp_path_factory.mktemp("certificates"))


def serverOptions(
    authority: CertificateAuthority, name: str, mutual: bool = False
) -> CertificateOptions:
    """What a server of this name says of itself."""
    issued = authority.server(name, dns=[name], addresses=[])
    trusted = Certificate.loadPEM(authority.certificate.read_bytes())
    return PrivateCertificate.fromCertificateAndKeyPair(
        Certificate.loadPEM(issued.certificate.read_bytes()),
        KeyPair.load(issued.key.read_bytes(), 1),
    ).options(*([trusted] if mutual else []))


def clientOptions(
    authority: CertificateAuthority, name: str, mutual: bool = False
) -> Any:
    """How a client verifies that server."""
    trusted = Certificate.loadPEM(authority.certificate.read_bytes())
    certificate = None
    if mutual:
        issued = authority.client("me")
        certificate = PrivateCertificate.fromCertificateAndKeyPair(
            Certificate.loadPEM(issued.certificate.read_bytes()),
            KeyPair.load(issued.key.read_bytes(), 1),
        )
    return optionsForClientTLS(name, trustRoot=trusted, clientCertificate=certificate)


class TLSWay:
    """What wrapClientTLS makes, with the network's clock."""

    def __init__(self, options: Any, way: Any, network: MemoryNetwork) -> None:
        self._options = options
        self._way = way
        self._network = network

    def connect(self, factory: Any) -> Any:
        dressed = TLSMemoryBIOFactory(self._options, True, factory, self._network)
        dressed.noisy = False
        return self._way.connect(dressed).addCallback(
            lambda protocol: protocol.wrappedProtocol
        )


class Scripted(Protocol):
    """A server that answers what it is asked by a script."""

    transport: Any

    def __init__(self, script: list[tuple[bytes, bytes]]) -> None:
        self._script = script
        self.received = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        while self._script and self.received.endswith(self._script[0][0]):
            self.transport.write(self._script.pop(0)[1])

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = reason


class TLSRig(ClientRig):
    """
    A proxy behind TLS, on the machine of the code under test.

    @ivar served: the server's end, within TLS.
    """

    def __init__(
        self, options: Any, script: list[tuple[bytes, bytes]], **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.served: list[Scripted] = []

        def build() -> Scripted:
            self.served.append(Scripted(script))
            return self.served[-1]

        factory = Factory.forProtocol(build)  # type: ignore[arg-type]
        dressed = TLSMemoryBIOFactory(options, False, factory, self.network)
        self.network.listenTCP(8443, dressed, interface="127.0.0.1")

    def through(self, options: Any, **arguments: Any) -> None:
        """Let the endpoint go through it."""
        plain = TCP4ClientEndpoint(self.network, "127.0.0.1", 8443)
        way: Any = TLSWay(options, plain, self.network)
        arguments.setdefault("clock", self.network)
        self.endpoint = ConnectEndpoint(way, "example.com", 443, **arguments)


@everyChunk
def test_tlsToTheProxy(chunk: Any, authority: CertificateAuthority) -> None:
    """[UP-03] [T2] Through TLS to the proxy, banner and end included."""
    script = [(b"\r\n\r\n", OK + b"banner"), (b"hello", b"bye")]
    rig = TLSRig(serverOptions(authority, "proxy.example"), script, chunk=chunk)
    rig.through(clientOptions(authority, "proxy.example"), credentials=Basic("u", "p"))
    rig.connect()
    rig.network.advance(0.1)
    caller = rig.caller
    assert rig.served[0].received == (
        ASKED + b"Proxy-Authorization: Basic dTpw\r\n\r\n"
    )
    assert caller.heard == ["made", b"banner"]
    caller.transport.write(b"hello")
    rig.network.advance(0.1)
    assert caller.data == b"bannerbye"
    rig.served[0].transport.loseConnection()
    rig.network.advance(0.1)
    assert caller.heard[-1] == "lost"
    rig.network.assertClean()


@everyChunk
@pytest.mark.parametrize("protocol", [Caller, HalfCaller])
def test_tlsEndsWithTheBanner(
    chunk: Any, protocol: Any, authority: CertificateAuthority
) -> None:
    """[UP-03] [T2] The banner is not lost when close_notify comes with it."""
    rig = TLSRig(
        serverOptions(authority, "proxy.example"), [], chunk=chunk, protocol=protocol
    )
    rig.through(clientOptions(authority, "proxy.example"))
    rig.connect()
    rig.network.advance(0.1)
    rig.served[0].transport.write(OK + b"banner")
    rig.served[0].transport.loseConnection()
    rig.network.advance(0.1)
    assert rig.caller.heard == ["made", b"banner", "lost"]
    rig.network.assertClean()


def test_mutualTLS(authority: CertificateAuthority) -> None:
    """A proxy that wants a certificate gets it."""
    rig = TLSRig(
        serverOptions(authority, "proxy.example", mutual=True), [(b"\r\n\r\n", OK)]
    )
    rig.through(clientOptions(authority, "proxy.example", mutual=True))
    rig.connect()
    rig.network.advance(0.1)
    assert rig.caller.heard == ["made"]
    assert peerName(rig.served[0]) == "me"


def peerName(protocol: Any) -> str:
    """What the other side's certificate says."""
    certificate = protocol.transport.getPeerCertificate().to_cryptography()
    return str(certificate.subject.rfc4514_string()).removeprefix("CN=")


def strangers(directory: Path) -> CertificateAuthority:
    """An authority that nobody trusts."""
    return makeAuthority(directory, "stranger")


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_unverified(
    wrong: str, authority: CertificateAuthority, tmp_path: Path
) -> None:
    """
    A proxy that is not the one meant is told nothing, credentials least of all,
    and the error is that of TLS.
    """
    signer = authority if wrong == "name" else strangers(tmp_path)
    name = "proxy.example" if wrong == "authority" else "other.example"
    rig = TLSRig(serverOptions(signer, name), [(b"\r\n\r\n", OK)])
    rig.through(clientOptions(authority, "proxy.example"), credentials=Basic("u", "p"))
    rig.connect()
    rig.network.advance(0.1)
    [failure] = rig.outcome
    expected = "VerificationError" if wrong == "name" else "Error"
    assert type(failure.value).__name__ == expected
    assert [each.received for each in rig.served] == [b""]
    assert rig.factory.addresses == []
    assert (rig.factory.starts, rig.factory.stops) == (1, 1)
    assert rig.network.open == [] and rig.network.getDelayedCalls() == []


def test_tlsToSomethingElse(authority: CertificateAuthority) -> None:
    """A proxy that does not speak TLS where it should is TLS's error too."""
    rig = ClientRig()
    way: Any = TLSWay(clientOptions(authority, "a"), rig.way(), rig.network)
    rig.endpoint = ConnectEndpoint(way, "example.com", 443, clock=rig.network)
    rig.connect()
    rig.says(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    rig.network.advance(0.1)
    rig.failed(SSL.Error)


@pytest.mark.parametrize("how", ["cancel", "late"])
def test_givenUpInTheHandshake(how: str, authority: CertificateAuthority) -> None:
    """Giving up while TLS shakes hands leaves nothing."""
    rig = ClientRig()
    way: Any = TLSWay(clientOptions(authority, "a"), rig.way(), rig.network)
    rig.endpoint = ConnectEndpoint(way, "example.com", 443, clock=rig.network)
    connecting = rig.connect()
    if how == "cancel":
        connecting.cancel()
        rig.network.advance(0.1)
        rig.failed(ConnectingCancelledError)
    else:
        rig.network.advance(30.1)
        rig.failed(ProxyTimeout)


def tlsServer(
    network: MemoryNetwork, port: int, options: Any, script: list[tuple[bytes, bytes]]
) -> list[Scripted]:
    """A destination behind TLS."""
    served: list[Scripted] = []

    def build() -> Scripted:
        served.append(Scripted(script))
        return served[-1]

    factory = Factory.forProtocol(build)  # type: ignore[arg-type]
    dressed = TLSMemoryBIOFactory(options, False, factory, network)
    network.listenTCP(port, dressed, interface="127.0.0.1")
    return served


@everyChunk
@pytest.mark.parametrize(
    ("inner", "outer"), [("around", False), ("around", True), ("startTLS", False)]
)
def test_tlsToTheDestination(
    chunk: Any, inner: str, outer: bool, authority: CertificateAuthority
) -> None:
    """
    TLS to the destination inside the tunnel, by an endpoint around ours, over
    a proxy in the clear or behind TLS of its own; or by startTLS.
    """
    rig = Rig(chunk)
    network = rig.network
    served = tlsServer(
        network, 4443, serverOptions(authority, "inner.example"), [(b"ping", b"pong")]
    )
    way: Any = TCP4ClientEndpoint(network, "127.0.0.1", 3128)
    if outer:
        options = serverOptions(authority, "proxy.example")
        dressed = TLSMemoryBIOFactory(options, False, rig.factory, network)
        network.listenTCP(3129, dressed, interface="127.0.0.1")
        way = TCP4ClientEndpoint(network, "127.0.0.1", 3129)
        way = TLSWay(clientOptions(authority, "proxy.example"), way, network)
    endpoint: Any = ConnectEndpoint(way, "127.0.0.1", 4443, clock=network)
    options = clientOptions(authority, "inner.example")
    if inner == "around":
        endpoint = TLSWay(options, endpoint, network)
    outcome: list[Any] = []
    endpoint.connect(CountingFactory()).addBoth(outcome.append)
    network.advance(0.1)
    [caller] = outcome
    assert isinstance(caller, Caller), caller
    if inner == "startTLS":
        caller.transport.startTLS(options)
    # Small writes wait for the next turn of a reactor that startTLS looks up.
    sent = b"x" * (70_000 if inner == "startTLS" else 0) + b"ping"
    caller.transport.write(sent)
    network.advance(0.1)
    assert served[0].received == sent
    assert caller.data == b"pong"
    assert peerName(caller) == "inner.example"
    caller.transport.loseConnection()
    network.advance(0.1)
    assert caller.heard[-1] == "lost" and served[0].lost is not None
