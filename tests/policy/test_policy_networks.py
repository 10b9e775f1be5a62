"""Networks: which addresses may be dialled."""

from __future__ import annotations

import errno
import os
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, strategies as st
from zope.interface.verify import verifyObject

from txconnect.interfaces import IAddressPolicy
from txconnect.ownaddresses import OwnAddresses
from txconnect.policy import defaultPolicies
from txconnect.policy.networks import Networks, NetworksPolicy
from txconnect.values import Allow, Authority, Cause, Deny, Request

REQUEST = Request(Authority("example.com", 443))


class Owning(OwnAddresses):
    """Owns what it is told; an errno is raised."""

    def __init__(self, *texts: str, code: int = 0) -> None:
        super().__init__()
        self.texts = texts
        self.code = code

    def isOwn(self, address: Any) -> bool:
        if self.code:
            raise OSError(self.code, os.strerror(self.code))
        return str(address) in self.texts


def decide(policy: NetworksPolicy, text: str) -> Allow | Deny:
    decision = policy.decideAddress(REQUEST, ip_address(text))
    assert isinstance(decision, (Allow, Deny))
    return decision


def public(*items: str, own: OwnAddresses | None = None) -> NetworksPolicy:
    return NetworksPolicy(*items, own=own or Owning("198.41.0.4"))


ROWS = [
    ((), "93.184.215.14", True, "the default is what is public"),
    ((), "2606:2800:21f::1", True, "in both families"),
    ((), "10.0.0.1", False, "and not what is private"),
    ((), "127.0.0.1", False, "nor loopback"),
    ((), "0.0.0.0", False, "nor what the system takes for loopback"),
    ((), "169.254.169.254", False, "nor metadata"),
    ((), "168.63.129.16", False, "not even in public space"),
    ((), "fd00:ec2::254", False, "nor in IPv6"),
    ((), "::ffff:10.0.0.1", False, "nor IPv4 inside IPv6"),
    ((), "::ffff:93.184.215.14", True, "which is judged as IPv4"),
    ((), "64:ff9b::a00:1", False, "nor behind NAT64"),
    ((), "2002:a00:1::", False, "nor 6to4"),
    ((), "224.0.0.1", False, "nor multicast"),
    ((), "255.255.255.255", False, "nor broadcast"),
    ((), "198.41.0.4", False, "nor an own address"),
    ((), "::ffff:198.41.0.4", False, "in whatever form"),
    (("any",), "127.0.0.1", True, "any is any"),
    (("any",), "198.41.0.4", True, "own ones too"),
    (("10.0.0.0/8",), "10.255.255.255", True, "a network has a last address"),
    (("10.0.0.0/8",), "11.0.0.0", False, "and ends there"),
    (("10.0.0.0/8",), "93.184.215.14", False, "alone it is all that is allowed"),
    (("10.0.0.0/8",), "::ffff:10.0.0.1", True, "it covers IPv4 inside IPv6"),
    (("10.0.0.0/8",), "64:ff9b::a00:1", False, "and no translation"),
    (("10.0.0.0/8",), "::a00:1", False, "and no number that is alike"),
    (("public", "10.0.0.0/8"), "10.0.0.1", True, "it adds to what is public"),
    (("public", "10.0.0.0/8"), "93.184.215.14", True, "which stays"),
    (("public", "10.0.0.0/8"), "192.168.0.1", False, "and nothing else"),
    (("public", "198.41.0.0/16"), "198.41.0.4", True, "an own one may be named"),
    (("fd00:1::/64",), "fd00:1::5", True, "IPv6 networks"),
    (("fd00:1::/64",), "fd00:1:0:1::", False, "end too"),
    (("192.168.7.5",), "192.168.7.5", True, "an address is a network of one"),
    (("192.168.7.5",), "192.168.7.6", False, "of one"),
    (("0.0.0.0/0",), "127.0.0.1", True, "all of IPv4"),
    (("0.0.0.0/0",), "::1", False, "is nothing of IPv6"),
    (("::/0",), "::ffff:127.0.0.1", False, "and the other way round"),
    ((" public ",), "93.184.215.14", True, "spaces are fine"),
]


@pytest.mark.parametrize(("items", "text", "allowed", "sentence"), ROWS)
def test_rows(items: tuple[str, ...], text: str, allowed: bool, sentence: str) -> None:
    """Every candidate address is judged in every form of it. [T6] [TU-11] [T7]"""
    decision = decide(public(*items), text)
    assert isinstance(decision, Allow) == allowed, sentence
    assert allowed or decision.cause is Cause.ADDRESS  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("items", "text", "reason"),
    [
        ((), "169.254.169.254", "169.254.169.254 is link-local (169.254.0.0/16)"),
        ((), "198.41.0.4", "198.41.0.4 is this machine's own address"),
        (("10.0.0.0/8",), "8.8.8.8", "8.8.8.8 is in none of 10.0.0.0/8"),
        (
            tuple(f"10.{n}.0.0/16" for n in range(6)),
            "8.8.8.8",
            "8.8.8.8 is in none of 10.0.0.0/16, 10.1.0.0/16, 10.2.0.0/16, "
            "10.3.0.0/16 and 2 more",
        ),
    ],
)
def test_reasons(items: tuple[str, ...], text: str, reason: str) -> None:
    """A refusal says what is wrong with the address."""
    assert decide(public(*items), text) == Deny(reason, Cause.ADDRESS)


@pytest.mark.parametrize(
    ("code", "cause"),
    [(errno.EMFILE, Cause.EXHAUSTED), (errno.EIO, Cause.INTERNAL)],
)
def test_notKnowingRefuses(code: int, cause: Cause) -> None:
    """When the kernel cannot be asked, the answer is no. [T7]"""
    decision = decide(public(own=Owning(code=code)), "93.184.215.14")
    assert isinstance(decision, Deny)
    assert decision.cause is cause
    assert os.strerror(code) in decision.reason


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (("",), "an item is empty"),
        (("private",), "'private' is not a network"),
        (("example.com",), "is not a network"),
        (("10.0.0.1/8",), "write 10.0.0.0/8 for the whole network, or 10.0.0.1 for"),
        (("fd00::1/64",), "write fd00::/64"),
        (("10.0.0.0/33",), "is not a network"),
        (("010.0.0.0/8",), "is not a network"),
        (("10/8",), "is not a network"),
        (("::ffff:10.0.0.0/104",), "write the IPv4 network"),
        (
            ("fe80::1%eth0",),
            "has a zone, which is no part of a network: write fe80::1$",
        ),
        (("fe80::%1/64",), "write fe80::/64$"),
        (("any", "10.0.0.0/8"), "give it alone"),
    ],
)
def test_badItemsStopStartUp(items: tuple[str, ...], words: str) -> None:
    """A network that is not what it looks like is a sentence at start-up. [T6]"""
    with pytest.raises(ValueError, match=words):
        NetworksPolicy(*items)


def test_defaults() -> None:
    """Without configuration: port 443, public addresses. [H1-25] [T6]"""
    ports, networks = defaultPolicies()
    assert (ports.name, networks.name) == ("ports", "networks")
    assert isinstance(decide(networks, "127.0.0.1"), Deny)
    assert isinstance(ports.decide(Request(Authority("example.com", 25))), Deny)


def test_interface() -> None:
    """It keeps its interface's contract, however it is made."""
    assert verifyObject(IAddressPolicy, NetworksPolicy.fromItems("any"))


addresses = st.builds(IPv4Address, st.integers(0, 2**32 - 1)) | st.builds(
    IPv6Address, st.integers(0, 2**128 - 1)
)


@st.composite
def networkAndAddress(draw: Any) -> Any:
    """Networks, and an address that is often in or just outside one."""
    networks = []
    for _ in range(draw(st.integers(1, 4))):
        near = draw(addresses)
        length = draw(st.integers(0, near.max_prefixlen))
        networks.append(ip_network((str(near), length), False))
    chosen = draw(st.sampled_from(networks))
    edges = [int(chosen.network_address), int(chosen.broadcast_address)]
    kind = IPv4Address if chosen.version == 4 else IPv6Address
    value = draw(st.sampled_from(edges)) + draw(st.integers(-1, 1))
    inside = kind(value % (1 << chosen.max_prefixlen))
    return networks, draw(st.sampled_from([inside, draw(addresses)]))


@given(networkAndAddress())
def test_networksAgreeWithTheLibrary(case: Any) -> None:
    """The look-up by prefix lengths says what ipaddress says. [T6]"""
    networks, address = case
    mapped = ip_network("::ffff:0:0/96")
    usable = [n for n in networks if n.version == 4 or not n.subnet_of(mapped)]
    table = Networks()
    for network in usable:
        table.add(str(network))
    expected = any(address in n for n in usable if n.version == address.version)
    assert (address in table) == expected


@given(st.text(st.sampled_from("0123.:/-*[]%af "), max_size=20))
def test_anyTextIsANetworkOrASentence(text: str) -> None:
    """What is no network raises ValueError, and nothing else does. [F28]"""
    try:
        Networks().add(text)
    except ValueError as error:
        assert type(error) is ValueError
        assert len(str(error)) < 250
