"""
C{ConnectEndpoint} through squid, tinyproxy and Apache as Debian has them, and
through a listener of ours that speaks TLS; treq through squid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from socket import socket
from typing import Any

import pytest
from certificates import CertificateAuthority
from loopback import (
    BANNER,
    PAGE,
    Load,
    Server,
    Site,
    afterTheEnd,
    bannerThenEcho,
    readExactly,
)
from otherproxies import DENIED, PASSWORD, USER, OtherProxy, Others
from proxyprocess import ProxyProcess
from rig import ANYTHING
from turning import Turning
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    clientFromString,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    KeyPair,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.client import (
    Basic,
    ConnectEndpoint,
    Digest,
    Password,
    ProxyAuthenticationRequired,
    ProxyRefused,
    Socks5Endpoint,
    SocksRefused,
)
from txconnect.proxy import ConnectProxyFactory

PROXIES = ("squid", "tinyproxy", "apache")
eachProxy = pytest.mark.parametrize("name", PROXIES)


@implementer(IHalfCloseableProtocol)
class Caller(Protocol):
    """Keeps what it hears, and says when it is enough."""

    transport: Any

    def __init__(self) -> None:
        self.heard = b""
        self.ended = False
        self.lost: Failure | None = None
        self._waiting: list[tuple[Callable[[], bool], Deferred[bytes]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        self._look()

    def readConnectionLost(self) -> None:
        self.ended = True
        self._look()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended, self.lost = True, reason
        self._look()

    def take(self, size: int) -> Deferred[bytes]:
        """So many bytes, or what there is when the other side ends before."""
        return self._when(lambda: self.ended or len(self.heard) >= size)

    def all(self) -> Deferred[bytes]:
        """Everything up to the end."""
        return self._when(lambda: self.ended)

    def gone(self) -> Deferred[bytes]:
        """Everything, when the connection is gone."""
        return self._when(lambda: self.lost is not None)

    def _when(self, enough: Callable[[], bool]) -> Deferred[bytes]:
        waiting: Deferred[bytes] = Deferred()
        self._waiting.append((enough, waiting))
        self._look()
        return waiting

    def _look(self) -> None:
        for pair in list(self._waiting):
            if pair[0]():
                self._waiting.remove(pair)
                pair[1].callback(self.heard)


CALLER = Factory.forProtocol(Caller)


class Client:
    """
    Endpoints on the turned reactor.

    @ivar trust: the authority of the tests.
    """

    def __init__(self, turn: Turning, authority: CertificateAuthority) -> None:
        self.reactor = turn.reactor
        self._turn = turn
        self.trust = trustRootFromCertificates(
            [Certificate.loadPEM(authority.certificate.read_bytes())]
        )

    def tcp(self, proxy: OtherProxy | ProxyProcess) -> TCP4ClientEndpoint:
        """The way to a proxy."""
        return TCP4ClientEndpoint(self.reactor, "127.0.0.1", proxy.port)

    def tls(self, endpoint: Any, **more: Any) -> Any:
        """The same endpoint under TLS, with C{localhost}."""
        options = optionsForClientTLS("localhost", self.trust, **more)
        return wrapClientTLS(options, endpoint)

    def through(
        self, proxy: Any, port: int, host: str = "127.0.0.1", **more: Any
    ) -> Any:
        """An endpoint behind a proxy, or behind the endpoint to one."""
        if isinstance(proxy, OtherProxy | ProxyProcess):
            proxy = self.tcp(proxy)
        return ConnectEndpoint(proxy, host, port, clock=self.reactor, **more)

    def talk(self, endpoint: Any, work: Callable[[Caller], Any]) -> Any:
        """Connect, do that, and leave."""

        async def talking() -> Any:
            caller = await endpoint.connect(CALLER)
            try:
                return await work(caller)
            finally:
                caller.transport.loseConnection()
                await caller.gone()

        return self._turn(talking())

    def refused(self, endpoint: Any) -> ProxyRefused:
        """What the proxy says instead of a tunnel."""

        async def trying() -> Any:
            await endpoint.connect(CALLER)

        with pytest.raises(ProxyRefused) as caught:
            self._turn(trying())
        assert isinstance(caught.value, ConnectError)
        return caught.value


@pytest.fixture
def client(turn: Turning, authority: CertificateAuthority) -> Client:
    return Client(turn, authority)


async def greeted(caller: Caller) -> bytes:
    """Hear the banner, then an echo."""
    await caller.take(len(BANNER))
    caller.transport.write(b"me too")
    return await caller.take(len(BANNER) + 6)


GREETED = BANNER + b"me too"


async def page(caller: Caller) -> str:
    """Ask for the site's page, as HTTP/1.0 has it."""
    caller.transport.write(b"GET /page.txt HTTP/1.0\r\n\r\n")
    head, blank, body = (await caller.gone()).partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == b"200"
    return body.decode()


# Each of the others


@eachProxy
def test_destinationSpeaksFirst(name: str, others: Others, client: Client) -> None:
    """[T2] [UP-03] What a server says at once, as sshd does, is all there."""
    with Server(bannerThenEcho) as server:
        got = client.talk(client.through(others(name), server.port), greeted)
    assert got == GREETED


def test_bannerWithTheAnswer(client: Client) -> None:
    """[T2] [UP-02] In one segment with the answer, whose framing fields mean
    nothing, and the end right behind it."""

    def serve(connection: socket) -> bytes:
        asked = connection.recv(65536)
        connection.sendall(
            b"HTTP/1.1 204 All yours\r\nContent-Length: 0\r\n\r\n" + BANNER
        )
        return asked

    with Server(serve) as proxy:
        way = TCP4ClientEndpoint(client.reactor, "127.0.0.1", proxy.port)
        endpoint = client.through(way, 22, "2001:db8::1")
        assert client.talk(endpoint, Caller.all) == BANNER
        where = b"[2001:db8::1]:22"
        asked = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (where, where)
        assert proxy.result() == asked


@eachProxy
def test_oneMegabyteEachWay(name: str, others: Others, client: Client) -> None:
    """[UP-03] At the same time, by checksum."""
    up, down = Load(b"up", 1), Load(b"down", 1)

    def serve(connection: socket) -> str:
        for block in down.blocks():
            connection.sendall(block)
        return hashlib.sha256(readExactly(connection, up.size)).hexdigest()

    async def both(caller: Caller) -> str:
        for block in up.blocks():
            caller.transport.write(block)
        return hashlib.sha256(await caller.take(down.size)).hexdigest()

    with Server(serve) as server:
        got = client.talk(client.through(others(name), server.port), both)
        assert (got, server.result()) == (down.digest, up.digest)


@pytest.mark.parametrize(
    ("name", "answered"),
    # The other two take the end of one side for the end of both.
    [("apache", b"you said all of it"), ("squid", b""), ("tinyproxy", b"")],
)
def test_halfClose(name: str, answered: bytes, others: Others, client: Client) -> None:
    """[TU-03] What the proxy passes on of a half-close arrives; where it passes
    on none, the connection ends, and nobody waits."""

    async def ending(caller: Caller) -> bytes:
        caller.transport.write(b"all of it")
        caller.transport.loseWriteConnection()
        return await caller.all()

    with Server(lambda connection: _quietly(afterTheEnd, connection)) as server:
        got = client.talk(client.through(others(name), server.port), ending)
    assert got == answered


def _quietly(serve: Callable[[socket], object], connection: socket) -> None:
    """A proxy that has closed both ways resets what still comes."""
    try:
        serve(connection)
    except ConnectionError:
        pass


@eachProxy
def test_tlsInside(name: str, others: Others, client: Client, site: Site) -> None:
    """TLS with the destination, whose certificate is verified."""
    tunnel = client.through(others(name), site.port, "localhost")
    assert client.talk(client.tls(tunnel), page) == PAGE


@pytest.mark.parametrize(
    ("name", "reason", "body"),
    [
        ("squid", "Forbidden", b"ERR_ACCESS_DENIED"),
        ("tinyproxy", "Filtered", b"The request you made has been filtered"),
        ("apache", "Proxy Error", b"Connect to remote machine blocked"),
    ],
)
def test_refusal(
    name: str, reason: str, body: bytes, others: Others, client: Client
) -> None:
    """[T4] The error has the proxy's status, reason and page, and its text is
    one line that says where to."""
    error = client.refused(client.through(others(name), 443, DENIED))
    assert (error.status, error.reason) == (403, reason)
    assert body in error.body
    assert str(error.authority) == f"{DENIED}:443"
    assert f"{DENIED}:443" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("name", "status"), [("squid", 503), ("tinyproxy", 500), ("apache", 503)]
)
def test_nobodyListensThere(
    name: str, status: int, others: Others, client: Client
) -> None:
    """[T4] Their words for a destination that refuses differ."""
    with Server(bannerThenEcho) as gone:
        pass
    error = client.refused(client.through(others(name), gone.port))
    assert error.status == status


# Credentials


BASIC = ("squid-basic", "tinyproxy-basic", "apache-basic")


@pytest.mark.parametrize("name", BASIC)
def test_rightCredentials(name: str, others: Others, client: Client) -> None:
    with Server(bannerThenEcho) as server:
        endpoint = client.through(
            others(name), server.port, credentials=Basic(USER, PASSWORD)
        )
        assert client.talk(endpoint, greeted) == GREETED


@pytest.mark.parametrize("name", [*BASIC, "squid-digest"])
def test_noCredentials(name: str, others: Others, client: Client) -> None:
    """[T4] The error says which schemes the proxy asks for."""
    error = client.refused(client.through(others(name), 443))
    assert isinstance(error, ProxyAuthenticationRequired)
    (challenge,) = error.challenges
    assert challenge.scheme == ("digest" if "digest" in name else "basic")


@pytest.mark.parametrize(
    ("name", "status"),
    # That one is alone in its answer.
    [("squid-basic", 407), ("apache-basic", 407), ("tinyproxy-basic", 401)],
)
def test_wrongCredentials(
    name: str, status: int, others: Others, client: Client
) -> None:
    """[T8] The password is not in the error."""
    error = client.refused(
        client.through(others(name), 443, credentials=Basic(USER, "wrong word"))
    )
    assert error.status == status
    assert isinstance(error, ProxyAuthenticationRequired) == (status == 407)
    assert "wrong word" not in repr(error) + str(error)
    assert "credentials" in str(error)


@pytest.mark.parametrize("kind", [Digest, Password])
def test_digest(kind: Any, others: Others, client: Client) -> None:
    """RFC 7616 as squid has it; a mere password is used for what is asked."""
    with Server(bannerThenEcho) as server:
        endpoint = client.through(
            others("squid-digest"), server.port, credentials=kind(USER, PASSWORD)
        )
        # Twice: the nonce of the first serves the second.
        assert client.talk(endpoint, greeted) == GREETED
        assert client.talk(endpoint, greeted) == GREETED


def test_wrongDigest(others: Others, client: Client) -> None:
    error = client.refused(
        client.through(others("squid-digest"), 443, credentials=Digest(USER, "wrong"))
    )
    assert isinstance(error, ProxyAuthenticationRequired)


# TLS to the proxy


def test_tlsToSquid(others: Others, client: Client, site: Site) -> None:
    """Alone, and with TLS to the destination inside it."""
    way = client.tls(client.tcp(others("squid-tls")))
    with Server(bannerThenEcho) as server:
        assert client.talk(client.through(way, server.port), greeted) == GREETED
    inside = client.tls(client.through(way, site.port, "localhost"))
    assert client.talk(inside, page) == PAGE


def test_proxyOfAnotherAuthority(others: Others, client: Client, turn: Turning) -> None:
    """[T17] A proxy whose certificate is not verified gets no CONNECT."""
    way = wrapClientTLS(
        optionsForClientTLS("localhost"), client.tcp(others("squid-tls"))
    )

    async def trying() -> None:
        await client.through(way, 443, credentials=Basic(USER, PASSWORD)).connect(
            CALLER
        )

    with pytest.raises(Exception, match="certificate verify failed"):
        turn(trying())


@pytest.fixture
def mine(
    turn: Turning, authority: CertificateAuthority
) -> Iterator[Callable[[str], int]]:
    """C{mine("proxytls:0:...")} is the port of a proxy of ours that listens so."""
    ports: list[Any] = []

    def listening(listener: str) -> int:
        issued = authority.server()
        keys = f"cert={issued.certificate}:key={issued.key}"
        endpoint = serverFromString(turn.reactor, listener.format(keys=keys))
        factory = ConnectProxyFactory(turn.reactor, policies=ANYTHING)

        async def listen() -> Any:
            return await endpoint.listen(factory)

        ports.append(turn(listen()))
        return int(ports[-1].getHost().port)

    yield listening

    async def stop() -> None:
        for port in ports:
            await port.stopListening()

    turn(stop())


# Twisted's own use of pyOpenSSL.
@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
def test_tlsToOurs(
    others: Others,
    client: Client,
    mine: Callable[[str], int],
    authority: CertificateAuthority,
    site: Site,
) -> None:
    """With a client certificate, and TLS to the destination inside it."""
    port = mine(
        f"proxytls:0:interface=127.0.0.1:{{keys}}:clientCA={authority.certificate}"
    )
    alice = authority.client("alice")
    certificate = PrivateCertificate.fromCertificateAndKeyPair(
        Certificate.loadPEM(alice.certificate.read_bytes()),
        KeyPair.load(alice.key.read_bytes(), 1),
    )
    way = client.tls(
        TCP4ClientEndpoint(client.reactor, "127.0.0.1", port),
        clientCertificate=certificate,
    )
    with Server(bannerThenEcho) as server:
        assert client.talk(client.through(way, server.port), greeted) == GREETED
    inside = client.tls(client.through(way, site.port, "localhost"))
    assert client.talk(inside, page) == PAGE


# Nested


def wanted(name: str) -> Any:
    """The credentials for one of them."""
    return Password(USER, PASSWORD) if "-" in name else None


@pytest.mark.parametrize(
    "names",
    [
        ("squid", "apache"),
        ("apache-basic", "tinyproxy"),
        ("tinyproxy-basic", "squid-digest", "apache"),
    ],
)
def test_nested(
    names: tuple[str, ...], others: Others, client: Client, site: Site
) -> None:
    """[T4] Through one into the next, each with its own credentials."""
    first, *more = names
    way: Any = client.tcp(others(first))
    for name, before in zip(more, names, strict=False):
        way = client.through(way, others(name).port, credentials=wanted(before))
    tunnel = client.through(way, site.port, "localhost", credentials=wanted(names[-1]))
    assert client.talk(client.tls(tunnel), page) == PAGE


def test_nestedRefusal(others: Others, client: Client) -> None:
    """The error is the one of the proxy that refuses, and says where to."""
    second = others("squid-basic")
    way = client.through(others("apache"), second.port)
    error = client.refused(client.through(way, 443))
    assert (error.status, str(error.authority)) == (407, "127.0.0.1:443")
    way = client.through(others("squid-basic"), second.port)
    error = client.refused(client.through(way, 443))
    assert str(error.authority) == f"127.0.0.1:{second.port}"


# SOCKS


@pytest.mark.parametrize("name", ["socks", "socks-basic"])
def test_socks(name: str, others: Others, client: Client) -> None:
    """[T2] Names are looked up by the proxy; a banner is all there."""
    login = {"user": USER, "password": PASSWORD} if "-" in name else {}
    with Server(bannerThenEcho) as server:
        endpoint = Socks5Endpoint(
            client.tcp(others(name)),
            "localhost",
            server.port,
            clock=client.reactor,
            **login,
        )
        assert client.talk(endpoint, greeted) == GREETED


@pytest.mark.parametrize("login", [{}, {"user": USER, "password": "wrong word"}])
def test_socksIsRefused(
    login: dict[str, str], others: Others, client: Client, turn: Turning
) -> None:
    """[T8] No code: the proxy did not come to look at the destination."""
    endpoint = Socks5Endpoint(
        client.tcp(others("socks-basic")), "localhost", 443, **login
    )

    async def trying() -> None:
        await endpoint.connect(CALLER)

    with pytest.raises(SocksRefused) as caught:
        turn(trying())
    assert caught.value.code is None
    assert "wrong word" not in repr(caught.value) + str(caught.value)


def test_socksInsideAnother(others: Others, client: Client, site: Site) -> None:
    """A SOCKS proxy behind an HTTP one, and TLS with what is behind both."""
    way = client.through(others("squid"), others("socks").port)
    tunnel = Socks5Endpoint(way, "localhost", site.port, clock=client.reactor)
    assert client.talk(client.tls(tunnel), page) == PAGE


def test_endpointString(others: Others, client: Client) -> None:
    """What a program takes that knows nothing of proxies."""
    proxy = others("squid-basic").port
    with Server(bannerThenEcho) as server:
        where = f"connect:127.0.0.1:{server.port}:timeout=30"
        url = rf"http\://{USER}\:{PASSWORD}@127.0.0.1\:{proxy}"
        endpoint = clientFromString(client.reactor, f"{where}:proxy={url}")
        assert client.talk(endpoint, greeted) == GREETED
        endpoint = clientFromString(
            client.reactor, rf"{where}:proxy=tcp\:127.0.0.1\:{others('apache').port}"
        )
        assert client.talk(endpoint, greeted) == GREETED
