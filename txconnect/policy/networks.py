"""
C{networks}: the addresses to which tunnels may lead.

Each address is judged as it will be dialled, after the one look-up (TU-11),
so neither a name nor a second answer of its server gets around the policy.  By
default the public Internet is allowed: no special-use address (L{specialUse
<txconnect.wire.addresses.specialUse>}), and none of this machine's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from zope.interface import implementer

from txconnect.errors import EXHAUSTION
from txconnect.interfaces import IAddressPolicy
from txconnect.ownaddresses import OwnAddresses, unmapped
from txconnect.values import Allow, Cause, Decision, Deny, IPAddress, Request
from txconnect.wire.addresses import specialUse

__all__ = ["Networks", "NetworksPolicy"]

_ALLOW = Allow()
_MAPPED = IPv6Network("::ffff:0:0/96")


class Networks:
    """
    A set of networks that is searched with one set look-up a prefix length,
    however many networks it has.
    """

    # By version and by the number of bits after the prefix: the prefixes as numbers.

    def __init__(self) -> None:
        self._byShift: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}

    def add(self, text: str) -> None:
        """
        Add a network in CIDR form, or a single address.

        @raise ValueError: it is neither, or has bits set after its prefix.
        """
        network = _parseNetwork(text)
        shift = network.max_prefixlen - network.prefixlen
        ofShift = self._byShift[network.version].setdefault(shift, set())
        ofShift.add(int(network.network_address) >> shift)

    def __contains__(self, address: IPAddress) -> bool:
        value = int(address)
        for shift, networks in self._byShift[address.version].items():
            if value >> shift in networks:
                return True
        return False


@implementer(IAddressPolicy)
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
        @param items: networks in CIDR form, addresses, C{"public"}; or
            C{"any"} alone.  Without any item it is C{"public"}.
        @param own: the addresses of this machine.
        @raise ValueError: an item is none of these.
        """
        texts = [item.strip() for item in items] or ["public"]
        if "any" in texts and len(texts) > 1:
            raise ValueError("'any' allows every address already: give it alone")
        self._any = texts == ["any"]
        self._public = "public" in texts
        self._listed = [text for text in texts if text not in ("any", "public")]
        self._networks = Networks()
        for text in self._listed:
            self._networks.add(text)
        self._own = OwnAddresses() if own is None else own

    @classmethod
    def fromItems(cls, *items: str) -> NetworksPolicy:
        """Make a policy from the items of a command line."""
        # Without "own", which no text of a command line could name.
        return cls(*items)

    def decideAddress(self, request: Request, address: IPAddress) -> Decision:
        """Judge an address that is about to be dialled."""
        if self._any:
            return _ALLOW
        # Dialled, an IPv4-mapped address is the IPv4 address inside.
        judged = unmapped(address)
        if judged in self._networks:
            return _ALLOW
        if self._public:
            return self._decidePublic(judged)
        return Deny(
            f"{address} is in none of {_firstItems(self._listed)}", Cause.ADDRESS
        )

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


def _firstItems(texts: Sequence[str]) -> str:
    shown = ", ".join(texts[:4])
    return f"{shown} and {len(texts) - 4} more" if len(texts) > 4 else shown


def _parseNetwork(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(_explainBadNetwork(text)) from None
    # Addresses are judged unmapped, so such a network would never match.
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError(
            f"{text!r} is IPv4 inside IPv6: write the IPv4 network, which covers both"
        )
    return network


def _explainBadNetwork(text: str) -> str:
    if not text:
        return "an item is empty: is there a comma too many?"
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return (
            f"{text!r} is not a network: write 'public', 'any', or a network such as "
            "10.0.0.0/8"
        )
    address = text.partition("/")[0]
    return (
        f"{text!r} has bits set after its prefix: write {network} for the whole "
        f"network, or {address} for the one address"
    )
