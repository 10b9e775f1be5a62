"""
This machine's own addresses, found without listing interfaces.

A list of interfaces is stale as soon as it is read, and knows nothing of
routes that deliver whole networks to this machine.  The kernel knows: only an
own address can be bound.  Comparing C{getsockname()} after a C{connect()} is
not enough by itself, because Linux answers with the I{first} address of a
network when asked for a further one of the same network; it serves where
binding tells nothing (C{ip_nonlocal_bind}, or a sandbox that forbids it).
Nothing is sent by either.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

from twisted.internet.interfaces import IAddress

from txconnect.values import IPAddress

__all__ = ["OwnAddresses", "OwnListeners", "unmapped"]

SocketFactory = Callable[[int, int], socket.socket]

# Never assigned: if one can be bound, bind() proves nothing.
_UNASSIGNED: dict[socket.AddressFamily, IPAddress] = {
    socket.AF_INET: IPv4Address("240.0.0.1"),  # RFC 1112, 4: reserved
    socket.AF_INET6: IPv6Address("100::6e6f:626f:6479"),  # RFC 6666: discard only
}

# The kernel's errors for an address that it cannot reach, or may not: it is then
# not dialled either.  Any other (no descriptors, no memory) tells nothing about
# the address, and is raised.
_UNREACHABLE = frozenset(
    (
        errno.EACCES,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINVAL,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EPERM,
    )
)
_UNBINDABLE = frozenset((errno.EACCES, errno.EINVAL, errno.EPERM))

_Key = tuple[int, str | None, int]
_Endpoint = tuple[str, int] | tuple[str, int, int, int]


def unmapped(address: IPAddress) -> IPAddress:
    """
    Return the IPv4 address inside C{::ffff:0:0/96} (RFC 4291, 2.5.5.2), else the
    address itself: a dual-stack socket dials the same machine for both.
    """
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class Seconds(Protocol):
    """The part of a clock that is used: one method of C{IReactorTime}."""

    def seconds(self) -> float:
        """Seconds since some moment."""


class OwnAddresses:
    """
    Knows this machine's own addresses by asking the kernel, and remembers the
    answers for a short while.
    """

    def __init__(
        self,
        clock: Seconds | None = None,
        socketFactory: SocketFactory = socket.socket,
        lifetime: float = 5.0,
        size: int = 1024,
    ) -> None:
        """
        @param clock: the reactor, or another clock; the system's by default.
        @param socketFactory: called with a family and a type.
        @param lifetime: seconds an answer is kept; an address that the machine
            gains is noticed that much later.
        @param size: most answers kept.
        """
        self._seconds = time.monotonic if clock is None else clock.seconds
        self._socketFactory = socketFactory
        self._lifetime = lifetime
        self._size = size
        self._known: dict[_Key, tuple[bool, float]] = {}

    def isOwn(self, address: IPAddress) -> bool:
        """
        Tell whether a connection to an address would end on this machine.

        @raise OSError: the kernel could not be asked (no descriptors, no
            memory).  The caller must refuse then: the answer is not known.
        """
        address = unmapped(address)
        # By number: hashing an address object costs more than all else here.
        key = (int(address), getattr(address, "scope_id", None), address.version)
        known = self._known.get(key)
        if known is not None and self._seconds() < known[1]:
            return known[0]
        if address.is_loopback or address.is_unspecified:
            return True
        if address.is_multicast:
            return False
        own = self._askKernel(address)
        self._rememberAnswer(key, own)
        return own

    def _rememberAnswer(self, key: _Key, own: bool) -> None:
        # A key that is set again keeps its place, and the oldest must be first.
        self._known.pop(key, None)
        if len(self._known) >= self._size:
            del self._known[next(iter(self._known))]
        self._known[key] = (own, self._seconds() + self._lifetime)

    def _askKernel(self, address: IPAddress) -> bool:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        try:
            bindable = self._canBind(family, address)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:
                return False
            if error.errno not in _UNBINDABLE:
                raise
            return self._isSource(family, address)
        if bindable and self._canBind(family, _UNASSIGNED[family]):
            return self._isSource(family, address)
        return bindable

    def _canBind(self, family: socket.AddressFamily, address: IPAddress) -> bool:
        with self._socketFactory(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(_socketAddress(address, 0))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    return False
                raise
            return True

    def _isSource(self, family: socket.AddressFamily, address: IPAddress) -> bool:
        """Tell whether the kernel would talk to an address I{from} that address."""
        with self._socketFactory(family, socket.SOCK_DGRAM) as probe:
            try:
                # Any port does: connecting a datagram socket sends nothing.
                probe.connect(_socketAddress(address, 9))
            except OSError as error:
                if error.errno in _UNREACHABLE:
                    return False
                raise
            source = ip_address(probe.getsockname()[0].partition("%")[0])
            return int(source) == int(address)


class OwnListeners:
    """
    The listeners of this proxy, which it never dials (RFC 9110, 7.6).

    They are compared by port, on any of this machine's addresses.  That refuses
    another service on the same port of another own address as well, and is simple
    to trust.

    @param own: knows this machine's addresses.
    """

    def __init__(self, own: OwnAddresses) -> None:
        self._own = own
        self._ports: set[int] = set()

    def addListener(self, host: IAddress) -> None:
        """Remember a listener; one without a port cannot be dialled."""
        port = getattr(host, "port", None)
        if port is not None:
            self._ports.add(port)

    def isSelf(self, address: IPAddress, port: int) -> bool:
        """
        Tell whether dialling C{address} would reach this proxy.

        Any address of this machine counts, on any port on which it listens.

        @raise OSError: see L{OwnAddresses.isOwn}.
        """
        return port in self._ports and self._own.isOwn(address)


def _socketAddress(address: IPAddress, port: int) -> _Endpoint:
    if isinstance(address, IPv4Address):
        return (str(address), port)
    host, _, scope = str(address).partition("%")
    return (host, port, 0, _scopeIndex(scope))


def _scopeIndex(scope: str) -> int:
    if not scope or scope.isdecimal():
        return int(scope or 0)
    return socket.if_nametoindex(scope)
