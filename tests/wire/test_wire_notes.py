"""
The operator's own words in a refusal.
"""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from txconnect.wire.authority import Authority
from txconnect.wire.notes import LONGEST, PLACEHOLDERS, BadNote, Note, parseNote
from txconnect.wire.refusals import Cause
from txconnect.wire.responses import Refusal, responseOf

VALUES = {
    "host": "example.com",
    "port": "443",
    "rule": "hosts",
    "id": "7f3a-2",
    "cause": "policy",
    "user": "alice",
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("Ask Carol.", "Ask Carol."),
        ("%{host}:%{port} by %{rule}", "example.com:443 by hosts"),
        ("%{id}%{cause}%{user}", "7f3a-2policyalice"),
        ("100 %% of %{user}", "100 % of alice"),
        ("%%{host}", "%{host}"),
        ("%%%{host}", "%example.com"),
        ("{host}}{", "{host}}{"),
        ("Fragen Sie Jürgen", "Fragen Sie Jürgen"),
    ],
)
def test_filled(text: str, filled: str) -> None:
    """[F20] Each placeholder has its value, and nothing else is touched."""
    assert parseNote(text).fill(VALUES) == filled


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("%", "'%'"),
        ("50 % off", "'% '"),
        ("%host", "'%h'"),
        ("%{hots}", "'%{hots}'"),
        ("%{}", "'%{}'"),
        ("%{host", "'%{host'"),
        ("%{Host} %{host}", "'%{Host}'"),
        ("%{a%{host}}", "'%{a%{host}'"),
    ],
)
def test_unknownPlaceholders(text: str, wrong: str) -> None:
    """[F20] One that is not known is named, with those that are."""
    with pytest.raises(BadNote) as raised:
        parseNote(text)
    said = str(raised.value)
    assert said.startswith(f"{wrong} is no placeholder")
    assert all(f"%{{{name}}}" in said for name in PLACEHOLDERS)
    assert "%%" in said


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x1b[2J", "a\0", "\u202e", "\udc80"])
def test_oneLine(text: str) -> None:
    """[F20] Neither a line break nor what steers a terminal."""
    with pytest.raises(BadNote, match="one line of printable characters"):
        parseNote(text)


def test_bounds() -> None:
    """[F20] The text is bounded, and so is what comes of it."""
    with pytest.raises(BadNote, match="at most 500"):
        parseNote("x" * (LONGEST + 1))
    longest = parseNote("x" * LONGEST).fill(VALUES)
    assert len(longest) == LONGEST
    whole = parseNote("%{host}" * 4).fill({**VALUES, "host": "x" * 250})
    assert whole == "x" * 1000
    note = parseNote("%{host}" * (LONGEST // 7))
    filled = note.fill({**VALUES, "host": "x" * 253})
    assert len(filled) == 1000
    assert filled.endswith("...")


@given(st.text(alphabet="%{}hostuser \u00fc", max_size=40))
def test_anyText(text: str) -> None:
    """[F20] A text is a note or is refused, and says the same without placeholders."""
    try:
        note = parseNote(text)
    except BadNote:
        assert "%" in text
        return
    if "%" not in text:
        assert note.fill(VALUES) == text


def refusal(cause: Cause, note: Note, **changes: object) -> Refusal:
    """A refusal with a note."""
    plain: dict[str, object] = {
        "rule": cause.label,
        "id": "7f3a-2",
        "name": "proxy-1",
        "challenges": [b'Basic realm="proxy"'] if cause.status == 407 else (),
    }
    return Refusal(cause=cause, note=note, **{**plain, **changes})  # type: ignore[arg-type]


NOTE = parseNote(
    "Ask help.example about %{host} %{port} %{rule} %{user} %{cause} %{id}"
)


def test_itsPlaceInAnAnswer() -> None:
    """[F20] A line of its own behind the advice, with what this refusal is about."""
    answer = responseOf(
        refusal(
            Cause.POLICY,
            NOTE,
            rule="hosts",
            authority=Authority("2001:db8::1", 8443),
            user="alice",
        )
    )
    assert answer.content.decode().splitlines()[2:] == [
        "Ask the proxy's operator to allow it.",
        "Ask help.example about 2001:db8::1 8443 hosts alice policy 7f3a-2",
        "Request id: 7f3a-2",
    ]
    assert (b"Content-Type", b"text/plain; charset=us-ascii") in answer.fields


def test_whatIsNotKnownIsAHyphen() -> None:
    """[F20] A 407 has no user, and no proof of one."""
    content = responseOf(refusal(Cause.CREDENTIALS_MISSING, NOTE)).content
    assert b"about - - credentials-missing - credentials-missing 7f3a-2\n" in content


def test_valuesStayPlain() -> None:
    """[F20] No value begins a line or a field, or is longer than it may be."""
    evil = 'x\r\nRequest id: "fake"\\' + "y" * 200
    content = responseOf(
        refusal(Cause.POLICY, NOTE, rule=evil, user=evil, id="7f3a-2")
    ).content
    lines = content.decode().splitlines()
    assert len(lines) == 5
    assert '"' not in lines[3]
    assert len(lines[3]) < 250


@pytest.mark.parametrize("cause", [each for each in Cause if each.error is not None])
def test_whoIsToldIt(cause: Cause) -> None:
    """[F20] Who was judged: by a policy or a plugin, or for want of credentials.  Not
    who sent no request, or met a failure."""
    told = cause.status in (403, 407)
    note = parseNote("Ask Carol.")
    assert (b"\nAsk Carol.\n" in responseOf(refusal(cause, note)).content) is told
    ruled = responseOf(refusal(cause, note, rule="a policy's name"))
    assert b"\nAsk Carol.\n" in ruled.content


def test_otherThanASCII() -> None:
    """[F20] The operator's own letters arrive, and are declared."""
    answer = responseOf(refusal(Cause.POLICY, parseNote("Fragen Sie Jürgen")))
    assert "Fragen Sie Jürgen".encode() in answer.content
    assert (b"Content-Type", b"text/plain; charset=utf-8") in answer.fields


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.label)
def test_noHintGoesAroundThePolicy(cause: Cause) -> None:
    """[F20] No advice teaches a way around the proxy."""
    words = f"{cause.summary} {cause.advice}".lower()
    for hint in ("no_proxy", "bypass", "directly", "unset"):
        assert hint not in words
