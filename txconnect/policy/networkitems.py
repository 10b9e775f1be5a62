"""
One item of C{networks:} or C{clients:}: a network in CIDR form, or an address.

An item that is wrong is a sentence with the nearest right form.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Network,
    ip_address,
    ip_network,
    summarize_address_range,
)

from txconnect.policy.itemlists import shownItem, withoutZone

__all__ = ["parseNetwork"]

_MAPPED = IPv6Network("::ffff:0:0/96")
_MOST_NEAR = 4
"""The most networks that stand for a range of addresses in a message."""


def parseNetwork(text: str, forms: str) -> IPv4Network | IPv6Network:
    """
    Read an item.

    @param forms: the right forms, for an item that is near none of them.
    @raise ValueError: it is none, has bits set after its prefix, or has a zone.
    """
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(_explainBadNetwork(text, forms)) from None
    # Addresses are judged unmapped, so such a network would never match.
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError(
            f"{text!r} is IPv4 inside IPv6: write the IPv4 network, which covers both"
        )
    if "%" in text:
        raise ValueError(
            f"{shownItem(text)} has a zone, which is no part of a network: "
            f"write {withoutZone(text)}"
        )
    return network


def _explainBadNetwork(text: str, forms: str) -> str:
    if not text:
        return "an item is empty: is there a comma too many?"
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        near = _nearestForm(text) or forms
        return f"{shownItem(text)} is not a network: write {near}"
    address = text.partition("/")[0]
    return (
        f"{text!r} has bits set after its prefix: write {network} for the whole "
        f"network, or {address} for the one address"
    )


def _nearestForm(text: str) -> str:
    if text.startswith(("/", "./", "../", "~")):
        return f"@{shownItem(text)[1:-1]} for a list in a file"
    forms: tuple[Callable[[str], str], ...] = (_ofStar, _ofRange, _ofBrackets)
    for near in forms:
        try:
            found = near(text)
        except (ValueError, TypeError):
            continue
        if found:
            return found
    return ""


def _ofStar(text: str) -> str:
    """Return the network of C{10.0.0.*}, or of C{10.0.0.}, which is squid's form."""
    octets = text.removesuffix("*").removesuffix(".").split(".")
    if not text.endswith((".*", ".")) or len(octets) > 3:
        return ""
    whole = ".".join(octets + ["0"] * (4 - len(octets)))
    return str(ip_network(f"{whole}/{8 * len(octets)}"))


def _ofRange(text: str) -> str:
    """Return the networks of C{10.0.0.0-10.0.0.255}, where they are few."""
    first, last = (ip_address(each.strip()) for each in text.split("-"))
    if isinstance(first, IPv4Address) != isinstance(last, IPv4Address):
        return ""
    networks = list(summarize_address_range(first, last))
    return ",".join(map(str, networks)) if len(networks) <= _MOST_NEAR else ""


def _ofBrackets(text: str) -> str:
    """Return the address in brackets, which stand only before a port."""
    if not (text.startswith("[") and text.endswith("]")):
        return ""
    return str(ip_address(text[1:-1]))
