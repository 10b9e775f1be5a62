"""The Basic scheme: what is read, what is not, and what is asked for."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given, strategies as st
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import LoginFailed
from zope.interface.verify import verifyObject

from txconnect.auth.basic import (
    BasicCredentials,
    BasicScheme,
    IBasicCredentials,
    TextCredentials,
    quotedString,
)
from txconnect.errors import ConfigurationError
from txconnect.interfaces import IAuthScheme
from txconnect.values import AuthAttempt, Authority, ChallengeReason, Request

REQUEST = Request(Authority("example.com", 443))
OCTETS = st.binary(max_size=60).map(
    lambda octets: bytes(one for one in octets if one >= 0x20 and one != 0x7F)
)


def parse(token: bytes) -> BasicCredentials:
    return BasicScheme().parse(AuthAttempt(token, REQUEST))


def parsePair(pair: bytes) -> BasicCredentials:
    return parse(b64encode(pair))


def test_providesItsInterfaces() -> None:
    """The scheme and both forms of the credentials keep their contracts."""
    assert verifyObject(IAuthScheme, BasicScheme())
    credentials = parsePair(b"u:p")
    assert verifyObject(IBasicCredentials, credentials)
    text = credentials.textForm()
    assert text is not None and verifyObject(IUsernamePassword, text)


@pytest.mark.parametrize(
    ("pair", "user", "password"),
    [
        (b"u:p", b"u", b"p"),
        (b"u:pass:p", b"u", b"pass:p"),
        (b":p", b"", b"p"),
        (b"u:", b"u", b""),
        (b":", b"", b""),
        (b"a b:c d", b"a b", b"c d"),
        ("ü:pä".encode(), "ü".encode(), "pä".encode()),
    ],
)
def test_firstColonSplits(pair: bytes, user: bytes, password: bytes) -> None:
    """[AU-03] [T8] The first colon splits; either part may be empty."""
    credentials = parsePair(pair)
    assert (credentials.username, credentials.password) == (user, password)


@pytest.mark.parametrize(
    "pair", [b"u\0:p", b"u:\0p", b"u:p\n", b"u\r:p", b"u:\x7f", b"\tu:p", b"\x1b:p"]
)
def test_controlCharacters(pair: bytes) -> None:
    """[AU-03] A control character in either part is no credential."""
    with pytest.raises(LoginFailed):
        parsePair(pair)


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"=",
        b"====",
        b"dTpw=",
        b"dTpwcA",
        b"dTpwcA=",
        b"dTpwcA===",
        b"dTpwcB==",  # bits behind the last octet
        b"dTp w",
        b"dTpw ",
        b" dTpw",
        b"dTpw\t",
        b"dT\npw",
        b"dTpw,dTpw",
        b"dTp-",
        b"dTp_",
        b"dTp\xfc",
        b"not base64!",
        b'realm="x"',
        b"dXA=",  # "up": no colon
        b"A" * 1_000_000,
        b"A" * 999_999,
    ],
)
def test_unreadable(token: bytes) -> None:
    """[AU-04] [T8] What is not one pair in canonical base64 is refused, and
    the sentence repeats none of it."""
    with pytest.raises(LoginFailed) as caught:
        parse(token)
    said = str(caught.value)
    assert said and len(said) < 100
    assert not token or token.decode("latin-1") not in said


@given(st.binary(max_size=200))
def test_fuzzNeverAnythingElse(token: bytes) -> None:
    """[AU-04] Whatever comes, it is credentials or LoginFailed."""
    try:
        credentials = parse(token)
    except LoginFailed:
        return
    assert b64encode(credentials.username + b":" + credentials.password) == token


@given(OCTETS, OCTETS)
def test_roundTrip(user: bytes, password: bytes) -> None:
    """[AU-03] [F42] What a client may send is read as it was meant: any octets, as UTF-8
    if they are, else as Latin-1."""
    pair = user.replace(b":", b"") + b":" + password
    credentials = parsePair(pair)
    read = credentials.username + b":" + credentials.password
    try:
        pair.decode("utf-8")
    except UnicodeDecodeError:
        assert read.decode("utf-8") == pair.decode("latin-1")
    else:
        assert read == pair


@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
@pytest.mark.parametrize(("user", "password"), [("ü", "p"), ("u", "pä"), ("é", "ÿß")])
def test_bothCharsets(charset: str, user: str, password: str) -> None:
    """[F42] Each letter of Latin-1 is the same in both; a checker gets UTF-8."""
    credentials = parsePair(f"{user}:{password}".encode(charset))
    assert credentials.username == user.encode()
    assert credentials.password == password.encode()
    text = credentials.textForm()
    assert text is not None
    assert (text.username, text.password) == (user, password)


def test_bothAreUTF8() -> None:
    """[F42] Octets that are UTF-8 are read as that, whatever else they may be."""
    assert parsePair("Ã¤:p".encode("latin-1")).username == "ä".encode()


def test_textForm() -> None:
    """The str form is the UTF-8; a scheme of others' may have read something else."""
    text = parsePair("ü:pä".encode()).textForm()
    assert isinstance(text, TextCredentials)
    assert (text.username, text.password) == ("ü", "pä")
    assert BasicCredentials(b"\xfc", b"p").textForm() is None
    assert BasicCredentials(b"u", b"\xe4").textForm() is None


def test_checkPassword() -> None:
    """Both forms compare with bytes and with str, whole and exactly."""
    credentials = parsePair("u:pä".encode())
    text = credentials.textForm()
    assert text is not None
    for form in (credentials, text):
        assert form.checkPassword("pä".encode()) is True
        assert form.checkPassword("pä") is True
        for wrong in (b"p", b"", "p", "", "pä ", b"p\xe4", "PÄ", "p\udce4"):
            assert form.checkPassword(wrong) is False


def test_comparesInConstantTime(monkeypatch: pytest.MonkeyPatch) -> None:
    """[AU-05] [T8] Passwords are compared by hmac.compare_digest alone."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr("hmac.compare_digest", compare)
    assert parsePair(b"u:p").checkPassword(b"p") is False
    assert compared == [(b"p", b"p")]


def test_reprHoldsNoPassword() -> None:
    """[AU-05] No repr shows a password."""
    credentials = parsePair(b"u:hunter2")
    text = credentials.textForm()
    attempt = AuthAttempt(b64encode(b"u:hunter2"), REQUEST)
    for shown in (repr(credentials), repr(text), repr(attempt)):
        assert "hunter2" not in shown
        assert b64encode(b"u:hunter2").decode() not in shown


@pytest.mark.parametrize("reason", list(ChallengeReason))
def test_challenge(reason: ChallengeReason) -> None:
    """[AU-02] The realm is a quoted-string, the charset is UTF-8."""
    assert (
        BasicScheme().challenge(reason, 'a "b" \\ c')
        == b'Basic realm="a \\"b\\" \\\\ c", charset="UTF-8"'
    )


@pytest.mark.parametrize("realm", ["a\r\nSet-Cookie: x", "a\0", "ü", "\x7f", "a\n"])
def test_realmThatNoChallengeCanHold(realm: str) -> None:
    """[AU-02] A realm cannot break out of its field."""
    with pytest.raises(ConfigurationError, match="realm"):
        quotedString(realm)
