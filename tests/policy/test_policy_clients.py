"""Clients: who may ask, by address."""

from __future__ import annotations

import pytest
from twisted.internet.address import HostnameAddress, IPv4Address, UNIXAddress
from zope.interface.verify import verifyObject

from txconnect.interfaces import IDestinationPolicy, IListPolicy
from txconnect.policy import ClientsPolicy
from txconnect.testing import checkPolicy, makeRequest
from txconnect.values import Allow, Cause, Deny

ROWS = [
    (("10.0.0.0/8",), "10.255.0.1", True, "a network"),
    (("10.0.0.0/8",), "11.0.0.1", False, "ends"),
    (("10.0.0.0/8",), "::ffff:10.0.0.1", True, "a dual-stack listener's client"),
    (("10.0.0.0/8", "192.0.2.7"), "192.0.2.7", True, "an address is one client"),
    (("10.0.0.0/8", "192.0.2.7"), "192.0.2.8", False, "of one"),
    (("2001:db8::/32",), "2001:db8:1::1", True, "IPv6"),
    (("2001:db8::/32",), "2001:db9::1", False, "ends too"),
    (("fe80::/10",), "fe80::1%2", True, "a scope is no other address"),
    (("0.0.0.0/0",), "::1", False, "IPv4 is not IPv6"),
    (("unix",), "127.0.0.1", False, "an address is no UNIX socket"),
]


@pytest.mark.parametrize(("items", "client", "allowed", "sentence"), ROWS)
def test_rows(
    items: tuple[str, ...], client: str, allowed: bool, sentence: str
) -> None:
    """[F31] The client's address decides."""
    decision = ClientsPolicy(*items).decide(makeRequest(client=client))
    assert (decision == Allow()) == allowed, sentence


def test_reason() -> None:
    """[F31] A refusal says who asked, and who may."""
    decision = ClientsPolicy("10.0.0.0/8", *[f"192.0.2.{n}" for n in range(6)]).decide(
        makeRequest(client="203.0.113.1")
    )
    assert decision == Deny(
        "the client 203.0.113.1 is in none of 10.0.0.0/8, 192.0.2.0, 192.0.2.1, "
        "192.0.2.2 and 3 more",
        Cause.POLICY,
    )


@pytest.mark.parametrize("client", [UNIXAddress(b"/run/p"), UNIXAddress(None)])
def test_unix(client: UNIXAddress) -> None:
    """[F31] A client without an address is refused unless UNIX sockets are listed."""
    asked = makeRequest(client=client)
    assert isinstance(ClientsPolicy("0.0.0.0/0", "::/0").decide(asked), Deny)
    assert ClientsPolicy("192.0.2.1", "unix").decide(asked) == Allow()


@pytest.mark.parametrize(
    "client",
    [
        None,
        HostnameAddress(b"a.example", 1),
        IPv4Address("TCP", "a.example", 1),
        IPv4Address("TCP", "", 1),
    ],
)
def test_unknown(client: object) -> None:
    """[F31] A client whose address is not known is refused."""
    asked = makeRequest(client=client)  # type: ignore[arg-type]
    decision = ClientsPolicy("0.0.0.0/0", "::/0", "unix").decide(asked)
    assert decision == Deny("the client's address is not known")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("", "an item is empty"),
        ("any", "'any' refuses nobody: leave the clients policy out"),
        ("a.example", "clients are known by their addresses"),
        ("public", "write a network such as 10.0.0.0/8"),
        ("10.0.0.1/8", "write 10.0.0.0/8 for the whole network, or 10.0.0.1"),
        ("10.0.0.*", "write 10.0.0.0/24"),
        ("10.1.", "write 10.1.0.0/16"),
        ("10.*", "write 10.0.0.0/8"),
        ("1.2.3.4.*", "write a network such as"),
        ("999.*", "write a network such as"),
        ("10.0.0.0-10.0.0.255", "write 10.0.0.0/24"),
        ("10.0.0.4-10.0.0.11", "write 10.0.0.4/30,10.0.0.8/30"),
        ("10.0.0.1-10.0.0.254", "write a network such as"),
        ("10.0.0.9-10.0.0.1", "write a network such as"),
        ("::1-10.0.0.1", "write a network such as"),
        ("1-2-3", "write a network such as"),
        ("-", "write a network such as"),
        ("[2001:db8::1]", "write 2001:db8::1"),
        ("[2001:db8::1", "write a network such as"),
        ("2001:db8::1]", "write a network such as"),
        ("10.0.0.1-10.0.0.15", "10.0.0.1/32,10.0.0.2/31,10.0.0.4/30,10.0.0.8/29"),
        ("10.0.0.2-10.0.0.14", "write a network such as"),
        ("fe80::1%eth0", "has a zone, which is no part of a network: write fe80::1"),
        ("/etc/clients", "write @/etc/clients for a list in a file"),
        ("::ffff:10.0.0.0/104", "write the IPv4 network"),
    ],
)
def test_badItemsStopStartUp(item: str, words: str) -> None:
    """[F28] [F31] An item that is wrong is a sentence with the right form."""
    with pytest.raises(ValueError) as caught:
        ClientsPolicy("192.0.2.1", item)
    assert words in str(caught.value)


def test_nobody() -> None:
    """A list without an item was not meant."""
    with pytest.raises(ValueError, match="no client is listed"):
        ClientsPolicy()


def test_contract() -> None:
    """It keeps its interfaces' contracts."""
    policy = ClientsPolicy("10.0.0.0/8")
    assert verifyObject(IDestinationPolicy, policy)
    assert verifyObject(IListPolicy, policy)
    checkPolicy(policy)
