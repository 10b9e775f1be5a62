"""
The requests whose client has sent FIN, as they are counted for each client.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from txconnect.fronts.halfclosed import HalfClosedRequests
from txconnect.tunnel.kernel.leaving import LeaveWatch


@attrs.frozen
class Ended:
    """A transport that nobody can watch."""

    peer: IAddress

    def getPeer(self) -> IAddress:
        return self.peer


def clientAt(host: str) -> IAddress:
    """The address of a client, each from a port of its own."""
    if not host:
        return UNIXAddress(None)
    made = IPv6Address if ":" in host else IPv4Address
    return made("TCP", host, 50000 + len(host))


def added(requests: HalfClosedRequests, host: str) -> Callable[[], None] | None:
    """Count one more, where one is the most; what counts it no more."""
    end = requests.addRequest(Ended(clientAt(host)), 1, lambda: None)
    return end.answerDecided if end.counted else None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
        ("fe80::1%eth0", "fe80::2%eth0"),
        ("", ""),
    ],
)
def test_oneClient(first: str, second: str) -> None:
    """[F04] One machine has all addresses of an IPv6 network of 64 bits, and is counted
    as one client under all of them."""
    requests = HalfClosedRequests(LeaveWatch(None))
    remove = added(requests, first)
    assert remove is not None
    assert added(requests, second) is None
    assert len(requests) == 1
    remove()
    assert len(requests) == 0
    assert added(requests, second) is not None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("192.0.2.1", "192.0.2.2"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("2001:db8::1", "2001:db8:0:1::1"),
        ("::1", "0.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_twoClients(first: str, second: str) -> None:
    """[F04] What another client has open takes nobody's place."""
    requests = HalfClosedRequests(LeaveWatch(None))
    assert added(requests, first) is not None
    assert added(requests, second) is not None
    assert len(requests) == 2
