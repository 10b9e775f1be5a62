"""
The special-use addresses, judged by numbers and never by text.

The ranges are those of requirements section 3: the IANA special-purpose
registries for IPv4 and IPv6 (RFC 6890) without the few blocks in them that are
ordinary destinations, multicast, ranges that were deprecated but may still be
routed somewhere, and the one cloud metadata address that lies in public space.
An IPv4 address inside an IPv6 one is judged itself where the system or a NAT64
would connect to it (IPv4-mapped; 64:ff9b::/96); the other forms that can hold
one (6to4, Teredo, SIIT, IPv4-compatible, 64:ff9b:1::/48) are special as a
whole, with any address inside.

The standard library parses addresses here and judges none: its judgement
changes between Python's versions.  C{ipaddress}'s C{is_global} is true, in some version of
Python 3.11 or in all, for these, which are special here:

  - multicast, 224.0.0.0/4 and ff00::/8;
  - 192.0.0.0/24 but for its first few addresses, 192.88.99.0/24 and
    168.63.129.16;
  - IPv4-compatible ::/96, SIIT ::ffff:0:0:0/96, 64:ff9b:1::/48, 6to4 2002::/16;
  - 64:ff9b::/96 with a special address inside, and IPv4-mapped likewise;
  - site-local fec0::/10, 3fff::/20, 5f00::/16, and the parts of 2001::/23 that
    hold services or protocol numbers.

It is false, in some versions, for IPv4-mapped addresses with a public address
inside, which are not special here.  Space that IANA has not assigned is not
special: it leads nowhere.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

import attrs

from txconnect.wire.authority import IPAddress


@attrs.frozen
class SpecialUse:
    """
    The special use of an address that is not an ordinary public destination.

    @ivar network: the most specific special range that holds it, as
        C{"10.0.0.0/8"}; for an IPv4 address inside an IPv6 one both, as
        C{"::ffff:10.0.0.0/104"}.
    @ivar name: the use of the range, in lower case, as it follows "is" in a
        sentence.
    """

    network: str
    name: str


# Name and ranges; IANA's names, in lower case.  Where two ranges hold an
# address, the longer prefix answers, so a part may be named apart from the whole.
_RANGES = {
    "this host on this network": ("0.0.0.0/32",),
    "this network": ("0.0.0.0/8",),
    "private-use": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    "shared address space": ("100.64.0.0/10",),
    "loopback": ("127.0.0.0/8", "::1/128"),
    "azure platform service": ("168.63.129.16/32",),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "ietf protocol assignments": ("192.0.0.0/24", "2001::/23"),
    "ipv4 service continuity": ("192.0.0.0/29",),
    "ipv4 dummy address": ("192.0.0.8/32",),
    "port control protocol anycast": ("192.0.0.9/32", "2001:1::1/128"),
    "turn anycast": ("192.0.0.10/32", "2001:1::2/128"),
    "nat64/dns64 discovery": ("192.0.0.170/31",),
    "documentation": (
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "3fff::/20",
    ),
    "deprecated 6to4 relay anycast": ("192.88.99.0/24",),
    "benchmarking": ("198.18.0.0/15", "2001:2::/48"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "reserved": ("240.0.0.0/4",),
    "limited broadcast": ("255.255.255.255/32",),
    "unspecified": ("::/128",),
    "ipv4-compatible": ("::/96",),
    "ipv4-translated": ("::ffff:0:0:0/96",),
    "local-use nat64": ("64:ff9b:1::/48",),
    "discard-only": ("100::/64",),
    "teredo": ("2001::/32",),
    "amt": ("2001:3::/32",),
    "as112": ("2001:4:112::/48",),
    "deprecated orchid": ("2001:10::/28",),
    "orchidv2": ("2001:20::/28",),
    "drone remote id": ("2001:30::/28",),
    "6to4": ("2002::/16",),
    "segment routing": ("5f00::/16",),
    "unique-local": ("fc00::/7",),
    "deprecated site-local": ("fec0::/10",),
}

_EMBEDDING = {
    0xFFFF: ("::ffff:", "ipv4-mapped"),
    0x64FF9B << 64: ("64:ff9b::", "nat64"),
}
"""By an IPv6 address without its last 32 bits: the prefix's text and its name."""

_Rows = tuple[tuple[int, int, SpecialUse], ...]


def _indexRanges(version: int) -> tuple[_Rows, ...]:
    """
    Lay the ranges out by the first octet of the addresses in them.

    @return: for each first octet its rows, the longest prefix first; a row is
        the number of bits to shift an address right, the prefix to compare it
        with, and the answer.
    """
    # Most public addresses share their first octet with no range, so for them
    # the search ends before it begins; one sorted table would cost each a search.
    bits = 32 if version == 4 else 128
    rows: list[list[tuple[int, int, SpecialUse]]] = [[] for _ in range(256)]
    for name, texts in _RANGES.items():
        for text in texts:
            network = ip_network(text)
            if network.version != version:
                continue
            first, last = int(network[0]), int(network[-1])
            shift = bits - network.prefixlen
            for octet in range(first >> bits - 8, (last >> bits - 8) + 1):
                rows[octet].append((shift, first >> shift, SpecialUse(text, name)))
    return tuple(tuple(sorted(row, key=lambda r: r[0])) for row in rows)


_IPV4 = _indexRanges(4)
_IPV6 = _indexRanges(6)


def specialUse(address: IPAddress) -> SpecialUse | None:
    """
    Judge an address.  Called for every candidate that a tunnel might dial.

    A scope id (C{fe80::1%eth0}) changes nothing.

    @return: the special use, or L{None} for an ordinary address.
    """
    # int() leaves the scope id out, which equality of addresses does not.
    number = int(address)
    if isinstance(address, IPv4Address):
        return _searchRanges(_IPV4[number >> 24], number)
    embedding = _EMBEDDING.get(number >> 32)
    if embedding is not None:
        return _judgeEmbedded(number & 0xFFFFFFFF, *embedding)
    return _searchRanges(_IPV6[number >> 120], number)


def _searchRanges(rows: _Rows, number: int) -> SpecialUse | None:
    for shift, prefix, use in rows:
        if number >> shift == prefix:
            return use
    return None


def _judgeEmbedded(number: int, prefix: str, kind: str) -> SpecialUse | None:
    """Judge the IPv4 address inside an IPv6 one, and name both ranges."""
    use = _searchRanges(_IPV4[number >> 24], number)
    if use is None:
        return None
    inner, _, length = use.network.partition("/")
    return SpecialUse(f"{prefix}{inner}/{96 + int(length)}", f"{kind} {use.name}")
