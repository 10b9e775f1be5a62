"""
Routes that routers make of client endpoints: where they lead, who judges, and the
row of the refusals table that each failure of connecting gets.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import CertificateAuthority, makeAuthority
from OpenSSL import SSL
from rig import DESTINATION, ESTABLISHED, Rig, body, connect, logging, status
from scripted import PARENT
from service_identity import CertificateError
from twisted.internet import defer, error
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    DefaultOpenSSLContextFactory,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from txconnect.client import (
    ConnectEndpoint,
    ProxyAuthenticationRequired,
    ProxyClosed,
    ProxyProtocolError,
    ProxyRefused,
    ProxyTimeout,
    Socks5Endpoint,
)
from txconnect.errors import Refused
from txconnect.interfaces import IAddressPolicy, IRouter, IUnresolvedPolicy
from txconnect.routing.connecting import connectBy
from txconnect.testing import CHUNKS, Destination, checkRouter, makeRequest
from txconnect.testing.transports import OutsidePort
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Allow, Authority, Cause, Deny, Reached, Route

pytestmark = pytest.mark.filterwarnings(
    "ignore:Passing pyOpenSSL .* deprecated:DeprecationWarning"
)

everyChunk = pytest.mark.parametrize("chunk", CHUNKS)
DESTINATION_AUTHORITY = Authority("example.com", 443)


@implementer(IRouter)
class Always:
    """One route for all, which a test sets when its network is there."""

    made: Any = None

    def route(self, request: Any) -> Any:
        return self.made


def routed(chunk: Any = None, **arguments: Any) -> tuple[Rig, Always]:
    """A proxy whose router answers with what a test gives it."""
    router = Always()
    return Rig(chunk, routers=[router], **arguments), router


@implementer(IStreamClientEndpoint)
class Scripted:
    """An endpoint that does what a test says."""

    def __init__(self, connecting: Callable[[Any], Any]) -> None:
        self._connecting = connecting
        self.factories: list[Any] = []

    def connect(self, protocolFactory: Any) -> Any:
        self.factories.append(protocolFactory)
        return self._connecting(protocolFactory)


def raising(failure: BaseException) -> Callable[..., Any]:
    def refuse(*arguments: Any) -> Any:
        raise failure

    return refuse


# Where they lead


@everyChunk
def test_anEndpointIsARoute(chunk: Any) -> None:
    """[F52] The tunnel's leg is its connection, from the early data to both ends."""
    rig, router = routed(chunk)
    router.made = Route.through("line", TCP4ClientEndpoint(rig.network, PARENT, 99))
    server = rig.serve(PARENT, 99, banner=b"banner")
    client = rig.client(connect() + b"early")
    peer = server.peers[-1]
    client.send(b" up")
    client.end()
    rig.flush()
    assert peer.received == b"early up"
    assert peer.ended
    peer.send(b" down")
    peer.end()
    rig.flush()
    assert body(client) == b"banner down"
    assert client.ended
    rig.assertOver()
    (closed,) = rig.events.closed
    assert (closed.up, closed.down) == (8, 11)
    assert closed.tunnel.route == "line"
    # It leads elsewhere, so that no judged address is where it leads.
    assert closed.tunnel.address is None


@pytest.mark.parametrize("who", ["client", "destination"])
def test_resetsGoThroughIt(who: str) -> None:
    """[F52] [TU-04] As on any other route."""
    rig, router = routed()
    router.made = Route.through("line", TCP4ClientEndpoint(rig.network, PARENT, 99))
    server = rig.serve(PARENT, 99)
    client = rig.client(connect())
    (client if who == "client" else server.peers[-1]).abort()
    rig.flush()
    assert (server.peers[-1] if who == "client" else client).reset
    rig.assertOver()


def test_aCallableGetsTheRequestAndTheJudgedAddresses() -> None:
    """[F52] So that it connects where the policies have judged."""
    rig, router = routed(names={"example.com": [DESTINATION, "192.0.2.2"]})
    seen: list[Any] = []

    def endpointFor(request: Any, addresses: Any) -> Any:
        seen.append((str(request.authority), [str(each) for each in addresses]))
        port = request.authority.port
        return TCP4ClientEndpoint(rig.network, str(addresses[1]), port)

    router.made = Route.through("own", endpointFor)
    rig.serve("192.0.2.2", 443, banner=b"second")
    client = rig.client(connect())
    assert body(client) == b"second"
    assert seen == [("example.com:443", [DESTINATION, "192.0.2.2"])]
    assert str(rig.events.established[0].tunnel.address) == "192.0.2.2"


def test_aCallableMayAnswerLater() -> None:
    """[F52] With a Deferred or a coroutine, as any hook."""
    rig, router = routed()
    found: Deferred[Any] = Deferred()

    async def endpointFor(request: Any, addresses: Any) -> Any:
        return await found

    router.made = Route.through("later", endpointFor)
    rig.serve(banner=b"hello")
    client = rig.client(connect())
    assert client.received == b""
    found.callback(TCP4ClientEndpoint(rig.network, DESTINATION, 443))
    rig.flush()
    assert body(client) == b"hello"


@everyChunk
def test_throughAParent(chunk: Any) -> None:
    """[F52] With the client's own endpoint; the parent looks the name up."""
    rig, router = routed(chunk)
    parent = TCP4ClientEndpoint(rig.network, PARENT, 3128)

    def endpointFor(request: Any, addresses: Any) -> Any:
        assert addresses == ()
        host, port = request.authority.host, request.authority.port
        return ConnectEndpoint(parent, host, port, clock=rig.network)

    router.made = Route.through("parent", endpointFor, resolves=True)
    server = rig.serve(PARENT, 3128)
    client = rig.client(connect("only.parents.example:443") + b"early")
    peer = server.peers[-1]
    assert peer.take().startswith(b"CONNECT only.parents.example:443 HTTP/1.1\r\n")
    peer.send(ESTABLISHED + b"banner")
    rig.flush()
    assert body(client) == b"banner"
    assert peer.take() == b"early"
    assert rig.lookup.calls == []
    client.abort()
    rig.assertOver()


def test_aWrapperIsFired() -> None:
    """[F52] Some endpoints fire with something else than the factory's protocol."""
    rig, router = routed()
    inner = TCP4ClientEndpoint(rig.network, PARENT, 99)
    wrapping = Scripted(lambda f: inner.connect(f).addCallback(lambda p: object()))
    router.made = Route.through("wrapped", wrapping)
    rig.serve(PARENT, 99, banner=b"hello")
    assert body(rig.client(connect())) == b"hello"


# Who judges


@implementer(IAddressPolicy, IUnresolvedPolicy)
class Judge:
    """Denies each address, or a name of which none will be judged."""

    def __init__(self, addresses: bool, unresolved: bool = False) -> None:
        self._addresses, self._unresolved = addresses, unresolved

    def decideAddress(self, request: Any, address: Any) -> Any:
        return Deny("not this address") if self._addresses else Allow()

    def decideUnresolved(self, request: Any) -> Any:
        return Deny("not unresolved") if self._unresolved else Allow()


def judged(judge: Judge, **more: Any) -> tuple[Rig, list[Any]]:
    asked: list[Any] = []
    rig, router = routed(policies=[judge])

    def endpointFor(request: Any, addresses: Any) -> Any:
        asked.append(request)
        return TCP4ClientEndpoint(rig.network, DESTINATION, 443)

    router.made = Route.through("line", endpointFor, **more)
    rig.serve()
    return rig, asked


@pytest.mark.parametrize("target", ["example.com:443", f"{DESTINATION}:443"])
def test_byDefaultAddressPoliciesJudge(target: str) -> None:
    """[F52] Nothing is connected that they have not allowed."""
    rig, asked = judged(Judge(True))
    client = rig.client(connect(target))
    assert status(client) == 403
    assert asked == []
    assert rig.events.refused[0].reason == "not this address"


def test_byDefaultANameThatIsNotKnownHereIsRefused() -> None:
    """[F52] There is nothing to judge then."""
    rig, asked = judged(Judge(False))
    client = rig.client(connect("only.parents.example:443"))
    assert status(client) == Cause.DNS_ERROR.status
    assert asked == []


def test_whereTheFarEndResolvesNoAddressOfANameIsJudged() -> None:
    """[F52] [TU-11] A literal is; and who judges unresolved names is asked."""
    rig, asked = judged(Judge(True), resolves=True)
    assert status(rig.client(connect("only.parents.example:443"))) == 200
    assert len(asked) == 1
    assert status(rig.client(connect("198.51.100.7:443"))) == 403
    rig, asked = judged(Judge(False, unresolved=True), resolves=True)
    assert status(rig.client(connect())) == 403
    assert asked == []


# Failures of connecting


def kindOf(made: Any) -> str:
    return type(made).__module__.partition(".")[0] + "." + type(made).__name__


def osError(number: int) -> error.ConnectError:
    return error.getConnectError((number, "words"))


FAILURES: list[tuple[Exception, Cause]] = [
    (error.ConnectionRefusedError(), Cause.CONNECTION_REFUSED),
    (ConnectionRefusedError(errno.ECONNREFUSED, "no"), Cause.CONNECTION_REFUSED),
    (error.TimeoutError(), Cause.CONNECTION_TIMEOUT),
    (error.TCPTimedOutError(), Cause.CONNECTION_TIMEOUT),
    (defer.TimeoutError(3, "Deferred"), Cause.CONNECTION_TIMEOUT),
    (TimeoutError(), Cause.CONNECTION_TIMEOUT),
    (error.NoRouteError(), Cause.UNROUTABLE),
    (error.UnsupportedAddressFamily(), Cause.UNROUTABLE),
    (OSError(errno.EHOSTUNREACH, "no"), Cause.UNROUTABLE),
    (error.DNSLookupError("no such name"), Cause.DNS_ERROR),
    (error.UnknownHostError(), Cause.DNS_ERROR),
    (socket.gaierror(socket.EAI_NONAME, "no"), Cause.DNS_ERROR),
    (error.UserError(), Cause.CONNECTION_TERMINATED),
    (error.ConnectingCancelledError(object()), Cause.CONNECTION_TERMINATED),
    (error.ConnectionLost(), Cause.CONNECTION_TERMINATED),
    (error.ConnectionDone(), Cause.CONNECTION_TERMINATED),
    (ConnectionResetError(errno.ECONNRESET, "no"), Cause.CONNECTION_TERMINATED),
    (osError(errno.ECONNRESET), Cause.CONNECTION_TERMINATED),
    (osError(errno.EMFILE), Cause.EXHAUSTED),
    (OSError(errno.EMFILE, "no"), Cause.EXHAUSTED),
    (osError(errno.ENOENT), Cause.PARENT_UNREACHABLE),
    (error.ConnectError(), Cause.PARENT_UNREACHABLE),
    (error.SSLError(), Cause.PARENT_TLS),
    (SSL.Error([("SSL", "", "wrong version number")]), Cause.PARENT_TLS),
    (SSL.Error([("", "", "certificate verify failed")]), Cause.PARENT_CERTIFICATE),
    (error.PeerVerifyError(), Cause.PARENT_CERTIFICATE),
    (CertificateError("no name in it"), Cause.PARENT_CERTIFICATE),
    (ProxyRefused(DESTINATION_AUTHORITY, 403), Cause.PARENT_DENIED),
    (ProxyRefused(DESTINATION_AUTHORITY, 504), Cause.PARENT_TIMEOUT),
    (
        ProxyAuthenticationRequired(DESTINATION_AUTHORITY, 407),
        Cause.PARENT_CREDENTIALS,
    ),
    (ProxyTimeout(DESTINATION_AUTHORITY, 3, "an answer"), Cause.PARENT_SILENT),
    (ProxyClosed(DESTINATION_AUTHORITY, True, False), Cause.PARENT_BROKE_OFF),
    (ProxyProtocolError(DESTINATION_AUTHORITY, "no"), Cause.PARENT_MALFORMED),
    (Refused(Cause.LIMIT, "its own word"), Cause.LIMIT),
]


WAYS: dict[str, Callable[[Exception], Route]] = {
    "endpoint": lambda e: Route.through("line", Scripted(lambda _: fail(e))),
    "raising endpoint": lambda e: Route.through("line", Scripted(raising(e))),
    "callable": lambda e: Route.through("line", raising(e)),
    "connect": lambda e: Route("line", lambda *_: fail(e)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("failure", "cause"), [pytest.param(*row, id=kindOf(row[0])) for row in FAILURES]
)
def test_eachFailureHasItsRow(failure: Exception, cause: Cause, way: str) -> None:
    """[F52] No 500, no traceback; the route and the reason are in the log."""
    rig, router = routed()
    router.made = WAYS[way](failure)
    with logging() as logged:
        client = rig.client(connect())
    assert status(client) == cause.status
    assert logged.errors == []
    (refused,) = rig.events.refused
    assert (refused.cause, refused.rule) == (cause, cause.label)
    if not isinstance(failure, Refused):
        assert refused.reason.startswith("line")
    client.end()
    rig.assertOver()


MISTAKES: list[Any] = [
    raising(KeyError("broken")),
    raising(PermissionError(errno.EACCES, "a file of the plugin's")),
    raising(CancelledError()),
    lambda *_: None,
    lambda *_: object(),
    lambda *_: Scripted(lambda _: fail(ZeroDivisionError("broken"))),
    lambda *_: Scripted(lambda _: succeed(None)),
    lambda *_: Scripted(lambda _: None),
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_aMistakeIsA500WithOneTraceback(mistake: Any) -> None:
    """[F52] [K1] Whatever is no failure of connecting is the operator's to see."""
    rig, router = routed()
    router.made = Route.through("line", mistake)
    with logging() as logged:
        client = rig.client(connect())
    assert status(client) == 500
    (entry,) = logged.errors
    assert "line failed over " in entry
    assert "Traceback" in entry
    (refused,) = rig.events.refused
    assert (refused.cause, refused.rule) == (Cause.PLUGIN_ERROR, "line")
    client.end()
    rig.assertOver()


def test_noEndpointAtAll() -> None:
    """[F52] It is said where it is made."""
    nothing: Any = "tcp:parent:3128"
    with pytest.raises(TypeError, match="route line: str is neither an IStreamClient"):
        Route.through("line", nothing)


@pytest.mark.parametrize("kind", ["connect", "socks"])
def test_aParentThatIsDown(kind: str) -> None:
    """[F52] It was not the destination that refused, where a proxy comes first."""
    rig, router = routed()
    parent = TCP4ClientEndpoint(rig.network, PARENT, 3128)
    made = ConnectEndpoint if kind == "connect" else Socks5Endpoint
    router.made = Route.through(
        "parent", made(parent, "example.com", 443, clock=rig.network)
    )
    rig.network.refuse(PARENT)
    client = rig.client(connect())
    assert status(client) == 503
    assert rig.events.refused[0].cause is Cause.PARENT_UNREACHABLE
    assert "refused" in rig.events.refused[0].reason


def test_aDestinationThatRefuses() -> None:
    """[F52] By a connection that was tried."""
    rig, router = routed()
    router.made = Route.through("line", TCP4ClientEndpoint(rig.network, PARENT, 99))
    rig.network.refuse(PARENT)
    assert status(rig.client(connect())) == 502
    assert rig.events.refused[0].cause is Cause.CONNECTION_REFUSED


@implementer(IStreamClientEndpoint)
class Bare:
    """An endpoint whose transport is no stream that a tunnel can use."""

    def connect(self, protocolFactory: Any) -> Any:
        protocol = protocolFactory.buildProtocol(None)
        protocol.makeConnection(self)
        return succeed(protocol)

    closed = 0

    def loseConnection(self) -> None:
        self.closed += 1


def test_aTransportThatCannotCarryATunnel() -> None:
    """[F52] The log says which methods it lacks."""
    rig, router = routed()
    bare = Bare()
    router.made = Route.through("bare", bare)
    with logging() as logged:
        assert status(rig.client(connect())) == 500
    (entry,) = logged.errors
    assert "Bare, cannot carry a tunnel: it has no write, abortConnection" in entry
    assert bare.closed == 1


def test_aSocketThatIsGoneAsItIsUp(monkeypatch: pytest.MonkeyPatch) -> None:
    """[F52] Its options cannot be set; the client is told at once."""

    def gone(transport: Any) -> None:
        raise OSError(errno.ENOTCONN, "it is not connected")

    monkeypatch.setattr("txconnect.routing.endpointleg.setSocketOptions", gone)
    rig, router = routed()
    router.made = Route.through("line", TCP4ClientEndpoint(rig.network, PARENT, 99))
    server = rig.serve(PARENT, 99)
    client = rig.client(connect())
    assert status(client) == 502
    assert rig.events.refused[0].cause is Cause.CONNECTION_TERMINATED
    assert "not connected" in rig.events.refused[0].reason
    assert server.peers[-1].reset
    client.end()
    rig.assertOver()


# Time


def test_aDeadline() -> None:
    """[F52] The endpoint's own may be longer; nothing is left of the attempt."""
    rig, router = routed(settings={"connectTimeout": 5.0})
    router.made = Route.through(
        "line", TCP4ClientEndpoint(rig.network, PARENT, 99, timeout=60)
    )
    rig.network.blackhole(PARENT)
    client = rig.client(connect())
    rig.network.advance(4)
    assert client.received == b""
    rig.network.advance(2)
    assert status(client) == 504
    assert rig.events.refused[0].cause is Cause.CONNECTION_TIMEOUT
    client.end()
    rig.assertOver()


@pytest.mark.parametrize("how", ["leaves", "stop"])
def test_theAttemptIsGivenUpWithItsRequest(how: str) -> None:
    """[F52] No orphan: as the client leaves, or the proxy stops."""
    rig, router = routed()
    router.made = Route.through("line", TCP4ClientEndpoint(rig.network, PARENT, 99))
    rig.network.blackhole(PARENT)
    client = rig.client(connect())
    assert len(rig.network.open) == 2
    if how == "leaves":
        client.abort()
    else:
        rig.proxy.stopService()
    rig.flush()
    client.close()
    rig.assertOver()
    assert rig.events.refused[0].cause.error is None


class Deaf(Deferred[Any]):
    """Takes no notice of being cancelled."""

    def cancel(self) -> None:
        pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_aConnectionThatComesTooLateIsReset(when: str) -> None:
    """[F52] By an endpoint that cannot be cancelled, whatever it does first."""
    rig, router = routed(settings={"connectTimeout": 5.0})
    deaf = Deaf()
    endpoint = Scripted(lambda _: deaf)
    router.made = Route.through("line", endpoint)
    server = rig.serve(PARENT, 99)
    client = rig.client(connect())
    (factory,) = endpoint.factories
    if when == "before":
        # It is up, and the endpoint keeps it to itself.
        TCP4ClientEndpoint(rig.network, PARENT, 99).connect(factory)
        rig.flush()
    rig.network.advance(6)
    assert status(client) == 504
    client.end()
    late: list[Any] = []
    if when == "after":
        TCP4ClientEndpoint(rig.network, PARENT, 99).connect(factory).addCallback(
            late.append
        )
        rig.flush()
    deaf.callback(late[0] if late else None)
    rig.flush()
    assert server.peers[-1].reset
    rig.assertOver()


def test_aReachedLegThatComesTooLateIsReset() -> None:
    """[F52] The same of a route that makes its leg itself."""
    deaf = Deaf()
    route = Route("own", lambda *_: deaf)
    waiting: Any = connectBy(route, makeRequest(), ())
    failures: list[Any] = []
    waiting.addErrback(failures.append)
    waiting.cancel()
    aborted: list[str] = []

    class Late(Leg):
        def abort(self) -> None:
            aborted.append("abort")

    deaf.callback(Reached(Late()))
    assert aborted == ["abort"]
    assert len(failures) == 1


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return makeAuthority(Path(tmp_path_factory.mktemp("tls")))


def encrypted(
    authority: CertificateAuthority, trusts: bool, chunk: Any = None
) -> tuple[Rig, Destination]:
    """A route by TLS, and the server at its end."""
    rig, router = routed(chunk)
    issued = authority.server(dns=("line.example",))
    context: Any = DefaultOpenSSLContextFactory(
        str(issued.key), str(issued.certificate)
    )
    server = Destination()
    wrapped = TLSMemoryBIOFactory(context, False, server, rig.network)
    rig.network._startPort(OutsidePort(99, wrapped, 50, PARENT, rig.network))
    root = Certificate.loadPEM(authority.certificate.read_bytes())
    trusted = trustRootFromCertificates([root] if trusts else [])
    options = optionsForClientTLS("line.example", trustRoot=trusted)
    inner = TCP4ClientEndpoint(rig.network, PARENT, 99)
    router.made = Route.through("line", wrapClientTLS(options, inner))
    return rig, server


@everyChunk
def test_tls(
    chunk: Any, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[F52] The handshake comes before the 200, and then the bytes."""
    rig, server = encrypted(authority, True, chunk)
    # Twisted's own wrapper flushes small writes by the global reactor.
    import twisted.internet.reactor as installed

    monkeypatch.setattr(installed, "callLater", rig.network.callLater)
    client = rig.client(connect() + b"early")
    peer = server.peers[-1]
    peer.send(b"banner")
    rig.flush()
    assert body(client) == b"banner"
    assert peer.received == b"early"
    peer.close()
    rig.flush()
    assert client.ended
    client.end()
    rig.assertOver()


def test_aCertificateThatIsNotTrusted(authority: CertificateAuthority) -> None:
    """[F52] Refused, and no tunnel that breaks."""
    rig, server = encrypted(authority, False)
    client = rig.client(connect())
    assert status(client) == 502
    assert rig.events.refused[0].cause is Cause.PARENT_CERTIFICATE
    assert rig.events.established == []
    client.end()
    rig.assertOver()


def test_aHandshakeThatNeverEnds() -> None:
    """[F52] It is within the deadline, and leaves nothing."""
    rig, router = routed(settings={"connectTimeout": 5.0})
    inner = TCP4ClientEndpoint(rig.network, PARENT, 99)
    options = optionsForClientTLS("line.example")
    router.made = Route.through("line", wrapClientTLS(options, inner))
    rig.serve(PARENT, 99)
    client = rig.client(connect())
    assert client.received == b""
    rig.network.advance(6)
    assert status(client) == 504
    client.end()
    rig.assertOver()


def test_theKitChecksSuchARouter() -> None:
    """[F52] With one line."""
    router = Always()
    router.made = Route.through("line", Scripted(lambda _: Deferred()))
    checkRouter(router)
    router.made = Route.through("line", lambda request: Scripted(Deferred))
    with pytest.raises(AssertionError, match="line is called with a request and add"):
        checkRouter(router)
    router.made = Route.through("line", dict)
    checkRouter(router)
    router.made = Scripted(lambda _: Deferred())
    with pytest.raises(AssertionError, match="it answered Scripted, not a Route or"):
        checkRouter(router)
