"""Ports: a table with a sentence a row."""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from txconnect.interfaces import IDestinationPolicy
from txconnect.policy.ports import PortsPolicy
from txconnect.values import Allow, Authority, Cause, Deny, Request


def decide(policy: PortsPolicy, port: int) -> object:
    return policy.decide(Request(Authority("example.com", port)))


@pytest.mark.parametrize(
    ("items", "allowed", "refused", "sentence"),
    [
        ((), [443], [1, 25, 80, 442, 444, 8443, 65535], "the default is 443 alone"),
        (("443", "8443"), [443, 8443], [444, 8442], "a list allows what it lists"),
        ((" 443 ", 80), [443, 80], [81], "spaces and numbers are fine"),
        (("8000-8999",), [8000, 8500, 8999], [7999, 9000], "a range has both ends"),
        (("1-65535",), [1, 65535], [], "the widest range"),
        (("22-22",), [22], [21, 23], "a range of one"),
        (("any",), [1, 22, 443, 65535], [], "any is every port"),
    ],
)
def test_ports(
    items: tuple[str, ...], allowed: list[int], refused: list[int], sentence: str
) -> None:
    """Tunnels lead to the listed ports and to no other. [H1-25]"""
    policy = PortsPolicy(*items)
    assert [decide(policy, port) for port in allowed] == [Allow()] * len(allowed)
    for port in refused:
        assert isinstance(decide(policy, port), Deny), sentence


def test_reason() -> None:
    """The refusal says which port, and which ones there are."""
    assert decide(PortsPolicy("443", "8000-8999"), 25) == Deny(
        "port 25 is not among the allowed ports (443, 8000-8999)", Cause.POLICY
    )


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (("0",), "'0' is not a port"),
        (("65536",), "'65536' is not a port"),
        (("+443",), "is not a port"),
        (("0443",), "is not a port"),
        (("4_43",), "is not a port"),
        (("٤٤٣",), "is not a port"),
        (("https",), "'https' is not a port"),
        (("",), "'' is not a port"),
        (("80-",), "'80-' is not a port"),
        (("-80",), "is not a port"),
        (("1-2-3",), "is not a port"),
        (("90-80",), "'90-80' runs backwards: write 80-90"),
        (("any", "443"), "give it alone"),
        (("80:90",), "'80:90' is not a port: write 80-90 for a range"),
        (("80..90",), "write 80-90 for a range"),
        (("80–90",), "write 80-90 for a range"),
        (("*",), "write any for every port"),
        (("9" * 1000,), "9[.]{3}' is not a port"),
    ],
)
def test_badItemsStopStartUp(items: tuple[str, ...], words: str) -> None:
    """An item that is no port is a sentence at start-up, never a guess. [T5] [F28]"""
    with pytest.raises(ValueError, match=words):
        PortsPolicy(*items)


def test_interface() -> None:
    """It keeps its interface's contract, under the name of the default."""
    assert verifyObject(IDestinationPolicy, PortsPolicy())
    assert PortsPolicy.name == "ports"
