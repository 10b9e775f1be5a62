"""
The cost of a long list: what a request costs does not depend on the list's length.

Python's own instructions are counted, not time: a loop over a list would show.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from txconnect.policy import (
    ClientsPolicy,
    DenyHostsPolicy,
    HostsPolicy,
    NetworksPolicy,
)
from txconnect.policy.hosts import HostPatterns
from txconnect.policy.networks import Networks
from txconnect.testing import makeRequest
from txconnect.values import Authority, Request

ADDRESS = ip_address("203.0.113.77")
WITHIN = ip_address("10.0.7.1")


def instructionsOf(call: Callable[[], object]) -> int:
    """Count the instructions of Python that a call takes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    # What is cached by the first call is no part of the second.
    call()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    assert count > 10
    return count


def hostItems(number: int) -> list[str]:
    forms = ("h{0}.a.test", "*.h{0}.b.test", ".h{0}.c.test", "d{0}.test:8443")
    return [forms[n % 4].format(n) for n in range(number)]


def networkItems(number: int) -> list[str]:
    """As many networks, in as many prefix lengths as ten can have."""
    return [f"10.{n >> 8}.{n & 255}.0/{24 + n % 5}" for n in range(number)]


def asked(target: str, client: str = "127.0.0.1") -> Request:
    return makeRequest(target, client=client)


CASES = {
    "hosts, of the list": (
        lambda items: HostsPolicy(*items),
        hostItems,
        lambda policy: policy.decide(asked("x.y.h1.b.test:443")),
    ),
    "hosts, not of it": (
        lambda items: HostsPolicy(*items),
        hostItems,
        lambda policy: policy.decide(asked("one.two.three.example:443")),
    ),
    "hosts, a port": (
        lambda items: HostsPolicy(*items),
        hostItems,
        lambda policy: policy.opensPort(asked("d3.test:8443")),
    ),
    "deny-hosts": (
        lambda items: DenyHostsPolicy(*items),
        hostItems,
        lambda policy: policy.decide(asked("one.two.three.example:443")),
    ),
    "deny-hosts, an address": (
        lambda items: DenyHostsPolicy(*items),
        lambda number: [f"10.0.{n >> 8}.{n & 255}" for n in range(number)],
        lambda policy: policy.decideAddress(asked("a.test:443"), ADDRESS),
    ),
    "networks": (
        lambda items: NetworksPolicy(*items),
        networkItems,
        lambda policy: policy.decideAddress(asked("a.test:443"), ADDRESS),
    ),
    "clients": (
        lambda items: ClientsPolicy(*items),
        networkItems,
        lambda policy: policy.decide(asked("a.test:443", "203.0.113.77")),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_costDoesNotGrow(case: str) -> None:
    """[F31] 10,000 items cost a request the very instructions that ten cost."""
    make, items, ask = CASES[case]
    counts = []
    for number in (10, 10_000):
        policy = make(items(number))
        counts.append(instructionsOf(lambda p=policy: ask(p)))  # type: ignore[misc]
    assert counts[0] == counts[1]


def test_costOfFiles(tmp_path: Path) -> None:
    """[F31] Nor do those of a file."""
    counts = []
    for number in (10, 10_000):
        path = tmp_path / str(number)
        path.write_text("".join(f"{item}\n" for item in hostItems(number)))
        policy = HostsPolicy(f"@{path}")
        request = asked("one.two.three.example:443")
        # The second call within a second looks at no file.
        counts.append(instructionsOf(lambda p=policy, r=request: p.decide(r)))  # type: ignore[misc]
    assert counts[0] == counts[1]


class Probes(dict[Any, Any]):
    """A dict that counts what is looked up in it."""

    count = 0

    def get(self, key: Any, default: Any = None) -> Any:
        self.count += 1
        return super().get(key, default)


@pytest.mark.parametrize("labels", [1, 2, 5, 127])
def test_oneLookUpALabel(labels: int) -> None:
    """[F31] The look-ups are as many as the name has labels, whatever is listed."""
    patterns = HostPatterns(hostItems(10_000))
    names = patterns._names = Probes(patterns._names)
    suffixes = patterns._suffixes = Probes(patterns._suffixes)
    host = ".".join(["x"] * labels)
    assert patterns.matchAuthority(Authority.parse(f"{host}:443")) is None
    assert (names.count, suffixes.count) == (1, labels - 1)


def test_oneLookUpAPrefixLength() -> None:
    """[F31] 5,000 networks are searched by their five prefix lengths."""
    networks = Networks()
    for item in networkItems(5_000):
        networks.add(item)
    assert WITHIN in networks
    assert ADDRESS not in networks
    assert len(networks._byShift[4]) == 5
    assert len(networks._byShift[6]) == 0
