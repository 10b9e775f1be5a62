"""
The values that plugins are given.
"""

from __future__ import annotations

import attrs
from twisted.internet.address import IPv4Address

from txconnect.testing import makeRequest
from txconnect.values import Identity, Request


def test_aRequestWithItsUser() -> None:
    """
    All but the user stays, whatever fields a request will have; and its state is one,
    so that what a scheme has put there is there for policies.
    """
    values = {
        field.name.lstrip("_"): f"the {field.name}"
        for field in attrs.fields(Request)
        if field.name not in ("identity", "_state")
    }
    request = Request(**values, state={"key": "value"})  # type: ignore[arg-type]
    user = Identity("alice", "file")
    known = request.withIdentity(user)
    assert known == attrs.evolve(request, identity=user)
    assert known.identity == user
    assert request.identity is None
    assert known.state is request.state


def test_aRequestWithoutState() -> None:
    """A state that nobody has asked for is not made for the user's sake."""
    request = makeRequest("a.example:443", client=IPv4Address("TCP", "192.0.2.1", 1))
    known = request.withIdentity(Identity("alice", "file"))
    assert known._state is None
    assert known.client == request.client
