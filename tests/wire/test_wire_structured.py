"""
Structured fields: what is written, another implementation reads.
"""

from __future__ import annotations

import http_sf
import pytest
from hypothesis import given, strategies as st

from txconnect.wire.structured import (
    BareItem,
    Token,
    isToken,
    serializeBareItem,
    serializeItem,
)

TCHAR = "!#$%&'*+-.^_`|~0123456789:/"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (-7, "-7"),
        (999_999_999_999_999, "999999999999999"),
        (-999_999_999_999_999, "-999999999999999"),
        (True, "?1"),
        (False, "?0"),
        ("", '""'),
        ("text", '"text"'),
        ('a "b" \\c', '"a \\"b\\" \\\\c"'),
        (Token("dns_error"), "dns_error"),
        (Token("*a/b:c"), "*a/b:c"),
    ],
)
def test_values(value: BareItem, written: str) -> None:
    """[PS-01] [PS-04] Each type has its form."""
    assert serializeBareItem(value) == written


@pytest.mark.parametrize("code", range(256))
def test_octetsOfStrings(code: int) -> None:
    """[PS-04] A String holds printable ASCII, and nothing else can be written."""
    text = f"a{chr(code)}b"
    if 0x20 <= code <= 0x7E:
        written = serializeBareItem(text).encode("ascii")
        assert http_sf.parse(written, tltype="item") == (text, {})
    else:
        with pytest.raises(ValueError):
            serializeBareItem(text)


@pytest.mark.parametrize("code", range(256))
def test_octetsOfTokens(code: int) -> None:
    """[PS-01] A Token begins with a letter or an asterisk, and holds token octets."""
    character = chr(code)
    for text, fine in [
        (character, character in LETTERS + "*"),
        (f"a{character}", character in LETTERS + TCHAR),
    ]:
        assert isToken(text) is fine
        if fine:
            assert serializeBareItem(Token(text)) == text
        else:
            with pytest.raises(ValueError):
                serializeBareItem(Token(text))


@pytest.mark.parametrize("code", range(256))
def test_octetsOfKeys(code: int) -> None:
    """[PS-01] A key begins with a lower-case letter or an asterisk."""
    character = chr(code)
    lower = LETTERS[26:]
    for key, fine in [
        (character, character in lower + "*"),
        (f"a{character}", character in lower + "0123456789_-.*"),
    ]:
        if fine:
            assert serializeItem(1, {key: 2}) == f"1;{key}=2"
        else:
            with pytest.raises(ValueError):
                serializeItem(1, {key: 2})


@pytest.mark.parametrize(
    "value", [10**15, -(10**15), Token(""), Token("a\n"), "a\n", "\u00fc"]
)
def test_whatCannotBeWritten(value: BareItem) -> None:
    """[PS-04] What has no form is an error, and is never repaired."""
    with pytest.raises(ValueError):
        serializeItem(Token("a"), {"b": value})


def test_parameters() -> None:
    """[PS-01] Parameters keep their order; a true one is its key alone."""
    written = serializeItem(Token("p"), {"b": True, "a": False, "*c": "x", "d": 1})
    assert written == 'p;b;a=?0;*c="x";d=1'
    assert serializeItem("a b", {}) == '"a b"'


BARE = st.one_of(
    st.booleans(),
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)),
    st.from_regex(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*", fullmatch=True).map(
        Token
    ),
)
KEYS = st.from_regex(r"[a-z*][a-z0-9_\-.*]*", fullmatch=True)


@given(BARE, st.dictionaries(KEYS, BARE))
def test_anotherImplementationReadsIt(
    value: BareItem, parameters: dict[str, BareItem]
) -> None:
    """[PS-01] http-sf reads, as a List, what was written."""
    written = serializeItem(value, parameters).encode("ascii")
    [(read, itsParameters)] = http_sf.parse(written, tltype="list")
    assert read == value
    assert isinstance(read, http_sf.Token) == isinstance(value, Token)
    assert itsParameters == parameters
    assert list(itsParameters) == list(parameters)
