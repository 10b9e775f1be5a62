"""Hosts: allow lists and deny lists by name."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, strategies as st
from zope.interface.verify import verifyObject

from txconnect.interfaces import (
    IAddressPolicy,
    IDestinationPolicy,
    IListPolicy,
    IPortOpener,
)
from txconnect.policy import hostitems
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
    (".example.com", "a.b.example.com", True, "a dot covers what is below"),
    (".example.com", "example.com", True, "and the name itself"),
    (".Example.COM.", "EXAMPLE.com.", True, "in any spelling"),
    (".example.com", "aexample.com", False, "but not what ends alike"),
    ("example.org:443", "example.org", True, "a port may be named"),
    ("EXAMPLE.org.:443", "example.org", True, "behind any spelling"),
    ("example.org:8443", "example.org", False, "and is the only one then"),
    ("*.example.com:443", "a.example.com", True, "below a name too"),
    ("*.example.com:444", "a.example.com", False, "and no other"),
    (".example.com:443", "example.com", True, "and with it"),
    (".example.com:22", "example.com", False, "likewise"),
    ("192.0.2.1:443", "192.0.2.1", True, "an address has ports too"),
    ("192.0.2.1:443", "[::ffff:192.0.2.1]", True, "also inside IPv6"),
    ("192.0.2.1:444", "192.0.2.1", False, "and no other"),
    ("[2001:db8::1]:443", "[2001:db8::1]", True, "IPv6 stands in brackets then"),
    ("[2001:db8::1]:22", "[2001:db8::1]", False, "and has that port alone"),
    ("2001:db8::1:443", "[2001:db8::1]", False, "without, it is an address"),
    ("2001:db8::1:443", "[2001:db8::1:443]", True, "of eight parts"),
]


def request(host: str) -> Request:
    return Request(Authority.parse(f"{host}:443"))


@pytest.mark.parametrize(("item", "host", "covered", "sentence"), ROWS)
def test_rows(item: str, host: str, covered: bool, sentence: str) -> None:
    """Allow and deny lists cover the same, however it is spelt. [T5] [F28] [F31]"""
    items = ("other.test", item, "*.other.test")
    allowed = isinstance(HostsPolicy(*items).decide(request(host)), Allow)
    denied = isinstance(DenyHostsPolicy(*items).decide(request(host)), Deny)
    assert (allowed, denied) == (covered, covered), sentence


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("", "it is empty; is there a comma too many"),
        ("*", "only at the beginning, before a dot, as in *.example.com"),
        ("*:443", "only at the beginning, before a dot, as in *.example.com"),
        ("*example", "before a dot; write *.example"),
        ("*example.com", "before a dot; write *.example.com"),
        ("*example.com:8443", "before a dot; write *.example.com:8443"),
        ("*.*.example.com", "before a dot; write *.example.com"),
        ("a.*.b", "before a dot; write *.b"),
        ("example.*", "only at the beginning, before a dot, as in *.example.com"),
        ("*.", "the host is empty"),
        (".", "the host is empty"),
        ("..example.com", "labels"),
        ("exa mple.com", "it is more than one; in a file write one host a line"),
        ("a.test b.test", "it is more than one; in a file write one host a line"),
        ("a.test, b.test", "it is more than one; in a file write one host a line"),
        ("0.0.0.0 ads.example", "it is more than one; write ads.example"),
        ("http://x", "it is a URL; write x"),
        ("https://example.com", "it is a URL; write example.com"),
        ("https://u:p@example.com:8443/a?b", "it is a URL; write example.com:8443"),
        ("http://", "it is a URL; write only the host"),
        ("/etc/list", "for a list in a file write @/etc/list"),
        ("./list", "for a list in a file write @./list"),
        ("../list", "for a list in a file write @../list"),
        ("~/list", "for a list in a file write @~/list"),
        ("example.com/", "a path is no part of a host; write example.com"),
        ("example.com/a", "a path is no part of a host; write example.com"),
        ("a b/c", "a path is no part of a host"),
        ("10.0.0.0/8", "the networks policy; write networks:10.0.0.0/8"),
        ("10.1.0.0/8", "the networks policy; write networks:10.0.0.0/8"),
        ("ada@example.com", "users are no part of a host; write example.com"),
        ("example.com:*", "every port that the ports policy allows; write example.com"),
        ("example.com:any", "that the ports policy allows; write example.com"),
        ("example.com:0", "the port is not 1 to 65535"),
        ("example.com:https", "the port is not 1 to 65535"),
        ("example.com:080", "the port is not 1 to 65535"),
        ("example.com:80-90", "the port is not 1 to 65535"),
        ("example.com:", "the port is empty"),
        ("2001:db8::zz:22", "an IPv6 address goes in brackets"),
        ("2001:db8:0:0:0:0:0:1:22", "an IPv6 address goes in brackets"),
        ("a:b:22", "an IPv6 address goes in brackets"),
        ("bücher.example", "punycode (xn--...); write xn--bcher-kva.example"),
        ("straße.example", "punycode (xn--...)"),
        ("ｅxample.com", "punycode (xn--...)"),
        ("é" * 300, "punycode (xn--...)"),
        ("127.1", "ends in a number"),
        ("0x7f.1", "ends in a number"),
        ("010.0.0.1", "ends in a number"),
        ("*.10.0.0.1", "no names below"),
        (".10.0.0.1", "no names below"),
        ("*.10.0.0.1:22", "no names below"),
        ("*.0.0.1", "ends in a number"),
        ("[example.com]", "brackets hold no IPv6"),
        ("[192.0.2.1]", "brackets hold no IPv6"),
        ("[::1", "brackets hold no IPv6"),
        ("[fe80::1%1]x:1", "brackets hold no IPv6"),
        ("fe80::1%eth0", "a zone is no part of a host; write fe80::1"),
        ("[fe80::1%1]", "a zone is no part of a host; write [fe80::1]"),
        ("[fe80::1%1]:22", "a zone is no part of a host; write [fe80::1]:22"),
        ("%41.example", "labels"),
        ("[::1%1", "the port is not 1 to 65535"),
        ("a" * 64 + ".com", "labels"),
        (".".join(["a" * 60] * 5), "longer than 253"),
        ("@", "'@' names no file: write @FILE"),
    ],
)
@pytest.mark.parametrize("policy", [HostsPolicy, DenyHostsPolicy])
def test_badItemsStopStartUp(
    item: str, words: str, policy: type[HostsPolicy] | type[DenyHostsPolicy]
) -> None:
    """An item that could mean something else is a sentence, with the right form. [T5] [F28]"""
    with pytest.raises(ValueError) as caught:
        policy("fine.example", item)
    message = str(caught.value)
    assert words in message
    # Where there is a right form, nothing may follow it.
    assert "; write" not in message or message.endswith(words.rpartition("; ")[2])
    assert len(message) < 250


def test_everyPortIsNoPort() -> None:
    """[F31] An item with the lowest port covers that one, and opens no other."""
    policy = HostsPolicy("a.test:1", "192.0.2.1:1")
    for host in ("a.test", "192.0.2.1"):
        asked = [Request(Authority.parse(f"{host}:{port}")) for port in (1, 2, 443)]
        assert [type(policy.decide(each)) for each in asked] == [Allow, Deny, Deny]


def test_longItemsAreCut() -> None:
    """A line without an end does not fill the log."""
    with pytest.raises(ValueError) as caught:
        HostsPolicy("x" * 100_000 + "*")
    assert len(str(caught.value)) < 250


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
    assert HostsPolicy("a.test:22", ".test:80").decide(request("a.test")) == Deny(
        "a.test is allowed on other ports only (22, 80)", Cause.POLICY
    )
    assert DenyHostsPolicy("*.test").decide(request("a.b.test")) == Deny(
        "a.b.test is denied (*.test)", Cause.POLICY
    )
    assert DenyHostsPolicy("a.test:443").decide(request("a.test")) == Deny(
        "a.test is denied (a.test:443)", Cause.POLICY
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


def test_deniedAddressOnOnePort() -> None:
    """A denied address with a port is denied on that port. [F31]"""
    policy = DenyHostsPolicy("192.0.2.1:443")
    address = ip_address("192.0.2.1")
    asked = Request(Authority.parse("alias.test:22"))
    assert isinstance(policy.decideAddress(request("alias.test"), address), Deny)
    assert policy.decideAddress(asked, address) == Allow()


def test_addressItemsCoverOnlyLiterals() -> None:
    """A name that is spelt like part of an address is a name. [F31]"""
    policy = HostsPolicy("192.0.2.1", "[2001:db8::1]:443")
    assert policy.decide(request("192.0.2.1")) == Allow()
    for name in ("x192.0.2.1.test", "one.test", "db8.test"):
        assert isinstance(policy.decide(request(name)), Deny)


def test_portsThatAreNamed() -> None:
    """Only an item with that very port opens it. [F31]"""
    policy = HostsPolicy("a.test:22", "a.test", "*.b.test:22", "[::1]:22", "c.test")

    def opens(target: str) -> str | None:
        return policy.opensPort(Request(Authority.parse(target)))

    assert opens("a.test:22") == "a.test:22"
    assert opens("x.b.test:22") == "*.b.test:22"
    assert opens("[::1]:22") == "[::1]:22"
    assert [opens(each) for each in ("a.test:23", "b.test:22", "c.test:22")] == [
        None
    ] * 3


def test_interfaces() -> None:
    """They keep their interfaces' contracts; an allow list has no address rule."""
    assert verifyObject(IDestinationPolicy, HostsPolicy("a.test"))
    assert verifyObject(IPortOpener, HostsPolicy("a.test"))
    assert not IPortOpener.providedBy(DenyHostsPolicy("a.test"))
    for policy in (HostsPolicy, DenyHostsPolicy):
        assert verifyObject(IListPolicy, policy("a.test"))
    assert not IAddressPolicy.providedBy(HostsPolicy("a.test"))
    assert verifyObject(IDestinationPolicy, DenyHostsPolicy("a.test"))
    assert verifyObject(IAddressPolicy, DenyHostsPolicy("a.test"))


labels = st.lists(
    st.sampled_from(["a", "b", "example", "com", "x-1", "_s"]), min_size=1, max_size=5
)


hosts = st.one_of(
    labels.map(".".join),
    st.sampled_from(["192.0.2.1", "192.0.2.2", "[2001:db8::1]"]),
)
ports = st.sampled_from([22, 443])
starts = st.sampled_from(["", "", "*.", "."])
items = st.builds(
    lambda start, host, port: (start if host[0] not in "1[" else "", host, port),
    starts,
    hosts,
    st.one_of(st.none(), ports),
)


def covers(item: tuple[str, str, int | None], host: str, port: int) -> bool:
    """The obvious definition of an item, without an index."""
    start, name, only = item
    below = host.endswith("." + name) and start != ""
    return only in (None, port) and (below or (start != "*." and host == name))


def spelt(item: tuple[str, str, int | None]) -> str:
    start, name, only = item
    return start + name + (f":{only}" if only else "")


@given(
    st.lists(items, max_size=6),
    hosts,
    ports,
    st.sampled_from([str.lower, str.upper, str.title]),
    st.booleans(),
)
def test_matchIsTheObviousDefinition(  # type: ignore[no-untyped-def]
    listed, host, port, spell, rooted
) -> None:
    """The look-up by suffixes says what a comparison item by item says. [T5] [F31]"""
    patterns = HostPatterns(spell(spelt(item)) for item in listed)
    # A trailing dot is a name's alone.
    dot = "." if rooted and host[0] not in "1[" else ""
    authority = Authority.parse(f"{spell(host)}{dot}:{port}")
    covering = [item for item in listed if covers(item, host, port)]
    found = patterns.matchAuthority(authority)
    assert (found is not None) == bool(covering)
    named = [item for item in covering if item[2] is not None]
    assert (patterns.matchPort(authority) is not None) == bool(named)
    # What a reason shows is an item that covers the request by itself.
    assert found is None or HostPatterns([found]).matchAuthority(authority)


@given(st.text(st.sampled_from("ab1.*:[]@/-_ ,%0x"), max_size=12))
def test_anyTextIsAnItemOrASentence(text: str) -> None:
    """What is no item raises ValueError, and nothing else does."""
    try:
        HostPatterns([text])
    except ValueError as error:
        assert type(error) is ValueError
        assert "is not a host: " in str(error)


@given(
    st.from_regex(r"(\*?\.)?([a-z0-9_-]{1,4}\.){0,3}[a-z0-9_-]{1,4}", fullmatch=True)
)
def test_commonItemsAreReadAsAllAre(text: str) -> None:
    """The quick way for names in lower case says what the whole rules say."""
    try:
        slowly: object = hostitems._readItem(text)
    except ValueError:
        slowly = None
    try:
        quickly: object = hostitems.parseHostItem(text)
    except ValueError:
        quickly = None
    assert quickly == slowly
