"""
Addresses in memory: the machine's own, and those that a listener covers.

Only rules of Linux that a proxy depends on are here: wildcards, loopback, and
IPv4 through an IPv6 socket.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""The address of a socket: two items for IPv4, four for IPv6."""

OWN_ADDRESSES = ("127.0.0.1", "::1", "198.51.100.1", "2001:db8::1")
"""The addresses of the machine that the program under test runs on."""

WILDCARDS = ("0.0.0.0", "::")


def familyOf(host: str) -> int:
    """Return the family of an IP literal: C{AF_INET} or C{AF_INET6}."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def reachedAddress(host: str) -> str:
    """Return the address that a connection to C{host} reaches, as on Linux."""
    address = ip_address(host)
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    # A connection to a wildcard reaches loopback, which a policy that compares
    # texts would miss.
    if str(address) in WILDCARDS:
        return "127.0.0.1" if address.version == 4 else "::1"
    return str(address)


def sourceFor(destination: str) -> str:
    """Return the source address of the machine towards C{destination}."""
    if ip_address(destination).is_loopback:
        return destination
    return OWN_ADDRESSES[3 if ":" in destination else 2]


def coversHost(listener: str, host: str) -> bool:
    """Tell whether a listener on one address accepts connections to the other."""
    if listener == host:
        return True
    if listener not in WILDCARDS or not (_isOwn(host) or host in WILDCARDS):
        return False
    # By default (net.ipv6.bindv6only = 0) '::' takes IPv4 on Linux too.
    return listener == "::" or ":" not in host


def socketAddress(family: int, host: str, port: int) -> SocketAddress:
    """Return an address in the form of C{getsockname} of a socket of C{family}."""
    # An IPv6 socket shows an IPv4 peer as a mapped address, ::ffff:192.0.2.1.
    if family != socket.AF_INET6:
        return host, port
    return (host if ":" in host else f"::ffff:{host}"), port, 0, 0


def _isOwn(host: str) -> bool:
    return host in OWN_ADDRESSES or ip_address(host).is_loopback
