"""
Connections of an agent that may be used again, kept apart by the way they go.

Twisted's pool keeps connections by what its key names, and an C{Agent} names
scheme, host and port alone.  In a pool that several agents share, a tunnel made
with one user's credentials would then serve another's requests.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import HTTPConnectionPool

__all__ = ["KeyedPool", "Same"]


@attrs.frozen(eq=False)
class Same:
    """
    An object as a part of a key: equal to itself alone.

    It holds the object, so that no other one comes to have its identity, and
    asks neither its C{__eq__} nor its C{__hash__}: a caller's own object need
    have neither.
    """

    thing: object = attrs.field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)


@attrs.frozen
class KeyedPool:
    """
    A view of a pool through which one way leads: what Twisted's agents ask of
    an C{HTTPConnectionPool}.

    @ivar way: what a connection must have in common with another one to stand
        for it: proxy, credentials, TLS, fields.  It may hold secrets, and is
        never shown.
    @ivar destination: the part of the key that names the destination; by
        default what the agent itself says.
    """

    _pool: HTTPConnectionPool
    way: Hashable = attrs.field(repr=False)
    destination: Hashable = None

    def to(self, destination: Hashable) -> KeyedPool:
        """A view for one destination alone, whatever an agent calls it."""
        return attrs.evolve(self, destination=destination)

    @property
    def persistent(self) -> bool:
        """Whether connections are kept at all; as the pool below says."""
        return bool(self._pool.persistent)

    def getConnection(
        self, key: Hashable, endpoint: IStreamClientEndpoint
    ) -> Deferred[Any]:
        """
        A kept connection, or a new one; called by Twisted's agents.

        @param key: the destination, as the agent names it.
        @return: a Deferred of an C{HTTP11ClientProtocol}.
        """
        destination = key if self.destination is None else self.destination
        return self._pool.getConnection(("txconnect", self.way, destination), endpoint)
