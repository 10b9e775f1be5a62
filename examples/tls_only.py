"""
A tap: a tunnel to port 443 must begin with a TLS handshake.

    txconnect --tap ./tls_only.py:tlsOnly

It holds what the client sends until it has seen enough, so that nothing passes
before its verdict; then it ends the tunnel, or lets it go for good.  Other tunnels
are left alone.
"""

from collections.abc import Callable

from txconnect import Direction, EndTunnel, TapVerdict, TunnelInfo, tapPlugin

HANDSHAKE = b"\x16\x03"  # RFC 8446, 5.1


@tapPlugin("tls-only", "End tunnels to port 443 that do not begin with TLS.")
def tlsOnly(tunnel: TunnelInfo) -> Callable[[Direction, bytes], TapVerdict] | None:
    if tunnel.request.authority.port != 443:
        return None
    begun = bytearray()

    def see(direction: Direction, data: bytes) -> TapVerdict:
        if direction is Direction.DOWN:
            return TapVerdict.PASS
        begun.extend(data[: len(HANDSHAKE)])
        if not HANDSHAKE.startswith(begun[: len(HANDSHAKE)]):
            raise EndTunnel("the client sends no TLS")
        return TapVerdict.HOLD if len(begun) < len(HANDSHAKE) else TapVerdict.LET_GO

    return see
