"""
The destination of a tunnel, as a caller names it.

Hosts come as C{str} or C{bytes}, with or without the brackets of IPv6, and as
international names; the result is the one form that goes on the wire.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Union

from twisted.internet.address import (
    HostnameAddress,
    IPv4Address,
    IPv6Address as TwistedIPv6Address,
)

from txconnect.wire.authority import Authority, BadAuthority, parseHost, parsePort

__all__ = ["TunnelAddress", "addressOf", "makeDestination"]

TunnelAddress = Union[HostnameAddress, IPv4Address, TwistedIPv6Address]


def makeDestination(host: str | bytes, port: int) -> Authority:
    """
    Make the L{Authority} of a CONNECT; called once by each endpoint.

    @param host: a name, an IPv4 literal, or an IPv6 literal with or without
        brackets; a name beyond ASCII is encoded by IDNA 2008 (UTS 46).
    @param port: 1 to 65535.
    @raise BadAuthority: a L{ValueError}, for any other host or port.
    """
    text = _decodeHost(host)
    name, colon, digits = text.rpartition(":")
    if colon and digits.isdecimal() and (":" not in name or name.endswith("]")):
        raise BadAuthority(
            "the host has a port: give the port as an argument of its own"
        )
    if ":" in text and not text.startswith("["):
        text = f"[{text}]"
    if not text.isascii():
        text = _encodeName(text)
    # A trailing dot is no part of the host that the proxy gets; it only switches
    # the search list off, where the name is looked up here.
    return Authority(parseHost(text), parsePort(str(port)), text.endswith("."))


def addressOf(authority: Authority) -> TunnelAddress:
    """
    Return the Twisted address of a destination: the argument of
    C{buildProtocol}, and of a L{ConnectingCancelledError
    <twisted.internet.error.ConnectingCancelledError>}.
    """
    literal = authority.address
    if literal is None:
        return HostnameAddress(authority.host.encode("ascii"), authority.port)
    if isinstance(literal, IPv6Address):
        return TwistedIPv6Address("TCP", authority.host, authority.port)
    return IPv4Address("TCP", authority.host, authority.port)


def _decodeHost(host: str | bytes) -> str:
    if isinstance(host, str):
        return host
    try:
        return host.decode("utf-8")
    except UnicodeDecodeError:
        raise BadAuthority("the host is neither ASCII nor UTF-8") from None


def _encodeName(name: str) -> str:
    # Imported late: few names need it, and its tables are large.  It comes
    # with Twisted[tls].
    import idna

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise BadAuthority(f"the host is no international name: {error}") from None
