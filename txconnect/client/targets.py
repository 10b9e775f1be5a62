"""
The target of an HTTP client's request, and its form in a request to a proxy.

Pure arithmetic over the bytes of a URL, before any look-up.
"""

from __future__ import annotations

import re

import attrs
from twisted.web.client import URI
from twisted.web.error import SchemeNotSupported

from txconnect.values import Authority

__all__ = ["Target"]

_PORTS = {b"http": 80, b"ws": 80, b"https": 443, b"wss": 443}
_NAMED_PORT = re.compile(rb":[0-9]+\Z")
_NOT_IN_A_URL = re.compile(rb"[^!-~]")


@attrs.frozen
class Target:
    """
    The URL of a request.

    @ivar uri: the URL as parsed by Twisted.
    @ivar authority: the host, and the port or the scheme's default.
    """

    uri: URI
    authority: Authority

    @classmethod
    def parse(cls, text: bytes) -> Target:
        """
        Read the URL that an agent's caller gives.

        @raise ValueError: for a text that is no URL, or has no host and port.
            The message repeats none of it, as a URL may bear a password.
        @raise SchemeNotSupported: for another scheme than HTTP's and
            WebSocket's.
        """
        # Before it is parsed: urllib silently removes tabs and line ends.
        if _NOT_IN_A_URL.search(text.strip()):
            raise ValueError(
                "the URL holds white space, a control character or one that is "
                "not ASCII"
            )
        return cls.fromURI(URI.fromBytes(text))

    @classmethod
    def fromURI(cls, uri: URI) -> Target:
        """Make a target as L{parse} does, of a URL that Twisted has parsed."""
        if uri.scheme not in _PORTS:
            raise SchemeNotSupported(f"Unsupported scheme: {uri.scheme!r}")
        if b"@" in uri.netloc:
            # Twisted would look all of it up as the name of a host.
            raise ValueError(
                "the URL has a user before its host: send it in an Authorization field"
            )
        # Twisted before 25.5 takes 80 for the port of wss.
        named = _NAMED_PORT.search(uri.netloc)
        port = uri.port if named else _PORTS[uri.scheme]
        return cls(uri, Authority.parse(b"%b:%d" % (_bracketHost(uri), port)))

    @property
    def scheme(self) -> str:
        """C{http}, C{https}, C{ws} or C{wss}."""
        return str(self.uri.scheme, "ascii")

    @property
    def secure(self) -> bool:
        """True if the client speaks TLS to the destination."""
        return self.scheme in ("https", "wss")

    def absoluteForm(self, method: bytes) -> bytes:
        """
        Render the target of a request in absolute-form (RFC 9112, 3.2.2): with
        a path of at least a slash, without a fragment, and with the authority
        exactly as in the C{Host} that Twisted's agents send.

        @param method: C{OPTIONS} of a bare authority asks about the server,
            and keeps its empty path (RFC 9112, 3.2.4).
        """
        uri, number = self.uri, self.authority.port
        path = bytes(uri.originForm)
        if method == b"OPTIONS" and not (uri.path or uri.params or uri.query):
            path = b""
        elif not path.startswith(b"/"):
            path = b"/" + path
        # As in Twisted's Host: without the scheme's default port.
        port = b"" if number == _PORTS[uri.scheme] else b":%d" % number
        return b"%b://%b%b%b" % (uri.scheme, _bracketHost(uri), port, path)


def _bracketHost(uri: URI) -> bytes:
    # Twisted's URI has an IPv6 host without its brackets.
    return b"[%b]" % uri.host if b":" in uri.host else bytes(uri.host)
