"""
C{hosts} and C{deny-hosts}: the hosts to which tunnels may lead, by name.

An item is a host name, an address, or C{*.} and a name.  C{*.example.com}
covers every name below C{example.com}, at any depth, and not C{example.com}
itself.  A star is allowed nowhere else (smokescreen's rule), so that no list
covers more than its reader thinks.

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
    Decision,
    Deny,
    IPAddress,
    Request,
)
from txconnect.wire.authority import parseHost

__all__ = ["DenyHostsPolicy", "HostPatterns", "HostsPolicy"]

_ALLOW = Allow()


class HostPatterns:
    """
    A list of hosts that is searched with one set look-up a label, however long
    it is.
    """

    def __init__(self, items: Sequence[str]) -> None:
        """
        @raise ValueError: the list is empty, or an item is not a host.
        """
        if not items:
            raise ValueError("no host is listed")
        self._names: set[str] = set()
        self._suffixes: set[str] = set()
        self._addresses: set[tuple[int, int]] = set()
        for item in items:
            self._addItem(item.strip())

    def matchAuthority(self, authority: Authority) -> str | None:
        """Return the item that covers a destination as requested, if any."""
        address = authority.address
        if address is not None:
            return self.matchAddress(address)
        host = authority.host
        if host in self._names:
            return host
        # From the longest suffix on, so the reason names the narrowest item.
        dot = host.find(".")
        while dot >= 0:
            if host[dot + 1 :] in self._suffixes:
                return "*" + host[dot:]
            dot = host.find(".", dot + 1)
        return None

    def matchAddress(self, address: IPAddress) -> str | None:
        """Return the address item that covers an address, if any."""
        key = _addressKey(address)
        return str(unmapped(address)) if key in self._addresses else None

    def _addItem(self, item: str) -> None:
        address = _parseAddress(item)
        if address is not None:
            self._addresses.add(_addressKey(address))
        elif item.startswith("*."):
            self._suffixes.add(_parseName(item, item[2:]))
        else:
            self._names.add(_parseName(item, item))


@implementer(IDestinationPolicy)
class HostsPolicy:
    """
    A policy that allows the hosts it lists, and refuses all others.

    It judges the target of the request.  A listed address is allowed if it is
    the target itself; a name that resolves to it is judged as a name.
    """

    name = "hosts"

    def __init__(self, *items: str) -> None:
        """
        @param items: see the module; at least one.
        @raise ValueError: there is none, or one is not a host.
        """
        self._patterns = HostPatterns(items)

    def decide(self, request: Request) -> Decision:
        """Judge the host of a request."""
        item = self._patterns.matchAuthority(request.authority)
        if item is None:
            return Deny(f"{request.authority.host} is not among the allowed hosts")
        return _ALLOW


@implementer(IDestinationPolicy, IAddressPolicy)
class DenyHostsPolicy:
    """
    A policy that refuses the hosts it lists, and allows all others.

    A listed address is refused under every name that resolves to it, and inside
    an IPv6 address that leads to it.  A listed I{name} is refused under that
    name only: its server may have others.
    """

    name = "deny-hosts"

    def __init__(self, *items: str) -> None:
        """
        @param items: see the module; at least one.
        @raise ValueError: there is none, or one is not a host.
        """
        self._patterns = HostPatterns(items)

    def decide(self, request: Request) -> Decision:
        """Judge the host of a request."""
        item = self._patterns.matchAuthority(request.authority)
        if item is None:
            return _ALLOW
        return Deny(f"{request.authority.host} is denied ({item})")

    def decideAddress(self, request: Request, address: IPAddress) -> Decision:
        """Judge an address that is about to be dialled."""
        # A NAT64 would connect to the IPv4 address inside.
        for candidate in (address, _translatedAddress(address)):
            if candidate is not None and self._patterns.matchAddress(candidate):
                return Deny(f"{address} is denied ({candidate})", Cause.ADDRESS)
        return _ALLOW


def _addressKey(address: IPAddress) -> tuple[int, int]:
    # By number, because an IPv6 address with a scope does not equal the same one
    # without.
    address = unmapped(address)
    return (address.version, int(address))


def _translatedAddress(address: IPAddress) -> IPAddress | None:
    """Return the IPv4 address that NAT64 reaches by an address (RFC 6052, 2.1)."""
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
    complaint = _explainBadName(item, name)
    if complaint:
        raise ValueError(f"{item!r} is not a host: {complaint}")
    try:
        return parseHost(name)
    except BadAuthority as error:
        raise ValueError(f"{item!r} is not a host: {error}") from None


def _explainBadName(item: str, name: str) -> str:
    """Explain a common mistake in an item; return an empty text for any other."""
    # The grammar would refuse these too, in words that do not say what to write.
    if not item:
        return "it is empty; is there a comma too many?"
    if "*" in name:
        return "a star is allowed only at the beginning, as in *.example.com"
    if "://" in name:
        return "it is a URL; write only the host"
    if "/" in name:
        return "networks are judged by the networks policy"
    if ":" in name:
        return "ports are judged by the ports policy"
    if not name.isascii():
        return "write it in punycode (xn--...)"
    if _parseAddress(name) is not None:
        return "an address has no names below it"
    return ""
