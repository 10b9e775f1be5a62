"""
A proxy as a URL: what is read from it, and that its secrets stay in it.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from namednetwork import NamedNetwork
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS
from zope.interface.verify import verifyObject

from txconnect.client.credentials import Bearer, ProxyAttempt
from txconnect.client.proxyurl import (
    ProxyURL,
    proxyEndpoint,
    tunnelEndpoint,
    urlCredentials,
)
from txconnect.client.secrets import StoredCredentials
from txconnect.testing import MemoryNetwork
from txconnect.values import Authority

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://proxy:3128", ProxyURL("http", "proxy", 3128)),
        ("HTTP://Proxy.Example:3128/", ProxyURL("http", "proxy.example", 3128)),
        ("https://proxy.example", ProxyURL("https", "proxy.example", 443)),
        ("https://proxy.example:8443", ProxyURL("https", "proxy.example", 8443)),
        ("socks5://127.0.0.1:1080", ProxyURL("socks5", "127.0.0.1", 1080)),
        ("socks5h://[::1]:1080", ProxyURL("socks5h", "::1", 1080)),
        ("https://[2001:DB8::1]", ProxyURL("https", "2001:db8::1", 443)),
        ("http://pr\u00f6xy.example:80", ProxyURL("http", "xn--prxy-6qa.example", 80)),
        ("http://u:p@proxy:1", ProxyURL("http", "proxy", 1, "u", "p")),
        ("http://u@proxy:1", ProxyURL("http", "proxy", 1, "u", None)),
        ("http://u:@proxy:1", ProxyURL("http", "proxy", 1, "u", "")),
        ("http://:p@proxy:1", ProxyURL("http", "proxy", 1, "", "p")),
        ("http://u:a:b@proxy:1", ProxyURL("http", "proxy", 1, "u", "a:b")),
        ("http://u:a@b@proxy:1", ProxyURL("http", "proxy", 1, "u", "a@b")),
        ("http://u%3A:%2f%40@proxy:1", ProxyURL("http", "proxy", 1, "u:", "/@")),
        ("http://u:50%off%@proxy:1", ProxyURL("http", "proxy", 1, "u", "50%off%")),
        ("http://%C3%BC:%20@proxy:1", ProxyURL("http", "proxy", 1, "\u00fc", " ")),
        ("http://u:\u00fc@proxy:1", ProxyURL("http", "proxy", 1, "u", "\u00fc")),
    ],
)
def test_whatIsRead(text: str, expected: ProxyURL) -> None:
    assert ProxyURL.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "SCHEME://HOST:PORT"),
        (f"u:{SECRET}@proxy:3128", "SCHEME://HOST:PORT"),
        (f"u:{SECRET}://proxy:3128", "the scheme of the proxy's URL is none of"),
        ("socks4://proxy:1080", "the scheme 'socks4' of the proxy's URL is none of"),
        (f"http://u:{SECRET}@proxy", "has no port: write http://HOST:PORT"),
        (f"socks5://u:{SECRET}@proxy/", "has no port: write socks5://HOST:PORT"),
        (f"http://u:{SECRET}@[::1]", "has no port"),
        (f"http://u:{SECRET}@proxy:", "the port is empty"),
        (f"http://u:{SECRET}@proxy:0", "the port is not 1 to 65535"),
        (f"http://u:{SECRET}@proxy:65536", "the port is not 1 to 65535"),
        (f"http://u:{SECRET}@:3128", "the host is empty"),
        (f"http://u:{SECRET}@::1:3128", "an IPv6 address goes in brackets"),
        (f"http://u:{SECRET}@[fe80::1%25eth0]:3128", "brackets hold no IPv6 address"),
        (f"http://u:{SECRET}@[::1]3128", "brackets hold no IPv6 address"),
        (f"http://u:{SECRET}@127.1:3128", "no IPv4 address of four decimal"),
        (f"http://u:{SECRET}@\u00b7:3128", "IDNA"),
        (f"http://u:{SECRET}/x@proxy:3128", "in a password, '/' is written %2F"),
        (f"http://u:{SECRET}#x@proxy:3128", "'#' %23"),
        ("http://proxy:3128/pac", "goes on behind its host and port"),
        ("http://proxy:3128?x", "goes on behind its host and port"),
        (f"http://u:{SECRET} x@proxy:3128", "written %20"),
        (f"http://u:{SECRET}@proxy:3128\n", "a control character"),
        (f"http://u:{SECRET}%0d%0a@proxy:3128", "holds a control character"),
        (f"http://u:{SECRET}%ff@proxy:3128", "is not UTF-8"),
    ],
)
def test_whatIsRefusedInOneLineWithoutThePassword(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        ProxyURL.parse(text)
    line = str(caught.value)
    assert complaint in line
    assert SECRET not in line and "\n" not in line
    assert caught.value.__cause__ is None


@given(st.text())
def test_anythingIsAProxyOrAValueError(text: str) -> None:
    """Nothing else escapes, and what is accepted reads the same again."""
    for candidate in (text, f"http://{text}", f"http://{text}@proxy:1"):
        try:
            url = ProxyURL.parse(candidate)
        except ValueError as error:
            assert "\n" not in str(error)
        else:
            assert ProxyURL.parse(str(url)) == ProxyURL(url.scheme, url.host, url.port)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("http://proxy", 1080),
        ("socks5h://proxy", 1080),
        ("http://proxy:8080", 8080),
        ("https://proxy", 443),
    ],
)
def test_defaultPortIsForWhatHasNoneOfItsOwn(text: str, port: int) -> None:
    assert ProxyURL.parse(text, 1080).port == port


def test_neitherUserNorPasswordIsShown() -> None:
    """A token may stand in the user's place."""
    url = ProxyURL.parse(f"http://{SECRET}:{SECRET}@[::1]:3128")
    assert str(url) == "http://[::1]:3128"
    assert SECRET not in repr(url)


def test_differentCredentialsAreDifferentProxies() -> None:
    """Pools of connections are kept by these values."""
    texts = [f"http://{u}proxy:1" for u in ("", "u@", "u:@", "u:p@", "v:p@")]
    assert len({ProxyURL.parse(text) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("http://u:p%40@proxy:1", b"Basic dTpwQA=="),
        ("http://u@proxy:1", b"Basic dTo="),
        ("http://:p@proxy:1", b"Basic OnA="),
        ("http://proxy:1", None),
    ],
)
def test_whatAnHTTPProxyIsSent(text: str, value: bytes | None) -> None:
    credentials = urlCredentials(ProxyURL.parse(text))
    attempt = ProxyAttempt(Authority("example.org", 443))
    assert (credentials and credentials.authorize(attempt)) == value


def test_userThatCannotBeSent() -> None:
    with pytest.raises(ValueError, match="the user holds a colon"):
        urlCredentials(ProxyURL.parse("http://a%3Ab:p@proxy:1"))


# The endpoint of the proxy itself


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("http://127.0.0.1:3128", "127.0.0.1:3128"),
        ("socks5://[::1]:1080", "[::1]:1080"),
        ("http://Proxy.Example.:1", "proxy.example.:1"),
    ],
)
def test_plainProxiesAreAHostAndAPort(text: str, place: str) -> None:
    """The trailing dot stays: it switches the resolver's search list off."""
    endpoint = proxyEndpoint(NamedNetwork(), ProxyURL.parse(text))
    verifyObject(IStreamClientEndpoint, endpoint)
    assert repr(endpoint) == f"<HostnameEndpoint {place}>"


def test_timeoutAndBindAddressReachTheConnection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reactor, dialled = NamedNetwork(), []

    def dial(host: str, port: int, factory: Any, timeout: Any, bindAddress: Any) -> Any:
        dialled.append((host, port, timeout, bindAddress))

    monkeypatch.setattr(reactor, "connectTCP", dial)
    place = ("192.0.2.7", 0)
    url = ProxyURL.parse("http://192.0.2.1:3128")
    endpoint = proxyEndpoint(reactor, url, timeout=7.0, bindAddress=place)
    endpoint.connect(Factory())
    reactor.advance(0)
    assert dialled == [("192.0.2.1", 3128, 7.0, place)]


def test_tlsIsForHTTPS() -> None:
    """What is asked for and cannot be had is no silent plain text."""
    with pytest.raises(ValueError, match="begins with https://"):
        proxyEndpoint(
            NamedNetwork(),
            ProxyURL.parse("http://proxy:1"),
            tls=optionsForClientTLS("proxy"),
        )


# The endpoint of a destination behind it


def headOf(text: str, **options: Any) -> bytes:
    """What the proxy of a URL is sent first."""
    network = MemoryNetwork()
    proxy = network.serve("192.0.2.1", 3128)
    reached = TCP4ClientEndpoint(network, "192.0.2.1", 3128)
    endpoint = tunnelEndpoint(
        network, ProxyURL.parse(text), "db", 1, proxyEndpoint=reached, **options
    )
    connecting = connectProtocol(endpoint, Protocol())
    connecting.addErrback(lambda failure: failure.trap(ConnectingCancelledError))
    network.flush()
    sent = proxy.peer.received
    connecting.cancel()
    network.flush()
    network.assertClean()
    return sent


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connect(scheme: str) -> None:
    """How the proxy is reached may be given: it is taken as it is."""
    plain = b"CONNECT db:1 HTTP/1.1\r\nHost: db:1\r\n\r\n"
    assert headOf(f"{scheme}://proxy:1") == plain
    fields = headOf(f"{scheme}://u:p@proxy:1", headers=[(b"User-Agent", b"x")])
    assert b"\r\nUser-Agent: x\r\n" in fields
    assert b"\r\nProxy-Authorization: Basic dTpw\r\n" in fields


@pytest.mark.parametrize(
    ("credentials", "value"),
    [
        (StoredCredentials("a", "b"), b"Basic YTpi"),
        (StoredCredentials(token="abc"), b"Bearer abc"),
        (Bearer("def"), b"Bearer def"),
        (lambda attempt: b"Own x", b"Own x"),
    ],
)
def test_credentialsInsteadOfTheURLs(credentials: object, value: bytes) -> None:
    head = headOf("http://u:p@proxy:1", credentials=credentials)
    assert head.count(b"Proxy-Authorization") == 1
    assert b"Proxy-Authorization: %b\r\n" % value in head


def test_tunnelsReachTheProxyOfTheURL() -> None:
    endpoint = tunnelEndpoint(
        NamedNetwork(), ProxyURL.parse("http://proxy:3128"), "::1", 22
    )
    verifyObject(IStreamClientEndpoint, endpoint)
    expected = "<ConnectEndpoint [::1]:22 by <HostnameEndpoint proxy:3128>>"
    assert repr(endpoint) == expected


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_socks(scheme: str) -> None:
    """Its greeting: with a user it can be asked for the password too."""
    assert headOf(f"{scheme}://proxy:1") == b"\x05\x01\x00"
    named = headOf(f"{scheme}://u@proxy:1")
    assert named[0] == 5 and 2 in named[2 : 2 + named[1]]
    stored = headOf(f"{scheme}://proxy:1", credentials=StoredCredentials("u", "p"))
    assert stored == named


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"headers": [(b"User-Agent", b"x")]}, "takes no header fields"),
        ({"credentials": Bearer("abc")}, "from its URL or from StoredCredentials"),
        ({"credentials": StoredCredentials(token="abc")}, "and no token"),
    ],
)
def test_whatSocksCannotBeGiven(options: dict[str, Any], complaint: str) -> None:
    """Nothing that is asked for is left out silently."""
    url = ProxyURL.parse(f"socks5://u:{SECRET}@proxy:1")
    with pytest.raises(ValueError) as caught:
        tunnelEndpoint(NamedNetwork(), url, "db", 1, **options)
    assert complaint in str(caught.value)
    assert SECRET not in str(caught.value)
