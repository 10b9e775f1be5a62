"""The words of the client's errors: the proxy's name, wrong kinds, NO_PROXY."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from connectrig import OK, PROXY, ClientRig
from namednetwork import NamedNetwork
from OpenSSL.SSL import Error as SSLError
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.error import (
    ConnectBindError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from txconnect.client import (
    Basic,
    Bearer,
    ConnectEndpoint,
    ConnectEndpointFactory,
    Digest,
    Password as ProxyPassword,
    ProxyEnvironment,
    ProxyURL,
    Socks5Endpoint,
    agentFromEnvironment,
    environment as environmentModule,
    proxyAgent,
    streams,
    tunnelEndpoint,
)
from txconnect.client.errors import ProxyClosed, ProxyRefused, ProxyTimeout
from txconnect.client.proxynames import nameEndpoint, nameInError
from txconnect.testing import MemoryNetwork

NAME = f"{PROXY}:3128"


# The proxy's name


class Failing:
    """The endpoint of a proxy that cannot be reached."""

    def __init__(self, error: Exception, **named: Any) -> None:
        self._error = error
        vars(self).update(named)

    def connect(self, factory: Any) -> Deferred[Any]:
        return fail(self._error)


def failed(proxyEndpoint: Any, **more: Any) -> Any:
    """The error of a tunnel by this endpoint."""
    outcome: list[Any] = []
    endpoint = ConnectEndpoint(
        proxyEndpoint, "db.example", 22, clock=MemoryNetwork(), **more
    )
    endpoint.connect(Factory.forProtocol(Protocol)).addErrback(outcome.append)
    (failure,) = outcome
    return failure.value


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ConnectionRefusedError(111, "Connection refused"),
            "Connection was refused by other side: 111: Connection refused: the proxy "
            "proxy.example:3128.",
        ),
        (NoRouteError(), "No route to host: the proxy proxy.example:3128."),
        (
            TimeoutError(),
            "User timeout caused connection failure: the proxy proxy.example:3128.",
        ),
        (
            ConnectBindError(99, "Cannot assign"),
            "Couldn't bind: 99: Cannot assign: the proxy proxy.example:3128.",
        ),
        (
            DNSLookupError("no results for hostname lookup: proxy.example"),
            "DNS lookup failed: no results for hostname lookup: proxy.example: the "
            "proxy proxy.example:3128.",
        ),
    ],
)
def test_aProxyThatIsDown(error: Exception, said: str) -> None:
    """[F62] Twisted's own error stays what it is, and names the proxy, once."""
    kind, code = type(error), getattr(error, "osError", None)
    proxy = Failing(error, _hostText="proxy.example", _port=3128)
    for _ in range(2):
        raised = failed(proxy)
        assert raised is error and type(raised) is kind
        assert " ".join(str(raised).split()) == said
    assert getattr(error, "osError", None) == code
    assert error.proxy == "proxy.example:3128"  # type: ignore[attr-defined]


def test_tlsOfAProxyThatFails() -> None:
    """[F62] OpenSSL's list stays as it is for those who read it; a note has the name."""
    error = SSLError([("SSL routines", "", "wrong version number")])
    assert failed(Failing(error, _host="proxy.example", _port=1)) is error
    assert error.args == ([("SSL routines", "", "wrong version number")],)
    assert error.__notes__ == ["the proxy proxy.example:1"]


@pytest.mark.parametrize("step", ["refused", "closed", "late"])
def test_everyErrorNamesIt(step: str) -> None:
    """[F62] Whatever went wrong, the proxy is named."""
    rig = ClientRig(timeout=5.0)
    rig.connect()
    kind: type[Exception] = ProxyTimeout
    if step == "refused":
        rig.says(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n")
        kind = ProxyRefused
    elif step == "closed":
        rig.peer.close()
        rig.network.flush()
        kind = ProxyClosed
    rig.network.advance(5)
    error = rig.failed(kind)
    assert error.proxy == NAME
    assert str(error).startswith(f"no tunnel to example.com:443 through {NAME}: ")


def test_namesOfEndpoints() -> None:
    """[F62] Those of Twisted, wrapped ones, URLs, paths, and proxies behind proxies."""
    network: Any = NamedNetwork()
    plain = HostnameEndpoint(network, "proxy.example", 3128)
    inner = ConnectEndpoint(plain, "inner.example", 8080, clock=network)
    creator = optionsForClientTLS("proxy.example")
    for endpoint, name in {
        plain: "proxy.example:3128",
        wrapClientTLS(creator, plain): "proxy.example:3128",
        wrapClientTLS(creator, wrapClientTLS(creator, plain)): "proxy.example:3128",
        TCP4ClientEndpoint(network, "192.0.2.9", 1): "192.0.2.9:1",
        HostnameEndpoint(network, "2001:db8::1", 443): "[2001:db8::1]:443",
        UNIXClientEndpoint(network, "/run/proxy"): "/run/proxy",
        inner: "inner.example:8080",
        Failing(ValueError()): "",
    }.items():
        assert nameEndpoint(endpoint) == name
    looped: Any = Failing(ValueError())
    looped._wrappedEndpoint = looped
    assert nameEndpoint(looped) == ""


def test_anotherEndpointIsNamedByItsAddress() -> None:
    """[F62] Of an endpoint without a known name, the connection has one."""
    rig = ClientRig()
    way = rig.way()

    class Bare:
        def connect(self, factory: Any) -> Any:
            return way.connect(factory)

    rig.endpoint = ConnectEndpoint(Bare(), "example.com", 443, clock=rig.network)  # type: ignore[arg-type]
    rig.connect()
    rig.says(b"HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n")
    assert rig.failed(ProxyRefused).proxy == NAME


def test_proxiesBehindProxies() -> None:
    """[F62] The one that has failed is named, and not the one behind it."""
    rig = ClientRig()
    inner = ConnectEndpoint(rig.way(), "inner.example", 8080, clock=rig.network)
    rig.endpoint = ConnectEndpoint(inner, "example.com", 443, clock=rig.network)
    rig.connect()
    rig.says(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n")
    error = rig.failed(ProxyRefused)
    assert str(error).startswith(f"no tunnel to inner.example:8080 through {NAME}: ")
    again = ClientRig()
    inner = ConnectEndpoint(again.way(), "inner.example", 8080, clock=again.network)
    again.endpoint = ConnectEndpoint(inner, "example.com", 443, clock=again.network)
    again.connect()
    again.says(OK)
    again.says(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n")
    error = again.failed(ProxyRefused)
    assert "example.com:443 through inner.example:8080: the proxy ans" in str(error)


def test_onlyErrorsOfConnecting() -> None:
    """An error of the credentials is none of the proxy's."""
    error = ConnectionRefusedError(111, "the token server")

    def authorize(attempt: Any) -> Any:
        raise error

    rig = ClientRig(credentials=authorize)
    rig.connect()
    (failure,) = rig.outcome
    assert isinstance(failure, Failure) and failure.value is error
    assert "proxy" not in str(error)
    nameInError(None, NAME)


# Wrong kinds


def reactor() -> Any:
    return NamedNetwork()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: proxyAgent(reactor(), b"http://a:1"), "URL in text, .*, not bytes"),  # type: ignore[arg-type]
        (lambda: proxyAgent(reactor(), None), "URL in text, .*, not NoneType"),  # type: ignore[arg-type]
        (lambda: ConnectEndpointFactory(reactor(), 3128), "not int"),  # type: ignore[arg-type]
        (lambda: tunnelEndpoint(reactor(), b"http://a:1", "b", 1), "not bytes"),  # type: ignore[arg-type]
        (lambda: ProxyURL.parse(b"http://a:1"), "a proxy's URL is text, not bytes"),  # type: ignore[arg-type]
        (
            lambda: ConnectEndpoint("http://a:1", "b", 1),  # type: ignore[arg-type]
            "the proxy's endpoint is an IStreamClientEndpoint, .* not str",
        ),
        (
            lambda: Socks5Endpoint(ProxyURL.parse("socks5://a:1"), "b", 1),  # type: ignore[arg-type]
            "the proxy's endpoint is an IStreamClientEndpoint, .* not ProxyURL",
        ),
        (
            lambda: ConnectEndpoint(Failing(OSError()), "b", 1, timeout="5"),  # type: ignore[arg-type]
            "the timeout is a number of seconds or None, not str",
        ),
        (
            lambda: Socks5Endpoint(Failing(OSError()), "b", 1, timeout=True),  # type: ignore[arg-type]
            "the timeout is a number of seconds or None, not bool",
        ),
        *(
            (
                lambda headers=headers: proxyAgent(  # type: ignore[misc]
                    reactor(), "http://a:1", headers=headers
                ),
                "the headers are a list of pairs",
            )
            for headers in ({b"ab": b"c"}, [b"ab"], b"ab", 3, [(b"a", b"b", b"c")])
        ),
        *(
            (lambda make=make: make(b"a", "b"), "the user is text, a str, not bytes")  # type: ignore[misc]
            for make in (Basic, Digest, ProxyPassword)
        ),
        *(
            (lambda make=make: make("a", None), "the password is text, .* not NoneType")  # type: ignore[misc]
            for make in (Basic, Digest, ProxyPassword)
        ),
        (lambda: Bearer(b"t"), "the token is text, a str, not bytes"),
        (
            lambda: agentFromEnvironment(reactor(), "HTTPS_PROXY=a"),  # type: ignore[arg-type]
            "the environment is a mapping such as os.environ, not str",
        ),
    ],
)
def test_wrongKinds(make: Any, said: str) -> None:
    """[F62] One sentence, where the mistake was made."""
    with pytest.raises(TypeError, match=said) as raised:
        make()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "host", ["a.example:443", "192.0.2.1:1", "[2001:db8::1]:443", b"a:1"]
)
def test_portInTheHost(host: Any) -> None:
    """[F62] It was taken for an IPv6 address without its brackets."""
    with pytest.raises(ValueError, match="the host has a port: give the port as an"):
        ConnectEndpoint(Failing(OSError()), host, 443)


@pytest.mark.parametrize("host", ["2001:db8::1", "::1", "[::1]", "::"])
def test_noPortInTheHost(host: str) -> None:
    endpoint = ConnectEndpoint(Failing(OSError()), host, 443)
    assert endpoint.authority.address is not None


@pytest.mark.parametrize(
    ("method", "uri", "said"),
    [
        ("GET", b"https://a.example/", "the method is bytes, as of an Agent, not str"),
        (b"GET", "https://a.example/", "the URI is bytes, as of an Agent, not str"),
    ],
)
def test_textForAnAgent(method: Any, uri: Any, said: str) -> None:
    """[F62] As with Twisted's Agent, and with words for it."""
    for agent in (
        proxyAgent(reactor(), "http://a:1"),
        agentFromEnvironment(reactor(), {"all_proxy": "http://a:1"}),
    ):
        failed: list[Failure] = []
        agent.request(method, uri).addErrback(failed.append)
        assert failed[0].check(TypeError)
        assert str(failed[0].value) == said


def test_urlsInTextAreTaken() -> None:
    """[F62] Wherever a proxy's URL is taken, a text is."""
    endpoint: Any = tunnelEndpoint(reactor(), "http://proxy.example:1", "b", 1)
    assert nameEndpoint(endpoint._proxyEndpoint) == "proxy.example:1"


# NO_PROXY


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The hints that are logged."""
    monkeypatch.setattr(environmentModule, "_hintsLogged", set())
    lines: list[str] = []

    def observe(event: Any) -> None:
        if event.get("log_namespace") == "txconnect.client.environment":
            lines.append(event["hint"])

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ("*.x.example", "write 'x.example', which stands for its subdomains too"),
        ("*.x.example:443", "write 'x.example', which stands for its subdomains too"),
        ("a.example:443", "write 'a.example': ports are no part of it"),
        ("10.0.0.1:80", "write '10.0.0.1': ports are no part of it"),
        ("[2001:db8::1]:443", "write '2001:db8::1': ports are no part of it"),
        ("[2001:db8::1]", "write '2001:db8::1', without brackets"),
        ("a.*.example", "'*' stands for all hosts where it is the only entry, and"),
        ("10.0.0.*", "'*' stands for all hosts where it is the only entry, and"),
        ("http://a.example", "write the host alone, without a scheme"),
    ],
)
def test_noProxyHints(entry: str, meant: str, warned: list[str]) -> None:
    """[F62] What matches nothing is a warning once, with what would match."""
    environ = {"HTTPS_PROXY": "http://p:1", "no_proxy": f"localhost,{entry}"}
    for _ in range(3):
        found = ProxyEnvironment(environ)
    (hint,) = found.hints
    assert hint.startswith(f"NO_PROXY: {entry!r} matches no host, as in curl; {meant}")
    assert warned == [hint]
    for host in ("a.x.example", "a.example", "10.0.0.1", "2001:db8::1", "a.b.example"):
        assert not found.excepts(host)


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "",
        "localhost, .example.org example.com 10.0.0.0/8,192.168.1.1",
        "2001:db8::/32,::1,fe80::1%eth0",
        "a.example.,A_B.example,xn--bcher-kva.example",
    ],
)
def test_noHints(value: str, warned: list[str]) -> None:
    """[F62] What matches has no hint."""
    assert ProxyEnvironment({"NO_PROXY": value}).hints == () and warned == []


def test_hintsAreBounded(warned: list[str]) -> None:
    """Not every environment of a long-lived program is a line; none is a long one."""
    for number in range(200):
        ProxyEnvironment({"NO_PROXY": f"*.{number}" + "x" * 5000})
    assert len(warned) == 64 and max(map(len, warned)) < 400


# Standard streams


def test_closedStreams(monkeypatch: pytest.MonkeyPatch) -> None:
    """[F62] What is closed is replaced, and a closed output is an error."""
    closed = {0, 1}
    opened: list[int] = []
    monkeypatch.setattr(streams, "_isOpen", lambda descriptor: descriptor not in closed)
    monkeypatch.setattr(
        streams, "_openNothing", lambda descriptor, flags: opened.append(descriptor)
    )
    with pytest.raises(ValueError, match="standard output is closed, .* >/dev/null"):
        streams.replaceClosedStreams()
    assert opened == [0, 1]
    closed.clear()
    streams.replaceClosedStreams()
    assert opened == [0, 1]


def test_whatStandsForAClosedStream() -> None:
    """It has the very number, whatever the next free one is."""
    wanted = os.dup(0)
    os.close(wanted)
    assert not streams._isOpen(wanted)
    streams._openNothing(wanted, os.O_RDONLY)
    assert streams._isOpen(wanted) and os.read(wanted, 1) == b""
    streams._openNothing(wanted, os.O_RDONLY)
    os.close(wanted)
