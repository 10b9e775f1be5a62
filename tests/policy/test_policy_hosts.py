"""Hosts: allow lists and deny lists by name."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, strategies as st
from zope.interface.verify import verifyObject

from txconnect.interfaces import IAddressPolicy, IDestinationPolicy
from txconnect.policy.hosts import DenyHostsPolicy, HostPatterns, HostsPolicy
from txconnect.values import Allow, Authority, Cause, Deny, Request

ROWS = [
    ("example.org", "example.org", True, "a name is itself"),
    ("example.org", "EXAMPLE.ORG", True, "case is nothing"),
    ("example.org", "example.org.", True, "nor is one trailing dot"),
    ("Example.ORG.", "example.org", True, "in the list neither"),
    ("example.org", "www.example.org", False, "a name is not what is below it"),
    ("example.org", "notexample.org", False, "nor what ends alike"),
    ("example.org", "example.org.evil.net", False, "nor what begins alike"),
    ("*.example.com", "a.example.com", True, "a star covers one label"),
    ("*.example.com", "a.b.c.example.com", True, "and any depth"),
    ("*.example.com", "A.Example.Com.", True, "in any spelling"),
    ("*.EXAMPLE.com.", "a.example.com", True, "of the list too"),
    ("*.example.com", "example.com", False, "but not the name itself"),
    ("*.example.com", "aexample.com", False, "nor what ends alike"),
    ("*.example.com", "a.example.com.evil.net", False, "nor what begins alike"),
    ("*.com", "example.com", True, "one label may be below a star"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example", True, "punycode is a name"),
    ("localhost", "localhost", True, "one label is a name"),
    ("192.0.2.1", "192.0.2.1", True, "an address is itself"),
    ("192.0.2.1", "[::ffff:192.0.2.1]", True, "also inside IPv6"),
    ("::ffff:192.0.2.1", "192.0.2.1", True, "and the other way round"),
    ("192.0.2.1", "192.0.2.11", False, "and no other"),
    ("2001:DB8:0::1", "[2001:db8::1]", True, "IPv6 in any spelling"),
    ("[2001:db8::1]", "[2001:db8:0:0:0:0:0:1]", True, "with or without brackets"),
    ("0.0.0.1", "[::1]", False, "the same number is not the same address"),
]


def request(host: str) -> Request:
    return Request(Authority.parse(f"{host}:443"))


@pytest.mark.parametrize(("item", "host", "covered", "sentence"), ROWS)
def test_rows(item: str, host: str, covered: bool, sentence: str) -> None:
    """Allow and deny lists cover the same, in whatever spelling it comes. [T5]"""
    items = ("other.test", item, "*.other.test")
    allowed = isinstance(HostsPolicy(*items).decide(request(host)), Allow)
    denied = isinstance(DenyHostsPolicy(*items).decide(request(host)), Deny)
    assert (allowed, denied) == (covered, covered), sentence


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("", "it is empty"),
        ("*", "a star is allowed only at the beginning"),
        ("*example.com", "a star is allowed only at the beginning"),
        ("*.*.example.com", "a star is allowed only at the beginning"),
        ("a.*.example.com", "a star is allowed only at the beginning"),
        ("example.*", "a star is allowed only at the beginning"),
        ("*.", "the host is empty"),
        (".example.com", "labels"),
        ("exa mple.com", "labels"),
        ("https://example.com", "write only the host"),
        ("example.com/", "networks policy"),
        ("10.0.0.0/8", "judged by the networks policy"),
        ("example.com:443", "judged by the ports policy"),
        ("[::1]:443", "judged by the ports policy"),
        ("bücher.example", "punycode"),
        ("ｅxample.com", "punycode"),
        ("127.1", "ends in a number"),
        ("0x7f.1", "ends in a number"),
        ("010.0.0.1", "ends in a number"),
        ("*.10.0.0.1", "no names below"),
        ("*.0.0.1", "ends in a number"),
        ("[example.com]", "brackets hold no IPv6"),
        ("[192.0.2.1]", "brackets hold no IPv6"),
        ("[::1", "ports policy"),
        ("a" * 64 + ".com", "labels"),
        (".".join(["a" * 60] * 5), "longer than 253"),
    ],
)
@pytest.mark.parametrize("policy", [HostsPolicy, DenyHostsPolicy])
def test_badItemsStopStartUp(
    item: str, words: str, policy: type[HostsPolicy] | type[DenyHostsPolicy]
) -> None:
    """An item that could mean something else is a sentence at start-up. [T5]"""
    with pytest.raises(ValueError, match=words):
        policy("fine.example", item)


@pytest.mark.parametrize("policy", [HostsPolicy, DenyHostsPolicy])
def test_emptyList(policy: type[HostsPolicy] | type[DenyHostsPolicy]) -> None:
    """A list without items was not meant."""
    with pytest.raises(ValueError, match="no host is listed"):
        policy()


def test_reasons() -> None:
    """A refusal names the host; a deny list also names its item."""
    assert HostsPolicy("a.test").decide(request("b.test")) == Deny(
        "b.test is not among the allowed hosts", Cause.POLICY
    )
    assert DenyHostsPolicy("*.test").decide(request("a.b.test")) == Deny(
        "a.b.test is denied (*.test)", Cause.POLICY
    )


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "::ffff:192.0.2.1", "64:ff9b::192.0.2.1"]
)
def test_deniedAddressUnderAnyName(address: str) -> None:
    """A name that leads to a denied address does not get around it. [T5] [T7]"""
    policy = DenyHostsPolicy("192.0.2.1")
    decision = policy.decideAddress(request("alias.test"), ip_address(address))
    assert isinstance(decision, Deny)
    assert decision.cause is Cause.ADDRESS


@pytest.mark.parametrize("address", ["192.0.2.2", "::192.0.2.1", "2001:db8::1"])
def test_otherAddressesPass(address: str) -> None:
    """Only what is listed is denied."""
    policy = DenyHostsPolicy("192.0.2.1", "evil.test")
    request_ = request("alias.test")
    assert policy.decideAddress(request_, ip_address(address)) == Allow()


def test_deniedScopedAddress() -> None:
    """A scope does not make it another address."""
    policy = DenyHostsPolicy("fe80::1")
    decision = policy.decideAddress(request("a.test"), ip_address("fe80::1%2"))
    assert isinstance(decision, Deny)


def test_interfaces() -> None:
    """They keep their interfaces' contracts; an allow list has no address rule."""
    assert verifyObject(IDestinationPolicy, HostsPolicy("a.test"))
    assert not IAddressPolicy.providedBy(HostsPolicy("a.test"))
    assert verifyObject(IDestinationPolicy, DenyHostsPolicy("a.test"))
    assert verifyObject(IAddressPolicy, DenyHostsPolicy("a.test"))


labels = st.lists(
    st.sampled_from(["a", "b", "example", "com", "x-1", "_s"]), min_size=1, max_size=5
)


@given(
    st.lists(st.tuples(st.booleans(), labels), min_size=1, max_size=4),
    labels,
    st.sampled_from(["", "."]),
    st.sampled_from([str.lower, str.upper, str.title]),
)
def test_matchIsTheObviousDefinition(items, asked, dot, spell) -> None:  # type: ignore[no-untyped-def]
    """The look-up by suffixes says what a comparison label by label says. [T5]"""
    texts = [("*." if star else "") + ".".join(parts) for star, parts in items]
    expected = any(
        (len(asked) > len(parts) and asked[-len(parts) :] == parts)
        if star
        else asked == parts
        for star, parts in items
    )
    authority = Authority.parse(spell(".".join(asked)) + dot + ":443")
    item = HostPatterns(texts).matchAuthority(authority)
    assert (item is not None) == expected
    assert item is None or item in texts
