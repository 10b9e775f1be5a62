"""
The name of a proxy, C{host:port}, in the errors of its client.

A caller gives the proxy as an endpoint, and endpoints have no name that all would
share.  Those of Twisted keep their host and port to themselves; they are read here
and nowhere else, and where another Twisted calls them differently, the address of
the connection is the name.
"""

from __future__ import annotations

from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint

__all__ = ["nameEndpoint", "nameInError", "nameTransport"]


def nameEndpoint(endpoint: IStreamClientEndpoint | object) -> str:
    """Return C{host:port} of an endpoint, or a socket's path; empty if not known."""
    for _ in range(8):
        inner = getattr(endpoint, "_wrappedEndpoint", None)
        if inner is None:
            break
        endpoint = inner
    authority = getattr(endpoint, "authority", None)
    if authority is not None:
        # A proxy behind a proxy.
        return str(authority)
    path = getattr(endpoint, "_path", None)
    if path is not None:
        return _text(path)
    host = getattr(endpoint, "_hostText", None) or getattr(endpoint, "_host", None)
    return _hostAndPort(host, getattr(endpoint, "_port", None))


def nameTransport(transport: object) -> str:
    """Return C{host:port} of a transport's peer; empty if it has none."""
    getPeer = getattr(transport, "getPeer", None)
    peer = None if getPeer is None else getPeer()
    return _hostAndPort(getattr(peer, "host", None), getattr(peer, "port", None))


def nameInError(error: BaseException | None, proxy: str) -> None:
    """
    Add the proxy's name to the error of connecting to it, which stays what it is:
    callers tell them apart by their types.
    """
    if error is None or not proxy or hasattr(error, "proxy"):
        return
    error.proxy = proxy  # type: ignore[attr-defined]
    place = f"the proxy {proxy}"
    said = " ".join(each for each in error.args if isinstance(each, str))
    if isinstance(error, ConnectError):
        error.args = (f"{said}: {place}" if said else place,)
    elif len(error.args) == 1 and said:
        error.args = (f"{said}: {place}",)
    else:
        # OpenSSL's lists, which others read.
        error.add_note(place)


def _hostAndPort(host: object, port: object) -> str:
    if host is None or port is None:
        return ""
    text = _text(host)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
