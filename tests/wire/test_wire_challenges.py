"""
Challenges: the list whose commas mean two things.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from txconnect.auth.basic import BasicScheme
from txconnect.interfaces import IAuthScheme
from txconnect.values import ChallengeReason
from txconnect.wire.challenges import Challenge, parseChallenges

A = Challenge("a")
B = Challenge("b")


@pytest.mark.parametrize(
    ("value", "challenges"),
    [
        (b"", ()),
        (b" , ,\t", ()),
        (b"Negotiate", (Challenge("negotiate"),)),
        (b"a,b", (A, B)),
        (b",, a ,,\tb,", (A, B)),
        (b"a ,b", (A, B)),
        (b'Basic realm="x"', (Challenge("basic", {"realm": "x"}),)),
        (b"BASIC REALM=x", (Challenge("basic", {"realm": "x"}),)),
        (b'a r \t=\t "x"', (Challenge("a", {"r": "x"}),)),
        (b"a r=1,s=2\t,\tt=3", (Challenge("a", {"r": "1", "s": "2", "t": "3"}),)),
        (b"a , r=1", (Challenge("a", {"r": "1"}),)),
        (b"a, r=1, b", (Challenge("a", {"r": "1"}), B)),
        (b"a b", (Challenge("a", token68="b"),)),
        (b"a b==, b", (Challenge("a", token68="b=="), B)),
        (b"a b=, b c=d", (Challenge("a", token68="b="), Challenge("b", {"c": "d"}))),
        (b"a   aZ0-._~+/=", (Challenge("a", token68="aZ0-._~+/="),)),
        (b'a r=""', (Challenge("a", {"r": ""}),)),
        (b'a r="x, b y=z"', (Challenge("a", {"r": "x, b y=z"}),)),
        (b'a r="\\"\\\\\\x"', (Challenge("a", {"r": '"\\x'}),)),
        (b'a r="\t\xe4"', (Challenge("a", {"r": "\t\xe4"}),)),
        (
            # The example of RFC 9110, 11.6.1.
            b'Basic realm="simple", Newauth realm="apps", type=1, '
            b'title="Login to \\"apps\\""',
            (
                Challenge("basic", {"realm": "simple"}),
                Challenge(
                    "newauth",
                    {"realm": "apps", "type": "1", "title": 'Login to "apps"'},
                ),
            ),
        ),
    ],
)
def test_challenges(value: bytes, challenges: tuple[Challenge, ...]) -> None:
    """Names in any case, tokens and quoted strings, several in one field."""
    assert parseChallenges([value]) == challenges
    # A field more changes nothing but to add its own.
    both = parseChallenges([value, b"b", value])
    assert both == (*challenges, B, *challenges)


@pytest.mark.parametrize(
    "value",
    [
        b"r=1",
        b'"a"',
        b"a b c",
        b"a b c=d",
        b'a r="x" s="y"',
        b'a r="x" b',
        b"a r=1 s=2",
        b"a r=1, R=2",
        b'a r="1", r="1"',
        b"a b, r=1",
        b"a r=1, b==",
        b"a\tb",
        b"a q=1, r=",
        b'a r="x',
        b'a r="x\\"',
        b'a r="x"y',
        b'a r="\x00"',
        b'a r="\x7f"',
        b'a r="\\\x01"',
        b"a r='x y'",
        b"a r=\xe4",
        b"a@b",
        b"a;b",
        b"\xe4",
        b"a r=x\n",
        b"a\x0b",
    ],
)
def test_fieldsThatCannotBeRead(value: bytes) -> None:
    """A field that breaks a rule is left out as a whole, and no other field."""
    for field in (value, b"b q==, " + value, value + b", b"):
        assert parseChallenges([b"a", field, b"b"]) == (A, B)


def test_frozen() -> None:
    """A challenge cannot be changed by who was given it, and is a key."""
    given = {"realm": "x"}
    challenge = Challenge("basic", given)
    given["realm"] = "y"
    assert challenge.parameters == {"realm": "x"}
    with pytest.raises(TypeError):
        challenge.parameters["realm"] = "y"  # type: ignore[index]
    assert len({challenge, Challenge("basic", {"realm": "x"})}) == 1


@pytest.mark.parametrize(
    "value",
    [
        b"a " * 30000,
        b"a," * 30000,
        b"a " + b"b" * 60000 + b" c",
        b'a r="' + b"\\" * 60001 + b'"',
        b"a " + b",".join(b"r%d=1" % number for number in range(8000)),
        b"a r" + b" " * 60000 + b"=",
    ],
    ids=["schemes", "list", "token68", "backslashes", "parameters", "spaces"],
)
def test_longFields(value: bytes) -> None:
    """What is long is read in one go: no stack overflow, no quadratic time."""
    assert isinstance(parseChallenges([value]), tuple)


def test_moreThanAreRead() -> None:
    """
    [T12] So many challenges, in whichever fields they stand, and none of the
    field that has more, nor of one behind it.
    """
    one, many = b"Basic realm=x", b",".join([b"a"] * 63)
    assert len(parseChallenges([one, many])) == 64
    assert len(parseChallenges([one, many + b",b", one])) == 1
    assert parseChallenges([b",".join([b"a"] * 30000)]) == ()


TOKENS = st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,8}", fullmatch=True)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


def quoted(text: str) -> str:
    """A quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(
    st.lists(
        st.tuples(
            TOKENS,
            st.dictionaries(TOKENS.map(str.lower), TEXTS, min_size=1, max_size=3),
        ),
        max_size=4,
    )
)
def test_whatIsWrittenIsRead(asked: list[tuple[str, dict[str, Any]]]) -> None:
    """Any challenges, written as one field, are read as themselves."""
    written = ", ".join(
        f"{scheme} " + ", ".join(f"{key}={quoted(given[key])}" for key in given)
        for scheme, given in asked
    )
    assert parseChallenges([written.encode("ascii")]) == tuple(
        Challenge(scheme.lower(), given) for scheme, given in asked
    )


def test_ourOwn() -> None:
    """[AU-02] What this proxy asks can be read."""
    scheme: IAuthScheme = BasicScheme()
    value = scheme.challenge(ChallengeReason.MISSING, 'the "proxy"')
    assert parseChallenges([value]) == (
        Challenge("basic", {"realm": 'the "proxy"', "charset": "UTF-8"}),
    )
