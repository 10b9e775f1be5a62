r"""
Endpoint strings: C{connect:HOST:PORT:proxy=PROXY[:timeout=][:credentials=]}.

A program that takes an endpoint string, such as C{clientFromString} does, goes
through a proxy without a change to its code::

    connect:db.example:5432:proxy=http\://proxy.example\:3128
    connect:db.example:5432:proxy=tcp\:proxy.example\:3128
    connect:db.example:5432:proxy=connect\:inner\:3128\:proxy=tcp\\\:outer\\\:3128

Within an endpoint string each colon that separates nothing has a backslash
before it, and each backslash another one:
C{twisted.internet.endpoints.quoteStringArgument} does that.
"""

from __future__ import annotations

import math
import re
from typing import Any

from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint

from txconnect.client.endpoint import ConnectEndpoint
from txconnect.client.proxyurl import ProxyURL, tunnelEndpoint
from txconnect.client.secrets import StoredCredentials, loadCredentials
from txconnect.wire.authority import parsePort

__all__ = [
    "BadDescription",
    "DEFAULT_TIMEOUT",
    "isURL",
    "parseConnect",
    "parseTimeout",
    "tunnelThrough",
]

DEFAULT_TIMEOUT = 30.0
"""Seconds for a tunnel to stand."""

# Those of other proxies too, so that they are refused as what they are.
_URL = re.compile(r"(https?|socks[45]?[ah]?)://", re.IGNORECASE)
_NAMES = ("host", "port", "proxy", "timeout", "credentials")
_FORM = r"connect:HOST:PORT:proxy=http\://PROXY\:3128"


class BadDescription(ValueError):
    """
    The text is no C{connect:} endpoint.  C{str()} is one line that says why,
    and holds no password.
    """


def parseConnect(reactor: Any, *args: str, **kwargs: str) -> IStreamClientEndpoint:
    """
    Make the endpoint of a C{connect:} string, which Twisted has taken apart.

      - C{HOST}, C{PORT}: the destination.  An IPv6 address may be in brackets
        or not; its colons are quoted.
      - C{proxy=}: a URL, as L{ProxyURL.parse} reads it; or any client endpoint
        string, at which an HTTP proxy is reached.
      - C{timeout=}: seconds for the tunnel to stand, 30 when it is not given.
      - C{credentials=}: as L{loadCredentials} takes it; instead of those of
        the URL.

    @raise BadDescription: for anything else.
    """
    try:
        given = _named(args, kwargs)
        stored = given.get("credentials")
        return tunnelThrough(
            reactor,
            given["proxy"],
            given["host"],
            given["port"],
            stored=None if stored is None else loadCredentials(stored),
            timeout=parseTimeout(given.get("timeout")),
        )
    except BadDescription:
        raise
    except ValueError as error:
        raise BadDescription(f"connect: {error}") from None


def tunnelThrough(
    reactor: Any,
    proxy: str,
    host: str,
    port: str,
    *,
    stored: StoredCredentials | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> IStreamClientEndpoint:
    """
    Make the endpoint that leads through a proxy, from what a user wrote.

    @param proxy: a URL or a client endpoint string.
    @raise ValueError: for what is none; its message has no password in it.
    """
    number = parsePort(port)
    if isURL(proxy):
        url = ProxyURL.parse(proxy)
        return tunnelEndpoint(
            reactor, url, host, number, credentials=stored, timeout=timeout
        )
    return ConnectEndpoint(
        _endpoint(reactor, proxy),
        host,
        number,
        credentials=None if stored is None else stored.forHTTP(),
        timeout=timeout,
        clock=reactor,
    )


def isURL(proxy: str) -> bool:
    """Whether a user means a URL, and no endpoint string."""
    return _URL.match(proxy) is not None


def parseTimeout(text: str | None) -> float:
    """
    Read seconds.

    @param text: L{None}: L{DEFAULT_TIMEOUT}.
    @raise ValueError: unless it is a number above zero.
    """
    if text is None:
        return DEFAULT_TIMEOUT
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise ValueError(f"the timeout {text!r} is no number of seconds above zero")
    return seconds


def _named(args: tuple[str, ...], kwargs: dict[str, str]) -> dict[str, str]:
    """The parts by their names."""
    if len(args) > 2:
        raise BadDescription(
            "connect: too many parts; a ':' within one, as in a URL, is quoted by a "
            f"backslash: {_FORM}"
        )
    given = dict(zip(_NAMES, args, strict=False))
    # An unknown name is not shown: it may be what an '=' in a password split off.
    if given.keys() & kwargs.keys() or kwargs.keys() - set(_NAMES):
        raise BadDescription(
            "connect: it takes HOST and PORT, then proxy=, timeout= and credentials=, "
            "each once, and nothing else"
        )
    given.update(kwargs)
    missing = [name for name in _NAMES[:3] if not given.get(name)]
    if missing:
        raise BadDescription(f"connect: the {missing[0]} is missing: write {_FORM}")
    return given


def _endpoint(reactor: Any, description: str) -> IStreamClientEndpoint:
    try:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, description)
    except BadDescription:
        raise
    except Exception as error:
        # What others say of it could be a part of a password in it.
        said = "" if "@" in description else f": {error}"
        raise ValueError(
            "the proxy is neither a URL such as http://proxy:3128 nor a client "
            f"endpoint string{said}"
        ) from None
    return endpoint
