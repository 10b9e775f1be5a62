"""
C{hosts} and C{deny-hosts}: the hosts to which tunnels may lead, by name.

The items are those of L{txconnect.policy.hostitems}, and C{@FILE}s of them
(L{txconnect.policy.itemlists}).  Addresses are compared as addresses, and an address
item covers only a literal address, never a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

from zope.interface import implementer

from txconnect.interfaces import (
    IAddressPolicy,
    IDestinationPolicy,
    IListPolicy,
    IPortOpener,
)
from txconnect.ownaddresses import unmapped
from txconnect.policy.hostitems import EVERY_PORT, parseHostItem
from txconnect.policy.itemlists import ItemList
from txconnect.values import (
    Allow,
    Authority,
    Cause,
    Decision,
    Deny,
    IPAddress,
    Request,
)

__all__ = ["DenyHostsPolicy", "HostPatterns", "HostsPolicy"]

_ALLOW = Allow()
_Ports = frozenset[int]
_Key = TypeVar("_Key")
# One object for the many items that name no port.
_EVERY = frozenset((EVERY_PORT,))


class HostPatterns:
    """
    A set of hosts that is searched with one look-up a label, however long it is.

    @ivar namesPorts: whether an item names a port.
    """

    # By name, by the part behind "*.", by address: the ports.

    def __init__(self, items: Iterable[str] = ()) -> None:
        """
        @raise ValueError: an item is not a host.
        """
        self._names: dict[str, _Ports] = {}
        self._suffixes: dict[str, _Ports] = {}
        self._addresses: dict[tuple[int, int], _Ports] = {}
        self.namesPorts = False
        for item in items:
            self.add(item)

    def add(self, item: str) -> None:
        """
        Add an item.

        @raise ValueError: it is not a host.
        """
        read = parseHostItem(item)
        ports = _EVERY
        if read.port != EVERY_PORT:
            ports = frozenset((read.port,))
            self.namesPorts = True
        if not isinstance(read.host, str):
            _addPorts(self._addresses, _addressKey(read.host), ports)
            return
        if read.itself:
            _addPorts(self._names, read.host, ports)
        if read.below:
            _addPorts(self._suffixes, read.host, ports)

    def matchAuthority(self, authority: Authority) -> str | None:
        """Return the narrowest item that covers a destination as requested, if any."""
        for host, ports in self._covering(authority):
            if EVERY_PORT in ports:
                return host
            if authority.port in ports:
                return _withPort(host, authority.port)
        return None

    def matchPort(self, authority: Authority) -> str | None:
        """Return the item that names both the host and the port, if any."""
        for host, ports in self._covering(authority):
            if authority.port in ports:
                return _withPort(host, authority.port)
        return None

    def matchAddress(self, address: IPAddress, port: int) -> bool:
        """Tell whether an address item covers an address on a port."""
        ports = self._addresses.get(_addressKey(address), ())
        return EVERY_PORT in ports or port in ports

    def portsOf(self, authority: Authority) -> set[int]:
        """Return the ports that items name of a destination's host."""
        return {port for _, ports in self._covering(authority) for port in ports}

    def _covering(self, authority: Authority) -> Iterator[tuple[str, _Ports]]:
        """Generate the hosts of the set that cover a destination, with their ports."""
        address = authority.address
        if address is not None:
            ports = self._addresses.get(_addressKey(address))
            if ports:
                yield str(unmapped(address)), ports
            return
        host = authority.host
        ports = self._names.get(host)
        if ports:
            yield host, ports
        # From the longest suffix on, so the reason names the narrowest item.
        dot = host.find(".")
        while dot >= 0:
            ports = self._suffixes.get(host[dot + 1 :])
            if ports:
                yield "*" + host[dot:], ports
            dot = host.find(".", dot + 1)


@implementer(IDestinationPolicy, IListPolicy, IPortOpener)
class HostsPolicy:
    """
    A policy that allows the hosts it lists, and refuses all others.

    It judges the target of the request.  A listed address is allowed if it is
    the target itself; a name that resolves to it is judged as a name.

    An item with a port allows that port alone, and opens it where C{ports} was not
    given: see L{IPortOpener}.
    """

    name = "hosts"

    def __init__(self, *items: str) -> None:
        """
        @param items: see L{txconnect.policy.hostitems}, or C{@FILE}; at least one.
        @raise ValueError: there is none, or one is wrong.
        """
        self._list = _hostList(items)

    @property
    def namesPorts(self) -> bool:
        """Tell whether an item names a port now."""
        return any(patterns.namesPorts for patterns in self._list.sets())

    def joinedWith(self, other: HostsPolicy) -> HostsPolicy:
        """See L{IListPolicy.joinedWith}."""
        return type(self)(*self._list.items, *other._list.items)

    def opensPort(self, request: Request) -> str | None:
        """See L{IPortOpener.opensPort}."""
        for patterns in self._list.sets():
            item = patterns.matchPort(request.authority)
            if item is not None:
                return item
        return None

    def decide(self, request: Request) -> Decision:
        """Judge the host of a request."""
        for patterns in self._list.sets():
            if patterns.matchAuthority(request.authority) is not None:
                return _ALLOW
        return Deny(self._explainRefusal(request.authority))

    def _explainRefusal(self, authority: Authority) -> str:
        ports = set[int]().union(*[p.portsOf(authority) for p in self._list.sets()])
        if not ports:
            return f"{authority.host} is not among the allowed hosts"
        named = ", ".join(map(str, sorted(ports)[:4]))
        return f"{authority.host} is allowed on other ports only ({named})"


@implementer(IDestinationPolicy, IAddressPolicy, IListPolicy)
class DenyHostsPolicy:
    """
    A policy that refuses the hosts it lists, and allows all others.

    A listed address is refused under every name that resolves to it, and inside
    an IPv6 address that leads to it.  A listed I{name} is refused under that
    name only: its server may have others.  An item with a port refuses that port
    alone.
    """

    name = "deny-hosts"

    def __init__(self, *items: str) -> None:
        """
        @param items: see L{txconnect.policy.hostitems}, or C{@FILE}; at least one.
        @raise ValueError: there is none, or one is wrong.
        """
        self._list = _hostList(items, mayBeEmpty=False)

    def joinedWith(self, other: DenyHostsPolicy) -> DenyHostsPolicy:
        """See L{IListPolicy.joinedWith}."""
        return type(self)(*self._list.items, *other._list.items)

    def decide(self, request: Request) -> Decision:
        """Judge the host of a request."""
        for patterns in self._list.sets():
            item = patterns.matchAuthority(request.authority)
            if item is not None:
                return Deny(f"{request.authority.host} is denied ({item})")
        return _ALLOW

    def decideAddress(self, request: Request, address: IPAddress) -> Decision:
        """Judge an address that is about to be dialled."""
        port = request.authority.port
        # A NAT64 would connect to the IPv4 address inside.
        for candidate in (address, _translatedAddress(address)):
            if candidate is not None and any(
                patterns.matchAddress(candidate, port) for patterns in self._list.sets()
            ):
                denied = unmapped(candidate)
                return Deny(f"{address} is denied ({denied})", Cause.ADDRESS)
        return _ALLOW


def _hostList(
    items: tuple[str, ...], mayBeEmpty: bool = True
) -> ItemList[HostPatterns]:
    if not items:
        raise ValueError("no host is listed")
    return ItemList(items, HostPatterns, "the list of hosts", mayBeEmpty)


def _addPorts(listed: dict[_Key, _Ports], key: _Key, ports: _Ports) -> None:
    listed[key] = listed[key] | ports if key in listed else ports


def _withPort(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
