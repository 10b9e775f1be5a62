"""
Agents through a proxy, on the memory network: what the proxy is asked and what
the destination, who answers what, and which connections serve twice.
"""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import Any

import pytest
import treq
from namednetwork import NamedNetwork
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    FileBodyProducer,
    HTTPConnectionPool,
    RedirectAgent,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txconnect.client import (
    Basic,
    ConnectEndpointFactory,
    Digest,
    ProxyAttempt,
    ProxyAuthenticationRequired,
    ProxyRefused,
    ProxyURL,
    Socks5Endpoint,
    StoredCredentials,
    agentFromEnvironment,
    proxyAgent,
)
from txconnect.client.bodies import LARGEST_KEPT, LARGEST_READ, READ_SECONDS
from txconnect.testing import CHUNKS
from txconnect.testing.peers import Peer

PROXY, OTHER, DIRECT = "192.0.2.9", "192.0.2.10", "192.0.2.80"
URL = f"http://{PROXY}:3128"
ESTABLISHED = b"HTTP/1.1 200 Fine\r\n\r\n"
ASKS = b"Proxy-Authenticate: Basic realm=x\r\n"

everyChunk = pytest.mark.parametrize("chunk", CHUNKS)


def answer(
    content: bytes = b"hello", status: str = "200 OK", fields: bytes = b""
) -> bytes:
    """A response as a server writes it."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status.encode(),
        len(content),
        fields,
        content,
    )


DEMAND = answer(b"who?", "407 Who", ASKS)


def basic(user: str, password: str) -> bytes:
    return b"Basic " + b64encode(f"{user}:{password}".encode())


def head(peer: Peer) -> list[bytes]:
    """The lines of the one head that has arrived, and nothing behind it."""
    received = peer.take()
    assert received.endswith(b"\r\n\r\n"), received
    assert received.count(b"\r\n\r\n") == 1, received
    return received[:-4].split(b"\r\n")


class Rig:
    """A network with two proxies, and the requests of the test's agents."""

    def __init__(self, chunk: Any = None) -> None:
        self.network = NamedNetwork(chunk=chunk)
        self.proxy = self.network.serve(PROXY, 3128)
        self.other = self.network.serve(OTHER, 3128)
        self.pool = HTTPConnectionPool(self.network)
        self.cooperator = Cooperator(
            scheduler=lambda call: self.network.callLater(0, call)
        )

    def agent(self, url: Any = URL, **arguments: Any) -> Any:
        arguments.setdefault("pool", self.pool)
        return proxyAgent(self.network, url, **arguments)

    def asks(
        self, agent: Any, url: bytes = b"http://a.example/", **arguments: Any
    ) -> list[Any]:
        """Send a request; the response, or what it failed with, is put there."""
        method = arguments.pop("method", b"GET")
        outcome: list[Any] = []
        agent.request(method, url, **arguments).addBoth(outcome.append)
        self.network.flush()
        return outcome

    def settle(self) -> None:
        """Let what a cooperator does be done."""
        for _ in range(9):
            self.network.advance(0)
            self.network.flush()

    def says(self, data: bytes, peer: Peer | None = None) -> None:
        """Let the proxy, or one of its connections, send."""
        (self.proxy.peers[-1] if peer is None else peer).send(data)
        self.network.flush()

    def content(self, outcome: list[Any]) -> bytes:
        """What a response holds, to its end."""
        [response] = outcome
        read: list[Any] = []
        treq.content(response).addBoth(read.append)
        self.network.flush()
        [content] = read
        assert isinstance(content, bytes), content
        return content

    def failure(self, outcome: list[Any]) -> Any:
        [failure] = outcome
        assert isinstance(failure, Failure), failure
        return failure.value

    def close(self) -> None:
        """Nothing is left but what the pool keeps, and that not for long."""
        self.pool.closeCachedConnections()
        for each in (*self.proxy.peers, *self.other.peers):
            if not each.closed:
                each.close()
        self.network.flush()
        self.network.assertClean()


def test_interfaces() -> None:
    rig = Rig()
    verifyObject(IAgent, rig.agent())
    verifyObject(IAgent, agentFromEnvironment(rig.network, {}))
    factory = ConnectEndpointFactory(rig.network, URL)
    verifyObject(IAgentEndpointFactory, factory)
    endpoint = factory.endpointForURI(URI.fromBytes(b"https://a.example/"))
    verifyObject(IStreamClientEndpoint, endpoint)


# Absolute-form.


@everyChunk
def test_absoluteForm(chunk: Any) -> None:
    """The whole URL without its fragment, its authority as Host, credentials."""
    rig = Rig(chunk)
    agent = rig.agent(f"http://ada:pw@{PROXY}:3128")
    outcome = rig.asks(agent, b"http://a.example:80/x;y?z=1#here")
    lines = head(rig.proxy.peer)
    assert lines[0] == b"GET http://a.example/x;y?z=1 HTTP/1.1"
    assert sorted(lines[1:]) == [
        b"Host: a.example",
        b"Proxy-Authorization: " + basic("ada", "pw"),
    ]
    rig.says(answer())
    assert rig.content(outcome) == b"hello"
    rig.close()


def test_fieldsForTheProxy() -> None:
    """Beside a request's own, which stand where both have one name."""
    rig = Rig()
    fields = [(b"x-team", b"a"), (b"X-Team", b"b"), (b"User-Agent", b"proxied")]
    given = Headers({b"User-Agent": [b"own"]})
    rig.asks(rig.agent(headers=fields), headers=given)
    assert sorted(head(rig.proxy.peer)[1:]) == [
        b"Host: a.example",
        b"User-Agent: own",
        b"X-Team: a",
        b"X-Team: b",
    ]
    rig.close()


@everyChunk
@pytest.mark.parametrize("again", ["", "Connection: close\r\n"])
def test_credentialsAreAskedAgain(chunk: Any, again: str) -> None:
    """
    A 407 is answered, with the method and the target that Digest signs, on the
    same connection where that stays; and what was learnt goes with the next.
    """
    rig = Rig(chunk)
    agent = rig.agent(credentials=Digest("ada", "pw"))
    outcome = rig.asks(agent, b"http://a.example/x", method=b"POST")
    assert not any(b"Proxy-Auth" in line for line in head(rig.proxy.peer))
    digest = b'Proxy-Authenticate: Digest realm="r", nonce="n", qop="auth"\r\n'
    rig.says(answer(b"who?" * 9, "407 Who", digest + again.encode()))
    assert len(rig.proxy.peers) == (2 if again else 1)
    lines = head(rig.proxy.peers[-1])
    assert lines[0] == b"POST http://a.example/x HTTP/1.1"
    [value] = [line for line in lines if line.startswith(b"Proxy-Authorization:")]
    assert b'uri="http://a.example/x"' in value
    rig.says(answer())
    assert rig.content(outcome) == b"hello"
    second = rig.asks(agent, b"http://a.example/y")
    [value] = [line for line in head(rig.proxy.peers[-1]) if b"Digest" in line]
    assert b"nc=00000002" in value
    rig.says(answer())
    assert rig.content(second) == b"hello"
    rig.close()


def test_lastDemandIsFinal() -> None:
    """After three requests, whatever the credentials offer."""
    rig = Rig()
    attempts: list[ProxyAttempt] = []

    def authorize(attempt: ProxyAttempt) -> bytes:
        attempts.append(attempt)
        return b"Basic %d" % len(attempts)

    outcome = rig.asks(rig.agent(credentials=authorize))
    for _ in range(3):
        assert outcome == []
        rig.says(DEMAND)
    refusal = rig.failure(outcome)
    assert type(refusal) is ProxyAuthenticationRequired
    assert [each.scheme for each in refusal.challenges] == ["basic"]
    assert (refusal.status, refusal.reason, refusal.body) == (407, "Who", b"who?")
    assert (b"proxy-authenticate", b"Basic realm=x") in refusal.headers
    assert str(refusal.authority) == "a.example:80"
    assert [each.refused for each in attempts] == [
        (),
        (b"Basic 1",),
        (b"Basic 1", b"Basic 2"),
    ]
    assert rig.proxy.peer.received.count(b"GET ") == 3
    rig.close()


@pytest.mark.parametrize("credentials", [None, Basic("ada", "wrong")])
def test_nothingMoreToOffer(credentials: Any) -> None:
    rig = Rig()
    outcome = rig.asks(rig.agent(credentials=credentials))
    rig.says(answer(b"", "407 Who", ASKS + b"Proxy-Status: p; error=x\r\n"))
    refusal = rig.failure(outcome)
    assert type(refusal) is ProxyAuthenticationRequired
    assert [each.name for each in refusal.proxyStatus] == ["p"]
    assert "wrong" not in str(refusal)
    assert rig.proxy.peer.received.count(b"GET ") == 1
    rig.close()


def test_headIsAskedAgain() -> None:
    """A 407 to HEAD has a length and no content."""
    rig = Rig()
    outcome = rig.asks(rig.agent(credentials=twice), method=b"HEAD")
    rig.says(DEMAND.removesuffix(b"who?"))
    rig.says(answer().removesuffix(b"hello"))
    assert outcome[0].code == 200
    rig.close()


def twice(attempt: ProxyAttempt) -> bytes | None:
    """Credentials that have something to say when they are asked again."""
    return b"Basic Zm9v" if attempt.challenges else None


@everyChunk
def test_endlessDemand(chunk: Any) -> None:
    """What a 407 says is read to a limit, and then its connection closed."""
    rig = Rig(chunk)
    outcome = rig.asks(rig.agent(credentials=twice))
    length = b"Content-Length: %d\r\n" % (10 * LARGEST_READ)
    head = b"HTTP/1.1 407 Who\r\n" + ASKS + length + b"\r\n"
    rig.says(head + b"x" * (LARGEST_READ + 1))
    assert rig.proxy.peers[0].closed or rig.proxy.peers[0].ended
    assert len(rig.proxy.peers) == 2
    rig.says(head + b"y" * (LARGEST_READ + 1))
    rig.says(head + b"z" * (LARGEST_READ + 1))
    assert len(rig.proxy.peers) == 3
    assert rig.failure(outcome).body == b"z" * LARGEST_READ
    rig.close()


@everyChunk
def test_demandWithoutALength(chunk: Any) -> None:
    """[F62] A 407 whose content lasts until the close is answered at once."""
    rig = Rig(chunk)
    outcome = rig.asks(rig.agent(credentials=twice))
    rig.says(b"HTTP/1.1 407 Who\r\n" + ASKS + b"\r\nwho?")
    assert len(rig.proxy.peers) == 2
    assert rig.proxy.peers[0].closed or rig.proxy.peers[0].ended
    rig.says(answer())
    assert rig.content(outcome) == b"hello"
    rig.close()


def test_demandThatNeverEnds() -> None:
    """[F62] One whose content does not come is answered after some seconds."""
    rig = Rig()
    outcome = rig.asks(rig.agent(credentials=twice))
    rig.says(DEMAND[:-2])
    assert len(rig.proxy.peers) == 1
    rig.network.advance(READ_SECONDS)
    rig.says(answer())
    assert rig.content(outcome) == b"hello"
    rig.close()


@pytest.mark.parametrize("url", [b"http://a.example/", b"https://a.example/"])
def test_aProxyThatIsDown(url: bytes) -> None:
    """[F62] In either form the proxy is named."""
    rig = Rig()
    rig.network.refuse(PROXY)
    outcome = rig.asks(rig.agent(), url)
    # HostnameEndpoint may have more addresses to try.
    rig.network.advance(1)
    error = rig.failure(outcome)
    assert type(error) is ConnectionRefusedError
    assert str(error).endswith(f": the proxy {PROXY}:3128.")
    rig.close()


def test_demandThatBreaksOff() -> None:
    """Its content is for people; its challenges are answered nevertheless."""
    rig = Rig()
    outcome = rig.asks(rig.agent(credentials=twice))
    rig.says(DEMAND[:-2])
    rig.proxy.peer.close()
    rig.network.flush()
    rig.says(answer())
    assert rig.content(outcome) == b"hello"
    rig.close()


@everyChunk
def test_smallBodyIsSentAgain(chunk: Any) -> None:
    rig = Rig(chunk)
    body = FileBodyProducer(BytesIO(b"b" * 5000), rig.cooperator)
    outcome = rig.asks(rig.agent(credentials=twice), method=b"POST", bodyProducer=body)
    rig.settle()
    rig.says(DEMAND)
    assert rig.proxy.peer.received.count(b"Content-Length: 5000\r\n") == 2
    assert rig.proxy.peer.received.count(b"b" * 5000) == 2
    rig.says(answer())
    assert rig.content(outcome) == b"hello"
    rig.close()


def test_largeBodyIsNotSentAgain() -> None:
    """Credentials are not even asked for what cannot be sent."""
    rig = Rig()
    body = FileBodyProducer(BytesIO(b"b" * (2 * LARGEST_KEPT + 1)), rig.cooperator)
    outcome = rig.asks(rig.agent(credentials=twice), method=b"POST", bodyProducer=body)
    rig.settle()
    rig.says(DEMAND)
    assert type(rig.failure(outcome)) is ProxyAuthenticationRequired
    rig.close()


@implementer(IBodyProducer)
class Unfinished:
    """A body whose end does not come."""

    length = 10
    stopped = 0

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(b"half ")
        return Deferred()

    def pauseProducing(self) -> None:
        raise NotImplementedError

    def resumeProducing(self) -> None:
        raise NotImplementedError

    def stopProducing(self) -> None:
        self.stopped += 1


def test_unfinishedBodyIsNotSentAgain() -> None:
    rig = Rig()
    body = Unfinished()
    outcome = rig.asks(rig.agent(credentials=twice), method=b"POST", bodyProducer=body)
    rig.says(DEMAND)
    assert type(rig.failure(outcome)) is ProxyAuthenticationRequired
    rig.close()


def test_ownFieldReachesTheProxyThatReadsIt() -> None:
    """Where nothing else is configured, as it does without this package."""
    rig = Rig()
    given = Headers({b"Proxy-Authorization": [b"Basic bWluZQ=="]})
    rig.asks(rig.agent(), headers=given)
    assert b"Proxy-Authorization: Basic bWluZQ==" in head(rig.proxy.peer)
    rig.asks(rig.agent(credentials=Basic("ada", "pw")), headers=given)
    fields = head(rig.proxy.peers[-1])
    assert b"Proxy-Authorization: " + basic("ada", "pw") in fields
    assert not any(b"bWluZQ" in line for line in fields)
    assert given.getRawHeaders(b"Proxy-Authorization") == [b"Basic bWluZQ=="]
    rig.close()


def test_otherAnswersAreResponses() -> None:
    """Nobody can tell a proxy's 403 from the destination's."""
    rig = Rig()
    outcome = rig.asks(rig.agent())
    rig.says(answer(b"no", "403 No"))
    assert outcome[0].code == 403
    assert rig.content(outcome) == b"no"
    rig.close()


# Tunnels.


@everyChunk
@pytest.mark.parametrize(
    ("url", "port"), [(b"https://a.example/", 443), (b"https://a.example:8443/", 8443)]
)
def test_httpsIsTunnelled(chunk: Any, url: bytes, port: int) -> None:
    """Not a word of it but the authority is the proxy's: TLS follows the 200."""
    rig = Rig(chunk)
    agent = rig.agent(f"http://ada:pw@{PROXY}:3128", headers=[(b"X-Team", b"a")])
    rig.asks(agent, url, headers=Headers({b"Cookie": [b"secret"]}))
    assert head(rig.proxy.peer) == [
        b"CONNECT a.example:%d HTTP/1.1" % port,
        b"Host: a.example:%d" % port,
        b"X-Team: a",
        b"Proxy-Authorization: " + basic("ada", "pw"),
    ]
    rig.says(ESTABLISHED)
    assert rig.proxy.peer.received[:2] == b"\x16\x03"
    rig.proxy.peer.abort()
    rig.close()


@everyChunk
def test_oneTunnelForTwoRequests(chunk: Any) -> None:
    """[T4] The tunnel is kept with its destination, and no other has it."""
    rig = Rig(chunk)
    agent = rig.agent(plainHTTP="tunnel")
    for path in (b"one", b"two"):
        outcome = rig.asks(agent, b"http://a.example/" + path)
        if path == b"one":
            assert head(rig.proxy.peer)[0] == b"CONNECT a.example:80 HTTP/1.1"
            rig.says(ESTABLISHED)
        assert head(rig.proxy.peer)[0] == b"GET /%b HTTP/1.1" % path
        rig.says(answer(path))
        assert rig.content(outcome) == path
    rig.asks(agent, b"http://b.example/")
    assert len(rig.proxy.peers) == 2
    assert head(rig.proxy.peers[1])[0] == b"CONNECT b.example:80 HTTP/1.1"
    rig.close()


@everyChunk
def test_nextTunnelKnowsTheChallenge(chunk: Any) -> None:
    """A proxy with Digest asks once, and not for each tunnel."""
    rig = Rig(chunk)
    agent = rig.agent(f"http://ada:pw@{PROXY}:3128", plainHTTP="tunnel")
    outcome = rig.asks(agent)
    assert any(b"Basic" in line for line in head(rig.proxy.peer))
    digest = b'Proxy-Authenticate: Digest realm="r", nonce="n", qop="auth"\r\n'
    rig.says(answer(b"who?", "407 Who", digest))
    assert any(b"nc=00000001" in line for line in head(rig.proxy.peer))
    rig.says(ESTABLISHED)
    rig.says(answer())
    assert rig.content(outcome) == b"hello"
    rig.asks(agent, b"http://b.example/")
    assert any(b"nc=00000002" in line for line in head(rig.proxy.peers[1]))
    rig.close()


def test_ownFieldNeverReachesTheDestination() -> None:
    """And what the caller has keeps it."""
    rig = Rig()
    given = Headers({b"Proxy-Authorization": [b"Basic bWluZQ=="], b"X-A": [b"b"]})
    rig.asks(rig.agent(plainHTTP="tunnel"), headers=given)
    assert not any(b"Auth" in line for line in head(rig.proxy.peer))
    rig.says(ESTABLISHED)
    assert sorted(head(rig.proxy.peer)[1:]) == [b"Host: a.example", b"X-A: b"]
    assert given.hasHeader(b"Proxy-Authorization")
    rig.close()


@everyChunk
@pytest.mark.parametrize("url", [b"http://a.example/", b"https://a.example/"])
def test_refusals(chunk: Any, url: bytes) -> None:
    """[T4] There is no tunnel, and the request says why; both kinds alike."""
    rig = Rig(chunk)
    outcome = rig.asks(rig.agent(plainHTTP="tunnel"), url)
    rig.says(answer(b"by rule", "403 Forbidden"))
    refusal = rig.failure(outcome)
    assert type(refusal) is ProxyRefused
    assert (refusal.status, refusal.body) == (403, b"by rule")
    rig.close()


def test_proxyThatIsNotThere() -> None:
    """Twisted's own error, in either form."""
    rig = Rig()
    for form in ("absolute", "tunnel"):
        agent = rig.agent("http://192.0.2.99:1", plainHTTP=form)
        outcome = rig.asks(agent)
        rig.network.advance(1)  # until the endpoint knows of no other address
        assert type(rig.failure(outcome)) is ConnectionRefusedError
    rig.close()


def test_tunnelHasADeadline() -> None:
    rig = Rig()
    outcome = rig.asks(rig.agent(plainHTTP="tunnel", connectTimeout=5.0))
    rig.network.advance(4.9)
    assert outcome == []
    rig.network.advance(0.2)
    rig.network.flush()
    assert "after 5 seconds" in str(rig.failure(outcome))
    rig.close()


@pytest.mark.parametrize(
    ("scheme", "form"), [("socks5", "absolute"), ("socks5h", "tunnel")]
)
def test_socks(scheme: str, form: Any) -> None:
    """A SOCKS proxy reads no HTTP: all goes through tunnels."""
    rig = Rig()
    agent = rig.agent(f"{scheme}://{PROXY}:3128", plainHTTP=form)
    outcome = rig.asks(agent)
    assert rig.proxy.peer.take() == b"\x05\x01\x00"
    rig.says(b"\x05\x00")
    assert rig.proxy.peer.take().endswith(b"\x09a.example\x00\x50")
    rig.says(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38")
    assert head(rig.proxy.peer)[0] == b"GET / HTTP/1.1"
    rig.says(answer())
    assert rig.content(outcome) == b"hello"
    rig.close()


def test_storedCredentials() -> None:
    """What was read from a file or a variable serves either kind of proxy."""
    stored = StoredCredentials("ada", "pw")
    rig = Rig()
    rig.asks(rig.agent(credentials=stored))
    assert b"Proxy-Authorization: " + basic("ada", "pw") in head(rig.proxy.peer)
    rig.asks(rig.agent(f"socks5://{OTHER}:3128", credentials=stored))
    assert rig.other.peer.take()[-1] == 2
    rig.close()


# What may stand for what.


def pooled(rig: Rig, first: Any, second: Any, url: bytes = b"http://a.example/") -> int:
    """
    How many connections a request through each takes, one after the other; all
    tunnels are granted.
    """
    for agent in (first, second):
        outcome = rig.asks(agent, url)
        both = [*rig.proxy.peers, *rig.other.peers]
        [peer] = [each for each in both if each.received]
        if peer.take().startswith(b"CONNECT"):
            rig.says(ESTABLISHED, peer)
            peer.take()
        rig.says(answer(), peer)
        assert rig.content(outcome) == b"hello"
    return len(rig.proxy.peers) + len(rig.other.peers)


def token(attempt: ProxyAttempt) -> bytes:
    return b"Bearer t"


def stored() -> StoredCredentials:
    return StoredCredentials("ada", "pw")


@pytest.mark.parametrize("form", ["absolute", "tunnel"])
@pytest.mark.parametrize(
    ("second", "connections"),
    [
        ({}, 1),
        ({"url": ProxyURL.parse(URL)}, 1),
        ({"url": f"http://{OTHER}:3128"}, 2),
        ({"url": f"http://ada:pw@{PROXY}:3128"}, 2),
        ({"credentials": token}, 2),
        ({"headers": [(b"X-Team", b"b")]}, 2),
        ({"bindAddress": ("127.0.0.1", 0)}, 2),
        ({"contextFactory": object()}, 2),
    ],
)
def test_sharedPool(form: Any, second: dict[str, Any], connections: int) -> None:
    """
    [T4] Agents that share a pool share connections when proxy, credentials,
    fields and TLS are the same, and else never.
    """
    rig = Rig()
    agents = rig.agent(plainHTTP=form), rig.agent(plainHTTP=form, **second)
    assert pooled(rig, *agents) == connections
    rig.close()


@pytest.mark.parametrize("form", ["absolute", "tunnel"])
@pytest.mark.parametrize(
    ("first", "second", "connections"),
    [
        ({"credentials": token}, {"credentials": token}, 1),
        ({"credentials": Basic("a", "b")}, {"credentials": Basic("a", "b")}, 2),
        # Equal, and yet nobody has said that they are one.
        ({"credentials": stored()}, {"credentials": stored()}, 2),
        ({"url": f"http://a:b@{PROXY}:1"}, {"url": f"http://a:c@{PROXY}:1"}, 2),
    ],
)
def test_sharedPoolAndCredentials(
    form: Any, first: dict[str, Any], second: dict[str, Any], connections: int
) -> None:
    rig = Rig()
    for each in (first, second):
        if "url" in each:
            each["url"] = each["url"].replace(":1", ":3128")
    agents = [rig.agent(plainHTTP=form, **each) for each in (first, second)]
    assert pooled(rig, *agents) == connections
    rig.close()


def test_formsShareNoConnection() -> None:
    """[T4] A tunnel is no connection to the proxy any more."""
    rig = Rig()
    agents = rig.agent(plainHTTP="tunnel"), rig.agent(plainHTTP="absolute")
    assert pooled(rig, *agents) == 2
    rig.close()


def test_directAgentHasNoTunnel() -> None:
    """Twisted's own agent, in the same pool, goes its own way."""
    rig = Rig()
    rig.network.names["a.example"] = DIRECT
    direct = rig.network.serve(DIRECT, 80)
    agent = rig.agent(plainHTTP="tunnel")
    assert pooled(rig, agent, agent) == 1
    rig.asks(Agent(rig.network, pool=rig.pool))
    assert head(direct.peer)[0] == b"GET / HTTP/1.1"
    direct.peer.close()
    rig.close()


def test_nothingIsKeptByDefault() -> None:
    rig = Rig()
    agent = rig.agent(pool=None)
    assert pooled(rig, agent, agent) == 2
    rig.close()


# The environment.


def environment(rig: Rig, **variables: str) -> Any:
    """An agent of these variables, and a destination that is reached directly."""
    rig.network.names["a.example"] = DIRECT
    return agentFromEnvironment(rig.network, variables, pool=rig.pool)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (b"http://a.example/", b"GET http://a.example/ HTTP/1.1"),
        (b"https://a.example/", b"CONNECT a.example:443 HTTP/1.1"),
        (b"ws://a.example/", b"CONNECT a.example:80 HTTP/1.1"),
        (b"wss://a.example/", b"CONNECT a.example:443 HTTP/1.1"),
    ],
)
def test_variables(url: bytes, line: bytes) -> None:
    """Each scheme by its own variable, WebSockets by HTTP's."""
    rig = Rig()
    one, two = f"http://{PROXY}:3128", f"{OTHER}:3128"
    secure = url.startswith((b"https", b"wss"))
    proxies = {"http_proxy": one, "HTTPS_PROXY": two}
    rig.asks(environment(rig, **proxies), url)
    asked, idle = (rig.other, rig.proxy) if secure else (rig.proxy, rig.other)
    assert head(asked.peer)[0] == line
    assert idle.peers == []
    rig.close()


def test_directly() -> None:
    """What NO_PROXY names, and without what is for proxies."""
    rig = Rig()
    direct = rig.network.serve(DIRECT, 80)
    agent = environment(rig, ALL_PROXY=URL, NO_PROXY="a.example")
    fields = Headers({b"Proxy-Authorization": [b"Basic bWluZQ=="]})
    outcome = rig.asks(agent, headers=fields)
    assert head(direct.peer) == [b"GET / HTTP/1.1", b"Host: a.example"]
    rig.says(answer(), direct.peer)
    assert rig.content(outcome) == b"hello"
    assert rig.proxy.peers == []
    direct.peer.close()
    rig.close()


def test_directConnectionsAreKeptApartToo() -> None:
    """By what has verified them, which Twisted's own agents do not ask."""
    rig = Rig()
    rig.network.names["a.example"] = DIRECT
    direct = rig.network.serve(DIRECT, 80)
    one, other = BrowserLikePolicyForHTTPS(), BrowserLikePolicyForHTTPS()
    for policy, connections in ((one, 1), (one, 1), (other, 2)):
        agent = agentFromEnvironment(
            rig.network, {}, contextFactory=policy, pool=rig.pool
        )
        outcome = rig.asks(agent)
        assert len(direct.peers) == connections
        rig.says(answer(), direct.peers[-1])
        assert rig.content(outcome) == b"hello"
    for peer in direct.peers:
        peer.close()
    rig.close()


def test_redirectionsAreDecidedAnew() -> None:
    """From a proxy to none, and the credentials stay with the proxy."""
    rig = Rig()
    rig.network.names["b.example"] = DIRECT
    direct = rig.network.serve(DIRECT, 80)
    proxy = f"http://ada:pw@{PROXY}:3128"
    agent = environment(rig, http_proxy=proxy, no_proxy="b.example")
    outcome = rig.asks(RedirectAgent(agent))
    assert any(b"Proxy-Authorization" in line for line in head(rig.proxy.peer))
    rig.says(answer(b"", "302 There", b"Location: http://b.example/\r\n"))
    assert head(direct.peer) == [b"GET / HTTP/1.1", b"Host: b.example"]
    rig.says(answer(), direct.peer)
    assert rig.content(outcome) == b"hello"
    direct.peer.close()
    rig.close()


def test_environmentHasOnePool() -> None:
    rig = Rig()
    agent = environment(rig, all_proxy=URL)
    assert pooled(rig, agent, agent) == 1
    rig.close()


def test_credentialsOfTheEnvironment() -> None:
    """Those of the URL before those of the caller, and none for SOCKS."""
    rig = Rig()
    agent = agentFromEnvironment(
        rig.network,
        {
            "http_proxy": f"http://ada:pw@{PROXY}:3128",
            "https_proxy": URL,
            "ftp_proxy": f"socks5://{OTHER}:3128",
        },
        credentials=Basic("bob", "pw"),
        headers=[(b"X-Team", b"a")],
    )
    for url, user in ((b"http://a.example/", "ada"), (b"https://a.example/", "bob")):
        rig.asks(agent, url)
        lines = head(rig.proxy.peers[-1])
        assert b"Proxy-Authorization: " + basic(user, "pw") in lines
        assert b"X-Team: a" in lines
    socks = agentFromEnvironment(
        rig.network,
        {"all_proxy": f"socks5://{OTHER}:3128"},
        credentials=Basic("bob", "pw"),
        headers=[(b"X-Team", b"a")],
    )
    rig.asks(socks)
    assert rig.other.peer.received == b"\x05\x01\x00"
    rig.close()


def test_variableThatIsNoProxy() -> None:
    """The request fails with the variable's name, and not with its value."""
    rig = Rig()
    outcome = rig.asks(environment(rig, all_proxy="http://ada:s3cr3t@"))
    assert "all_proxy" in str(rig.failure(outcome))
    assert "s3cr3t" not in str(rig.failure(outcome))
    rig.close()


# Mistakes, and giving up.


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        (b"ftp://a.example/", SchemeNotSupported, "ftp"),
        (b"http://ada:s3cr3t@a.example/", ValueError, "Authorization field"),
        (b"https://ada:s3cr3t@a.example/", ValueError, "Authorization field"),
        (b"http:///path", ValueError, "host"),
        (b"http://a.example:0/", ValueError, "port"),
        (b"http://a.example/\r\nX-A: b", ValueError, "control character"),
        (b"http://a.ex\tample/", ValueError, "control character"),
        ("http://\xe9.example/".encode(), ValueError, "not ASCII"),
    ],
)
def test_urlsThatCannotBeAskedFor(url: bytes, kind: Any, words: str) -> None:
    """They fail in the answer, with no password in it, and nobody is asked."""
    rig = Rig()
    for agent in (rig.agent(), agentFromEnvironment(rig.network, {})):
        error = rig.failure(rig.asks(agent, url))
        assert isinstance(error, kind)
        assert words in str(error)
        assert "s3cr3t" not in str(error)
    assert rig.proxy.peers == []
    rig.close()


@pytest.mark.parametrize(
    ("url", "arguments", "words"),
    [
        (f"http://{PROXY}", {}, "no port"),
        (URL, {"plainHTTP": "tunnels"}, "'absolute' or 'tunnel', not 'tunnels'"),
        (URL, {"headers": [(b"Host", b"a")]}, "Host"),
        (URL, {"tls": object()}, "https://"),
        (f"socks5://{PROXY}:1", {"credentials": token}, "SOCKS5"),
        (f"socks5://{PROXY}:1", {"headers": [(b"X-A", b"b")]}, "SOCKS5"),
    ],
)
def test_mistakesAreSaidAtOnce(url: str, arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Rig().agent(url, **arguments)


def test_noCredentials() -> None:
    with pytest.raises(TypeError, match="credentials are an object"):
        Rig().agent(credentials=7)


@pytest.mark.parametrize("url", [b"http://a.example/", b"https://a.example/"])
def test_credentialsThatTakeTime(url: bytes) -> None:
    """A Deferred and a coroutine alike."""
    rig = Rig()
    waiting: Deferred[bytes] = Deferred()

    async def authorize(attempt: ProxyAttempt) -> bytes:
        return await waiting

    for credentials in (lambda attempt: waiting, authorize):
        rig.asks(rig.agent(credentials=credentials), url)
    assert not any(peer.received for peer in rig.proxy.peers)
    waiting.callback(b"Bearer t")
    rig.network.flush()
    rig.close()


@pytest.mark.parametrize("result", [KeyError("lost"), "text"])
def test_credentialsThatFail(result: Any) -> None:
    """The request fails as they did, and is not sent without them."""

    def authorize(attempt: ProxyAttempt) -> Any:
        if isinstance(result, Exception):
            raise result
        return succeed(result)

    rig = Rig()
    error = rig.failure(rig.asks(rig.agent(credentials=authorize)))
    assert (
        error is result or str(error) == "the credentials gave str, not bytes or None"
    )
    assert rig.proxy.peers == []
    rig.close()


def never(attempt: ProxyAttempt) -> Deferred[bytes]:
    return Deferred()


@pytest.mark.parametrize(
    ("arguments", "said", "connections"),
    [
        ({"credentials": never}, b"", 0),
        ({"url": "http://192.0.2.77:1"}, b"", 0),
        ({"credentials": twice}, b"", 1),
        ({"credentials": twice}, DEMAND[:-2], 1),
        (
            {"credentials": lambda each: never(each) if each.refused else None},
            DEMAND,
            1,
        ),
        ({"plainHTTP": "tunnel"}, b"", 1),
        ({"plainHTTP": "tunnel"}, ESTABLISHED, 1),
    ],
    ids=["asking", "dialling", "waiting", "reading", "again", "tunnel", "in tunnel"],
)
def test_cancelled(arguments: Any, said: bytes, connections: int) -> None:
    """At each step: nothing is left, and nobody is asked again."""
    rig = Rig()
    rig.network.blackhole("192.0.2.77")
    outcome: list[Any] = []
    agent = rig.agent(**arguments)
    request = agent.request(b"GET", b"http://a.example/").addBoth(outcome.append)
    rig.network.flush()
    if said:
        rig.says(said)
    assert outcome == []
    request.cancel()
    rig.network.flush()
    assert isinstance(outcome[0], Failure)
    assert len(rig.proxy.peers) == connections
    rig.close()


def test_endpointsForWebSockets() -> None:
    """Through tunnels, TLS where the scheme says so."""
    rig = Rig()
    factory = ConnectEndpointFactory(rig.network, f"socks5://{PROXY}:3128")
    assert factory.credentials is None
    plain = factory.endpointForURI(URI.fromBytes(b"ws://a.example/"))
    assert isinstance(plain, Socks5Endpoint)
    assert not isinstance(
        factory.endpointForURI(URI.fromBytes(b"wss://a.example/")), Socks5Endpoint
    )
    with pytest.raises(SchemeNotSupported):
        factory.endpointForURI(URI.fromBytes(b"ftp://a.example/"))
