"""
Connections of an agent that may be used again, kept apart by their path.

Twisted's pool keeps connections by their key, and the key of an C{Agent} has
scheme, host and port alone.  In a pool that several agents share, a tunnel made
with one user's credentials would then serve another's requests.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import HTTPConnectionPool

if TYPE_CHECKING:
    # It has no public home, and is the type of the pool's Deferreds.
    from twisted.web._newclient import HTTP11ClientProtocol

__all__ = ["IdentityKey", "KeyedPool"]


@attrs.frozen(eq=False)
class IdentityKey:
    """
    An object as a part of a key: equal to itself alone.

    It holds the object, so that no other object can get the same C{id}, and
    calls neither its C{__eq__} nor its C{__hash__}: a caller's own object need
    have neither.
    """

    value: object = attrs.field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdentityKey) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@attrs.frozen
class KeyedPool:
    """
    A view of a pool for connections of one path, with the methods of an
    C{HTTPConnectionPool} that Twisted's agents call.

    @ivar path: the properties that two connections must share for one to serve
        the other's requests: proxy, credentials, TLS, fields.  It may hold
        secrets, and is never shown.
    @ivar destination: the part of the key that names the destination; by
        default the agent's own key.
    """

    _pool: HTTPConnectionPool
    path: Hashable = attrs.field(repr=False)
    destination: Hashable = None

    def forDestination(self, destination: Hashable) -> KeyedPool:
        """Make a view for one destination, whatever key an agent uses for it."""
        # The agent of requests in absolute-form has the proxy for its key.
        return attrs.evolve(self, destination=destination)

    @property
    def persistent(self) -> bool:
        """True if the pool below keeps connections at all."""
        return bool(self._pool.persistent)

    def getConnection(
        self, key: Hashable, endpoint: IStreamClientEndpoint
    ) -> Deferred[HTTP11ClientProtocol]:
        """
        Get a kept connection, or a new one; called by Twisted's agents.

        @param key: the agent's own key for the destination.
        @return: a Deferred of an C{HTTP11ClientProtocol}.
        """
        destination = key if self.destination is None else self.destination
        return self._pool.getConnection(("txconnect", self.path, destination), endpoint)
