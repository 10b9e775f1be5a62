"""
The HTTP/1 front: one answer, in the right form, and what happens around it.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import attrs
import http_sf
import pytest
from rig import DESTINATION, ESTABLISHED, Rig, body, connect, status
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from zope.interface import implementer

from txconnect.interfaces import IDestinationPolicy
from txconnect.policy import DenyHostsPolicy
from txconnect.testing import CHUNKS
from txconnect.values import Allow, Cause, Closed, Decision, Deny, Named

everyChunk = pytest.mark.parametrize("chunk", CHUNKS)


def fields(answer: bytes) -> list[tuple[str, str]]:
    """The fields of an answer, lower-case names."""
    head = answer.partition(b"\r\n\r\n")[0].decode("ascii")
    lines = [line.partition(": ") for line in head.split("\r\n")[1:]]
    return [(name.lower(), value) for name, _, value in lines]


def field(answer: bytes, name: str) -> str:
    (value,) = [value for key, value in fields(answer) if key == name]
    return value


def checker() -> InMemoryUsernamePasswordDatabaseDontUse:
    return InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@everyChunk
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_exactly200(chunk: object, version: str) -> None:
    """[H1-30] [T18] [H1-04] [LB-10] The 200 has no framing fields and no C{Connection}."""
    rig = Rig(chunk=chunk)
    rig.serve()
    client = rig.client(connect(version=version))
    assert client.received == ESTABLISHED
    assert not client.ended


@everyChunk
def test_no200BeforeTheDestinationAnswers(chunk: object) -> None:
    """[H1-32] [T3] Not a byte before the outgoing connection is up; then a 504."""
    rig = Rig(chunk=chunk)
    rig.network.blackhole(DESTINATION)
    client = rig.client(connect())
    rig.network.advance(14)
    assert client.received == b""
    rig.network.advance(2)
    assert status(client) == 504
    rig.network.advance(6)
    rig.assertOver()


def test_refusedPortIsA502() -> None:
    """[T3] Nobody listens: 502, and never a 200 before."""
    rig = Rig()
    client = rig.client(connect())
    assert status(client) == 502
    assert "connection_refused" in field(client.received, "proxy-status")


@everyChunk
@pytest.mark.parametrize(
    "first",
    [
        connect("bad target"),
        b"GET http://192.0.2.1/ HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
        connect("nowhere.example:443"),
        connect("example.com:443", "Content-Length: 5"),
    ],
    ids=["malformed", "method", "unresolvable", "content"],
)
def test_nothingBehindARefusalIsProcessed(chunk: object, first: bytes) -> None:
    """[H1-33] [H1-24] [T1] One answer, then the end; what is pipelined is never parsed."""
    rig = Rig(chunk=chunk)
    server = rig.serve()
    pipelined = b"GET http://192.0.2.1/ HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n" + connect()
    client = rig.client(first + pipelined)
    assert len(re.findall(rb"^HTTP/1\.1 \d", client.received, re.M)) == 1
    assert status(client) >= 400
    assert client.ended
    assert not server.peers
    assert len(rig.events.events) == 1
    client.end()
    rig.assertOver()


@everyChunk
def test_earlyDataThenDeny(chunk: object) -> None:
    """[T1] [TU-07] Early data of a refused request goes nowhere."""

    class No:
        name = "no"

        def decide(self, request: object) -> Deny:
            return Deny("never")

    from zope.interface import classImplements

    from txconnect.interfaces import IDestinationPolicy

    classImplements(No, IDestinationPolicy)
    rig = Rig(chunk=chunk, policies=[No()])
    server = rig.serve()
    client = rig.client(connect() + b"early" * 100 + connect())
    assert status(client) == 403
    assert client.received.count(b"HTTP/1.1") == 1
    assert not server.peers
    client.end()
    rig.assertOver()


@everyChunk
def test_refusalAnnouncesTheClose(chunk: object) -> None:
    """[H1-35] [T18] C{Connection: close}, C{Proxy-Connection: close}, a length, no-store."""
    rig = Rig(chunk=chunk)
    client = rig.client(connect("nowhere.example:443"))
    head, _, text = client.received.partition(b"\r\n\r\n")
    assert field(client.received, "connection") == "close"
    assert field(client.received, "proxy-connection") == "close"
    assert int(field(client.received, "content-length")) == len(text)
    assert field(client.received, "cache-control") == "no-store"  # [H1-40]
    assert client.ended
    assert re.match(rb"HTTP/1\.1 502 [ -~]{1,120}\r\n", client.received)
    assert len(text.splitlines()) == 4


def test_lingeringClose() -> None:
    """[H1-36] A client that sends much behind a bad request still reads its answer."""
    rig = Rig()
    client = rig.client()
    client.send(connect("bad target") + bytes(1_000_000))
    rig.flush()
    assert status(client) == 400
    assert client.ended
    assert not client.reset
    client.end()
    rig.flush()
    assert client.closed
    assert not client.reset
    rig.assertOver()


def test_lingeringIsBounded() -> None:
    """[H1-36] Neither in octets nor in seconds does it linger for ever."""
    rig = Rig(settings={"lingerLimit": 100_000})
    client = rig.client(connect("bad target"))
    client.send(bytes(200_000))
    rig.flush()
    assert client.reset
    rig.assertOver()
    rig = Rig(settings={"lingerTimeout": 5.0})
    client = rig.client(connect("bad target"))
    rig.network.advance(6)
    assert client.reset
    rig.assertOver()


@everyChunk
def test_tlsRefusalClosesInOrder(chunk: object) -> None:
    """[H1-42] A TLS client is refused, and the connection closed behind the answer."""
    rig = Rig(chunk=chunk, tlsClient=True)
    client = rig.client(connect("nowhere.example:443"))
    assert status(client) == 502
    assert client.ended
    client.end()
    rig.network.advance(6)
    rig.assertOver()


@everyChunk
@pytest.mark.parametrize(
    "request_",
    [
        b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"TRACE http://example.com/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
        b"connect example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_onlyConnect(chunk: object, request_: bytes) -> None:
    """[H1-43] [H1-15] Any other method: 405 with C{Allow: CONNECT}, and closed."""
    rig = Rig(chunk=chunk)
    client = rig.client(request_)
    assert status(client) == 405
    assert field(client.received, "allow") == "CONNECT"
    assert client.ended


def test_headDeadline() -> None:
    """[H1-26] [T12] A head that comes too slowly: 408, closed, nothing left."""
    rig = Rig()
    client = rig.client()
    for octet in connect()[:9]:
        client.send(bytes([octet]))
        rig.network.advance(1)
    assert client.received == b""
    rig.network.advance(1.5)
    assert status(client) == 408
    rig.network.advance(6)
    rig.assertOver()
    assert [each.cause for each in rig.events.refused] == [Cause.HEAD_TIMEOUT]


def test_silenceIsClosedWithoutAWord() -> None:
    """[H1-26] Who never asks is not answered, and no event tells of it."""
    rig = Rig()
    client = rig.client()
    rig.network.advance(10.5)
    assert client.received == b""
    assert client.ended
    client.end()
    rig.assertOver()
    assert rig.events.events == []


def test_handshakeThatNeverCompletesIsEnded() -> None:
    """[T12] [H1-26] TLS gives the front nothing before its handshake is done:
    the head's deadline runs from the connection, and ends that too, even when
    the client never answers the end."""
    rig = Rig(tlsClient=True, settings={"headTimeout": 10.0, "lingerTimeout": 5.0})
    client = rig.client()
    rig.network.advance(9.5)
    assert not client.ended
    rig.network.advance(1)
    assert client.ended
    assert client.received == b""
    rig.network.advance(5)
    rig.assertOver()
    assert client.reset
    assert rig.events.events == []


@everyChunk
@pytest.mark.parametrize(
    "hello",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
        b"\x05\x01\x00",
        b"\x04\x01\x01\xbb\x5d\xb8\xd8\x22\x00",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        bytes(range(255, 0, -1)),
    ],
    ids=["tls", "socks5", "socks4", "proxy1", "proxy2", "h2", "noise"],
)
def test_otherProtocolsAreAnsweredAtOnce(chunk: object, hello: bytes) -> None:
    """[H1-27] Not HTTP/1: refused promptly, without a traceback, and closed."""
    rig = Rig(chunk=chunk)
    client = rig.client(hello)
    assert status(client) in (400, 505)
    assert client.ended
    client.end()
    rig.assertOver()


@pytest.mark.parametrize("sent", [b"", b"CONNECT exam"])
def test_clientLeavesInTheHead(sent: bytes) -> None:
    """[T16] Who leaves in the middle of a head is told of once; who said nothing, not."""
    rig = Rig()
    client = rig.client(sent)
    client.end()
    rig.flush()
    rig.assertOver()
    assert [each.cause for each in rig.events.refused] == (
        [Cause.CLIENT_LEFT] if sent else []
    )
    assert client.received == b""


@pytest.mark.parametrize(
    ("how", "halfClose"),
    [
        ("abort", "carry"),
        ("abort", "close-both"),
        ("end", "close-both"),
        ("close", "close-both"),
    ],
)
def test_clientLeavesWhileDialling(how: str, halfClose: str) -> None:
    """[TU-05] A reset before the 200, and an end where ends are not carried, cancel the
    dial; nothing is orphaned."""
    rig = Rig(settings={"halfClose": halfClose})
    rig.network.blackhole(DESTINATION)
    client = rig.client(connect())
    assert len(rig.network.open) == 2
    getattr(client, how)()
    rig.flush()
    rig.assertOver()
    assert [each.cause for each in rig.events.refused] == [Cause.CLIENT_LEFT]


def test_aThousandClientsLeaveWhileDialling() -> None:
    """[TU-05] No look-up, dial, timer or slot is left of a thousand that left."""
    rig = Rig(settings={"halfClose": "close-both"})
    rig.network.blackhole(DESTINATION)
    for number in range(1000):
        client = rig.client(connect())
        client.end() if number % 2 else client.abort()
    rig.assertOver()
    assert len(rig.events.refused) == 1000


def test_earlyDataIsBounded() -> None:
    """[TU-07] [T1] Ahead of the 200 no more than the bound, and one read, is taken."""
    rig = Rig(settings={"earlyDataLimit": 10_000})
    rig.network.blackhole(DESTINATION)
    client = rig.client(connect())
    client.send(bytes(1_000_000))
    rig.flush()
    (front,) = rig.proxy.clients.fronts
    assert 10_000 <= front._exchange._early.size <= 10_000 + 65536
    rig.network.advance(16)
    assert status(client) == 504
    client.abort()
    rig.network.advance(6)
    rig.assertOver()


def test_earlyDataOverTheBoundArrivesAll() -> None:
    """[TU-07] [TU-10] It is held, sent to the winner only, and the rest follows in order."""
    rig = Rig(
        names={"example.com": ["192.0.2.7", DESTINATION]},
        settings={"earlyDataLimit": 1000},
    )
    rig.network.blackhole("192.0.2.7")
    server = rig.serve()
    data = bytes(range(256)) * 2000
    client = rig.client(connect() + data[:5000])
    client.send(data[5000:])
    rig.network.advance(0.3)
    assert server.peer.received == data
    client.end()
    server.peer.end()
    rig.assertOver()
    assert rig.events.closed[0].up == len(data)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_optionsOfTheClientsLeg(tls: bool) -> None:
    """Small segments go at once, and a client that is gone is noticed:
    already when it connects, so that neither its head nor its tunnel wants."""
    rig = Rig(tlsClient=tls)
    rig.client()
    (transport,) = rig.network.open
    assert transport.getTcpNoDelay()
    assert transport.getTcpKeepAlive()


def test_tlsClientThatLeavesWhileDialling() -> None:
    """[F04] [TU-05] The same over TLS, where nothing can be sent behind an end."""
    rig = Rig(tlsClient=True)
    rig.network.blackhole(DESTINATION)
    client = rig.client(connect())
    client.end()
    rig.flush()
    rig.assertOver()
    assert [each.cause for each in rig.events.refused] == [Cause.CLIENT_LEFT]


def test_theOperatorsNote() -> None:
    """[F20] It is in the answer to who was judged, with the user where one is known,
    and in no answer to a failure."""
    rig = Rig(
        checkers=[Named("memory", checker())],
        policies=[Named("mine", DenyHostsPolicy("example.com"))],
        settings={"refusalNote": "%{user} asks Carol for %{host}"},
        names={"other.example": OSError("no such name")},
    )
    asked = rig.client(connect())
    assert b"\n- asks Carol for example.com\n" in asked.received
    proof = f"Proxy-Authorization: Basic {basic('alice', 'secret')}"
    judged = rig.client(connect("example.com:443", proof))
    assert status(judged) == 403
    assert b"\nalice asks Carol for example.com\n" in judged.received
    failed = rig.client(connect("other.example:443", proof))
    assert status(failed) == 502
    assert b"Carol" not in failed.received


@everyChunk
def test_challenge(chunk: object) -> None:
    """[H1-34] [H1-37] [H1-38] [H1-23] No credentials: 407, a challenge, and closed, also in 1.0."""
    rig = Rig(chunk=chunk, checkers=[Named("memory", checker())])
    rig.serve()
    for version in ("1.0", "1.1"):
        client = rig.client(
            connect("example.com:443", "Proxy-Connection: Keep-Alive", version=version)
        )
        assert status(client) == 407
        assert field(client.received, "proxy-authenticate").startswith("Basic realm=")
        assert field(client.received, "connection") == "close"
        assert client.ended
    refused = rig.events.refused
    assert [each.cause for each in refused] == [Cause.CREDENTIALS_MISSING] * 2


@everyChunk
def test_credentials(chunk: object) -> None:
    """[H1-38] [AU-04] Right ones tunnel, wrong and unreadable ones are a 407."""
    rig = Rig(chunk=chunk, checkers=[Named("memory", checker())])
    rig.serve()

    def ask(value: str) -> int:
        return status(
            rig.client(connect("example.com:443", f"Proxy-Authorization: {value}"))
        )

    assert ask(f"Basic {basic('alice', 'secret')}") == 200
    assert ask(f"basic {basic('alice', 'secret')}") == 200
    assert ask(f"Basic {basic('alice', 'wrong')}") == 407
    assert ask(f"Basic {basic('bob', 'secret')}") == 407
    assert ask("Basic !!!") == 407
    assert ask("Negotiate abc") == 407
    request = rig.events.established[0].tunnel.request
    assert request.identity is not None
    assert (request.identity.user, request.identity.source) == ("alice", "memory")
    assert request.header(b"proxy-authorization") is None


def test_nothingOfTheSecretIsTold() -> None:
    """[AU-05] [T8] No event, and no answer, holds a password."""
    rig = Rig(checkers=[checker()], settings={"errors": "full"})
    secret = basic("alice", "pa55word")
    client = rig.client(
        connect("example.com:443", f"Proxy-Authorization: Basic {secret}")
    )
    told = repr(rig.events.events) + client.received.decode()
    assert "pa55word" not in told
    assert secret not in told


@everyChunk
def test_severalCredentialsAreRefused(chunk: object) -> None:
    """[AU-12] Two C{Proxy-Authorization} lines: 400, never a guess."""
    rig = Rig(chunk=chunk, checkers=[checker()])
    line = f"Proxy-Authorization: Basic {basic('alice', 'secret')}"
    assert status(rig.client(connect("example.com:443", line, line))) == 400


@pytest.mark.parametrize("errors", ["brief", "full"])
def test_whatAClientIsTold(errors: str) -> None:
    """[PS-01] [PS-05] Brief: the rule and the id.  Full: the policy's own words too."""
    from txconnect.policy.networks import NetworksPolicy

    rig = Rig(
        names={"inside.example": ["10.9.8.7"]},
        policies=[],
        settings={"errors": errors, "name": "edge-1"},
    )
    rig.proxy.rules = attrs.evolve(
        rig.proxy.rules, address=(Named("networks", NetworksPolicy()),)
    )
    client = rig.client(connect("inside.example:443"))
    assert status(client) == 403
    answer = client.received.decode("ascii")
    assert ("10.9.8.7" in answer) == (errors == "full")
    assert "'networks'" in answer.split("\r\n")[0]
    refused = rig.events.refused[0]
    assert refused.id in answer.split("\r\n")[0]
    assert "10.9.8.7" in refused.reason
    ((name, parameters),) = http_sf.parse(
        field(client.received, "proxy-status").encode(), tltype="list"
    )
    assert str(name) == "edge-1"
    assert str(parameters["error"]) == "destination_ip_prohibited"


@everyChunk
@pytest.mark.parametrize(
    "target",
    [
        b"evil\r\nX-Injected: 1:443",
        b'ev"il\\:443',
        b"evil%0d%0a:443",
        b"\xff\xfe:443",
        b"<script>:443",
    ],
)
def test_nothingOfTheRequestIsReflected(chunk: object, target: bytes) -> None:
    """[H1-39] [PS-04] A hostile target reaches no part of the answer unescaped."""
    rig = Rig(chunk=chunk, settings={"errors": "full"})
    client = rig.client(b"CONNECT " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status(client) == 400
    for piece in (b"evil", b"ev", b"script", b"Injected", b"\xff"):
        assert piece not in client.received
    http_sf.parse(field(client.received, "proxy-status").encode(), tltype="list")


def test_no1xx() -> None:
    """[H1-41] [H1-21] [H1-22] Neither Expect nor Upgrade gets anything but the 200."""
    rig = Rig()
    rig.serve()
    for version in ("1.0", "1.1"):
        client = rig.client(
            connect(
                "example.com:443",
                "Expect: 100-continue",
                "Upgrade: websocket, h2c",
                "Connection: close, Upgrade",
                version=version,
            )
        )
        assert client.received == ESTABLISHED


@pytest.mark.parametrize(
    "host", ["evil.example:443", "EXAMPLE.com", "example.com:", "example.com:80"]
)
def test_hostFieldDecidesNothing(host: str) -> None:
    """[H1-05] The target decides; the Host field is neither dialled nor judged."""
    rig = Rig()
    server = rig.serve()
    client = rig.client(
        f"CONNECT example.com:443 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    )
    assert client.received == ESTABLISHED
    assert len(server.peers) == 1
    assert rig.lookup.calls and len(rig.lookup.calls) == 1
    assert str(rig.events.established[0].tunnel.request.authority) == "example.com:443"


def test_accountsOfEveryRequestOnce() -> None:
    """[T16] One refusal, or one establishment and one close; bytes exact."""
    rig = Rig()
    client, destination = rig.tunnel(early=b"12345")
    client.send(b"678")
    destination.send(b"abcdefg")
    rig.flush()
    client.abort()
    rig.client(connect("nowhere.example:443")).end()
    rig.client(connect("bad target")).end()
    rig.flush()
    rig.assertOver()
    assert len(rig.events.established) == len(rig.events.closed) == 1
    assert (rig.events.closed[0].up, rig.events.closed[0].down) == (8, 7)
    assert rig.events.closed[0].reason is Closed.CLIENT_RESET
    assert [each.cause for each in rig.events.refused] == [
        Cause.DNS_ERROR,
        Cause.MALFORMED,
    ]
    ids = {each.tunnel.request.id for each in rig.events.closed}
    ids |= {each.id for each in rig.events.refused}
    assert len(ids) == 3
    assert body(client) == b"abcdefg"


def test_shutdownInEveryPhase() -> None:
    """[T11] Stopping ends heads, dials, tunnels and lingering refusals at once."""
    rig = Rig(names={"example.com": [DESTINATION], "slow.example": ["192.0.2.9"]})
    rig.network.blackhole("192.0.2.9")
    rig.tunnel()
    rig.client(b"CONNECT exam")
    rig.client(b"")
    rig.client(connect("slow.example:443"))
    rig.client(connect("bad target"))
    stopped: list[object] = []
    rig.proxy.stopService().addCallback(stopped.append)
    rig.flush()
    assert stopped == [None]
    rig.assertOver()
    assert [each.reason for each in rig.events.closed] == [Closed.SHUTDOWN]
    assert sorted(each.cause.label for each in rig.events.refused) == [
        "malformed-request",
        "shutdown",
        "shutdown",
    ]


class TestKeptAfter407:
    """[H1-34] A 407 keeps the connection open only where the operator says so."""

    WRONG = f"Proxy-Authorization: Basic {basic('alice', 'wrong')}"
    RIGHT = f"Proxy-Authorization: Basic {basic('alice', 'secret')}"
    CURL = "User-Agent: curl/8.23"

    def rig(self, chunk: object = None, keep: str = "git/, curl/") -> Rig:
        rig = Rig(
            chunk=chunk, checkers=[checker()], settings={"keepAfterChallenge": keep}
        )
        rig.serve()
        return rig

    def head(self, *lines: str, version: str = "1.1") -> bytes:
        return connect("example.com:443", *lines, version=version)

    @everyChunk
    def test_secondTryOnTheSameConnection(self, chunk: object) -> None:
        """407, open, the right credentials, 200 and a tunnel; nothing is left."""
        rig = self.rig(chunk)
        client = rig.client(self.head(self.CURL))
        first = client.take()
        assert first.startswith(b"HTTP/1.1 407")
        assert not any("connection" in name for name, _ in fields(first))
        assert not client.ended
        client.send(self.head(self.CURL, self.RIGHT))
        rig.flush()
        assert client.take() == ESTABLISHED
        client.abort()
        rig.assertOver()
        assert len(rig.events.refused) == len(rig.events.closed) == 1

    @pytest.mark.parametrize(
        ("lines", "version", "behind", "keep"),
        [
            (["User-Agent: Mozilla/5.0"], "1.1", b"", "curl/"),
            ([], "1.1", b"", "curl/"),
            (["User-Agent: curl/8.23"], "1.1", b"", ""),
            (["User-Agent: curl/8.23"], "1.0", b"", "curl/"),
            (["User-Agent: curl/8.23"], "1.1", b"x", "curl/"),
            (["User-Agent: curl/8.23", "Connection: Close"], "1.1", b"", "curl/"),
        ],
        ids=["other", "unnamed", "not opted in", "1.0", "early data", "close"],
    )
    def test_guards(
        self, lines: list[str], version: str, behind: bytes, keep: str
    ) -> None:
        """Another client, HTTP/1.0, bytes behind the head, a wish: closed as ever."""
        rig = self.rig(keep=keep)
        client = rig.client(self.head(*lines, version=version) + behind)
        assert status(client) == 407
        assert field(client.received, "connection") == "close"
        assert client.ended
        client.end()
        rig.assertOver()

    @everyChunk
    def test_nextMustBeAConnect(self, chunk: object) -> None:
        """Whatever else comes on it is refused, and closes it."""
        rig = self.rig(chunk)
        client = rig.client(self.head(self.CURL))
        client.take()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        rig.flush()
        assert status(client) == 405
        assert client.ended

    def test_onlySoManyTries(self) -> None:
        """The fourth 407 closes."""
        rig = self.rig()
        client = rig.client()
        for attempt in range(4):
            client.send(self.head(self.CURL, self.WRONG))
            rig.flush()
            assert (b"Connection: close" in client.take()) == (attempt == 3)
        assert client.ended
        client.end()
        rig.assertOver()

    def test_onlySoLong(self) -> None:
        """Who does not try again is closed by the head's deadline."""
        rig = self.rig()
        client = rig.client(self.head(self.CURL))
        rig.network.advance(11)
        assert client.ended
        client.end()
        rig.assertOver()
        assert len(rig.events.refused) == 1


def test_theAddressThatABalancerNames() -> None:
    """Behind C{haproxy:} a request came to the address in the PROXY header."""
    seen: list[str] = []

    @implementer(IDestinationPolicy)
    class Sees:
        def decide(self, request: Any) -> Decision:
            seen.append(f"{request.client.host} {request.server.host}")
            return Allow()

    rig = Rig(policies=[Sees()])
    rig.serve()
    wrapped = HAProxyWrappingFactory(rig.factory)
    rig.network.listenTCP(3129, wrapped, interface="127.0.0.1")
    client = rig.network.connect("127.0.0.1", 3129)
    client.send(b"PROXY TCP4 203.0.113.9 198.51.100.7 40000 8080\r\n" + connect())
    rig.flush()
    assert seen == ["203.0.113.9 198.51.100.7"]
    client.abort()
    rig.flush()
