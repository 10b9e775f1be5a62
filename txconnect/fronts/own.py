"""
Requests to the proxy itself on an HTTP/1 connection: C{GET /healthz}, C{OPTIONS *}.
"""

from __future__ import annotations

import attrs

from txconnect.values import Authority, Request

_UNNAMED = Authority("localhost", 80)
"""The authority of a proxy that listens on a socket without a host and a port."""


def ownRequest(request: Request, target: bytes) -> Request:
    """
    Return the request as one to the proxy itself.

    Its authority is the address to which it came, and not the client's C{Host}, which
    could name anything; that field is among the headers.

    @param target: as it came: a path with its query, or C{"*"}.
    """
    host = getattr(request.server, "host", None)
    port = getattr(request.server, "port", None)
    authority = Authority(host, port) if host and port else _UNNAMED
    return attrs.evolve(
        request, authority=authority, kind="own", target=target.decode("ascii")
    )
