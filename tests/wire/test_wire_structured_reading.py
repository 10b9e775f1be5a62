"""
Structured fields: what is read, and that another implementation reads the same.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any

import http_sf
import pytest
from hypothesis import assume, example, given, settings, strategies as st

from txconnect.wire.structured import (
    Date,
    DisplayString,
    Item,
    Token,
    parseList,
    serializeItem,
)


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b"0", 0),
        (b"-007", -7),
        (b"999999999999999", 999_999_999_999_999),
        (b"1.5", Decimal("1.5")),
        (b"-999999999999.999", Decimal("-999999999999.999")),
        (b'""', ""),
        (b'"a \\"b\\" \\\\c"', 'a "b" \\c'),
        (b"*a/b:c", Token("*a/b:c")),
        (b"?1", True),
        (b"?0", False),
        (b"::", b""),
        (b":aGk=:", b"hi"),
        (b":aGk:", b"hi"),
        (b"@-12", Date(-12)),
        (b'%"f%c3%bc"', DisplayString("f\u00fc")),
    ],
)
def test_values(octets: bytes, value: Any) -> None:
    """[PS-02] Every type is read as what it is, as a member and as a parameter."""
    [member] = parseList(octets)
    assert (member.value, type(member.value)) == (value, type(value))
    [member] = parseList(b"t;p=" + octets)
    read = member.parameters["p"]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("octets", "members"),
    [
        (b"", ()),
        (b"   ", ()),
        (b" a , b\t,\tc ", ("a", "b", "c")),
        (b"a,b", ("a", "b")),
    ],
)
def test_lists(octets: bytes, members: tuple[str, ...]) -> None:
    """[PS-01] Members stand between commas, with optional white space."""
    assert tuple(item.value for item in parseList(octets)) == members


def test_tabs() -> None:
    """[PS-01] Before the first member only spaces may stand."""
    with pytest.raises(ValueError):
        parseList(b"\ta")
    assert parseList(b"a\t") == parseList(b" a ")


def test_parameters() -> None:
    """[PS-02] Parameters keep their order; of one key's values the last counts."""
    [item] = parseList(b"a;b;  c=1;d=?0;b=2")
    assert item == Item(Token("a"), {"b": 2, "c": 1, "d": False})
    assert list(item.parameters) == ["b", "c", "d"]


def test_innerLists() -> None:
    """[PS-02] An Inner List is a member with members."""
    [first, second] = parseList(b'( a;x  "b" );y=1, ()')
    assert first.value == (Item(Token("a"), {"x": True}), Item("b", {}))
    assert first.parameters == {"y": 1}
    assert second == Item((), {})


@pytest.mark.parametrize(
    "octets",
    [
        b",",
        b"a,",
        b"a, ",
        b",a",
        b"a b",
        b"a ;b",
        b"a;",
        b"a;B",
        b"a;b =1",
        b"a;b= 1",
        b"a\x00",
        b"a\n",
        b"\xe4",
        b'"a',
        b'"\\a"',
        b'"\xe4"',
        b'"\x7f"',
        b"'a'",
        b"-",
        b"- 1",
        b"+1",
        b"1000000000000000",
        b"1.",
        b".1",
        b"1.2345",
        b"1.2.3",
        b"1000000000000.1",
        b"1e3",
        b"?2",
        b"?",
        b"?11",
        b":a:",
        b":aGk===:",
        b":=:",
        b":a Gk:",
        b":aGk",
        b":a-_b:",
        b"@1.5",
        b"@",
        b"@a",
        b'%"%C3%bc"',
        b'%"%c3"',
        b'%"%"',
        b'%"%0"',
        b'%"',
        b"%a",
        b"(a",
        b"(a,b)",
        b'(a"b")',
        b"((a))",
        b")",
    ],
)
def test_whatCannotBeRead(octets: bytes) -> None:
    """[PS-02] What breaks a rule is an error, and never read in part."""
    with pytest.raises(http_sf.StructuredFieldError):
        http_sf.parse(octets, tltype="list")
    with pytest.raises(ValueError):
        parseList(octets)
    with pytest.raises(ValueError):
        parseList(b"a, " + octets)


def plain(value: Any) -> Any:
    """A value of either implementation, as one that compares and tells its type."""
    if isinstance(value, http_sf.Token | Token):
        return "token", str(value)
    if isinstance(value, http_sf.DisplayString | DisplayString):
        return "display", str(value)
    if isinstance(value, datetime):
        return "date", int(value.timestamp())
    if isinstance(value, Date):
        return "date", int(value)
    return type(value).__name__, value


def plainItem(value: Any, parameters: Any) -> Any:
    """A member of either implementation."""
    if isinstance(value, tuple):
        value = [plainItem(one.value, one.parameters) for one in value]
    elif isinstance(value, list):
        value = [plainItem(*one) for one in value]
    else:
        value = plain(value)
    return value, [(key, plain(one)) for key, one in parameters.items()]


def theirs(octets: bytes) -> Any:
    """What http-sf reads, or None."""
    try:
        read: Any = http_sf.parse(octets, tltype="list")
    except http_sf.StructuredFieldError:
        return None
    return [plainItem(*one) for one in read]


def ours(octets: bytes) -> Any:
    """What we read, or None."""
    try:
        return [plainItem(one.value, one.parameters) for one in parseList(octets)]
    except ValueError:
        return None


PIECES = [
    *("a", "b*", "A/b", "error", "1", "-1", "12.5", '"x"', '"\\""', "?1", ":aGk=:"),
    *("@1", '%"%c3%a4"', ";", "=", ";a", ";a=", ";b=1", ", ", ",", " ", "(", ")", "\t"),
    *('"', "\\", ".", "-", "%", "?", "@", ":", "*", "\x7f", "\xe4", "A"),
]


# What is too far away is no date to http-sf, whose dates are datetimes.
@settings(max_examples=400)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@example("(a b);c, d;e=(f)")
@example("a;b;b=1")
def test_anotherImplementationReadsTheSame(text: str) -> None:
    """[PS-02] http-sf reads and refuses what we read and refuse."""
    octets = text.encode("latin-1")
    assume(not re.search("@-?[0-9]{11}", text))
    assert ours(octets) == theirs(octets)


@given(
    st.one_of(st.booleans(), st.integers(-(10**15) + 1, 10**15 - 1)),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)),
)
def test_whatIsWrittenIsRead(value: bool | int, text: str) -> None:
    """[PS-04] Nothing is lost between writing and reading."""
    written = serializeItem(text, {"a": value, "b": Token("c")}).encode("ascii")
    assert parseList(written) == (Item(text, {"a": value, "b": "c"}),)
