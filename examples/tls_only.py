"""
A tap: a tunnel to port 443 must begin with a TLS handshake.

    txconnect --tap ./tls_only.py:tlsOnly

A tap sees bytes before they are passed on, and cannot change them; one that
raises ends its tunnel with a reset.  Other tunnels are left alone: for them
C{None} keeps the fast relay.
"""

from collections.abc import Callable

from txconnect import Direction, TunnelInfo, tapPlugin

HANDSHAKE = b"\x16\x03"  # RFC 8446, 5.1


class NotTLS(Exception):
    """What the client sends is no TLS."""


@tapPlugin("tls-only", "End tunnels to port 443 that do not begin with TLS.")
def tlsOnly(tunnel: TunnelInfo) -> Callable[[Direction, bytes], object] | None:
    if tunnel.request.authority.port != 443:
        return None
    begun = bytearray()

    def see(direction: Direction, data: bytes) -> None:
        if direction is Direction.UP and len(begun) < len(HANDSHAKE):
            begun.extend(data[: len(HANDSHAKE)])
            if not HANDSHAKE.startswith(bytes(begun[: len(HANDSHAKE)])):
                raise NotTLS(f"{tunnel.request.authority} is sent no TLS")

    return see
