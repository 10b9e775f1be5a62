"""
Other protocols than HTTP/1, by the octets with which their clients begin.

A stranger's first octets show mostly one of a few mistakes: a URL of a wrong scheme,
or a balancer that announces its clients.  So the reason of the refusal names what was
taken for what, and the remedy.

If a greeting has no line end, its first octet decides, because a rule must not
depend on how many octets have come so far.  No octet of these begins a request line.
"""

from __future__ import annotations

_TLS = (
    "this looks like TLS: is the proxy's URL https://?  This port expects plain HTTP, "
    "so write http://, or listen with ssl: or proxytls:"
)
_SOCKS = (
    "this looks like SOCKS {}: is the proxy's URL socks{}://?  This port expects HTTP, "
    "so write http://"
)
_PROXY = (
    "this looks like a PROXY header (version {}), as a balancer sends it: turn it off "
    "there, or listen with haproxy:tcp:PORT"
)
_SSH = (
    "this looks like SSH: an ssh client gets through the proxy by its ProxyCommand, as "
    "in 'txconnect-nc %h %p'"
)
_HTTP2 = (
    "this looks like HTTP/2 without TLS (h2c): this port expects HTTP/1.1, so turn "
    "HTTP/2 off for the proxy"
)

_FIRST_OCTETS = {
    0x16: _TLS,
    0x04: _SOCKS.format("4", "4"),
    0x05: _SOCKS.format("5", "5"),
}
_LINES = (
    (b"PROXY ", _PROXY.format(1)),
    (b"SSH-", _SSH),
)
HTTP2_LINE = b"PRI * HTTP/2.0\r"
"""The first line of an HTTP/2 client (RFC 9113, 3.4), without its LF."""

HTTP2 = _HTTP2


def nameGreeting(first: int, emptyLines: int) -> str | None:
    """
    Name the protocol of a greeting that is no text.

    @param first: the first octet after the empty lines.
    @param emptyLines: how many there were.
    @return: a reason in words, or L{None} for one that is not known.
    """
    # The second version of the PROXY header begins with two empty lines and a NUL.
    if first == 0 and emptyLines == 2:
        return _PROXY.format(2)
    return None if emptyLines else _FIRST_OCTETS.get(first)


def nameLine(line: bytes) -> str | None:
    """
    Name the protocol of a first line of text.

    @return: a reason in words, or L{None} for one that is not known.
    """
    for beginning, reason in _LINES:
        if line.startswith(beginning):
            return reason
    return None
