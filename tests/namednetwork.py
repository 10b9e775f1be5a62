"""
A memory network on which names are found, for code that takes a
C{HostnameEndpoint}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
)
from zope.interface import implementer

from txconnect.testing import MemoryNetwork


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        raise NotImplementedError("it is over at once")


@implementer(IHostnameResolver)
class _Names:
    """Literals stand for themselves, and names for what a table says."""

    def __init__(self, table: dict[str, str]) -> None:
        self._table = table

    def resolveHostName(
        self, receiver: Any, hostName: str, portNumber: int = 0, *rest: Any, **more: Any
    ) -> _Resolution:
        resolution = _Resolution(hostName)
        receiver.resolutionBegan(resolution)
        literal = self._table.get(hostName, hostName)
        kind = IPv6Address if ":" in literal else IPv4Address
        if hostName in self._table or not literal[-1:].isalpha():
            receiver.addressResolved(kind("TCP", literal, portNumber))
        receiver.resolutionComplete()
        return resolution


@implementer(IReactorPluggableNameResolver)
class NamedNetwork(MemoryNetwork):
    """
    @ivar names: the address of each name that is found.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.names: dict[str, str] = {}
        self.nameResolver = _Names(self.names)

    def installNameResolver(self, resolver: Any) -> Any:
        raise NotImplementedError("the names of a test are its table")
