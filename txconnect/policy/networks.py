"""
C{networks}: the addresses to which tunnels may lead.

Each address is judged as it will be dialled, after the one look-up (TU-11),
so neither a name nor a second answer of its server gets around the policy.  By
default the public Internet is allowed: no special-use address (L{specialUse
<txconnect.wire.addresses.specialUse>}), and none of this machine's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from txconnect.errors import EXHAUSTION
from txconnect.interfaces import IAddressPolicy, IListPolicy
from txconnect.ownaddresses import OwnAddresses, unmapped
from txconnect.policy.itemlists import ItemList, strippedItem
from txconnect.policy.networkitems import parseNetwork
from txconnect.values import Allow, Cause, Decision, Deny, IPAddress, Request
from txconnect.wire.addresses import specialUse

__all__ = ["Networks", "NetworksPolicy", "firstItems"]

_ALLOW = Allow()


class Networks:
    """
    A set of networks that is searched with one set look-up a prefix length,
    however many networks it has.

    @cvar forms: the right forms of an item, for the message about a wrong one.
    """

    forms = "a network such as 10.0.0.0/8, or an address"

    # By version and by the number of bits after the prefix: the prefixes as numbers.

    def __init__(self) -> None:
        self._byShift: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}

    def add(self, item: str) -> None:
        """
        Add a network in CIDR form, or a single address.

        @raise ValueError: it is neither, or has bits set after its prefix.
        """
        network = parseNetwork(item, self.forms)
        shift = network.max_prefixlen - network.prefixlen
        ofShift = self._byShift[network.version].setdefault(shift, set())
        ofShift.add(int(network.network_address) >> shift)

    def __contains__(self, address: IPAddress) -> bool:
        value = int(address)
        for shift, networks in self._byShift[address.version].items():
            if value >> shift in networks:
                return True
        return False


class _AllowedNetworks(Networks):
    """The networks of the policy."""

    forms = "'public', 'any', a network such as 10.0.0.0/8, or an address"

    def add(self, item: str) -> None:
        """Add a network, as in any set of them."""
        if item in ("any", "public"):
            # Only in the argument: a file must not open everything.
            raise ValueError(f"{item!r} stands in the argument, networks:{item}")
        super().add(item)


@implementer(IAddressPolicy, IListPolicy)
class NetworksPolicy:
    """
    A policy that allows addresses in the networks it lists, and refuses all others.

    A network that is listed in CIDR form is allowed even if it is of special
    use, or this machine's own: the operator has named it.  C{::ffff:10.0.0.1}
    is judged as C{10.0.0.1}.
    """

    name = "networks"

    def __init__(self, *items: str, own: OwnAddresses | None = None) -> None:
        """
        @param items: networks in CIDR form, addresses, C{@FILE}s of these,
            C{"public"}; or C{"any"} alone.  Without any item it is C{"public"}.
        @param own: the addresses of this machine.
        @raise ValueError: an item is none of these.
        """
        texts = list(dict.fromkeys(map(strippedItem, items))) or ["public"]
        if "any" in texts and len(texts) > 1:
            raise ValueError("'any' allows every address already: give it alone")
        self._any = texts == ["any"]
        self._public = "public" in texts
        listed = [text for text in texts if text not in ("any", "public")]
        self._list = ItemList(listed, _AllowedNetworks, "the list of networks")
        self._listed = self._list.items
        self._own = OwnAddresses() if own is None else own

    @classmethod
    def fromItems(cls, *items: str) -> NetworksPolicy:
        """Make a policy from the items of a command line."""
        # Without "own", which no text of a command line could name.
        return cls(*items)

    def joinedWith(self, other: NetworksPolicy) -> NetworksPolicy:
        """See L{IListPolicy.joinedWith}."""
        return type(self)(*self._items(), *other._items(), own=self._own)

    def decideAddress(self, request: Request, address: IPAddress) -> Decision:
        """Judge an address that is about to be dialled."""
        if self._any:
            return _ALLOW
        # Dialled, an IPv4-mapped address is the IPv4 address inside.
        judged = unmapped(address)
        if self._listed and any(judged in each for each in self._list.sets()):
            return _ALLOW
        if self._public:
            return self._decidePublic(judged)
        return Deny(
            f"{address} is in none of {firstItems(self._listed)}", Cause.ADDRESS
        )

    def _items(self) -> Sequence[str]:
        words = ["any"] * self._any + ["public"] * self._public
        return (*words, *self._listed)

    def _decidePublic(self, address: IPAddress) -> Decision:
        special = specialUse(address)
        if special is not None:
            reason = f"{address} is {special.name} ({special.network})"
            return Deny(reason, Cause.ADDRESS)
        try:
            own = self._own.isOwn(address)
        except OSError as error:
            return _refuseUnknown(address, error)
        if own:
            return Deny(f"{address} is this machine's own address", Cause.ADDRESS)
        return _ALLOW


def _refuseUnknown(address: IPAddress, error: OSError) -> Deny:
    """Refuse an address that may be the machine's own, as a failure of the proxy."""
    # Not a denial: the client may try again, and the operator has to look at it.
    cause = Cause.EXHAUSTED if error.errno in EXHAUSTION else Cause.INTERNAL
    return Deny(
        f"cannot tell whether {address} is this machine's own address: "
        f"{error.strerror or error}",
        cause,
    )


def firstItems(texts: Sequence[str]) -> str:
    """Return the first items of a list, for a message, and the number of the rest."""
    shown = ", ".join(texts[:4])
    return f"{shown} and {len(texts) - 4} more" if len(texts) > 4 else shown
