"""Users: only those listed."""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from txconnect.interfaces import IDestinationPolicy
from txconnect.policy.users import UsersPolicy
from txconnect.values import Allow, Authority, Cause, Deny, Identity, Request


def request(user: str | None) -> Request:
    identity = None if user is None else Identity(user, "file")
    return Request(Authority("example.com", 443), identity=identity)


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_listed(user: str) -> None:
    """A listed user passes."""
    assert UsersPolicy("alice", "bob").decide(request(user)) == Allow()


@pytest.mark.parametrize("user", ["eve", "Alice", "alice ", "", "alice\r\nX: y"])
def test_others(user: str) -> None:
    """Valid credentials of a user that is not listed are a 403. [H1-38]"""
    decision = UsersPolicy("alice", "bob").decide(request(user))
    assert decision == Deny(
        f"the user {user!r} is not among the listed users", Cause.POLICY
    )


def test_nobody() -> None:
    """Where nothing authenticates, nobody passes. [T8]"""
    decision = UsersPolicy("alice").decide(request(None))
    assert isinstance(decision, Deny)


@pytest.mark.parametrize("users", [(), ("",), ("alice", "")])
def test_badItemsStopStartUp(users: tuple[str, ...]) -> None:
    """A list that could let nobody in, or the user without a name, is an error."""
    with pytest.raises(ValueError):
        UsersPolicy(*users)


def test_interface() -> None:
    """It keeps its interface's contract."""
    assert verifyObject(IDestinationPolicy, UsersPolicy("alice"))
