"""
Which proxy the environment asks for.  tests/live/test_no_proxy.py asks curl
the same questions.
"""

from __future__ import annotations

import pytest
from noproxycases import CASES, Case

from txconnect.client.environment import ProxyEnvironment
from txconnect.client.proxyurl import ProxyURL

HERE = "http://proxy:3128"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cases(case: Case) -> None:
    """What curl answers, as it is written down."""
    answer = ProxyEnvironment(case.environ(HERE)).proxyFor(
        case.scheme, case.host, case.port
    )
    assert answer == (ProxyURL.parse(HERE) if case.proxied else None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("proxy", ProxyURL("http", "proxy", 1080)),
        ("proxy:3128", ProxyURL("http", "proxy", 3128)),
        ("u:p@proxy:3128", ProxyURL("http", "proxy", 3128, "u", "p")),
        ("[::1]", ProxyURL("http", "::1", 1080)),
        ("http://proxy/", ProxyURL("http", "proxy", 1080)),
        ("https://proxy", ProxyURL("https", "proxy", 443)),
        ("socks5h://proxy", ProxyURL("socks5h", "proxy", 1080)),
    ],
)
def test_schemeAndPortMayBeMissing(value: str, expected: ProxyURL) -> None:
    environment = ProxyEnvironment({"all_proxy": value})
    assert environment.proxyFor("https", "example.org", 443) == expected


def test_badValuesAreNamedAndNotShown() -> None:
    """And only when they are the ones that decide."""
    environ = {"HTTPS_PROXY": "http://u:s3cr3t@:1", "no_proxy": "example.org"}
    environment = ProxyEnvironment(environ)
    assert environment.proxyFor("https", "example.org", 443) is None
    assert environment.proxyFor("http", "example.net", 80) is None
    with pytest.raises(ValueError) as caught:
        environment.proxyFor("https", "example.net", 443)
    line = str(caught.value)
    assert line == "the environment's HTTPS_PROXY: the proxy's URL: the host is empty"
    assert caught.value.__cause__ is None


def test_exceptions() -> None:
    """No proxy, and one that a host is excepted from, are two things."""
    environment = ProxyEnvironment({"NO_PROXY": ".example.org"})
    assert environment.excepts("a.example.org")
    assert not environment.excepts("example.net")
    assert environment.proxyFor("http", "example.net", 80) is None


def test_theEnvironmentIsLookedAtOnce() -> None:
    """A program that changes it later does not change who is asked."""
    environ = {"all_proxy": HERE}
    environment = ProxyEnvironment(environ)
    environ["all_proxy"] = "http://other:1"
    assert environment.proxyFor("http", "a", 80) == ProxyURL.parse(HERE)


@pytest.mark.parametrize(
    ("noProxy", "host"),
    [
        # Later curls end the list at a blank without a comma.
        ("a.example b.example", "b.example"),
        ("a.example\tb.example", "b.example"),
        # Some compare these as if they were names.
        ("2001:db8::/32", "2001:db8::7"),
        ("a, 2001:DB8:0::7", "[2001:db8::7]"),
        ("2001:db8::7/128", "2001:db8::7"),
        ("2001:db8::7/0", "2001:db8::7"),
        # And some that do not have the last bits the wrong way round.
        ("fc00::/7", "fd00::1"),
        ("fe80::/10", "[fe80::1]"),
        ("fe80::/10", "fe80::1%eth0"),
    ],
)
def test_whereCurlsDiffer(noProxy: str, host: str) -> None:
    """What the curls at hand do not agree on is read as it is meant."""
    environ = {"all_proxy": HERE, "no_proxy": noProxy}
    assert ProxyEnvironment(environ).proxyFor("http", host, 80) is None


def test_networksOfIPv6EndWithinAnOctetToo() -> None:
    """The other side of the one above."""
    environ = {"all_proxy": HERE, "no_proxy": "fc00::/7"}
    assert ProxyEnvironment(environ).proxyFor("http", "2001:db8::1", 80) is not None
