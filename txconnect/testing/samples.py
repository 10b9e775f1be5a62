"""
The samples of the conformance checks: ordinary values, values with every
optional part missing, and values that an attacker would send.
"""

from __future__ import annotations

import attrs

from txconnect.testing.kit import makeRequest, makeTunnel
from txconnect.values import (
    Attempted,
    Cause,
    Closed,
    Event,
    TunnelClosed,
    TunnelEnded,
    TunnelEstablished,
    TunnelRefused,
)

REQUESTS = (
    makeRequest("example.com:443", user="ada"),
    makeRequest("example.com:443"),
    makeRequest("192.0.2.1:8443", httpVersion="1.0", headers=[("Host", "\xff")]),
    makeRequest("[2001:db8::1]:443", client="::1", server="::1"),
    makeRequest("example.com:443", client=None, server=None),
)
"""Requests with and without an identity, a client, a name."""

OWN_REQUESTS = tuple(
    attrs.evolve(request, kind="own", method=method, target=target)
    for request in REQUESTS
    for method, target in (
        ("GET", "/"),
        ("HEAD", "/healthz?full=1"),
        ("OPTIONS", "*"),
        ("PURGE", "/../%00/" + "x" * 4000),
    )
)
"""Requests to the proxy itself."""

ADDRESSES = ("93.184.215.14", "10.0.0.1", "2606:4700::1111", "fe80::1")
"""Addresses of both families, public and not."""

CREDENTIALS = (
    b"",
    b"=",
    b"\xff\x00",
    b"Og==",
    b"!" * 10000,
    b'a="b", a="b"',
    b"YTpi, x",
)
"""Texts that may follow the name of a scheme, most of them nonsense."""


STREAMS = (
    b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    # A ClientHello that names example.com, with an extension that nobody knows.
    bytes.fromhex("1603010047010000430303")
    + bytes(32)
    + bytes.fromhex("00000213010100001800000010000e00000b")
    + b"example.com"
    + bytes.fromhex("0a0a0000"),
    b"220 mail.example ESMTP\r\n",
    b"\x00\xff",
)
"""Octets with which a client or a destination may begin."""


def makeEvents() -> list[Event]:
    """Make events of every kind, with and without their optional parts."""
    # The user and the reason hold characters that end a line or a quoted text:
    # a log that does not escape them can be forged.
    full = makeTunnel(makeRequest("example.com:443", user="ada\r\n\"'\u2028"))
    bare = makeTunnel(makeRequest("[2001:db8::1]:443", client=None), None)
    claimed = Attempted('ada\r\n"', "GET", "http://\x1b[2J/\x00")
    made: list[Event] = [
        TunnelRefused(cause, cause.label, 'it\r\nsaid "no" \x00\'', "test-1")
        for cause in Cause
    ]
    made.append(
        TunnelRefused(
            Cause.METHOD, "method", "no", "test-2", attempted=claimed, notes=("a\n",)
        )
    )
    for tunnel in (full, bare):
        request = tunnel.request
        made += [
            TunnelRefused(
                Cause.POLICY, "hosts", "no", request.id, request, request.client, 0.1
            ),
            TunnelEstablished(tunnel),
            *(TunnelClosed(tunnel, 1, 2**40, 3.5, reason) for reason in Closed),
            TunnelEnded(tunnel, 1, 0, 3.5, Closed.POLICY, "sni", "no \"\r\n\x00'"),
        ]
    return made
