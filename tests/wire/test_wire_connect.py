"""
The head of a CONNECT as it is sent.
"""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import given, strategies as st

from txconnect.testing import chunkings
from txconnect.wire.authority import Authority, parseAuthority
from txconnect.wire.http1.connect import RESERVED, checkField, renderConnect
from txconnect.wire.http1.head import HeadParser


@pytest.mark.parametrize(
    ("authority", "target"),
    [
        (Authority("example.com", 443), b"example.com:443"),
        (Authority("example.com", 80), b"example.com:80"),
        (Authority("192.0.2.1", 65535), b"192.0.2.1:65535"),
        (Authority("2001:db8::1", 1), b"[2001:db8::1]:1"),
        # The root's dot is a matter of look-ups, never of the wire.
        (Authority("example.com", 443, rooted=True), b"example.com:443"),
    ],
)
def test_targetAndHost(authority: Authority, target: bytes) -> None:
    """[UP-01] Only host:port, the same in Host, IPv6 in brackets."""
    assert renderConnect(authority) == (
        b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n"
    )


def test_fieldsInOrder() -> None:
    """What is added stands behind Host, in order, as it was given."""
    fields = [(b"User-Agent", b"x y\tz"), (b"X", b""), (b"x", b"\xe9")]
    assert renderConnect(Authority("a", 1), fields) == (
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n"
        b"User-Agent: x y\tz\r\nX: \r\nx: \xe9\r\n\r\n"
    )


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved(name: bytes) -> None:
    """Neither Host nor what rules the connection is a caller's, in any case."""
    for each in (name, name.upper()):
        with pytest.raises(ValueError, match="cannot be set"):
            renderConnect(Authority("a", 1), [(each, b"x")])


@pytest.mark.parametrize(
    "name", [b"", b"a b", b"a:", b"a\r\nb", b"a\0", b"\xe9", b" a", b"a\n"]
)
def test_badNames(name: bytes) -> None:
    """A name is a token."""
    with pytest.raises(ValueError, match="not the name of a header field"):
        checkField(name, b"x")


@pytest.mark.parametrize(
    "value",
    [b"a\r\nb", b"a\n", b"\n", b"a\rb", b"a\0b", b"a\x0b", b"\x7f", b" a", b"a\t"],
)
def test_badValues(value: bytes) -> None:
    """A value can break no line."""
    with pytest.raises(ValueError, match="the value of X-Field holds"):
        renderConnect(Authority("a", 1), [(b"X-Field", value)])


@pytest.mark.parametrize("field", [("X-A", b"b"), (b"X-A", "b"), ("X-A", "b")])
def test_textIsNoField(field: Any) -> None:
    """What programs write at first is answered by what they have to write."""
    with pytest.raises(TypeError, match='b"X-Name", b"value"'):
        renderConnect(Authority("a", 1), [field])


def test_secretsAreNotRepeated() -> None:
    """What is wrong with a value is said without it."""
    with pytest.raises(ValueError) as raised:
        checkField(b"Proxy-Authorization", b"hunter2\n")
    assert "hunter2" not in str(raised.value)


TOKENS = st.text("abcXYZ-_.!09", min_size=1, max_size=8).map(str.encode)
VALUES = st.binary(max_size=12).filter(
    lambda value: not set(value) & (set(range(32)) | {127}) and value == value.strip()
)


@given(
    st.sampled_from(["a.b:1", "[::1]:443", "1.2.3.4:80"]),
    st.lists(
        st.tuples(TOKENS, VALUES).filter(lambda f: f[0].lower() not in RESERVED),
        max_size=4,
    ),
)
def test_readAsMeant(target: str, fields: list[tuple[bytes, bytes]]) -> None:
    """[UP-01] What is written, our own server and h11 read as it was meant."""
    written = renderConnect(parseAuthority(target), fields)
    sent = [(name.lower(), value) for name, value in fields]
    for _, pieces in chunkings(written):
        parser = HeadParser()
        heads = [parser.feed(piece) for piece in pieces]
        head = heads[-1]
        assert head is not None and parser.trailing == b""
        assert str(head.authority) == target and not head.hostDiffers
        assert list(head.headers) == [(b"host", target.encode()), *sent]
    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(written)
    event = oracle.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (b"CONNECT", target.encode())
    assert list(event.headers) == [(b"host", target.encode()), *sent]
