r"""
The C{connect:} endpoint string, as C{clientFromString} reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from namednetwork import NamedNetwork
from twisted.internet.endpoints import (
    clientFromString,
    connectProtocol,
    quoteStringArgument,
)
from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor
from twisted.internet.protocol import Protocol
from twisted.plugin import getPlugins
from zope.interface.verify import verifyObject

from txconnect.client.errors import ProxyTimeout
from txconnect.client.strings import BadDescription
from txconnect.testing import MemoryNetwork

PROXY = "192.0.2.1"
SECRET = "s3cr3t"
OK = b"HTTP/1.1 200 OK\r\n\r\n"


def asked(description: str, *answers: bytes) -> list[bytes]:
    """What the proxy at L{PROXY} and 3128 is sent, answer by answer."""
    network = MemoryNetwork()
    proxy = network.serve(PROXY, 3128)
    endpoint = clientFromString(network, description)
    connecting = connectProtocol(endpoint, Protocol())
    connected: list[Any] = []
    connecting.addCallback(connected.append)
    network.flush()
    heads = []
    for answer in answers:
        heads.append(proxy.peer.take())
        proxy.peer.send(answer)
        network.flush()
    assert connected, "no tunnel stands"
    connected[0].transport.loseConnection()
    network.flush()
    network.assertClean()
    return heads


def head(target: str, *fields: str) -> bytes:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *fields, "", ""]
    return "\r\n".join(lines).encode("ascii")


def test_throughAnEndpoint() -> None:
    """The proxy is wherever another endpoint string leads."""
    description = rf"connect:db.example:5432:proxy=tcp\:{PROXY}\:3128"
    assert asked(description, OK) == [head("db.example:5432")]


def test_partsByTheirNames(tmp_path: Path) -> None:
    """And credentials from a file."""
    path = tmp_path / "credentials"
    path.write_text("u:p@\n")
    proxy = quoteStringArgument(f"tcp:host={PROXY}:port=3128")
    description = (
        rf"connect:host=\:\:1:port=22:proxy={proxy}:timeout=2.5"
        f":credentials={quoteStringArgument(str(path))}"
    )
    expected = head("[::1]:22", "Proxy-Authorization: Basic dTpwQA==")
    assert asked(description, OK) == [expected]


def test_nested() -> None:
    """One proxy through another: quoted once more at each level."""
    outer = quoteStringArgument(f"tcp:{PROXY}:3128")
    inner = quoteStringArgument(f"connect:inner:8080:proxy={outer}")
    description = f"connect:db.example:5432:proxy={inner}"
    assert description.endswith(rf"\:proxy=tcp\\\:{PROXY}\\\:3128")
    assert asked(description, OK, OK) == [head("inner:8080"), head("db.example:5432")]


def test_throughAURL() -> None:
    """The proxy's name is looked up when a connection is made, not before."""
    url = quoteStringArgument("http://u:a=b@proxy.example:3128")
    endpoint = clientFromString(NamedNetwork(), f"connect:db.example:5432:proxy={url}")
    assert repr(endpoint) == (
        "<ConnectEndpoint db.example:5432 by <HostnameEndpoint proxy.example:3128>>"
    )


def test_theTimeIsLimited() -> None:
    """The reactor of the endpoint is its clock."""
    network = MemoryNetwork()
    network.serve(PROXY, 3128)
    description = rf"connect:db:5432:proxy=tcp\:{PROXY}\:3128:timeout=7"
    connecting = connectProtocol(clientFromString(network, description), Protocol())
    results: list[Any] = []
    connecting.addErrback(results.append)
    network.flush()
    network.advance(6.9)
    assert not results
    network.advance(0.2)
    assert results[0].check(ProxyTimeout)
    network.assertClean()


@pytest.mark.parametrize(
    ("description", "complaint"),
    [
        ("connect", "the host is missing: write connect:HOST:PORT:proxy="),
        ("connect:db", "the port is missing"),
        ("connect:db:5432", "the proxy is missing"),
        ("connect:db:5432:proxy=", "the proxy is missing"),
        (f"connect:db:5432:proxy=http://u:{SECRET}@p:1", "quoted by a backslash"),
        (f"connect:db:5432:proxy=tcp:p:1:{SECRET}=x", "quoted by a backslash"),
        (f"connect:db:5432:proxy=p:{SECRET}=x", "each once, and nothing else"),
        ("connect:db:5432:proxy=p:host=db", "each once, and nothing else"),
        (rf"connect:db:5432:proxy=http\://u\:{SECRET}@p", "has no port"),
        (r"connect:db:5432:proxy=socks4\://p\:1", "the scheme 'socks4'"),
        (rf"connect:db:5432:proxy=u\:{SECRET}@p\:1", "nor a client endpoint string"),
        (r"connect:db:5432:proxy=proxy\:3128", "Unknown endpoint type: 'proxy'"),
        (r"connect:db:5432:proxy=tcp\:p\:x", "invalid literal for int"),
        (r"connect:db:5432:proxy=connect\:p\:1", "the proxy is missing"),
        (r"connect:db:x:proxy=tcp\:p\:1", "the port is not 1 to 65535"),
        (r"connect:d b:1:proxy=tcp\:p\:1", "the host is no name"),
        (r"connect:db:1:proxy=tcp\:p\:1:timeout=0", "the timeout '0' is no number"),
        (r"connect:db:1:proxy=tcp\:p\:1:timeout=inf", "the timeout 'inf' is no"),
        (r"connect:db:1:proxy=tcp\:p\:1:timeout=x", "the timeout 'x' is no number"),
        (r"connect:db:1:proxy=tcp\:p\:1:credentials=env\:NOT_SET", "no such environ"),
        (r"connect:db:1:proxy=http\://a%3Ab@p\:1", "the user holds a colon"),
    ],
)
def test_whatIsNoneIsSaidInOneLine(description: str, complaint: str) -> None:
    """Whoever forgets to quote is told how; no password is repeated."""
    with pytest.raises(BadDescription) as caught:
        clientFromString(NamedNetwork(), description)
    line = str(caught.value)
    assert line.startswith("connect: ") and complaint in line
    assert SECRET not in line and "\n" not in line
    assert caught.value.__cause__ is None


def test_twistedFindsIt() -> None:
    """Among the plugins of all distributions, once."""
    parsers = [
        parser
        for parser in getPlugins(IStreamClientEndpointStringParserWithReactor)
        if parser.prefix == "connect"
    ]
    (parser,) = parsers
    verifyObject(IStreamClientEndpointStringParserWithReactor, parser)
