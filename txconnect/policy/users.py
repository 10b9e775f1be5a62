"""
C{users}: which authenticated users may use the proxy.
"""

from __future__ import annotations

from zope.interface import implementer

from txconnect.interfaces import IDestinationPolicy
from txconnect.values import Allow, ConnectRequest, Decision, Deny

__all__ = ["UsersPolicy"]

_ALLOW = Allow()


@implementer(IDestinationPolicy)
class UsersPolicy:
    """
    Allows the users that it lists, and refuses everyone else; where nothing
    authenticates, that is everyone.
    """

    name = "users"

    def __init__(self, *users: str) -> None:
        """
        @param users: names exactly as the checker gives them, with regard to
            case; at least one.
        @raise ValueError: there is none, or one is empty.
        """
        if not users:
            raise ValueError("no user is listed, so nobody could use the proxy")
        if not all(users):
            raise ValueError("a user's name is empty: is there a comma too many?")
        self._users = frozenset(users)

    def decide(self, request: ConnectRequest) -> Decision:
        """Judge who asks."""
        identity = request.identity
        if identity is None:
            return Deny("nobody is authenticated, and only listed users may pass")
        if identity.user in self._users:
            return _ALLOW
        return Deny(f"the user {identity.user!r} is not among the listed users")
