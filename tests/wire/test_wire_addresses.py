"""
Special-use addresses: every range at both its edges, and inside each other.
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    ip_address,
    ip_network,
)

import pytest
from hypothesis import example, given, strategies as st

from txconnect.wire.addresses import SpecialUse, specialUse

# Requirements, section 3, in its words; written out here again on purpose.
DENIED4 = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12
    192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15
    198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32
""".split()
DENIED6 = """
    ::/128 ::1/128 ::/96 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 2001::/23
    2001:db8::/32 3fff::/20 2002::/16 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
""".split()
JUDGED_INSIDE = {"::ffff:0:0": "ipv4-mapped", "64:ff9b::": "nat64"}
NETWORKS4 = [IPv4Network(text) for text in DENIED4]
NETWORKS = [ip_network(text) for text in DENIED4 + DENIED6]


def denied4(address: IPv4Address) -> bool:
    """Whether the requirements deny an IPv4 address."""
    return any(address in network for network in NETWORKS4)


def denied(address: IPv4Address | IPv6Address) -> bool:
    """Whether the requirements deny an address."""
    if isinstance(address, IPv6Address):
        for prefix in JUDGED_INSIDE:
            if int(address) >> 32 == int(IPv6Address(prefix)) >> 32:
                return denied4(IPv4Address(int(address) & 0xFFFFFFFF))
    return any(address in network for network in NETWORKS)


def edges() -> list[str]:
    """First and last address of every range, and their neighbours."""
    found = set()
    for network in NETWORKS:
        top = 2**network.max_prefixlen - 1
        first, last = int(network[0]), int(network[-1])
        for number in (first - 1, first, first + 1, last - 1, last, last + 1):
            if 0 <= number <= top:
                found.add(type(network[0])(number))
    return sorted(map(str, found))


@pytest.mark.parametrize("text", edges())
def test_edges(text: str) -> None:
    """[T6] Each range begins and ends where the requirements say."""
    address = ip_address(text)
    use = specialUse(address)
    assert (use is not None) is denied(address)
    if use is not None:
        assert address in ip_network(use.network)


@pytest.mark.parametrize("prefix", JUDGED_INSIDE)
@pytest.mark.parametrize("text", [text for text in edges() if ":" not in text])
def test_judgedInside(text: str, prefix: str) -> None:
    """[T6] IPv4-mapped and NAT64 are what the IPv4 address inside them is."""
    inner = ip_address(text)
    outer = IPv6Address(int(IPv6Address(prefix)) + int(inner))
    use, inside = specialUse(outer), specialUse(inner)
    if inside is None:
        assert use is None
        return
    assert use is not None
    assert use.name == f"{JUDGED_INSIDE[prefix]} {inside.name}"
    network, inside4 = ip_network(use.network), ip_network(inside.network)
    assert int(network[0]) & 0xFFFFFFFF == int(inside4[0])
    assert network.num_addresses == inside4.num_addresses
    assert outer in network


@pytest.mark.parametrize("inner", ["8.8.8.8", "127.0.0.1", "169.254.169.254"])
@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("::{}", "ipv4-compatible"),
        ("::ffff:0:{}", "ipv4-translated"),
        ("64:ff9b:1::{}", "local-use nat64"),
        ("2002:{hex}::", "6to4"),
        ("2001:0:{hex}::1", "teredo"),
        ("2001::{}", "teredo"),
    ],
)
def test_deniedWhateverIsInside(inner: str, form: str, name: str) -> None:
    """[T6] The other forms that hold an IPv4 address are special as they stand."""
    number = int(IPv4Address(inner))
    text = form.format(inner, hex=f"{number >> 16:x}:{number & 0xFFFF:x}")
    use = specialUse(IPv6Address(text))
    assert use is not None
    assert use.name == name


@pytest.mark.parametrize(
    ("text", "network", "name"),
    [
        ("0.0.0.0", "0.0.0.0/32", "this host on this network"),
        ("0.0.0.1", "0.0.0.0/8", "this network"),
        ("10.0.0.5", "10.0.0.0/8", "private-use"),
        ("172.31.255.255", "172.16.0.0/12", "private-use"),
        ("192.168.1.1", "192.168.0.0/16", "private-use"),
        ("100.100.100.200", "100.64.0.0/10", "shared address space"),
        ("127.0.0.53", "127.0.0.0/8", "loopback"),
        ("169.254.169.254", "169.254.0.0/16", "link-local"),
        ("168.63.129.16", "168.63.129.16/32", "azure platform service"),
        ("192.0.0.1", "192.0.0.0/29", "ipv4 service continuity"),
        ("192.0.0.8", "192.0.0.8/32", "ipv4 dummy address"),
        ("192.0.0.9", "192.0.0.9/32", "port control protocol anycast"),
        ("192.0.0.10", "192.0.0.10/32", "turn anycast"),
        ("192.0.0.170", "192.0.0.170/31", "nat64/dns64 discovery"),
        ("192.0.0.171", "192.0.0.170/31", "nat64/dns64 discovery"),
        ("192.0.0.192", "192.0.0.0/24", "ietf protocol assignments"),
        ("192.0.2.1", "192.0.2.0/24", "documentation"),
        ("192.88.99.1", "192.88.99.0/24", "deprecated 6to4 relay anycast"),
        ("198.19.0.1", "198.18.0.0/15", "benchmarking"),
        ("224.0.0.1", "224.0.0.0/4", "multicast"),
        ("239.255.255.255", "224.0.0.0/4", "multicast"),
        ("240.0.0.1", "240.0.0.0/4", "reserved"),
        ("255.255.255.254", "240.0.0.0/4", "reserved"),
        ("255.255.255.255", "255.255.255.255/32", "limited broadcast"),
        ("::", "::/128", "unspecified"),
        ("::1", "::1/128", "loopback"),
        ("::2", "::/96", "ipv4-compatible"),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.0/104", "ipv4-mapped loopback"),
        ("::ffff:0.0.0.0", "::ffff:0.0.0.0/128", None),
        ("64:ff9b::10.1.2.3", "64:ff9b::10.0.0.0/104", "nat64 private-use"),
        ("100::1", "100::/64", "discard-only"),
        ("2001::1", "2001::/32", "teredo"),
        ("2001:1::", "2001::/23", "ietf protocol assignments"),
        ("2001:1::1", "2001:1::1/128", "port control protocol anycast"),
        ("2001:1::2", "2001:1::2/128", "turn anycast"),
        ("2001:2::1", "2001:2::/48", "benchmarking"),
        ("2001:2:1::", "2001::/23", "ietf protocol assignments"),
        ("2001:3::1", "2001:3::/32", "amt"),
        ("2001:4:112::1", "2001:4:112::/48", "as112"),
        ("2001:10::1", "2001:10::/28", "deprecated orchid"),
        ("2001:20::1", "2001:20::/28", "orchidv2"),
        ("2001:30::1", "2001:30::/28", "drone remote id"),
        ("2001:db8::1", "2001:db8::/32", "documentation"),
        ("3fff:fff::1", "3fff::/20", "documentation"),
        ("2002:7f00:1::", "2002::/16", "6to4"),
        ("5f00::1", "5f00::/16", "segment routing"),
        ("fd00:ec2::254", "fc00::/7", "unique-local"),
        ("fe80::1", "fe80::/10", "link-local"),
        ("fec0::1", "fec0::/10", "deprecated site-local"),
        ("ff02::1", "ff00::/8", "multicast"),
    ],
)
def test_names(text: str, network: str, name: str | None) -> None:
    """[T6] The most specific range names the address; metadata services are in it."""
    use = specialUse(ip_address(text))
    assert use is not None
    assert use.network == network
    assert name in (use.name, None)


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.216.34",
        "100.63.255.255",
        "172.32.0.0",
        "192.31.196.1",
        "192.52.193.1",
        "192.175.48.1",
        "168.63.129.15",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450::1",
        "2620:4f:8000::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_ordinary(text: str) -> None:
    """[T6] Ordinary destinations are not special, the IANA's open services included."""
    assert specialUse(ip_address(text)) is None


@pytest.mark.parametrize("text", ["fe80::1", "ff02::1", "::1", "::ffff:127.0.0.1"])
def test_scopes(text: str) -> None:
    """[T5] [T6] A scope id hides nothing."""
    for scope in ("1", "eth0"):
        scoped = IPv6Address(f"{text}%{scope}")
        assert specialUse(scoped) == specialUse(IPv6Address(text)) is not None
    assert specialUse(IPv6Address("2606:4700::1%eth0")) is None


@pytest.mark.parametrize(
    "text",
    [
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "::ffff:0:7f00:1",
        "fec0::1",
        "ff02::1",
        "224.0.0.1",
        "192.0.0.192",
        "192.88.99.1",
        "168.63.129.16",
        "5f00::1",
    ],
)
def test_whatTheStandardLibraryCallsGlobal(text: str) -> None:
    """[T6] [LB-09] Each of these is global to some Python: they are special here."""
    assert specialUse(ip_address(text)) is not None


@given(st.ip_addresses())
@example(IPv6Address("::ffff:10.0.0.1"))
def test_theTable(address: IPv4Address | IPv6Address) -> None:
    """[T6] The quick search says what the list of ranges says."""
    use = specialUse(address)
    assert (use is not None) is denied(address)


NEAR = st.one_of(
    st.sampled_from(NETWORKS).flatmap(
        lambda network: st.integers(
            max(int(network[0]) - 2, 0),
            min(int(network[-1]) + 2, 2**network.max_prefixlen - 1),
        ).map(type(network[0]))
    ),
    st.ip_addresses(v=4).flatmap(
        lambda inner: st.sampled_from(list(JUDGED_INSIDE)).map(
            lambda prefix: IPv6Address(int(IPv6Address(prefix)) + int(inner))
        )
    ),
)


@given(st.one_of(st.ip_addresses(), NEAR))
def test_theStandardLibraryIsNeverStricter(address: IPv4Address | IPv6Address) -> None:
    """
    [T6] [LB-09] What any Python calls special, we do; but for IPv4-mapped and NAT64
    addresses, which are judged by what is inside.
    """
    inside = isinstance(address, IPv6Address) and int(address) >> 32 in (
        0xFFFF,
        0x64FF9B << 64,
    )
    special = (
        not address.is_global
        or address.is_multicast
        or address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or (isinstance(address, IPv6Address) and address.is_site_local)
        or (isinstance(address, IPv4Address) and address.is_reserved)
    )
    if special and not inside:
        assert specialUse(address) is not None
    assert (specialUse(address) is not None) is denied(address)


def test_values() -> None:
    """What it answers is a value, and the same one each time."""
    use = specialUse(IPv4Address("10.0.0.1"))
    assert use == SpecialUse("10.0.0.0/8", "private-use")
    assert use is specialUse(IPv4Address("10.255.255.255"))
