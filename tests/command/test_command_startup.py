"""
The lines at start-up.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from txconnect import __version__
from txconnect.command.startup import Welcome
from txconnect.listening import Listener

LOOPBACK = IPv4Address("TCP", "127.0.0.1", 3128)
ANYWHERE = IPv4Address("TCP", "0.0.0.0", 3128)


class Certified:
    """An endpoint that asks for certificates."""

    requiresClientCertificate = True


PLAIN: Any = Listener("tcp:3128", None)  # type: ignore[arg-type]
FORWARDED: Any = Listener("haproxy:tcp:1", None, forwarded=True)  # type: ignore[arg-type]
TLS: Any = Listener("ssl:3128", None, encrypted=True)  # type: ignore[arg-type]
CERTIFIED: Any = Listener("proxytls:3128", Certified(), encrypted=True)  # type: ignore[arg-type]


def test_fourLinesWithoutOptions() -> None:
    """Where it listens, who may, where to, what to try."""
    first, who, where, attempt = Welcome(reactor="EPollReactor").lines(
        [(PLAIN, LOOPBACK)]
    )
    assert first.startswith(f"txconnect {__version__} on http://127.0.0.1:3128  ")
    assert first.endswith(", epoll, 1 process)")
    assert who == (
        "  who   anyone on this machine (loopback only)"
        "        add users:  --auth htpasswd:users"
    )
    assert where == (
        "  where public addresses, port 443; private, link-local and metadata "
        "addresses refused"
    )
    assert attempt == "  try   curl -x http://127.0.0.1:3128 https://example.com/"


@pytest.mark.parametrize(
    ("listening", "checkers", "who"),
    [
        pytest.param(
            [(PLAIN, LOOPBACK)],
            ["file", "htpasswd"],
            "users that file or htpasswd knows",
            id="passwords",
        ),
        pytest.param(
            [(PLAIN, ANYWHERE)],
            [],
            "ANYONE who can reach it, as --open-proxy says",
            id="an open proxy says so",
        ),
        pytest.param(
            [(FORWARDED, LOOPBACK)],
            [],
            "ANYONE who can reach it, as --open-proxy says",
            id="behind a balancer",
        ),
        pytest.param(
            [(CERTIFIED, ANYWHERE)], [], "clients with a certificate", id="certificates"
        ),
        pytest.param(
            [(CERTIFIED, ANYWHERE), (PLAIN, LOOPBACK)],
            [],
            "anyone on this machine (loopback only), and clients with a certificate",
            id="both",
        ),
        pytest.param(
            [(PLAIN, LOOPBACK), (PLAIN, ANYWHERE)],
            [],
            "ANYONE who can reach it, as --open-proxy says",
            id="one open listener is enough",
        ),
    ],
)
def test_whoMayIsTheTruth(listening: Any, checkers: list[str], who: str) -> None:
    assert Welcome(checkers=checkers).lines(listening)[1] == "  who   " + who


def test_policiesThatStandAreNamed() -> None:
    lines = Welcome(["networks:public", "ports:any"]).lines([(PLAIN, LOOPBACK)])
    assert (
        lines[2]
        == "  where destinations that all of these allow:  networks:public  ports:any"
    )


@pytest.mark.parametrize(
    ("listening", "checkers", "who"),
    [
        ([(PLAIN, LOOPBACK)], ["htpasswd"], "users that htpasswd knows"),
        ([(PLAIN, ANYWHERE)], [], "ANYONE who can reach it, as --open-proxy says"),
        ([(CERTIFIED, ANYWHERE)], [], "clients with a certificate"),
        ([(PLAIN, LOOPBACK)], [], "anyone on this machine (loopback only)"),
    ],
)
def test_aPolicyOnClientsIsOnNoDestination(
    listening: Any, checkers: list[str], who: str
) -> None:
    """[F31] It stands in the line of those who may."""
    clients = "clients:10.0.0.0/8,unix"
    policies = ["ports:443", "networks:public", clients]
    lines = Welcome(policies, checkers).lines(listening)
    assert lines[1].startswith(f"  who   {who}, from  {clients}")
    assert lines[2].startswith("  where public addresses, port 443; ")


def test_routesAreSaid() -> None:
    """[TU-11] Where tunnels leave, and which policies cannot be asked there."""
    welcome = Welcome(
        routes=[("hosts:*.corp.example", "http://p:1|http://q:1"), ("", "direct")],
        unasked=["networks", "deny-hosts"],
    )
    lines = welcome.lines([(PLAIN, LOOPBACK)])
    assert lines[2].startswith("  where ")
    assert lines[3:-1] == [
        "  via   http://p:1|http://q:1  for requests that hosts:*.corp.example allows",
        "  via   direct  for everything else",
        "        a parent looks names up itself: networks, deny-hosts cannot judge "
        "their addresses there",
    ]
    assert lines[-1].startswith("  try ")
    one = Welcome(routes=[("", "direct")]).lines([(PLAIN, LOOPBACK)])
    assert one[3:-1] == ["  via   direct  for everything"]


@pytest.mark.parametrize(
    ("listener", "host", "checkers", "attempt"),
    [
        (PLAIN, ANYWHERE, [], "curl -x http://127.0.0.1:3128 https://example.com/"),
        (
            PLAIN,
            IPv6Address("TCP", "::", 80),
            ["file"],
            "curl -U USER -x http://[::1]:80 https://example.com/",
        ),
        (TLS, LOOPBACK, [], "curl -x https://127.0.0.1:3128 https://example.com/"),
        (
            CERTIFIED,
            LOOPBACK,
            [],
            "curl --proxy-cert CERT --proxy-key KEY -x https://127.0.0.1:3128 "
            "https://example.com/",
        ),
        (
            PLAIN,
            UNIXAddress(b"/run/s"),
            [],
            r"printf 'CONNECT example.com:443 HTTP/1.1\r\n"
            r"Host: example.com:443\r\n\r\n' | nc -U /run/s",
        ),
    ],
)
def test_whatToTryWouldWork(
    listener: Any, host: Any, checkers: list[str], attempt: str
) -> None:
    lines = Welcome(checkers=checkers).lines([(listener, host)])
    assert lines[3] == "  try   " + attempt


@pytest.mark.parametrize(
    ("policies", "host"),
    [
        (["hosts:*.a.example,packages.example", "ports:443"], "packages.example"),
        (["ports:443, or an item's", "hosts:git.example:8443"], "git.example:8443"),
        (["hosts:@hosts.list,.a.example"], "HOST"),
        (["deny-hosts:example.org"], "example.com"),
        (["./hosts.py:a.example"], "example.com"),
    ],
)
def test_theHostToTryIsAllowed(policies: list[str], host: str) -> None:
    """[F28] The command to try names a host of the list, where one is known."""
    attempt = Welcome(policies).lines([(PLAIN, LOOPBACK)])[-1]
    assert attempt == f"  try   curl -x http://127.0.0.1:3128 https://{host}/"


def test_theReactorOfTxconnectIsEpoll() -> None:
    """[F28] A name that an operator knows."""
    first = Welcome(reactor="TxconnectReactor").lines([(PLAIN, LOOPBACK)])[0]
    assert first.endswith(", epoll, 1 process)")


def test_everyListenerIsNamed() -> None:
    listening: Any = [(PLAIN, LOOPBACK), (PLAIN, UNIXAddress(b"/run/s"))]
    first = Welcome().lines(listening)[0]
    assert "on http://127.0.0.1:3128, unix:/run/s" in first
