"""
treq and Scrapy through squid as Debian has it, on real sockets and in real TLS,
and the examples that show it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import treq
from certificates import CertificateAuthority
from exampleprograms import EXAMPLES
from loopback import PAGE, Site
from otherproxies import DENIED, PASSWORD, USER, OtherProxy, Others
from proxyprocess import DEADLINE, ProxyProcess, environment, eventually
from turning import Turning
from twisted.internet.endpoints import serverFromString
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.web.client import BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.resource import Resource
from twisted.web.server import Site as PlainSite

from txconnect.client import (
    Digest,
    ProxyAuthenticationRequired,
    ProxyRefused,
    agentFromEnvironment,
    proxyAgent,
)

# Of Twisted's own way with certificates.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")

KNOWN = f"{USER}:{PASSWORD}"


class Client:
    """
    An agent's user on the turned reactor.

    @ivar pool: where connections are kept until L{close}.
    @ivar trust: the authority of the tests.
    """

    def __init__(self, turn: Turning, authority: CertificateAuthority) -> None:
        self._turn = turn
        self.reactor = turn.reactor
        self.pool = HTTPConnectionPool(self.reactor)
        self.trust = trustRootFromCertificates(
            [Certificate.loadPEM(authority.certificate.read_bytes())]
        )
        self.policy = BrowserLikePolicyForHTTPS(self.trust)

    def agent(self, url: str, **arguments: Any) -> Any:
        """Trusting the site, keeping connections."""
        arguments = {"contextFactory": self.policy, "pool": self.pool, **arguments}
        return proxyAgent(self.reactor, url, **arguments)

    def asks(self, agent: Any, url: str, method: str = "GET", **more: Any) -> str:
        """The text of a page."""

        async def asking() -> str:
            response = await treq.request(method, url, agent=agent, **more)
            text = await response.text()
            assert response.code == 200, text
            return str(text)

        return self._turn(asking())

    def close(self) -> None:
        async def closing() -> None:
            await self.pool.closeCachedConnections()

        self._turn(closing())


@pytest.fixture
def client(turn: Turning, authority: CertificateAuthority) -> Any:
    client = Client(turn, authority)
    yield client
    client.close()


class Echo(Resource):
    """Says what it was asked with: the body, or the credentials that came along."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        if b"to" in request.args:
            request.redirect(request.args[b"to"][0])
            # Twisted's RedirectAgent leaves a body unread, and its connection open.
            return b""
        return repr(request.getHeader(b"proxy-authorization")).encode()

    def render_POST(self, request: Any) -> bytes:
        return bytes(request.content.read())


@pytest.fixture
def plainSite(turn: Turning) -> Any:
    """The URL of a destination of plain HTTP."""
    yield from listening(turn, "http", "tcp:0:interface=127.0.0.1")


@pytest.fixture
def keptSite(turn: Turning, site: Site) -> Any:
    """The URL of a destination that keeps its connections, and speaks TLS."""
    issued = site.issued
    pair = f"certKey={issued.certificate}:privateKey={issued.key}"
    yield from listening(turn, "https", f"ssl:0:interface=127.0.0.1:{pair}")


def listening(turn: Turning, scheme: str, where: str) -> Iterator[str]:
    endpoint = serverFromString(turn.reactor, where)

    async def starting() -> Any:
        return await endpoint.listen(PlainSite(Echo(), timeout=None))

    async def stopping(port: Any) -> None:
        await port.stopListening()

    port = turn(starting())
    host = "localhost" if scheme == "https" else "127.0.0.1"
    yield f"{scheme}://{host}:{port.getHost().port}/"
    turn(stopping(port))


def url(proxy: OtherProxy, user: str = "", scheme: str = "http") -> str:
    return f"{scheme}://{user and user + '@'}localhost:{proxy.port}"


def tunnels(squid: OtherProxy) -> int:
    return squid.logs().count("TCP_TUNNEL/200")


def test_threeLines(turn: Turning, others: Others, site: Site, client: Client) -> None:
    """All that a program of treq's writes to get through squid with a password."""
    reactor, policy = turn.reactor, client.policy
    proxy = f"http://{USER}:{PASSWORD}@{others('squid-basic').address}"

    async def fetch() -> str:
        agent = proxyAgent(reactor, proxy, contextFactory=policy)
        response = await treq.get(f"{site.url}/page.txt", agent=agent)
        return str(await response.text())

    assert turn(fetch()) == PAGE


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_treq(auth: str, others: Others, keptSite: str, client: Client) -> None:
    """[T4] A page over TLS, twice in one tunnel, by either kind of credentials."""
    proxy = others(f"squid-{auth}")
    agent = client.agent(url(proxy, KNOWN))
    before = tunnels(proxy)
    for _ in range(2):
        assert client.asks(agent, keptSite) == "None"
    client.close()
    eventually("squid notes a tunnel that has ended", lambda: tunnels(proxy) > before)
    assert tunnels(proxy) == before + 1


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_absoluteForm(
    auth: str, others: Others, plainSite: str, client: Client
) -> None:
    """A request with a body, sent again where squid asks; nothing reaches the site."""
    agent = client.agent(url(others(f"squid-{auth}"), KNOWN))
    assert client.asks(agent, plainSite, "POST", data=b"b" * 5000) == "b" * 5000
    assert client.asks(agent, plainSite) == "None"
    if auth == "digest":
        own = client.agent(
            url(others("squid-digest")), credentials=Digest(USER, PASSWORD)
        )
        assert client.asks(own, plainSite) == "None"


def test_plainInATunnel(plain: ProxyProcess, plainSite: str, client: Client) -> None:
    """[T14] For a proxy that does nothing but CONNECT, as ours; what was meant for
    a proxy does not come out at the tunnel's end."""
    agent = client.agent(f"http://{plain.address}", plainHTTP="tunnel")
    own = {"Proxy-Authorization": "Basic c2VjcmV0"}
    assert client.asks(agent, plainSite, headers=own) == "None"
    client.close()
    plain.told(event="closed", authority=plainSite.split("/")[2])


def test_redirected(others: Others, site: Site, plainSite: str, client: Client) -> None:
    """From plain HTTP into a tunnel: each request is decided anew."""
    agent = client.agent(url(others("squid-basic"), KNOWN))
    assert client.asks(agent, f"{plainSite}?to={site.url}/page.txt") == PAGE


def test_tlsToTheProxy(
    others: Others, site: Site, plainSite: str, client: Client
) -> None:
    """Under the site's own TLS, and under plain HTTP."""
    options = optionsForClientTLS("localhost", client.trust)
    agent = client.agent(url(others("squid-tls"), scheme="https"), tls=options)
    assert client.asks(agent, f"{site.url}/page.txt") == PAGE
    assert client.asks(agent, plainSite) == "None"


@pytest.mark.parametrize("user", ["", KNOWN])
def test_socks(
    user: str, others: Others, site: Site, plainSite: str, client: Client
) -> None:
    name = "socks-basic" if user else "socks"
    agent = client.agent(url(others(name), user, "socks5h"))
    assert client.asks(agent, f"{site.url}/page.txt") == PAGE
    assert client.asks(agent, plainSite) == "None"


def test_tinyproxyAndApache(others: Others, site: Site, client: Client) -> None:
    for name in ("tinyproxy-basic", "apache-basic"):
        agent = client.agent(url(others(name), KNOWN))
        assert client.asks(agent, f"{site.url}/page.txt") == PAGE


def test_environment(
    others: Others, site: Site, plainSite: str, client: Client
) -> None:
    """Through the proxy, and directly where it says so."""
    variables = {
        "all_proxy": url(others("squid-basic"), KNOWN),
        "no_proxy": "127.0.0.1",
    }
    agent = agentFromEnvironment(
        client.reactor, variables, contextFactory=client.policy, pool=client.pool
    )
    assert client.asks(agent, f"{site.url}/page.txt") == PAGE
    assert client.asks(agent, plainSite) == "None"


def test_refused(others: Others, client: Client, plainSite: str) -> None:
    """A rule of the proxy, and a wrong password, for both kinds of URLs."""
    agent = client.agent(url(others("squid")))
    with pytest.raises(ProxyRefused) as refused:
        client.asks(agent, f"https://{DENIED}:443/")
    assert refused.value.status == 403
    wrong = client.agent(url(others("squid-basic"), f"{USER}:wr0ng"))
    for target in ("https://localhost/", plainSite):
        with pytest.raises(ProxyAuthenticationRequired) as required:
            client.asks(wrong, target)
        assert "wr0ng" not in str(required.value)


def run(
    command: list[str], home: Path, authority: CertificateAuthority, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program that trusts the authority."""
    return subprocess.run(
        command,
        cwd=home,
        env={
            **environment(home),
            "PYTHONPATH": str(EXAMPLES.parent),
            "SSL_CERT_FILE": str(authority.certificate),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_treqExample(
    others: Others, site: Site, authority: CertificateAuthority, tmp_path: Path
) -> None:
    """By the command line and by the environment, and in one line what is wrong."""
    proxy = url(others("squid-basic"), KNOWN)
    program = [sys.executable, str(EXAMPLES / "treq_through_proxy.py")]
    asked = [*program, f"{site.url}/page.txt"]
    ended = run([*asked, proxy], tmp_path, authority)
    assert (ended.stdout, ended.stderr) == (f"200 {len(PAGE)}\n", "")
    ended = run(asked, tmp_path, authority, HTTPS_PROXY=proxy)
    assert (ended.stdout, ended.stderr) == (f"200 {len(PAGE)}\n", "")
    ended = run([*asked, url(others("squid-basic"))], tmp_path, authority)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"no tunnel to {site.authority} through ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "user", "scheme"),
    [
        ("squid-basic", KNOWN, "http"),
        ("squid-digest", KNOWN, "http"),
        ("squid-tls", "", "https"),
        ("socks-basic", KNOWN, "socks5"),
    ],
)
def test_scrapyExample(
    name: str,
    user: str,
    scheme: str,
    others: Others,
    site: Site,
    authority: CertificateAuthority,
    tmp_path: Path,
    library: Callable[[str], ModuleType],
) -> None:
    """
    Scrapy's own handler cannot do the last three; and a page of plain HTTP goes
    the same way.
    """
    library("scrapy")
    program = [sys.executable, "-m", "scrapy", "runspider", "-L", "ERROR"]
    asked = [*program, str(EXAMPLES / "scrapy_through_proxy.py")]
    where = ["-a", f"proxy={url(others(name), user, scheme)}"]
    page = ["-a", f"url={site.url}/page.txt"]
    ended = run([*asked, *where, *page], tmp_path, authority)
    assert (ended.stdout, ended.stderr) == (f"200 {len(PAGE)}\n", "")
