"""
A proxy as a URL, C{http://user:password@proxy:3128}, and the endpoints made from
it: that of the proxy itself, and those of destinations through it.

No message and no C{repr} here repeats the password, nor the user: some proxies
take a token as the user.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Union
from urllib.parse import unquote_to_bytes

import attrs
import idna
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import optionsForClientTLS

from txconnect.client.credentials import IProxyCredentials, Password
from txconnect.client.endpoint import ConnectEndpoint
from txconnect.client.secrets import StoredCredentials
from txconnect.client.socks import Socks5Endpoint
from txconnect.wire.authority import Authority, BadAuthority, parseHost, parsePort
from txconnect.wire.grammar import findControl

if TYPE_CHECKING:
    from txconnect.values import AnyEndpoint

__all__ = [
    "SCHEMES",
    "BindAddress",
    "ProxyURL",
    "proxyEndpoint",
    "tunnelEndpoint",
    "urlCredentials",
]

BindAddress = Union[bytes, str, tuple[Union[bytes, str], int], None]
"""A local address to connect from, as L{HostnameEndpoint} takes it."""

SCHEMES = ("http", "https", "socks5", "socks5h")
"""
The protocols of proxies.  C{socks5} and C{socks5h} are the same here: the proxy
gets the host's name, and looks it up itself.
"""

HTTPS_PORT = 443

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}", re.ASCII)
_BRACKETED = re.compile(r"(\[[^\]]*\])(?::(.*))?", re.DOTALL)
# C0 controls with the blank, and C1 controls: none can be seen in a terminal.
_UNSEEN = re.compile("[\x00-\x20\x7f-\x9f]")


@attrs.frozen
class ProxyURL:
    """
    A proxy: its protocol, its host and port, and the user's name and password
    there.

    @ivar scheme: one of L{SCHEMES}.
    @ivar host: a name in lower case, or an address literal without brackets,
        as in L{Authority.host}.
    @ivar port: 1 to 65535.
    @ivar user: decoded; L{None} when the URL holds no user information.
    @ivar password: decoded; L{None} when there is no colon after the user.
    @ivar rooted: true if the host's name came with a trailing dot, which
        switches the resolver's search list off.
    """

    scheme: str
    host: str
    port: int
    user: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)
    rooted: bool = attrs.field(default=False, eq=False, repr=False)

    @classmethod
    def parse(cls, text: str, defaultPort: int | None = None) -> ProxyURL:
        """
        Read C{SCHEME://[USER[:PASSWORD]@]HOST:PORT[/]} (RFC 3986, 3.2).

        The user information may be percent-encoded UTF-8, and must be where
        it holds C{/}, C{?}, C{#} or white space.

        @param defaultPort: the port of C{http} and C{socks5} when the URL has
            none; L{None}: it must have one.  That of C{https} is 443.
        @raise ValueError: with a message of one line, which repeats nothing
            secret.
        """
        if not isinstance(text, str):
            raise TypeError(f"a proxy's URL is text, not {type(text).__name__}")
        scheme, separator, rest = text.partition("://")
        if not separator:
            raise ValueError("a proxy's URL is SCHEME://HOST:PORT, such as " + _EXAMPLE)
        scheme = _parseScheme(scheme)
        if _UNSEEN.search(rest):
            raise ValueError(
                "the proxy's URL holds white space or a control character (a blank "
                "in a password is written %20)"
            )
        authority = _stripPath(rest)
        # The last one: users paste passwords as they are, and no host has it.
        information, at, place = authority.rpartition("@")
        try:
            host, port = _parsePlace(place)
        except BadAuthority as error:
            raise ValueError(f"the proxy's URL: {error}") from None
        if port is None:
            port = HTTPS_PORT if scheme == "https" else defaultPort
        if port is None:
            raise ValueError(
                f"the proxy's URL has no port: write {scheme}://HOST:PORT, such as "
                + _EXAMPLE
            )
        user, password = _parseInformation(information) if at else (None, None)
        return cls(scheme, parseHost(host), port, user, password, host.endswith("."))

    @classmethod
    def of(cls, proxy: ProxyURL | str) -> ProxyURL:
        """
        Return a caller's proxy, a URL in text or read already.

        @raise TypeError: it is something else, such as C{bytes}.
        @raise ValueError: see L{parse}.
        """
        if isinstance(proxy, ProxyURL):
            return proxy
        if not isinstance(proxy, str):
            raise TypeError(
                f"the proxy is a URL in text, such as {_EXAMPLE!r}, or a ProxyURL, not "
                f"{type(proxy).__name__}"
            )
        return cls.parse(proxy)

    @property
    def authority(self) -> Authority:
        """The host and port of the proxy."""
        return Authority(self.host, self.port, self.rooted)

    def __str__(self) -> str:
        """Return the URL without its user information."""
        return f"{self.scheme}://{self.authority}"


_EXAMPLE = "http://proxy.example:3128"


def urlCredentials(url: ProxyURL) -> IProxyCredentials | None:
    """
    Make the credentials for an HTTP proxy from a URL's user information.

    Keep them as long as the proxy: they remember the challenge of a proxy with
    Digest.

    @return: L{None} when the URL has no user information.
    @raise ValueError: for a user that cannot be sent to a proxy.
    """
    if url.user is None:
        return None
    return Password(url.user, url.password or "")


def proxyEndpoint(
    reactor: IReactorTime,
    url: ProxyURL | str,
    *,
    tls: IOpenSSLClientConnectionCreator | None = None,
    timeout: float = 30.0,
    bindAddress: BindAddress = None,
) -> IStreamClientEndpoint:
    """
    Make the endpoint of the proxy itself.

    For C{https} the proxy's certificate is verified for its host, against the
    platform's trusted authorities.

    @param reactor: for L{HostnameEndpoint}; provides C{IReactorTCP} too.
    @param tls: the TLS options for an C{https} proxy, in place of these: with a
        client's certificate, or a private authority, as
        C{twisted.internet.ssl.optionsForClientTLS} makes it.
    @param timeout: seconds to connect.
    @param bindAddress: the local address of the connection.
    @raise ValueError: for C{tls} with a proxy that is not C{https}.
    """
    url = ProxyURL.of(url)
    endpoint = HostnameEndpoint(
        reactor, url.authority.lookupName, url.port, timeout, bindAddress
    )
    if url.scheme == "https":
        creator = optionsForClientTLS(url.host) if tls is None else tls
        return wrapClientTLS(creator, endpoint)
    if tls is not None:
        raise ValueError(f"{url}: tls= is for a proxy whose URL begins with https://")
    return endpoint


def tunnelEndpoint(
    reactor: IReactorTime,
    url: ProxyURL | str,
    host: str | bytes,
    port: int,
    *,
    proxyEndpoint: AnyEndpoint | None = None,
    credentials: object = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    timeout: float = 30.0,
    tls: IOpenSSLClientConnectionCreator | None = None,
) -> IStreamClientEndpoint:
    """
    Make the endpoint for C{host} through a proxy: by CONNECT, or by SOCKS5.

    @param reactor: for the connection to the proxy, and for the time; provides
        C{IReactorTCP} too.
    @param host: as L{ConnectEndpoint} takes it.
    @param proxyEndpoint: the endpoint of the proxy itself, in place of that of
        L{proxyEndpoint}: one through another proxy, for example.
    @param credentials: in place of the URL's: L{StoredCredentials}, or, for an
        HTTP proxy, any that L{ConnectEndpoint} takes.
    @param headers: further fields of the CONNECT.
    @param timeout: in seconds, for all of it.
    @param tls: as for L{proxyEndpoint}.
    @raise ValueError: for an argument that this kind of proxy cannot take, or a
        host or a port that is not valid.
    """
    url = ProxyURL.of(url)
    if proxyEndpoint is None:
        proxyEndpoint = _toProxy(reactor, url, tls=tls)
    if url.scheme in ("http", "https"):
        if isinstance(credentials, StoredCredentials):
            credentials = credentials.forHTTP()
        return ConnectEndpoint(
            proxyEndpoint,
            host,
            port,
            headers=headers,
            credentials=urlCredentials(url) if credentials is None else credentials,
            timeout=timeout,
            clock=reactor,
        )
    if headers:
        raise ValueError(f"{url}: a SOCKS5 proxy takes no header fields")
    user, password = _userOf(url, credentials)
    return Socks5Endpoint(
        proxyEndpoint,
        host,
        port,
        user=user,
        password=password,
        timeout=timeout,
        clock=reactor,
    )


# For tunnelEndpoint, in which a parameter of that name hides the function.
_toProxy = proxyEndpoint


def _userOf(url: ProxyURL, credentials: object) -> tuple[str | None, str | None]:
    """Choose the user and the password for a SOCKS5 proxy."""
    if isinstance(credentials, StoredCredentials):
        return credentials.forSOCKS()
    if credentials is not None:
        raise ValueError(
            f"{url}: a SOCKS5 proxy takes its user and password from its URL or from "
            "StoredCredentials, and nothing else"
        )
    return url.user, None if url.user is None else url.password or ""


def _parseScheme(text: str) -> str:
    scheme = text.lower()
    if scheme in SCHEMES:
        return scheme
    # A text that is no scheme at all may be half a password.
    named = f" {text!r}" if _SCHEME.fullmatch(text) else ""
    raise ValueError(
        f"the scheme{named} of the proxy's URL is none of {', '.join(SCHEMES)}"
    )


def _stripPath(text: str) -> str:
    """Return the authority of a URL, without a path of one slash."""
    # It ends at the first of these, also at the backslash, where browsers end
    # it: a host must not be read differently here and there.
    authority = re.split(r"[/?#\\]", text, maxsplit=1)[0]
    if text not in (authority, authority + "/"):
        raise ValueError(
            "the proxy's URL goes on behind its host and port (in a password, '/' is "
            "written %2F, '?' %3F, '#' %23, '\\' %5C)"
        )
    return authority


def _parsePlace(text: str) -> tuple[str, int | None]:
    """Return a host that L{parseHost} accepts, and the port or L{None}."""
    match = _BRACKETED.fullmatch(text)
    if match is not None:
        host, port = match[1], match[2]
    else:
        host, colon, digits = text.rpartition(":")
        host, port = (host, digits) if colon else (text, None)
    host = _toASCII(host)
    parseHost(host)
    return host, None if port is None else parsePort(port)


def _toASCII(host: str) -> str:
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise BadAuthority("the host is no name that IDNA allows") from None


def _parseInformation(text: str) -> tuple[str, str | None]:
    user, colon, password = text.partition(":")
    return _decodePercent(user), _decodePercent(password) if colon else None


def _decodePercent(text: str) -> str:
    # A "%" without two digits after it is a plain "%", as in curl.
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(
            "the proxy's URL: the user or the password is not UTF-8"
        ) from None
    if findControl(decoded):
        raise ValueError(
            "the proxy's URL: the user or the password holds a control character"
        )
    return decoded
