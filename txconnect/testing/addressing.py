"""
Addresses in memory: which are the machine's own, and who listens for which.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""What C{getsockname} gives: two items for IPv4, four for IPv6."""

OWN_ADDRESSES = ("127.0.0.1", "::1", "198.51.100.1", "2001:db8::1")
"""The addresses of the machine that the program under test runs on."""

WILDCARDS = ("0.0.0.0", "::")


def familyOf(host: str) -> int:
    """C{AF_INET} or C{AF_INET6} for an IP literal."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def reached(host: str) -> str:
    """The address that who connects to C{host} reaches, as Linux has it."""
    address = ip_address(host)
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if str(address) in WILDCARDS:
        return "127.0.0.1" if address.version == 4 else "::1"
    return str(address)


def sourceFor(destination: str) -> str:
    """The address that the machine sends from to C{destination}."""
    if ip_address(destination).is_loopback:
        return destination
    return OWN_ADDRESSES[3 if ":" in destination else 2]


def covers(listener: str, host: str) -> bool:
    """Whether who listens on one address is reached by the other."""
    if listener == host:
        return True
    if listener not in WILDCARDS or not (_isOwn(host) or host in WILDCARDS):
        return False
    # As Linux has it by default, '::' takes IPv4 too.
    return listener == "::" or ":" not in host


def socketAddress(family: int, host: str, port: int) -> SocketAddress:
    """What C{getsockname} gives for an address on a socket of C{family}."""
    if family != socket.AF_INET6:
        return host, port
    return (host if ":" in host else f"::ffff:{host}"), port, 0, 0


def _isOwn(host: str) -> bool:
    return host in OWN_ADDRESSES or ip_address(host).is_loopback
