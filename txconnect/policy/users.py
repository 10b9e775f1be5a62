"""
C{users}: the authenticated users that may use the proxy.
"""

from __future__ import annotations

from zope.interface import implementer

from txconnect.interfaces import IDestinationPolicy, IListPolicy
from txconnect.values import Allow, Decision, Deny, Request

__all__ = ["UsersPolicy"]

_ALLOW = Allow()


@implementer(IDestinationPolicy, IListPolicy)
class UsersPolicy:
    """
    A policy that allows the users it lists, and refuses all others; on a proxy
    without authentication it refuses every request.
    """

    name = "users"

    def __init__(self, *users: str) -> None:
        """
        @param users: names exactly as the checker returns them, case included; at
            least one.
        @raise ValueError: there is none, or one is empty.
        """
        # An empty list could only be a mistake, and would refuse every request.
        if not users:
            raise ValueError("no user is listed, so every request would be refused")
        if not all(users):
            raise ValueError("a user's name is empty: is there a comma too many?")
        self._users = frozenset(users)

    def joinedWith(self, other: UsersPolicy) -> UsersPolicy:
        """See L{IListPolicy.joinedWith}."""
        return type(self)(*self._users, *other._users)

    def decide(self, request: Request) -> Decision:
        """Judge the user of a request."""
        # A request without an identity is refused with a reason of its own: it
        # shows the operator that a listener does not authenticate.
        identity = request.identity
        if identity is None:
            return Deny("no user is authenticated, and only listed users are allowed")
        if identity.user in self._users:
            return _ALLOW
        return Deny(f"the user {identity.user!r} is not among the listed users")
