"""
SOCKS 5: what is said, when, and what comes of the answers at every chunking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from txconnect.testing import chunkings
from txconnect.values import Authority
from txconnect.wire.socks5 import (
    BadSocks,
    Reply,
    Socks5Handshake,
    SocksRefusal,
    encodeLogin,
)

NAME = Authority("destination.example", 443)
ASKED = b"\x05\x01\x00\x03\x13destination.example\x01\xbb"
LOGIN = encodeLogin("user", "secret")
LOGGING_IN = b"\x01\x04user\x06secret"
GRANTED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"

Outcome = tuple[bytes, bytes] | tuple[str, object] | bytes


def talkOnce(pieces: Sequence[bytes], login: tuple[bytes, bytes] | None) -> Outcome:
    """
    Feed the pieces.

    @return: what was sent and what is the tunnel's; or what was raised; or
        only what was sent, when more must come.
    """
    handshake = Socks5Handshake(NAME, login)
    sent, rest = handshake.offerMethods(), list(pieces)
    while rest:
        try:
            sent += handshake.feedReply(rest.pop(0))
        except SocksRefusal as refusal:
            return "refused", (refusal.code, refusal.login)
        except BadSocks as bad:
            return "bad", str(bad)
        if handshake.established:
            return sent, handshake.trailing + b"".join(rest)
        assert handshake.trailing == b""
    return sent


def talk(stream: bytes, login: tuple[bytes, bytes] | None = None) -> Outcome:
    """Feed a stream at every chunking: the outcome must be one."""
    outcomes = [talkOnce(pieces, login) for _, pieces in chunkings(stream, seed=1)]
    assert all(outcome == outcomes[0] for outcome in outcomes), outcomes
    return outcomes[0]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("destination.example", b"\x03\x13destination.example"),
        ("192.0.2.1", b"\x01\xc0\x00\x02\x01"),
        ("2001:db8::1", b"\x04" + ip_address("2001:db8::1").packed),
        ("::ffff:192.0.2.1", b"\x04" + b"\x00" * 10 + b"\xff\xff\xc0\x00\x02\x01"),
        ("a" * 253, b"\x03\xfd" + b"a" * 253),
    ],
)
def test_addresses(host: str, address: bytes) -> None:
    """A name goes as a name, which the proxy looks up; a literal as an address."""
    handshake = Socks5Handshake(Authority(host, 65535))
    assert handshake.offerMethods() == b"\x05\x01\x00"
    assert handshake.feedReply(b"\x05\x00") == b"\x05\x01\x00" + address + b"\xff\xff"


def test_nameTooLong() -> None:
    """What does not fit the form is an error before anything is sent."""
    with pytest.raises(ValueError, match="longer than 255"):
        Socks5Handshake(Authority("a" * 256, 443))


def test_withoutLogin() -> None:
    """Greeting, request, and the tunnel's octets behind the reply [T2]."""
    asked = b"\x05\x01\x00" + ASKED
    assert talk(b"\x05\x00" + GRANTED) == (asked, b"")
    assert talk(b"\x05\x00" + GRANTED + b"SSH-2.0-x\r\n") == (asked, b"SSH-2.0-x\r\n")


def test_withLogin() -> None:
    """The user and the password go only when the proxy asks for them."""
    offered = b"\x05\x02\x00\x02"
    assert talk(b"\x05\x02\x01\x00" + GRANTED + b"x", LOGIN) == (
        offered + LOGGING_IN + ASKED,
        b"x",
    )
    assert talk(b"\x05\x00" + GRANTED, LOGIN) == (offered + ASKED, b"")
    # Of this sub-negotiation, some send SOCKS' own version.
    assert talk(b"\x05\x02\x05\x00" + GRANTED, LOGIN) == (
        offered + LOGGING_IN + ASKED,
        b"",
    )


@pytest.mark.parametrize(
    "address",
    [
        b"\x01\x00\x00\x00\x00",
        b"\x04" + b"\x05" * 16,
        b"\x03\x00",
        b"\x03\x01\x05",
        b"\x03\xff" + b"\x05" * 255,
    ],
)
def test_boundAddresses(address: bytes) -> None:
    """The reply is as long as its address says, whatever is in it [T2]."""
    stream = b"\x05\x00\x05\x00\x00" + address + b"\x00\x00"
    outcome = talk(stream + b"banner")
    assert outcome == (b"\x05\x01\x00" + ASKED, b"banner")
    # And a partial one is never taken.
    for size in range(2, len(stream)):
        assert talk(stream[:size]) == b"\x05\x01\x00" + ASKED


@pytest.mark.parametrize("code", range(1, 256))
def test_refusals(code: int) -> None:
    """Every code but 0 is a refusal, and counts as soon as it is there."""
    for rest in (b"", b"\x00", GRANTED[2:], b"\x00\x09nonsense"):
        assert talk(b"\x05\x00\x05" + bytes([code]) + rest) == (
            "refused",
            (code, False),
        )


def test_notLetIn() -> None:
    """Refused before the request: nothing of what we can, or not this login."""
    assert talk(b"\x05\xff") == ("refused", (None, False))
    assert talk(b"\x05\xffx", LOGIN) == ("refused", (None, False))
    for status in (b"\x01", b"\xff"):
        refused = talk(b"\x05\x02\x01" + status + GRANTED, LOGIN)
        assert refused == ("refused", (None, True))


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        (b"\x04\x00", "the proxy does not speak SOCKS 5"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the proxy does not speak SOCKS 5"),
        (b"\x00", "the proxy does not speak SOCKS 5"),
        (b"\x05\x01", "a method that it was not offered"),
        (b"\x05\x02", "a method that it was not offered"),
        (b"\x05\x80", "a method that it was not offered"),
        (b"\x05\x00\x04", "reply is not SOCKS 5"),
        (b"\x05\x00\x00\x5a", "reply is not SOCKS 5"),
        (b"\x05\x00\x05\x00\x00\x02", "an address of an unknown type"),
        (b"\x05\x00\x05\x00\x00\x00" + bytes(30), "an address of an unknown type"),
    ],
)
def test_noSocks(stream: bytes, complaint: str) -> None:
    """What breaks a rule is told apart from a refusal, at every chunking [UP-11]."""
    kind, reason = talk(stream)
    assert kind == "bad"
    assert re.search(complaint, str(reason))


def test_nothingAhead() -> None:
    """[UP-10] Nothing is said before the proxy has answered what was said."""
    handshake = Socks5Handshake(NAME, LOGIN)
    assert handshake.offerMethods() == b"\x05\x02\x00\x02"
    assert handshake.feedReply(b"\x05") == b""
    assert handshake.feedReply(b"\x02") == LOGGING_IN
    assert handshake.feedReply(b"\x01") == b""
    assert not handshake.requested
    assert handshake.feedReply(b"\x00") == ASKED
    assert handshake.requested
    assert handshake.feedReply(GRANTED[:-1]) == b""
    assert not handshake.established
    assert handshake.feedReply(GRANTED[-1:]) == b""
    assert handshake.established


@pytest.mark.parametrize(
    ("user", "password", "login"),
    [
        ("user", "a:b", (b"user", b"a:b")),
        ("j\u00fc", "\u20ac", (b"j\xc3\xbc", b"\xe2\x82\xac")),
        ("u" * 255, "p" * 255, (b"u" * 255, b"p" * 255)),
        # RFC 1929 has no empty ones, but proxies take this.
        ("token", "", (b"token", b"")),
    ],
)
def test_logins(user: str, password: str, login: tuple[bytes, bytes]) -> None:
    """In UTF-8, up to 255 octets each."""
    assert encodeLogin(user, password) == login


@pytest.mark.parametrize(
    ("user", "password", "complaint"),
    [
        ("", "secret", "the user is empty"),
        ("u" * 256, "secret", "the user is longer"),
        ("user", "secret" + "\u20ac" * 84, "the password is longer"),
        ("user", "secret\ud800", "the password is not Unicode"),
    ],
)
def test_badLogins(user: str, password: str, complaint: str) -> None:
    """What has no form is an error, which shows no secret."""
    with pytest.raises(ValueError, match=complaint) as caught:
        encodeLogin(user, password)
    assert "secret" not in str(caught.value)


def test_codes() -> None:
    """The codes of RFC 1928, 6."""
    assert [reply.value for reply in Reply] == list(range(1, 9))
