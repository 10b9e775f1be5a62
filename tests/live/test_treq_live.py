"""
treq through squid, through a proxy of ours, and through what the environment
says.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import attrs
import pytest
import treq
from certificates import CertificateAuthority
from loopback import PAGE, Site
from otherproxies import DENIED, PASSWORD, USER, OtherProxy, Others
from proxyprocess import DEADLINE, ProxyProcess
from turning import Turning
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.web.client import BrowserLikePolicyForHTTPS, HTTPConnectionPool

from txconnect.client import (
    Digest,
    ProxyAuthenticationRequired,
    ProxyRefused,
    agentFromEnvironment,
    proxyAgent,
)


@attrs.frozen
class Web:
    """
    Fetches by treq.

    @ivar policy: trusts the tests' authority.
    """

    turn: Turning
    trust: Any
    policy: Any
    pool: HTTPConnectionPool

    def agent(self, url: str, **more: Any) -> Any:
        """Through that proxy."""
        return proxyAgent(
            self.turn.reactor,
            url,
            contextFactory=self.policy,
            pool=self.pool,
            **more,
        )

    def get(self, agent: Any, *urls: str, **more: Any) -> list[str]:
        """One after the other; the texts."""

        async def fetch() -> list[str]:
            texts = []
            for url in urls:
                response = await treq.get(url, agent=agent, **more)
                texts.append(await treq.text_content(response))
            return texts

        return self.turn(fetch())

    def close(self) -> None:
        """What is kept for later requests."""

        async def closing() -> None:
            await self.pool.closeCachedConnections()

        self.turn(closing())


@pytest.fixture
def web(turn: Turning, authority: CertificateAuthority) -> Iterator[Web]:
    trust = trustRootFromCertificates(
        [Certificate.loadPEM(authority.certificate.read_bytes())]
    )
    pool = HTTPConnectionPool(turn.reactor)
    made = Web(turn, trust, BrowserLikePolicyForHTTPS(trust), pool)
    yield made
    made.close()


class _Asked(BaseHTTPRequestHandler):
    """Answers with the request that it got; C{/moved} is elsewhere."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        """The proxies have logs."""

    def do_GET(self) -> None:
        said = f"{self.requestline}\n{self.headers}".encode()
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", self.server.elsewhere)  # type: ignore[attr-defined]
            # Twisted's RedirectAgent leaves a body unread, and its connection open.
            said = b""
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


@contextmanager
def serving(elsewhere: str = "", tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that says what it was asked, and keeps connections: its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Asked) as server:
        server.daemon_threads = True
        server.elsewhere = elsewhere  # type: ignore[attr-defined]
        if tls is not None:
            # The handshake is left to the connection's own thread.
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(DEADLINE)


@pytest.fixture
def plainSite(site: Site) -> Iterator[str]:
    """The URL of an http server."""
    with serving(f"{site.url}/page.txt") as where:
        yield f"http://{where}"


@pytest.fixture
def secureSite(authority: CertificateAuthority) -> Iterator[str]:
    """The URL of an https server that keeps connections."""
    issued = authority.server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    with serving(tls=context) as where:
        yield f"https://{where}"


def basic(proxy: OtherProxy, password: str = PASSWORD) -> str:
    """Its URL."""
    return f"http://{USER}:{password}@{proxy.address}"


def test_treqThroughSquid(turn: Turning, others: Others, site: Site, web: Web) -> None:
    """Three lines: the agent, the request, its text."""
    reactor, policy, proxy = turn.reactor, web.policy, basic(others("squid-basic"))

    async def fetch() -> str:
        agent = proxyAgent(reactor, proxy, contextFactory=policy, pool=web.pool)
        response = await treq.get(f"{site.url}/page.txt", agent=agent)
        return str(await response.text())

    assert turn(fetch()) == PAGE


@pytest.mark.parametrize("name", ["tinyproxy-basic", "apache-basic", "squid-digest"])
def test_treqThroughTheOthers(name: str, others: Others, site: Site, web: Web) -> None:
    """Digest too: a password of a URL is used for what the proxy asks."""
    agent = web.agent(basic(others(name)))
    assert web.get(agent, f"{site.url}/page.txt") == [PAGE]


def test_treqThroughSocks(others: Others, site: Site, web: Web) -> None:
    address = others("socks-basic").address
    agent = web.agent(f"socks5://{USER}:{PASSWORD}@{address}")
    assert web.get(agent, f"{site.url}/page.txt") == [PAGE]


def test_treqThroughTLS(others: Others, site: Site, web: Web) -> None:
    """To the proxy, and inside it to the site."""
    tls = optionsForClientTLS("localhost", web.trust)
    agent = web.agent(f"https://localhost:{others('squid-tls').port}", tls=tls)
    assert web.get(agent, f"{site.url}/page.txt") == [PAGE]


def test_oneConnectForTwoRequests(
    plain: ProxyProcess, secureSite: str, web: Web
) -> None:
    """The second takes the tunnel of the first."""
    agent = web.agent(f"http://{plain.address}")
    assert len(web.get(agent, f"{secureSite}/one", f"{secureSite}/two")) == 2
    web.close()
    plain.told(event="closed", authority=secureSite.partition("//")[2])
    assert len(plain.records()) == 1


@pytest.mark.parametrize(
    ("password", "host", "status", "error"),
    [
        (PASSWORD, DENIED, 403, ProxyRefused),
        ("wrong", "127.0.0.1", 407, ProxyAuthenticationRequired),
    ],
    ids=["denied", "wrong"],
)
def test_treqIsRefused(
    password: str,
    host: str,
    status: int,
    error: type[ProxyRefused],
    others: Others,
    web: Web,
) -> None:
    """[T4] The proxy's refusal is an error of its own, not a response."""
    agent = web.agent(basic(others("squid-basic"), password))
    with pytest.raises(error) as caught:
        web.get(agent, f"https://{host}/")
    assert caught.value.status == status


# Plain HTTP


def test_absoluteForm(others: Others, plainSite: str, web: Web) -> None:
    """[T14] squid gets the credentials, the origin does not."""
    agent = web.agent(basic(others("squid-basic")))
    (asked,) = web.get(agent, f"{plainSite}/page")
    assert asked.startswith("GET /page HTTP/1.1\n")
    assert "\nVia: 1.1 squid.test" in asked
    assert "authorization" not in asked.lower()


def test_absoluteFormWithDigest(others: Others, plainSite: str, web: Web) -> None:
    agent = web.agent(
        f"http://{others('squid-digest').address}", credentials=Digest(USER, PASSWORD)
    )
    first, second = web.get(agent, f"{plainSite}/page", f"{plainSite}/page")
    assert first.startswith("GET /page HTTP/1.1\n")
    assert second.startswith("GET /page HTTP/1.1\n")


def test_plainInATunnel(plain: ProxyProcess, plainSite: str, web: Web) -> None:
    """[T14] For proxies that only do CONNECT; what was meant for a proxy does not
    come out at its end."""
    agent = web.agent(f"http://{plain.address}", plainHTTP="tunnel")
    headers = {"Proxy-Authorization": "Basic c2VjcmV0"}
    (asked,) = web.get(agent, f"{plainSite}/page", headers=headers)
    assert asked.startswith("GET /page HTTP/1.1\n")
    assert "authorization" not in asked.lower()
    web.close()
    plain.told(event="closed", authority=plainSite.partition("//")[2])


def test_redirectedIntoATunnel(others: Others, plainSite: str, web: Web) -> None:
    """From http to https: what the first request was is decided anew."""
    agent = web.agent(basic(others("squid-basic")))
    assert web.get(agent, f"{plainSite}/moved") == [PAGE]


# The environment


def test_environment(others: Others, site: Site, plainSite: str, web: Web) -> None:
    """One proxy for https, another for http, and none for what it says."""
    environ = {
        "https_proxy": f"http://{others('apache').address}",
        "http_proxy": basic(others("squid-basic")),
        "no_proxy": "localhost",
    }
    agent = agentFromEnvironment(
        web.turn.reactor, environ, contextFactory=web.policy, pool=web.pool
    )
    secure = site.url.replace("localhost", "127.0.0.1")
    direct, tunnelled, absolute = web.get(
        agent, f"{site.url}/page.txt", f"{secure}/page.txt", f"{plainSite}/page"
    )
    assert (direct, tunnelled) == (PAGE, PAGE)
    assert "squid.test" in absolute
