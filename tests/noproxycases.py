"""
Questions to the environment and curl's answers to them: which proxy variables
count, and what C{NO_PROXY} excepts.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class Case:
    """
    One question and its answer.

    @ivar noProxy: the value of C{no_proxy}; L{None}: it is not set.
    @ivar proxied: whether the proxy is asked.
    @ivar variables: what is set, C{PROXY} standing for the proxy's URL.
    """

    host: str
    noProxy: str | None
    proxied: bool
    scheme: str = "http"
    port: int = 80
    variables: Mapping[str, str] = attrs.Factory(lambda: {"all_proxy": "PROXY"})

    def environ(self, proxy: str) -> dict[str, str]:
        """The environment, with this URL for the proxy."""
        environ = {
            name: value.replace("PROXY", proxy)
            for name, value in self.variables.items()
        }
        if self.noProxy is not None:
            environ["no_proxy"] = self.noProxy
        return environ

    @property
    def url(self) -> str:
        """What to ask curl for."""
        return f"{self.scheme}://{self.host}:{self.port}/"

    def __str__(self) -> str:
        names = ",".join(f"{name}={value}" for name, value in self.variables.items())
        return f"{self.url} {names} no_proxy={self.noProxy}"


def _excepted(host: str, *lists: str) -> list[Case]:
    return [Case(host, each, False) for each in lists]


def _proxied(host: str, *lists: str) -> list[Case]:
    return [Case(host, each, True) for each in lists]


def _variables(proxied: bool, scheme: str, **variables: str) -> Case:
    port = 443 if scheme == "https" else 80
    return Case("host.invalid", None, proxied, scheme, port, variables)


_LISTS = [
    *_excepted("a.invalid", "a.invalid", "A.INVALID", ".a.invalid", "a.invalid."),
    *_excepted("a.invalid", ".a.invalid.", "b, a.invalid", "b ,\ta.invalid ,c"),
    *_excepted("a.invalid", ",,a.invalid,,", " a.invalid", "invalid", ".invalid", "*"),
    *_excepted("A.Invalid", "a.invalid"),
    *_excepted("a.invalid.", "a.invalid", "invalid"),
    *_excepted("x.y.a.invalid", "a.invalid", ".a.invalid", "y.a.invalid"),
    *_proxied("a.invalid", "", "b.invalid", "x.a.invalid", "*.a.invalid", "*.invalid"),
    *_proxied("a.invalid", " *", "*,", "b,*", "a.invalid:80", "..a.invalid"),
    *_proxied("a.invalid", "a.invalid..", "a", ".", ",", "0.0.0.0/0"),
    *_proxied("nota.invalid", "a.invalid", ".a.invalid"),
    *_excepted("localhost", "localhost"),
    *_proxied("localhost", "127.0.0.1", "127.0.0.0/8", "::1"),
    *_excepted(
        "192.0.2.7", "192.0.2.7", "192.0.2.0/24", "192.0.2.9/24", "192.0.2.7/32"
    ),
    *_excepted("192.0.2.7", "192.0.2.6/31", "128.0.0.0/1", "b, 192.0.2.0/29, c"),
    *_excepted("192.0.2.7", "192.0.2.7/0", "192.0.2.7/", "192.0.2.7/x", "*"),
    *_excepted("192.0.2.7", "192.0.2.0/24x", "192.0.0.0/+16"),
    *_proxied(
        "192.0.2.7", "192.0.2.8/29", "192.0.2.0", "192.0.2", "192.0.2.", ".0.2.7"
    ),
    *_proxied("192.0.2.7", "192.0.2.0/33", "192.0.2.7/-1", "0.0.0.0/0", "192.0.2.07"),
    *_proxied("192.0.2.7", "192.0.2.7:80", "::ffff:192.0.2.7", "192.0.2.*", "192/8"),
    *_proxied("192.0.2.7", "192.0.2.7.", ".192.0.2.7"),
    *_excepted("[2001:db8::7]", "2001:db8::7", "b, 2001:DB8::7", "*"),
    *_proxied("[2001:db8::7]", "2001:db8::8", "[2001:db8::7]", "::/0", "2001:db9::/32"),
    *_proxied("[2001:db8::7]", "2001:db8::7/129", "2001:db8::7/-1", "192.0.2.7"),
]

_VARIABLES = [
    _variables(True, "http", http_proxy="PROXY"),
    _variables(False, "http", HTTP_PROXY="PROXY"),
    _variables(False, "http", https_proxy="PROXY", HTTPS_PROXY="PROXY"),
    _variables(True, "http", ALL_PROXY="PROXY"),
    _variables(True, "http", all_proxy="PROXY", ALL_PROXY="http://192.0.2.1:1"),
    _variables(True, "http", http_proxy="PROXY", all_proxy="http://192.0.2.1:1"),
    _variables(True, "http", http_proxy="", all_proxy="PROXY"),
    _variables(True, "http", all_proxy="", ALL_PROXY="PROXY"),
    _variables(True, "http", HTTP_PROXY="http://192.0.2.1:1", all_proxy="PROXY"),
    _variables(True, "https", https_proxy="PROXY"),
    _variables(True, "https", HTTPS_PROXY="PROXY"),
    _variables(True, "https", https_proxy="PROXY", HTTPS_PROXY="http://192.0.2.1:1"),
    _variables(True, "https", https_proxy="", HTTPS_PROXY="PROXY"),
    _variables(True, "https", HTTPS_PROXY="PROXY", all_proxy="http://192.0.2.1:1"),
    _variables(False, "https", http_proxy="PROXY", HTTP_PROXY="PROXY"),
    _variables(True, "https", ALL_PROXY="PROXY"),
    _variables(False, "https", https_proxy="PROXY", NO_PROXY="host.invalid"),
    _variables(False, "https", https_proxy="PROXY", NO_PROXY="*"),
    _variables(
        True, "https", https_proxy="PROXY", no_proxy="b", NO_PROXY="host.invalid"
    ),
    _variables(
        False, "https", https_proxy="PROXY", no_proxy="", NO_PROXY="host.invalid"
    ),
    _variables(True, "http", Http_Proxy="http://192.0.2.1:1", all_proxy="PROXY"),
]

CASES = [*_LISTS, *_VARIABLES]
