"""
C{sni}: what goes through a tunnel is TLS, to the server that the tunnel leads to.

The name in the client's first message, the ClientHello, must be the host that the
CONNECT asked for, or be in the tap's list.  Until that message is whole, nothing that
the client sends is passed on; afterwards the tap has let go, and costs nothing more.

The decided answers:

 - A name is compared in lower case, and without a trailing dot.
 - No name at all is refused, unless the request's host is an address: clients name no
   server to which they were given an address.
 - The destination's bytes pass at once: a server that speaks first may do so, but its
   client is still to begin with TLS.  Protocols that turn to TLS later (STARTTLS) are
   refused.
 - With Encrypted Client Hello the outer name is judged.  The name inside is nobody's to
   see but the server's that decrypts it.
 - The first message is judged, and no other.  One that TLS 1.3 has the client send
   again must name the same server (RFC 8446, 4.1.2); that the destination sees to it is
   the destination's part.
 - Whatever is no ClientHello, strictly read, is refused: see
   L{txconnect.wire.clienthello}.

A tunnel that is refused is reset on both legs; it has had its 200 long before.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from zope.interface import implementer

from txconnect.errors import EndTunnel
from txconnect.interfaces import ITrafficTap
from txconnect.policy.hosts import HostsPolicy
from txconnect.values import (
    Allow,
    Authority,
    Direction,
    Request,
    TapVerdict,
    TunnelInfo,
)
from txconnect.wire.clienthello import (
    BadClientHello,
    ClientHello,
    ClientHelloParser,
)

__all__ = ["SniTap"]


@implementer(ITrafficTap)
class SniTap:
    """
    A tap that ends tunnels whose client does not ask by TLS for the tunnel's host.
    """

    name = "sni"

    def __init__(self, *items: str) -> None:
        """
        @param items: hosts that may be named in place of the request's own, as the
            C{hosts} policy takes them.
        @raise ValueError: one is not a host.
        """
        self._listed = HostsPolicy(*items) if items else None

    def tap(self, tunnel: TunnelInfo) -> Callable[[Direction, bytes], TapVerdict]:
        """Watch a tunnel until its client has named the server."""
        request, parser = tunnel.request, ClientHelloParser()

        def see(direction: Direction, data: bytes) -> TapVerdict:
            if direction is Direction.DOWN:
                return TapVerdict.PASS
            try:
                hello = parser.feed(data)
            except BadClientHello as bad:
                raise EndTunnel(str(bad)) from None
            if hello is not None:
                self._judgeName(request, hello)
                return TapVerdict.LET_GO
            if not data:
                raise EndTunnel("the client has ended in the middle of its ClientHello")
            return TapVerdict.HOLD

        return see

    def _judgeName(self, request: Request, hello: ClientHello) -> None:
        """
        Judge the name in a ClientHello.

        @raise EndTunnel: it leads elsewhere.
        """
        host, name = request.authority.host, hello.serverName
        if name == host:
            return
        if name is None:
            if request.authority.address is None:
                raise EndTunnel("the ClientHello names no server")
        elif not self._isListed(request, name):
            outer = ", outside of an encrypted one" if hello.offersEncryption else ""
            raise EndTunnel(f"the ClientHello names {name}, not {host}{outer}")

    def _isListed(self, request: Request, name: str) -> bool:
        if self._listed is None:
            return False
        named = attrs.evolve(request, authority=Authority(name, request.authority.port))
        return type(self._listed.decide(named)) is Allow
