"""Own addresses, on sockets that answer as the kernel was seen to answer."""

from __future__ import annotations

import errno
import os
import socket
from ipaddress import ip_address
from typing import Any

import pytest
from twisted.internet.task import Clock

from txconnect.ownaddresses import OwnAddresses, unmapped

NOBODYS = ("240.0.0.1", "100::6e6f:626f:6479")


class Kernel:
    """
    A machine: which addresses can be bound, and from which address it would
    talk to another.  A value may be an errno.
    """

    def __init__(self) -> None:
        self.bindable: dict[str, int | None] = {}
        self.sources: dict[str, str | int] = {}
        self.families: dict[int, int] = {}
        self.asked: list[str] = []
        self.open = 0

    def socket(self, family: int, kind: int) -> Any:
        assert kind == socket.SOCK_DGRAM
        if family in self.families:
            raise _error(self.families[family])
        return Probe(self)


class Probe:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def __enter__(self) -> Probe:
        self.kernel.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.kernel.open -= 1

    def bind(self, endpoint: tuple[Any, ...]) -> None:
        self.kernel.asked.append(endpoint[0])
        code = self.kernel.bindable.get(endpoint[0], errno.EADDRNOTAVAIL)
        if code is not None:
            raise _error(code)

    def connect(self, endpoint: tuple[Any, ...]) -> None:
        source = self.kernel.sources.get(endpoint[0], errno.ENETUNREACH)
        if isinstance(source, int):
            raise _error(source)
        self.source = source

    def getsockname(self) -> tuple[str, int]:
        return (self.source, 40000)


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def own(kernel: Kernel, clock: Any = None, **keywords: Any) -> OwnAddresses:
    return OwnAddresses(clock or Clock(), kernel.socket, **keywords)


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "127.9.8.7", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"]
)
def test_loopbackIsOwnWithoutAsking(text: str) -> None:
    """Loopback and the unspecified address lead to this machine. [TU-12] [T6]"""
    kernel = Kernel()
    assert own(kernel).isOwn(ip_address(text))
    assert kernel.asked == []


@pytest.mark.parametrize("text", ["203.0.113.1", "2001:db8::1", "::ffff:203.0.113.1"])
def test_bindableIsOwn(text: str) -> None:
    """Only an own address can be bound; a mapped one is the IPv4 inside. [TU-12]"""
    kernel = Kernel()
    kernel.bindable = {"203.0.113.1": None, "2001:db8::1": None}
    assert own(kernel).isOwn(ip_address(text))


def test_furtherAddressOfANetworkIsOwn() -> None:
    """
    Linux talks to a further own address from the first one of its network, so
    that a comparison with getsockname() alone would miss it. [TU-12]
    """
    kernel = Kernel()
    kernel.bindable = {"203.0.113.2": None}
    kernel.sources = {"203.0.113.2": "203.0.113.1"}
    assert own(kernel).isOwn(ip_address("203.0.113.2"))


@pytest.mark.parametrize("source", ["203.0.113.1", errno.ENETUNREACH])
def test_elsewhereIsNotOwn(source: Any) -> None:
    """An address that cannot be bound is somebody else's, or nobody's."""
    kernel = Kernel()
    kernel.sources = {"9.9.9.9": source}
    assert not own(kernel).isOwn(ip_address("9.9.9.9"))
    assert kernel.open == 0


@pytest.mark.parametrize(
    ("code", "source", "expected"),
    [
        (None, "198.51.100.7", True),
        (None, "203.0.113.1", False),
        (None, errno.ENETUNREACH, False),
        (errno.EPERM, "198.51.100.7", True),
        (errno.EACCES, "203.0.113.1", False),
        (errno.EINVAL, errno.EINVAL, False),
    ],
)
def test_whereBindingTellsNothingTheSourceDoes(
    code: int | None, source: Any, expected: bool
) -> None:
    """ip_nonlocal_bind lets all be bound, a sandbox none: then connect() tells."""
    kernel = Kernel()
    kernel.bindable = {"198.51.100.7": code, **dict.fromkeys(NOBODYS)}
    kernel.sources = {"198.51.100.7": source}
    assert own(kernel).isOwn(ip_address("198.51.100.7")) is expected


def test_scopedSource() -> None:
    """A scope in what the kernel answers does not hide that it is the same."""
    kernel = Kernel()
    kernel.bindable = {"fe80::1": errno.EPERM}
    kernel.sources = {"fe80::1": "fe80::1%eth0"}
    assert own(kernel).isOwn(ip_address("fe80::1%2"))


@pytest.mark.parametrize("scope", ["1", "lo"])
def test_scopes(scope: str) -> None:
    """A scope is a number or an interface's name; one that is neither is an error."""
    kernel = Kernel()
    kernel.bindable = {"fe80::1": None}
    assert own(kernel).isOwn(ip_address(f"fe80::1%{scope}"))
    with pytest.raises(OSError):
        own(kernel).isOwn(ip_address("fe80::1%no-such-interface"))


def test_noFamilyNoAddress() -> None:
    """A machine without IPv6 has no IPv6 address."""
    kernel = Kernel()
    kernel.families = {socket.AF_INET6: errno.EAFNOSUPPORT}
    assert not own(kernel).isOwn(ip_address("2001:db8::1"))


def test_multicastIsNobodys() -> None:
    """A multicast address can be bound, and is no machine's own."""
    kernel = Kernel()
    kernel.bindable = {"224.0.0.1": None}
    assert not own(kernel).isOwn(ip_address("224.0.0.1"))


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS])
def test_notKnowingIsRaised(code: int) -> None:
    """Without a descriptor nothing is known, and "no" would be a guess. [T7]"""
    kernel = Kernel()
    kernel.families = {socket.AF_INET: code}
    addresses = own(kernel)
    with pytest.raises(OSError):
        addresses.isOwn(ip_address("9.9.9.9"))
    kernel.families = {}
    assert not addresses.isOwn(ip_address("9.9.9.9"))


@pytest.mark.parametrize("step", ["bind", "connect"])
def test_otherErrorsAreRaised(step: str) -> None:
    """An error that says nothing of the address is no answer, at either call."""
    kernel = Kernel()
    kernel.bindable["9.9.9.9"] = errno.ENOMEM if step == "bind" else errno.EPERM
    kernel.sources["9.9.9.9"] = errno.ENOMEM
    with pytest.raises(OSError):
        own(kernel).isOwn(ip_address("9.9.9.9"))


def test_answersAreKeptAShortWhile() -> None:
    """An address that the machine gains is noticed when the answer is old."""
    kernel, clock = Kernel(), Clock()
    addresses = own(kernel, clock, lifetime=5)
    address = ip_address("198.51.100.7")
    assert not addresses.isOwn(address)
    kernel.bindable = {"198.51.100.7": None}
    clock.advance(4.9)
    assert not addresses.isOwn(address)
    clock.advance(0.1)
    assert addresses.isOwn(address)
    assert kernel.asked == ["198.51.100.7", "198.51.100.7", "240.0.0.1"]


def test_answersAreBounded() -> None:
    """The oldest answer makes room."""
    kernel = Kernel()
    addresses = own(kernel, size=2)
    for last in (1, 2, 3, 3, 1):
        addresses.isOwn(ip_address(f"9.9.9.{last}"))
    assert [text[-1] for text in kernel.asked] == ["1", "2", "3", "1"]


def test_unmapped() -> None:
    """Only ::ffff:0:0/96 is unwrapped."""
    assert unmapped(ip_address("::ffff:10.0.0.1")) == ip_address("10.0.0.1")
    assert unmapped(ip_address("10.0.0.1")) == ip_address("10.0.0.1")
    assert unmapped(ip_address("64:ff9b::a00:1")) == ip_address("64:ff9b::a00:1")


def test_systemClock() -> None:
    """Without a clock it uses the system's; loopback needs no socket."""
    assert OwnAddresses().isOwn(ip_address("127.0.0.1"))
