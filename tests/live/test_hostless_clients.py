"""
Real clients whose CONNECT names HTTP/1.1 and has no C{Host}: Buildbot's worker,
lftp, links.  Each is run as its user runs it, plainly and refused.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from certificates import CertificateAuthority
from loopback import PAGE, Server, pageThenEnd
from proxyprocess import DEADLINE, DENIED, ProxyProcess, environment
from turning import Turning
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure


@attrs.frozen
class Fetch:
    """
    A page to fetch.

    @ivar proxy: C{host:port}.
    @ivar url: the page's.
    @ivar certificate: of the authority to trust.
    @ivar directory: an empty one.
    """

    proxy: str
    url: str
    certificate: Path
    directory: Path

    def run(self, *arguments: str, **variables: str) -> str:
        """Run a program, and return all that it writes."""
        done = subprocess.run(
            arguments,
            cwd=self.directory,
            env={**environment(self.directory), "TERM": "dumb", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
        )
        return done.stdout.decode()


def lftp(fetch: Fetch) -> str:
    """Fetch it with lftp, by the settings that its manual names."""
    settings = {
        "https:proxy": f"http://{fetch.proxy}",
        "ssl:ca-file": str(fetch.certificate),
        "net:max-retries": "1",
        "xfer:log": "no",
    }
    commands = [f'set {name} "{value}"' for name, value in settings.items()]
    return fetch.run("lftp", "-c", "; ".join([*commands, f"cat {fetch.url}"]))


def links(fetch: Fetch) -> str:
    """Fetch it with links, which trusts the authorities of a file of OpenSSL's."""
    flags = ["-https-proxy", fetch.proxy, "-ssl.builtin-certificates", "0"]
    trust = {"SSL_CERT_FILE": str(fetch.certificate), "SSL_CERT_DIR": os.devnull}
    return fetch.run("links", *flags, "-dump", fetch.url, **trust)


CLIENTS: dict[str, Callable[[Fetch], str]] = {"lftp": lftp, "links": links}


@pytest.fixture
def secure(authority: CertificateAuthority) -> Iterator[Server]:
    """
    Serves the page over TLS, and closes at once.

    The site waits for its client's close_notify first, and links for the FIN.
    """
    issued = authority.server()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(issued.certificate, issued.key)

    def serve(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as stream:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += stream.recv(4096)
            stream.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(PAGE), PAGE.encode())
            )

    with Server(serve) as serving:
        yield serving


@pytest.fixture
def fetching(
    secure: Server,
    authority: CertificateAuthority,
    tmp_path: Path,
    plain: ProxyProcess,
    program: Callable[[str], str],
) -> Callable[..., Fetch]:
    """Fills in a L{Fetch} of the page."""

    def fetch(name: str, host: str = "localhost") -> Fetch:
        program(name)
        url = f"https://{host}:{secure.port}/page.txt"
        return Fetch(plain.address, url, authority.certificate, tmp_path)

    return fetch


@pytest.mark.parametrize("name", CLIENTS)
def test_pageWithoutHost(
    name: str, fetching: Callable[..., Fetch], plain: ProxyProcess, secure: Server
) -> None:
    """[F41] [H1-03] A client that sends no Host gets its page."""
    assert PAGE.strip() in CLIENTS[name](fetching(name))
    record = plain.told(event="closed", authority=f"localhost:{secure.port}")
    assert record["down"] >= len(PAGE)


@pytest.mark.parametrize("name", CLIENTS)
def test_refusedWithoutHost(
    name: str, fetching: Callable[..., Fetch], plain: ProxyProcess
) -> None:
    """[F41] The policies judge its target like any other's."""
    assert PAGE.strip() not in CLIENTS[name](fetching(name, DENIED))
    record = plain.told(event="refused", rule="deny-hosts")
    assert record["status"] == 403


@pytest.mark.parametrize("name", CLIENTS)
def test_sendsNoHost(name: str, fetching: Callable[..., Fetch]) -> None:
    """[F41] The head of this release of the client is one without Host indeed."""
    heads = []

    def listen(connection: socket.socket) -> None:
        heads.append(connection.recv(4096))
        # Without an answer links would ask for ever.
        connection.sendall(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n")

    with Server(listen) as listener:
        CLIENTS[name](attrs.evolve(fetching(name), proxy=listener.authority))
    assert heads[0].startswith(b"CONNECT localhost:")
    assert b" HTTP/1.1\r\n" in heads[0]
    assert b"\nhost:" not in heads[0].lower()


class Listener(Protocol):
    """Keeps what it is sent, and fires C{ended} at the end."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.ended.callback(None)


def test_buildbotWorker(plain: ProxyProcess, turn: Turning) -> None:
    """[F41] [H1-03] The endpoint by which Buildbot's workers leave their network."""
    needed = "pip install --no-deps buildbot-worker"
    tunnel = pytest.importorskip("buildbot_worker.tunnel", reason=needed)

    async def connect(port: int) -> bytes:
        proxy = TCP4ClientEndpoint(turn.reactor, "127.0.0.1", plain.port)
        endpoint = tunnel.HTTPTunnelEndpoint("127.0.0.1", port, proxy)
        listener: Listener = await endpoint.connect(Factory.forProtocol(Listener))
        await listener.ended
        return listener.heard

    with Server(pageThenEnd) as server:
        assert turn(connect(server.port)) == PAGE.encode()
    assert plain.told(event="closed")["authority"] == server.authority
