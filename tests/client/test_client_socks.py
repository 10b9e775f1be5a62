"""
Through a SOCKS 5 proxy, on the memory network: what is asked, what the caller's
protocol hears, and what is left when there is no tunnel.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    TimeoutError as TwistedTimeoutError,
)
from twisted.internet.interfaces import IHalfCloseableProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txconnect.client import Socks5Endpoint, SocksRefused
from txconnect.client.errors import (
    ProxyClosed,
    ProxyError,
    ProxyProtocolError,
    ProxyTimeout,
)
from txconnect.testing import CHUNKS, Destination, MemoryNetwork
from txconnect.wire.socks5 import Reply

PROXY = "192.0.2.9"
ASKED = b"\x05\x01\x00\x03\x13destination.example\x01\xbb"
GRANTED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"


@implementer(IHalfCloseableProtocol)
class Caller(Protocol):
    """The caller's protocol: remembers what it hears."""

    transport: Any

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.data = b""

    def connectionMade(self) -> None:
        self.heard.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def readConnectionLost(self) -> None:
        self.heard.append("end")

    def writeConnectionLost(self) -> None:
        self.heard.append("ended")

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.heard.append("lost")


class Rig:
    """A proxy in the hands of the test, and an endpoint through it."""

    def __init__(self, chunk: Any = None, **arguments: Any) -> None:
        self.network = MemoryNetwork(chunk=chunk)
        self.proxy: Destination = self.network.serve(PROXY, 1080)
        self.outcome: list[Any] = []
        self.factory = Factory.forProtocol(Caller)
        self.factory.noisy = False
        arguments.setdefault("host", "destination.example")
        arguments.setdefault("port", 443)
        arguments.setdefault("clock", self.network)
        host, port = arguments.pop("host"), arguments.pop("port")
        way = TCP4ClientEndpoint(self.network, PROXY, 1080)
        self.endpoint = Socks5Endpoint(way, host, port, **arguments)

    def connect(self) -> Deferred[Any]:
        """Begin, and let everything happen that can."""
        connecting: Deferred[Any] = self.endpoint.connect(self.factory)
        connecting.addBoth(self.outcome.append)
        self.network.flush()
        return connecting

    def says(self, data: bytes) -> bytes:
        """Let the proxy say something; what it is told then."""
        self.proxy.peer.send(data)
        self.network.flush()
        return self.proxy.peer.take()

    def establish(self, trailing: bytes = b"") -> Caller:
        """Let the proxy do what it is asked."""
        self.connect()
        self.says(b"\x05\x00")
        self.says(GRANTED + trailing)
        [caller] = self.outcome
        assert isinstance(caller, Caller), caller
        return caller

    def failed(self, kind: type[Exception]) -> Any:
        """The error that came of it, once all that was there is gone."""
        [failure] = self.outcome
        assert isinstance(failure, Failure), failure
        assert failure.check(kind), failure
        self.network.flush()
        assert all(peer.closed for peer in self.proxy.peers)
        assert self.network.getDelayedCalls() == []
        assert self.factory.numPorts == 0
        self.proxy.stop()
        self.network.flush()
        self.network.assertClean()
        return failure.value


@pytest.fixture(params=CHUNKS, ids=str)
def chunk(request: pytest.FixtureRequest) -> Any:
    """How what arrives is cut."""
    return request.param


def test_interface() -> None:
    """It is an endpoint, and says where it leads, but not who asks."""
    endpoint = Rig(user="user", password="secret").endpoint
    assert verifyObject(IStreamClientEndpoint, endpoint)
    assert "destination.example:443" in repr(endpoint)
    assert "secret" not in repr(endpoint)


def test_tunnel(chunk: Any) -> None:
    """Greeting, request with the name, and then a plain connection [UP-01]."""
    rig = Rig(chunk)
    rig.connect()
    assert rig.proxy.peer.take() == b"\x05\x01\x00"
    assert rig.says(b"\x05\x00") == ASKED
    assert rig.outcome == []
    assert rig.says(GRANTED) == b""
    [caller] = rig.outcome
    assert caller.heard == ["made"]
    caller.transport.write(b"question")
    assert rig.says(b"answer") == b"question"
    assert caller.data == b"answer"
    assert rig.network.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", b"\x01\xc0\x00\x02\x01"),
        ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + b"\x00" * 11 + b"\x01"),
        ("[2001:db8::1]", b"\x04\x20\x01\x0d\xb8" + b"\x00" * 11 + b"\x01"),
        (b"Destination.Example.", b"\x03\x13destination.example"),
        ("b\u00fccher.example", b"\x03\x15xn--bcher-kva.example"),
    ],
)
def test_destinations(host: str | bytes, address: bytes) -> None:
    """Literals go as addresses, names as names; nothing is looked up here."""
    rig = Rig(host=host)
    rig.connect()
    rig.proxy.peer.take()
    assert rig.says(b"\x05\x00") == b"\x05\x01\x00" + address + b"\x01\xbb"


def test_login(chunk: Any) -> None:
    """User and password go to a proxy that asks for them."""
    rig = Rig(chunk, user="user", password="secret")
    rig.connect()
    assert rig.proxy.peer.take() == b"\x05\x02\x00\x02"
    assert rig.says(b"\x05\x02") == b"\x01\x04user\x06secret"
    assert rig.says(b"\x01\x00") == ASKED
    rig.says(GRANTED)
    assert rig.outcome[0].heard == ["made"]


def test_userAlone() -> None:
    """A token in the place of a user has no password."""
    rig = Rig(user="token")
    rig.connect()
    rig.proxy.peer.take()
    assert rig.says(b"\x05\x02") == b"\x01\x05token\x00"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"password": "secret"}, "no user"),
        ({"user": "", "password": "secret"}, "the user is empty"),
        ({"user": "u" * 256, "password": "secret"}, "the user is longer"),
        ({"host": "a b"}, "the host"),
        ({"host": ""}, "the host is empty"),
        ({"timeout": 0.0}, "the timeout is 0.0"),
        ({"timeout": float("nan")}, "the timeout is nan"),
        ({"port": 0}, "the port"),
        ({"port": 65536}, "the port"),
    ],
)
def test_badArguments(arguments: dict[str, Any], complaint: str) -> None:
    """What cannot be asked for is an error when the endpoint is made."""
    with pytest.raises(ValueError, match=complaint) as caught:
        Rig(**arguments)
    assert "secret" not in str(caught.value)


def test_banner(chunk: Any) -> None:
    """[T2] Octets behind the reply are the caller's, and come first."""
    rig = Rig(chunk)
    caller = rig.establish(b"SSH-2.0-server\r\n")
    assert caller.data == b"SSH-2.0-server\r\n"
    rig.says(b"more")
    assert caller.data == b"SSH-2.0-server\r\nmore"


def test_bannerAndEnd(chunk: Any) -> None:
    """[T2] [T11] Also when the end came with them; half-close works both ways."""
    rig = Rig(chunk)
    rig.connect()
    rig.says(b"\x05\x00")
    rig.proxy.peer.send(GRANTED + b"banner")
    rig.proxy.peer.end()
    rig.network.flush()
    [caller] = rig.outcome
    assert caller.data == b"banner"
    assert caller.heard == ["made", "end"]
    caller.transport.write(b"late")
    caller.transport.loseWriteConnection()
    rig.network.flush()
    assert rig.proxy.peer.received.endswith(b"late")
    assert rig.proxy.peer.ended
    caller.transport.loseConnection()
    rig.network.flush()
    assert caller.heard == ["made", "end", "ended", "lost"]
    assert rig.factory.numPorts == 0


@pytest.mark.parametrize("code", [*Reply, 9, 0xF2, 255])
def test_refused(code: int, chunk: Any) -> None:
    """[T4] A refusal has its code and advice, and leaves nothing."""
    rig = Rig(chunk)
    rig.connect()
    rig.says(b"\x05\x00")
    rig.says(bytes([5, code]) + b"\x00\x01" + bytes(6))
    error = rig.failed(SocksRefused)
    assert isinstance(error, ProxyError) and isinstance(error, ConnectError)
    assert error.code == code
    assert str(error).startswith(
        "no tunnel to destination.example:443 through 192.0.2.9:1080: "
        f"the SOCKS proxy refused with code {code}; "
    )
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("arguments", "answers", "complaint"),
    [
        ({}, [b"\x05\xff"], "wants credentials, and none were given"),
        (
            {"user": "user", "password": "secret"},
            [b"\x05\xff"],
            "takes neither a user with a password nor anyone without",
        ),
        (
            {"user": "user", "password": "secret"},
            [b"\x05\x02", b"\x01\x01"],
            "did not take the user and the password",
        ),
    ],
)
def test_notLetIn(
    arguments: dict[str, Any], answers: list[bytes], complaint: str, chunk: Any
) -> None:
    """Wrong credentials, or none, are told apart, without a secret."""
    rig = Rig(chunk, **arguments)
    rig.connect()
    for answer in answers:
        rig.says(answer)
    error = rig.failed(SocksRefused)
    assert error.code is None
    assert complaint in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "answers",
    [
        [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
        [b"\x05\x02"],
        [b"\x05\x00", b"\x04\x5a"],
        [b"\x05\x00", b"\x05\x00\x00\x07" + bytes(300)],
    ],
)
def test_noSocks(answers: list[bytes], chunk: Any) -> None:
    """[UP-11] What speaks something else is told so, and dropped."""
    rig = Rig(chunk)
    rig.connect()
    for answer in answers:
        rig.says(answer)
    assert "check the address of the proxy" in str(rig.failed(ProxyProtocolError))


@pytest.mark.parametrize(
    "answer", [b"", b"\x05", b"\x05\x00", b"\x05\x00" + GRANTED[:-1]]
)
@pytest.mark.parametrize("way", ["end", "close", "abort"])
def test_closed(answer: bytes, way: str, chunk: Any) -> None:
    """[T2] A proxy that goes away within its replies has not established."""
    rig = Rig(chunk)
    rig.connect()
    if answer:
        rig.says(answer)
    getattr(rig.proxy.peer, way)()
    rig.network.flush()
    assert rig.failed(ProxyClosed).authority.host == "destination.example"


@pytest.mark.parametrize(
    ("answer", "waitsFor"),
    [
        (b"", "the SOCKS proxy to let us in"),
        (b"\x05", "the SOCKS proxy to let us in"),
        (b"\x05\x00", "the SOCKS proxy to connect to the destination"),
        (b"\x05\x00\x05\x00\x00\x01", "the SOCKS proxy to connect to the destination"),
    ],
)
def test_deadline(answer: bytes, waitsFor: str, chunk: Any) -> None:
    """One deadline over all steps; the error says at which it came."""
    rig = Rig(chunk, timeout=10.0)
    rig.connect()
    rig.network.advance(6)
    if answer:
        rig.says(answer)
    rig.network.advance(3.9)
    assert rig.outcome == []
    rig.network.advance(0.2)
    error = rig.failed(ProxyTimeout)
    assert isinstance(error, TwistedTimeoutError)
    assert waitsFor in str(error)


def test_noDeadline() -> None:
    """Without one there is no timer."""
    rig = Rig(timeout=None)
    rig.connect()
    assert rig.network.getDelayedCalls() == []


@pytest.mark.parametrize(
    "answers", [[], [b"\x05"], [b"\x05\x00"], [b"\x05\x00\x05\x00"]]
)
def test_cancelled(answers: list[bytes], chunk: Any) -> None:
    """Who cancels leaves neither a timer nor a connection."""
    rig = Rig(chunk)
    connecting = rig.connect()
    for answer in answers:
        rig.says(answer)
    connecting.cancel()
    assert isinstance(rig.failed(ConnectingCancelledError), Exception)


def test_cancelledBeforeTheProxyIsReached() -> None:
    """The same while the proxy itself is being dialled."""
    rig = Rig()
    rig.network.blackhole(PROXY)
    connecting = rig.connect()
    connecting.cancel()
    rig.failed(ConnectingCancelledError)
    assert rig.proxy.peers == []


def test_proxyNotReached() -> None:
    """What connecting to the proxy fails with is passed through."""
    rig = Rig()
    rig.network.refuse(PROXY)
    rig.connect()
    error = rig.failed(ConnectionRefusedError)
    assert not isinstance(error, ProxyError)


def test_nested(chunk: Any) -> None:
    """One SOCKS proxy through another: the second is reached by the first's tunnel."""
    rig = Rig(chunk)
    inner = Socks5Endpoint(rig.endpoint, "192.0.2.1", 22, clock=rig.network)
    rig.endpoint = inner
    rig.connect()
    assert rig.proxy.peer.take() == b"\x05\x01\x00"
    assert rig.says(b"\x05\x00") == ASKED
    assert rig.says(GRANTED) == b"\x05\x01\x00"
    assert rig.says(b"\x05\x00") == b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x16"
    rig.says(GRANTED + b"SSH-2.0-x\r\n")
    [caller] = rig.outcome
    assert caller.data == b"SSH-2.0-x\r\n"


def test_globalReactor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a clock the deadline is the global reactor's."""
    from twisted.internet import reactor

    called: list[Any] = []
    rig = Rig(clock=None, timeout=7.0)

    def callLater(seconds: float, *arguments: Any) -> Any:
        called.append(seconds)
        return rig.network.callLater(seconds, *arguments)

    monkeypatch.setattr(reactor, "callLater", callLater)
    rig.connect()
    rig.network.advance(7)
    rig.failed(ProxyTimeout)
    assert called[0] == 7.0
