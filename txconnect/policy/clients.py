"""
C{clients}: the addresses from which the proxy may be used.

It judges the address of the client's connection, after authentication and in addition
to it.  Behind a balancer that is the balancer's address.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from zope.interface import implementer

from txconnect.interfaces import IDestinationPolicy, IListPolicy
from txconnect.ownaddresses import unmapped
from txconnect.policy.itemlists import ItemList
from txconnect.policy.networks import Networks, firstItems
from txconnect.values import Allow, Decision, Deny, IPAddress, Request

__all__ = ["ClientsPolicy"]

_ALLOW = Allow()
_UNIX = "unix"


class _Clients(Networks):
    """
    A set of networks, and of clients on UNIX sockets.

    @ivar unix: whether it has those.
    """

    forms = (
        "a network such as 10.0.0.0/8, an address, or 'unix' (clients are known by "
        "their addresses, not by names)"
    )

    def __init__(self) -> None:
        super().__init__()
        self.unix = False

    def add(self, item: str) -> None:
        """
        Add a network, an address, or C{unix}.

        @raise ValueError: it is none of these.
        """
        if item == _UNIX:
            self.unix = True
        elif item == "any":
            raise ValueError("'any' refuses nobody: leave the clients policy out")
        else:
            super().add(item)


@implementer(IDestinationPolicy, IListPolicy)
class ClientsPolicy:
    """
    A policy that allows the clients in the networks it lists, and refuses all others.

    A client on a UNIX socket has no address, and is allowed only by the item C{unix};
    one whose address is not known is refused.
    """

    name = "clients"

    def __init__(self, *items: str) -> None:
        """
        @param items: networks in CIDR form, addresses, C{"unix"}, or C{@FILE}s of
            these; at least one.
        @raise ValueError: there is none, or one is wrong.
        """
        if not items:
            raise ValueError("no client is listed, so every request would be refused")
        self._list = ItemList(items, _Clients, "the list of clients")

    def joinedWith(self, other: ClientsPolicy) -> ClientsPolicy:
        """See L{IListPolicy.joinedWith}."""
        return type(self)(*self._list.items, *other._list.items)

    def decide(self, request: Request) -> Decision:
        """Judge the client of a request."""
        client: object = request.client
        if isinstance(client, UNIXAddress):
            return self._decideUnix()
        address = _addressOf(client)
        if address is None:
            return Deny("the client's address is not known")
        if any(address in clients for clients in self._list.sets()):
            return _ALLOW
        return Deny(
            f"the client {address} is in none of {firstItems(self._list.items)}"
        )

    def _decideUnix(self) -> Decision:
        if any(clients.unix for clients in self._list.sets()):
            return _ALLOW
        return Deny("clients on UNIX sockets are not among the allowed ('unix')")


def _addressOf(client: object) -> IPAddress | None:
    if isinstance(client, IPv4Address | IPv6Address):
        return _parseAddress(client.host)
    return None


@lru_cache(1024)
def _parseAddress(host: str) -> IPAddress | None:
    # A dual-stack listener has IPv4 clients inside IPv6.
    try:
        return unmapped(ip_address(host))
    except ValueError:
        return None
