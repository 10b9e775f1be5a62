"""
What goes on to a parent, and the trail in C{Via}.
"""

from __future__ import annotations

import pytest

from txconnect.wire.forwarding import (
    forwardedFields,
    hasPassed,
    pseudonymOf,
    viaOf,
)

VIA = (b"via", b"1.1 me")


@pytest.mark.parametrize(
    "name",
    [
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ],
)
def test_whatIsAboutThisHopStays(name: bytes) -> None:
    """[UP-05] [UP-06] Such a field goes no further; others do, in order."""
    fields = [(b"user-agent", b"curl"), (name, b"x"), (b"x-one", b"1")]
    assert forwardedFields(fields, "1.1", "me") == (fields[0], fields[2], VIA)


def test_whatConnectionNamesStays() -> None:
    """[UP-05] In any case, in several fields, with any white space."""
    fields = [
        (b"x-one", b"1"),
        (b"connection", b"close, X-One ,\tx-two"),
        (b"x-two", b"2"),
        (b"x-three", b"3"),
        (b"connection", b",x-four"),
        (b"x-four", b"4"),
    ]
    assert forwardedFields(fields, "1.1", "me") == ((b"x-three", b"3"), VIA)


def test_viaIsAppended() -> None:
    """[UP-07] Behind what others wrote, with the version that came."""
    fields = [(b"via", b"1.1 other")]
    assert forwardedFields(fields, "1.0", "me") == (*fields, (b"via", b"1.0 me"))
    assert viaOf("1.1", "me") == b"1.1 me"


@pytest.mark.parametrize(
    "values",
    [
        [b"1.1 me"],
        [b"1.0 me (a comment)"],
        [b"1.1 a, 1.1 me"],
        [b"1.1 a (one, two), HTTP/1.1\tme , 1.1 b"],
        [b"1.1 a", b"1.1 me"],
    ],
)
def test_ownTrailIsSeen(values: list[bytes]) -> None:
    """[UP-07] [T15] In whichever field, beside whatever else."""
    assert hasPassed([(b"via", value) for value in values], "me")


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"via", b"")],
        [(b"via", b"1.1 other, me")],
        [(b"via", b"1.1 me2")],
        [(b"via", b"1.1 ME")],
        [(b"x-via", b"1.1 me")],
        [(b"via", b"me 1.1")],
    ],
)
def test_othersTrailsAreNotOwn(fields: list[tuple[bytes, bytes]]) -> None:
    """[UP-07] Another name, or no member of the list, is no loop."""
    assert not hasPassed(fields, "me")


@pytest.mark.parametrize(
    ("name", "pseudonym"),
    [("txconnect-1a2b3c", "txconnect-1a2b3c"), ("Ann's \u00fc, b", "Ann's----b")],
)
def test_pseudonym(name: str, pseudonym: str) -> None:
    """[UP-07] Any name becomes a token, so that C{Via} can be read."""
    assert pseudonymOf(name) == pseudonym
