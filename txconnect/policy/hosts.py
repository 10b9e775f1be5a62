"""
C{hosts} and C{deny-hosts}: which hosts tunnels may lead to, by name.

An item is a host name, an address, or C{*.} and a name.  C{*.example.com}
covers every name below C{example.com}, at any depth, and not C{example.com}
itself.  A star stands nowhere else (smokescreen's rule): no list can be
written that means more than its reader thinks.

Names come here in one form only (L{txconnect.wire.authority}): lower case, no
trailing dot, punycode.  Addresses are compared as addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from zope.interface import implementer

from txconnect.interfaces import IAddressPolicy, IDestinationPolicy
from txconnect.ownaddresses import unmapped
from txconnect.values import (
    Allow,
    Authority,
    BadAuthority,
    Cause,
    ConnectRequest,
    Decision,
    Deny,
    IPAddress,
)
from txconnect.wire.authority import parseHost

__all__ = ["DenyHostsPolicy", "HostPatterns", "HostsPolicy"]

_ALLOW = Allow()


class HostPatterns:
    """
    A list of hosts that answers in one dictionary look-up a label.
    """

    def __init__(self, items: Sequence[str]) -> None:
        """
        @raise ValueError: the list is empty, or an item is no host.
        """
        if not items:
            raise ValueError("no host is listed")
        self._names: set[str] = set()
        self._suffixes: set[str] = set()
        self._addresses: set[tuple[int, int]] = set()
        for item in items:
            self._add(item.strip())

    def match(self, authority: Authority) -> str | None:
        """The item that covers a destination as it was asked for, if any."""
        address = authority.address
        if address is not None:
            return self.matchAddress(address)
        host = authority.host
        if host in self._names:
            return host
        dot = host.find(".")
        while dot >= 0:
            if host[dot + 1 :] in self._suffixes:
                return "*" + host[dot:]
            dot = host.find(".", dot + 1)
        return None

    def matchAddress(self, address: IPAddress) -> str | None:
        """The address item that covers an address, if any."""
        key = _key(address)
        return str(unmapped(address)) if key in self._addresses else None

    def _add(self, item: str) -> None:
        address = _parseAddress(item)
        if address is not None:
            self._addresses.add(_key(address))
        elif item.startswith("*."):
            self._suffixes.add(_parseName(item, item[2:]))
        else:
            self._names.add(_parseName(item, item))


@implementer(IDestinationPolicy)
class HostsPolicy:
    """
    Allows the hosts that it lists, and refuses every other.

    It judges what the client asked for.  A listed address is allowed when it
    is asked for as an address; a name that resolves to it is judged as a name.
    """

    name = "hosts"

    def __init__(self, *items: str) -> None:
        """
        @param items: see the module; at least one.
        @raise ValueError: there is none, or one is no host.
        """
        self._patterns = HostPatterns(items)

    def decide(self, request: ConnectRequest) -> Decision:
        """Judge the host that was asked for."""
        item = self._patterns.match(request.authority)
        if item is None:
            return Deny(f"{request.authority.host} is not among the allowed hosts")
        return _ALLOW


@implementer(IDestinationPolicy, IAddressPolicy)
class DenyHostsPolicy:
    """
    Refuses the hosts that it lists, and lets every other pass.

    A listed address is refused under every name that leads to it, and inside
    an IPv6 address that stands for it.  A listed I{name} is refused under that
    name only: its server may have others.
    """

    name = "deny-hosts"

    def __init__(self, *items: str) -> None:
        """
        @param items: see the module; at least one.
        @raise ValueError: there is none, or one is no host.
        """
        self._patterns = HostPatterns(items)

    def decide(self, request: ConnectRequest) -> Decision:
        """Judge the host that was asked for."""
        item = self._patterns.match(request.authority)
        if item is None:
            return _ALLOW
        return Deny(f"{request.authority.host} is denied ({item})")

    def decideAddress(self, request: ConnectRequest, address: IPAddress) -> Decision:
        """Judge an address that is about to be dialled."""
        for candidate in (address, _translated(address)):
            if candidate is not None and self._patterns.matchAddress(candidate):
                return Deny(f"{address} is denied ({candidate})", Cause.ADDRESS)
        return _ALLOW


def _key(address: IPAddress) -> tuple[int, int]:
    # By number: an IPv6 address with a scope is unequal to itself without.
    address = unmapped(address)
    return (address.version, int(address))


def _translated(address: IPAddress) -> IPAddress | None:
    """The IPv4 address that NAT64 reaches through an address (RFC 6052, 2.1)."""
    if isinstance(address, IPv6Address) and int(address) >> 32 == 0x64FF9B << 64:
        return ip_address(int(address) & 0xFFFFFFFF)
    return None


def _parseAddress(item: str) -> IPAddress | None:
    try:
        if item.startswith("[") and item.endswith("]"):
            return IPv6Address(item[1:-1])
        return ip_address(item)
    except ValueError:
        return None


def _parseName(item: str, name: str) -> str:
    complaint = _complaint(item, name)
    if complaint:
        raise ValueError(f"{item!r} is no host: {complaint}")
    try:
        return parseHost(name)
    except BadAuthority as error:
        raise ValueError(f"{item!r} is no host: {error}") from None


def _complaint(item: str, name: str) -> str:
    """What is wrong with an item that people are known to write."""
    if not item:
        return "it is empty; is there a comma too many?"
    if "*" in name:
        return "a star stands only at the beginning, as in *.example.com"
    if "://" in name:
        return "it is a URL; write the host alone"
    if "/" in name:
        return "networks are judged by the networks policy"
    if ":" in name:
        return "ports are judged by the ports policy"
    if not name.isascii():
        return "write it in punycode (xn--...)"
    if _parseAddress(name) is not None:
        return "an address has no names below it"
    return ""
