r"""
Endpoint strings: C{connect:HOST:PORT:proxy=PROXY[:timeout=][:credentials=]}.

A program that takes an endpoint string, as C{clientFromString} does, can connect
through a proxy without a change to its code::

    connect:db.example:5432:proxy=http\://proxy.example\:3128
    connect:db.example:5432:proxy=tcp\:proxy.example\:3128
    connect:db.example:5432:proxy=connect\:inner\:3128\:proxy=tcp\\\:outer\\\:3128

Within an endpoint string each colon that does not separate parts has a backslash
before it, and each backslash another one:
C{twisted.internet.endpoints.quoteStringArgument} adds them.
"""

from __future__ import annotations

import math
import re

from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

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
"""Seconds to get a tunnel."""

# The schemes of other proxies too: each then fails as an unknown scheme, and
# not as an endpoint string.
_URL = re.compile(r"(https?|socks[45]?[ah]?)://", re.IGNORECASE)
_NAMES = ("host", "port", "proxy", "timeout", "credentials")
_FORM = r"connect:HOST:PORT:proxy=http\://PROXY\:3128"


class BadDescription(ValueError):
    """
    An error in a C{connect:} endpoint string.  C{str()} is one line that says
    why, and holds no password.
    """


def parseConnect(
    reactor: IReactorTime, *args: str, **kwargs: str
) -> IStreamClientEndpoint:
    """
    Make the endpoint of a C{connect:} string, whose parts Twisted has split.

      - C{HOST}, C{PORT}: the destination.  An IPv6 address may be in brackets
        or not; its colons are quoted.
      - C{proxy=}: a URL, as L{ProxyURL.parse} reads it; or any client endpoint
        string, which leads to an HTTP proxy.
      - C{timeout=}: seconds to get the tunnel, 30 by default.
      - C{credentials=}: a source for L{loadCredentials}, in place of the URL's
        user and password.

    @raise BadDescription: for anything else.
    """
    try:
        given = _nameParts(args, kwargs)
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
    reactor: IReactorTime,
    proxy: str,
    host: str,
    port: str,
    *,
    stored: StoredCredentials | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> IStreamClientEndpoint:
    """
    Make the endpoint that leads through a proxy, from a user's texts.

    @param proxy: a URL or a client endpoint string.
    @raise ValueError: for a text that is not valid; the message has no password
        in it.
    """
    number = parsePort(port)
    if isURL(proxy):
        url = ProxyURL.parse(proxy)
        return tunnelEndpoint(
            reactor, url, host, number, credentials=stored, timeout=timeout
        )
    return ConnectEndpoint(
        _proxyFromString(reactor, proxy),
        host,
        number,
        credentials=None if stored is None else stored.forHTTP(),
        timeout=timeout,
        clock=reactor,
    )


def isURL(proxy: str) -> bool:
    """Tell whether a user means a URL, and no endpoint string."""
    return _URL.match(proxy) is not None


def parseTimeout(text: str | None) -> float:
    """
    Read a time-out in seconds.

    @param text: L{None} gives L{DEFAULT_TIMEOUT}.
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


def _nameParts(args: tuple[str, ...], kwargs: dict[str, str]) -> dict[str, str]:
    """Return the parts by their names."""
    if len(args) > 2:
        raise BadDescription(
            "connect: too many parts; a ':' within one, as in a URL, is quoted by a "
            f"backslash: {_FORM}"
        )
    given = dict(zip(_NAMES, args, strict=False))
    # An unknown name is not shown: it may be a part of a password before an '='.
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


def _proxyFromString(reactor: IReactorTime, description: str) -> IStreamClientEndpoint:
    try:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, description)
    except BadDescription:
        raise
    except Exception as error:
        # The message of another parser may repeat a part of a password.
        said = "" if "@" in description else f": {error}"
        raise ValueError(
            "the proxy is neither a URL such as http://proxy:3128 nor a client "
            f"endpoint string{said}"
        ) from None
    return endpoint
