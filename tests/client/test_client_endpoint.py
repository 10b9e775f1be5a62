"""
CONNECT through a scripted proxy: what is asked, what counts as a tunnel, and
what the caller is told when there is none.
"""

from __future__ import annotations

from typing import Any

import pytest
from connectrig import ASKED, OK, PROXY, Caller, ClientRig, CountingFactory
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    NoProtocol,
    TimeoutError as TwistedTimeoutError,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txconnect.client.destination import addressOf, makeDestination
from txconnect.client.endpoint import ConnectEndpoint
from txconnect.client.errors import (
    SHOWN,
    ProxyAuthenticationRequired,
    ProxyClosed,
    ProxyError,
    ProxyProtocolError,
    ProxyRefused,
    ProxyTimeout,
    printable,
)
from txconnect.client.negotiation import globalClock
from txconnect.testing import CHUNKS, MemoryNetwork
from txconnect.wire.authority import Authority, BadAuthority
from txconnect.wire.http1.answer import Flaw

everyChunk = pytest.mark.parametrize("chunk", CHUNKS)


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("example.com", b"example.com:443"),
        ("EXAMPLE.com", b"example.com:443"),
        ("example.com.", b"example.com:443"),
        (b"example.com", b"example.com:443"),
        ("192.0.2.1", b"192.0.2.1:443"),
        ("2001:db8::0:1", b"[2001:db8::1]:443"),
        ("[2001:db8::1]", b"[2001:db8::1]:443"),
        (b"2001:DB8::1", b"[2001:db8::1]:443"),
        ("b\xfccher.example", b"xn--bcher-kva.example:443"),
        ("B\xdcCHER.example.", b"xn--bcher-kva.example:443"),
        ("b\xfccher.example".encode(), b"xn--bcher-kva.example:443"),
    ],
)
def test_target(host: Any, target: bytes) -> None:
    """[UP-01] A host in any form is asked for in one; Host says the same."""
    rig = ClientRig(host=host)
    rig.connect()
    assert rig.peer.take() == (
        b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n"
    )
    assert str(rig.endpoint.authority).encode() == target


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a\r\nb", "http://a", "a:1:b", "[::1", "fe80::1%1", "u@a", "1.2.3"]
    + [b"\xff", "b\xfc_cher.example", "\xfc..example", "a" * 254, "[a]"],
)
def test_badHosts(host: Any) -> None:
    """What is no host is one mistake of the caller's, at once."""
    with pytest.raises(BadAuthority):
        ClientRig(host=host)


@pytest.mark.parametrize("port", [0, -1, 65536, True])
def test_badPorts(port: Any) -> None:
    """Ports are 1 to 65535."""
    with pytest.raises(BadAuthority):
        ClientRig(port=port)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_badTimeouts(timeout: float) -> None:
    """A timeout is some time."""
    with pytest.raises(ValueError, match="the timeout is"):
        ClientRig(timeout=timeout)


def test_headers() -> None:
    """Fields of the caller's go along, behind Host; bad ones are told at once."""
    rig = ClientRig(headers=[(b"User-Agent", b"x"), (b"Proxy-Authorization", b"y z")])
    rig.connect()
    assert rig.peer.take() == (
        ASKED + b"User-Agent: x\r\nProxy-Authorization: y z\r\n\r\n"
    )
    with pytest.raises(ValueError, match="the value of X-A holds"):
        ClientRig(headers=[(b"X-A", b"a\r\nb: c")])
    with pytest.raises(ValueError, match="give one of them"):
        ClientRig(headers=[(b"proxy-authorization", b"x")], credentials=lambda _: None)


def test_interface() -> None:
    """It is an endpoint, and its repr says where it goes."""
    rig = ClientRig()
    verifyObject(IStreamClientEndpoint, rig.endpoint)
    assert repr(rig.endpoint).startswith("<ConnectEndpoint example.com:443 by ")
    assert globalClock() is reactor


@everyChunk
@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 299 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 204 OK\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
@pytest.mark.parametrize("banner", [b"", b"SSH-2.0-x\r\n", b"0\r\n\r\nHTTP/1.1 500 x"])
def test_established(chunk: Any, answer: bytes, banner: bytes) -> None:
    """
    [UP-02] [UP-03] [UP-04] [T2] Any 2xx is a tunnel, framing fields mean
    nothing, 1xx is skipped, and what stands behind it reaches the caller.
    """
    rig = ClientRig(chunk)
    caller = rig.established(answer + banner)
    assert caller.heard == (["made", banner] if banner else ["made"])
    assert rig.says(b"more") == b""
    assert caller.data == banner + b"more"
    caller.transport.write(b"hello")
    rig.network.flush()
    assert rig.peer.take() == b"hello"
    rig.peer.close()
    rig.network.flush()
    assert caller.heard[-1] == "lost"
    rig.network.assertClean()


@everyChunk
def test_nothingBeforeTheAnswer(chunk: Any) -> None:
    """[UP-10] Nothing but the head of CONNECT is sent before the whole 2xx."""
    rig = ClientRig(chunk, protocol=_Eager)
    rig.connect()
    assert rig.peer.take() == ASKED + b"\r\n"
    for octet in b"HTTP/1.1 103 x\r\n\r\n" + OK[:-1]:
        assert rig.says(bytes([octet])) == b""
    assert rig.outcome == []
    assert rig.says(OK[-1:]) == b"EHLO"


class _Eager(Caller):
    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"EHLO")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("example.com", "HostnameAddress(hostname=b'example.com', port=443)"),
        ("192.0.2.1", "IPv4Address(type='TCP', host='192.0.2.1', port=443)"),
        (
            "[::1]",
            "IPv6Address(type='TCP', host='::1', port=443, flowInfo=0, scopeID=0)",
        ),
    ],
)
def test_address(host: str, address: str) -> None:
    """The factory is told of the destination, not of the proxy."""
    rig = ClientRig(host=host)
    rig.connect()
    rig.says(OK)
    assert [repr(each) for each in rig.factory.addresses] == [address]
    assert repr(addressOf(makeDestination(host, 443))) == address


# Refusals.


@everyChunk
@pytest.mark.parametrize("status", [101, 300, 302, 400, 403, 404, 407, 502, 600, 999])
def test_refused(chunk: Any, status: int) -> None:
    """[UP-04] [T4] No other status is a tunnel; the error has all of the answer."""
    rig = ClientRig(chunk)
    rig.connect()
    rig.says(
        b"HTTP/1.1 %d Not Today\r\nContent-Length: 4\r\nX-Y: a\r\nx-y: b\r\n\r\nbody"
        % status
    )
    kind = ProxyAuthenticationRequired if status == 407 else ProxyRefused
    error = rig.failed(kind)
    assert (error.status, error.reason) == (status, "Not Today")
    assert error.headers == (
        (b"content-length", b"4"),
        (b"x-y", b"a"),
        (b"x-y", b"b"),
    )
    assert error.body == (b"" if status == 101 else b"body")
    assert error.proxyStatus == ()
    assert str(error).startswith(
        f"no tunnel to example.com:443 through 192.0.2.9:3128: the proxy answered {status} Not Today; "
    )
    assert error.authority == Authority("example.com", 443)
    assert isinstance(error, ConnectError) and isinstance(error, ProxyError)


def test_proxyStatus() -> None:
    """What Proxy-Status says is parsed, and its error shown."""
    rig = ClientRig()
    rig.connect()
    rig.says(
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n"
        b"Proxy-Status: inner; error=dns_error; rcode=NXDOMAIN\r\n"
        b'Proxy-Status: "outer"; error=http_protocol_error\r\n\r\n'
    )
    error = rig.failed(ProxyRefused)
    assert [member.name for member in error.proxyStatus] == ["inner", "outer"]
    assert error.proxyStatus[0].parameters["rcode"] == "NXDOMAIN"
    assert "answered 502 Bad Gateway (dns_error); " in str(error)


def test_proxyStatusWithoutError() -> None:
    """A member without an error has nothing to show."""
    error = ProxyRefused(Authority("a", 1), 502, proxyStatus=())
    assert "502; it could" in str(error)
    rig = ClientRig()
    rig.connect()
    rig.says(b"HTTP/1.1 502 x\r\nContent-Length: 0\r\nProxy-Status: a, b\r\n\r\n")
    assert "502 x; " in str(rig.failed(ProxyRefused))


def test_hostileReason() -> None:
    """What a proxy writes does not break a line of a log, or fill it."""
    rig = ClientRig()
    rig.connect()
    rig.says(b"HTTP/1.1 403 a\tb\x85c" + b"x" * 500 + b"\r\nContent-Length: 0\r\n\r\n")
    shown = str(rig.failed(ProxyRefused))
    assert "403 a?b?cxxx" in shown and "...; its rules" in shown
    assert shown.isprintable() and len(shown) < 300
    assert printable("x" * SHOWN) == "x" * SHOWN


@everyChunk
def test_boundedBody(chunk: Any) -> None:
    """[UP-11] Of a refusal's content no more is read than is worth keeping."""
    rig = ClientRig(chunk)
    rig.connect()
    rig.says(b"HTTP/1.1 403 x\r\nContent-Length: 99999999\r\n\r\n" + b"y" * 20_000)
    assert rig.failed(ProxyRefused).body == b"y" * 16384


@everyChunk
def test_bodyUntilClose(chunk: Any) -> None:
    """Content without a length lasts until the close, cut short or not."""
    for how in ("end", "close", "abort"):
        rig = ClientRig(chunk)
        rig.connect()
        rig.says(b"HTTP/1.1 403 x\r\n\r\nabc")
        assert rig.outcome == []
        getattr(rig.peer, how)()
        rig.network.flush()
        assert rig.failed(ProxyRefused).body == b"abc"


def test_bodyThatDoesNotEnd() -> None:
    """A refusal is told although its content does not end."""
    rig = ClientRig(timeout=None)
    rig.connect()
    rig.says(b"HTTP/1.1 403 x\r\n\r\nabc")
    rig.network.advance(4.9)
    assert rig.outcome == []
    rig.network.advance(0.2)
    assert rig.failed(ProxyRefused).body == b"abc"


def test_bodyAtTheDeadline() -> None:
    """At the deadline a refusal that is known is told, not that it was late."""
    rig = ClientRig(timeout=3.0)
    rig.connect()
    rig.says(b"HTTP/1.1 403 x\r\nContent-Length: 9\r\n\r\nabc")
    rig.network.advance(3.0)
    assert rig.failed(ProxyRefused).body == b"abc"


# What is no answer.


@everyChunk
@pytest.mark.parametrize(
    ("said", "flaw"),
    [
        (b"HTTP/2 200 OK\r\n\r\n", Flaw.MALFORMED),
        (b"SSH-2.0-OpenSSH\r\n", Flaw.MALFORMED),
        (b"HTTP/1.1 200 OK\n\n", Flaw.MALFORMED),
        (b"HTTP/1.1 20 OK\r\n\r\n", Flaw.MALFORMED),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", Flaw.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nA\r\n\r\n", Flaw.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000, Flaw.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n", Flaw.TOO_LARGE),
        (b"HTTP/1.1 100 x\r\n\r\n" * 4000, Flaw.TOO_LARGE),
    ],
)
def test_malformed(chunk: Any, said: bytes, flaw: Flaw) -> None:
    """[UP-11] [T2] What is no answer is an error at once, and bounded."""
    rig = ClientRig(chunk)
    rig.connect()
    rig.says(said)
    error = rig.failed(ProxyProtocolError)
    assert error.flaw is flaw
    assert "check the address of the proxy" in str(error)


@everyChunk
@pytest.mark.parametrize("how", ["end", "close", "abort"])
@pytest.mark.parametrize("cut", [0, 1, 12, len(OK) - 2, len(OK) - 1])
def test_closed(chunk: Any, how: str, cut: int) -> None:
    """[T2] A part of a 200 is no tunnel, however the connection ends."""
    rig = ClientRig(chunk)
    rig.connect()
    rig.says(OK[:cut])
    assert rig.outcome == []
    getattr(rig.peer, how)()
    rig.network.flush()
    error = rig.failed(ProxyClosed)
    assert ("lost" if how == "abort" else "closed") in str(error)
    assert ("within its answer" if cut else "without an answer") in str(error)


def test_proxyCannotBeReached() -> None:
    """Failing to connect to the proxy is Twisted's own error."""
    rig = ClientRig()
    rig.network.refuse(PROXY)
    rig.connect()
    rig.failed(ConnectionRefusedError)


class _Raising:
    """An endpoint that is broken."""

    def connect(self, factory: Any) -> Any:
        raise LookupError("no")


def test_brokenEndpoint() -> None:
    """What an endpoint raises, instead of failing with it, fails."""
    rig = ClientRig()
    rig.endpoint = ConnectEndpoint(_Raising(), "example.com", 443, clock=rig.network)  # type: ignore[arg-type]
    rig.connect()
    rig.failed(LookupError)


# Deadlines and cancelling.


def begin(rig: ClientRig, step: str) -> Deferred[Any]:
    """Get as far as C{step}."""
    if step == "connecting":
        rig.network.blackhole(PROXY)
    connecting = rig.connect()
    if step == "head":
        rig.says(b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nA: ")
    elif step == "body":
        rig.says(b"HTTP/1.1 403 x\r\nContent-Length: 9\r\n\r\nabc")
    elif step == "body of a 407":
        rig.says(b"HTTP/1.1 407 x\r\nContent-Length: 9\r\n\r\nabc")
    assert rig.outcome == []
    return connecting


STEPS = ["connecting", "answer", "head", "body", "body of a 407"]


@pytest.mark.parametrize("step", STEPS)
def test_cancelled(step: str) -> None:
    """Cancelling at any step leaves neither timer nor connection."""
    rig = ClientRig()
    begin(rig, step).cancel()
    error = rig.failed(ConnectingCancelledError)
    assert error.address == addressOf(Authority("example.com", 443))


def test_cancelledTwice() -> None:
    """Cancelling once more, or when there is a tunnel, does nothing."""
    rig = ClientRig()
    connecting = begin(rig, "answer")
    connecting.cancel()
    connecting.cancel()
    rig.failed(ConnectingCancelledError)
    rig = ClientRig()
    connecting = rig.connect()
    rig.says(OK)
    connecting.cancel()
    rig.network.flush()
    assert not rig.peer.closed


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.25, "0.25"), (1.33312, "1.3"), (3.99999, "4"), (7.5, "7.5"), (600.0, "600")],
)
def test_secondsAreReadable(seconds: float, shown: str) -> None:
    """A share of a deadline is told without digits that nobody has asked for."""
    error = ProxyTimeout(Authority("a", 1), seconds, "it")
    assert str(error).endswith(f"still waiting for it after {shown} seconds")


@pytest.mark.parametrize(
    ("step", "waitedFor"),
    [
        ("connecting", "a connection to the proxy"),
        ("answer", "the proxy's answer"),
        ("head", "the proxy's answer"),
    ],
)
def test_late(step: str, waitedFor: str) -> None:
    """There is one deadline over all steps, and it says which one was slow."""
    rig = ClientRig(timeout=7.5)
    begin(rig, step)
    rig.network.advance(7.4)
    assert rig.outcome == []
    rig.network.advance(0.1)
    error = rig.failed(ProxyTimeout)
    assert isinstance(error, TwistedTimeoutError)
    assert str(error) == (
        f"no tunnel to example.com:443 through 192.0.2.9:3128: still waiting for {waitedFor} after 7.5 seconds"
    )


@everyChunk
def test_slowProxy(chunk: Any) -> None:
    """A proxy that dribbles does not put the deadline off."""
    rig = ClientRig(chunk, timeout=10)
    rig.connect()
    for octet in b"HTTP/1.1 1":
        rig.says(bytes([octet]))
        rig.network.advance(1)
    rig.failed(ProxyTimeout)


def test_noTimerStays() -> None:
    """A tunnel has no deadline any more."""
    rig = ClientRig()
    caller = rig.established()
    assert rig.network.getDelayedCalls() == []
    caller.transport.loseConnection()
    rig.network.flush()
    rig.network.assertClean()


def test_oneAfterTheOther() -> None:
    """[T4] Each connect has a connection of its own; a tunnel is never used again."""
    rig = ClientRig()
    first = rig.established()
    rig.outcome.clear()
    second = rig.established()
    assert first is not second and len(rig.proxy.peers) == 2
    rig.says(b"two")
    assert (first.data, second.data) == (b"", b"two")


# The caller's factory.


def test_factory() -> None:
    """The factory is started once, and stopped when the tunnel is lost."""
    rig = ClientRig()
    rig.connect()
    assert (rig.factory.starts, rig.factory.stops) == (1, 0)
    rig.says(OK)
    assert (rig.factory.starts, rig.factory.stops) == (1, 0)
    rig.peer.close()
    rig.network.flush()
    assert (rig.factory.starts, rig.factory.stops) == (1, 1)


class _Refusing(CountingFactory):
    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self._error = error

    def buildProtocol(self, addr: Any) -> Any:
        if self._error is not None:
            raise self._error
        return None


@pytest.mark.parametrize("error", [None, ZeroDivisionError()])
def test_factoryRefuses(error: Exception | None) -> None:
    """A factory that builds nothing fails as with any endpoint."""
    rig = ClientRig()
    rig.factory = _Refusing(error)
    rig.connect()
    rig.says(OK + b"banner")
    rig.failed(NoProtocol if error is None else ZeroDivisionError)


class _Broken(Caller):
    def connectionMade(self) -> None:
        super().connectionMade()
        raise ZeroDivisionError


def test_connectionMadeRaises() -> None:
    """A protocol that cannot begin fails the attempt, and is told of the loss."""
    made: list[Caller] = []

    def make() -> Caller:
        made.append(_Broken())
        return made[0]

    rig = ClientRig(protocol=make)
    rig.connect()
    rig.says(OK + b"banner")
    [failure] = rig.outcome
    assert isinstance(failure, Failure)
    assert failure.check(ZeroDivisionError)
    assert made[0].heard == ["made", "lost"]
    assert rig.peer.reset
    assert (rig.factory.starts, rig.factory.stops) == (1, 1)
    rig.network.assertClean()


class _Several:
    """An endpoint that makes two connections, as one racing addresses might."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._way = TCP4ClientEndpoint(network, PROXY, 3128)

    def connect(self, factory: Any) -> Any:
        first = self._way.connect(factory)
        self._way.connect(factory).addErrback(lambda failure: None)
        return first


def test_secondConnection() -> None:
    """[T4] A second connection that nobody waits for is dropped, unspoken to."""
    rig = ClientRig()
    rig.endpoint = ConnectEndpoint(
        _Several(rig.network),  # type: ignore[arg-type]
        "example.com",
        443,
        clock=rig.network,
    )
    rig.connect()
    told = sorted(peer.take() for peer in rig.proxy.peers)
    assert told == [b"", ASKED + b"\r\n"]
    assert [peer.ended for peer in rig.proxy.peers].count(True) == 1


class _Deaf:
    """An endpoint that does not hear when it is cancelled."""

    def __init__(self) -> None:
        self.factory: Any = None

    def connect(self, factory: Any) -> Any:
        self.factory = factory
        return Deferred(lambda _: None)


def test_lateConnection() -> None:
    """A connection that comes when nobody waits any more gets no protocol."""
    rig, deaf = ClientRig(), _Deaf()
    rig.endpoint = ConnectEndpoint(deaf, "example.com", 443, clock=rig.network)  # type: ignore[arg-type]
    connecting = rig.connect()
    early = deaf.factory.buildProtocol(None)
    connecting.cancel()
    rig.failed(ConnectingCancelledError)
    assert deaf.factory.buildProtocol(None) is None
    rig.way().connect(_Once(early))
    rig.network.flush()
    assert rig.peer.take() == b"" and rig.peer.reset


class _Once(CountingFactory):
    def __init__(self, protocol: Any) -> None:
        super().__init__(lambda: protocol)
