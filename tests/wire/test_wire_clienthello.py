"""
The ClientHello: the name that it asks for, and all that is none.
"""

from __future__ import annotations

import random
import ssl

import pytest
from clienthellos import (
    ECH,
    GREASE,
    hello,
    hostName,
    message,
    names,
    realHello,
    records,
    vector,
)
from hypothesis import given, strategies as st

from txconnect.wire.clienthello import (
    MOST,
    BadClientHello,
    ClientHello,
    ClientHelloParser,
)


def read(pieces: list[bytes]) -> ClientHello | str | None:
    """What the pieces are: a message, the complaint, or nothing yet."""
    parser = ClientHelloParser()
    for piece in pieces:
        try:
            found = parser.feed(piece)
        except BadClientHello as bad:
            return str(bad)
        if found is not None:
            return found
    return None


def readAll(data: bytes) -> ClientHello | str | None:
    """The same whole, one at a time, and in random splits."""
    whole = read([data])
    assert read([data[at : at + 1] for at in range(len(data))]) == whole
    for seed in range(20):
        cuts = sorted(random.Random(seed).choices(range(len(data) + 1), k=4))
        edges = [0, *cuts, len(data)]
        pieces = [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]
        assert read(pieces) == whole
    return whole


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["example.com", "xn--mnchen-3ya.example", None])
def test_realOnes(name: str | None, version: ssl.TLSVersion) -> None:
    """[F54] As OpenSSL sends them."""
    assert readAll(realHello(name, version)) == ClientHello(name)


@pytest.mark.parametrize("sizes", [(1,) * 600, (3, 1, 50), (4,), (100, 100)])
def test_realOnesInManyRecords(sizes: tuple[int, ...]) -> None:
    """[F54] Split over records at any place, the head of the message included."""
    content = realHello("example.com")[5:]
    assert readAll(records(content, sizes)) == ClientHello("example.com")


def test_whatFollowsInItsOwnRecordIsNotRead() -> None:
    """[F54] Early data of TLS 1.3, as long as they like."""
    data = hello() + b"\x17\x03\x03\x00\x10" + bytes(60000)
    assert read([data]) == ClientHello("example.com")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"Example.COM", "example.com"),
        (b"example.com.", "example.com"),
        (b"a_b.example", "a_b.example"),
        (b"localhost", "localhost"),
        (b"a", "a"),
        (b"192.0.2.1", "192.0.2.1"),
        (b"a" * 63 + b".example", "a" * 63 + ".example"),
    ],
)
def test_names(name: bytes, found: str) -> None:
    """[F54] In one form: lower case, no trailing dot."""
    assert readAll(hello(name)) == ClientHello(found)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (records(message(bare=True)), ClientHello(None)),
        (records(message()), ClientHello(None)),
        (
            records(message((GREASE, b""), hostName(b"a.example"), (0xFAFA, b"\x00"))),
            ClientHello("a.example"),
        ),
        (hello(b"a.example", (ECH, bytes(200))), ClientHello("a.example", True)),
        (records(message((ECH, b""))), ClientHello(None, True)),
        (records(message(session=bytes(32), version=b"\x03\x01")), ClientHello(None)),
        (
            records(message(version=b"\x03\x00", bare=True), version=0),
            ClientHello(None),
        ),
    ],
    ids=["bare", "no extension", "GREASE", "ECH", "ECH alone", "TLS 1.0", "SSL 3"],
)
def test_others(data: bytes, found: ClientHello) -> None:
    """[F54] Without a name, with unknown extensions, of old versions."""
    assert readAll(data) == found


NO_TLS = "the client sends no TLS"
LONGER = "longer than its place"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"GET / HTTP/1.1\r\n", NO_TLS),
        (b"SSH-2.0-x\r\n", NO_TLS),
        (b"\x16GET", NO_TLS),
        (b"\x16\x02\x00", NO_TLS),
        (b"\x00", NO_TLS),
        (b"\x80\x2e\x01\x03\x01\x00\x15", "no TLS, perhaps SSL 2"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "a TLS alert in place of"),
        (b"\x14\x03\x01\x00\x01\x01", "a TLS change_cipher_spec in place of"),
        (b"\x17\x03\x03\x00\x10", "TLS application data in place of"),
        (records(message(), (10,))[:15] + b"\x15\x03", "a TLS alert in place of"),
        (b"\x16\x03\x01\x00\x00", "a TLS record is empty"),
        (b"\x16\x03\x01\x40\x01", "longer than TLS allows"),
        (records(b"\x02" + vector(3, bytes(40))), "the first TLS message is no"),
        (b"\x16\x03\x01\x40\x00\x01\x00\x40\x00", "longer than 16384 octets"),
        (records(message() + b"\x0b\x00\x00\x00"), "something follows the"),
        (records(message() + b"\x01", (20,)), "something follows the"),
        (records(message(version=b"\x02\x00")), "is none of TLS"),
        (records(message(version=b"\x7f\x1c")), "is none of TLS"),
        (records(message(session=bytes(33))), "session id of the ClientHello is too"),
        (records(message(suites=b"")), "too short"),
        (records(message(suites=b"\x13\x01\x13")), "half a suite"),
        (records(message(compression=b"")), "too short"),
        (records(message(behind=b"x")), "shorter than its place"),
        (records(message(bare=True, behind=b"\x00")), LONGER),
        (records(message(bare=True, behind=b"\x00\x05\x00")), LONGER),
        (records(b"\x01" + vector(3, b"\x03\x03")), LONGER),
        (records(b"\x01" + vector(3, b"")), LONGER),
        (records(message((1, b""), (1, b""))), "has an extension twice"),
        (records(message(hostName(b"a.example"), hostName(b"a.example"))), "twice"),
        (records(message((0, b""))), LONGER),
        (records(message((0, names()))), "too short"),
        (records(message((0, names() + b"x"))), "too short"),
        (records(message((0, names((0, b"a.example")) + b"x"))), "shorter than its"),
        (records(message((0, names((1, b"a.example"))))), "otherwise than by host"),
        (
            records(message((0, names((0, b"a.example"), (0, b"b.example"))))),
            "names several servers",
        ),
        (records(message((0, names((0, b"a.example"), (1, b"b"))))), "several"),
        (records(message((0, names((0, b""))))), "too short"),
        (hello(b"a..example"), "is no host name"),
        (hello(b"."), "is no host name"),
        (hello(b"[::1]"), "is no host name"),
        (hello(b"::1"), "is no host name"),
        (hello(b"*.example"), "is no host name"),
        (hello(b"a.example\x00.b.example"), "is no host name"),
        (hello(b"a.example\r\nX: y"), "is no host name"),
        (
            hello("b\N{LATIN SMALL LETTER U WITH DIAERESIS}.example".encode()),
            "is no host",
        ),
        (hello(b"a" * 64 + b".example"), "is no host name"),
        (hello(b".".join([b"a" * 60] * 5)), "is no host name"),
        (hello(b"0x7f.1"), "is no host name"),
    ],
)
def test_refused(data: bytes, complaint: str) -> None:
    """[F54] With the same words wherever the octets are split."""
    said = readAll(data)
    assert isinstance(said, str)
    assert complaint in said


def test_theWholeMessageHasABound() -> None:
    """[F54] With the heads of its records; a message that announces more at once."""
    most = message((1, b""))
    padding = bytes(MOST - len(records(most)))
    largest = records(message((1, padding)))
    assert len(largest) == MOST
    assert read([largest]) == ClientHello(None)
    said = read([records(message((1, padding + b"x")))[:9]])
    assert said == "the ClientHello is longer than 16384 octets"
    # Its octets are few, the heads of their records are many.
    many = records(message((1, bytes(4000))), (1,) * 4000)
    assert read([many]) == said
    assert read([many[at : at + 999] for at in range(0, len(many), 999)]) == said
    assert read([many + bytes(60000)]) == said


def test_theLengthHasThreeOctets() -> None:
    """[F54] A high octet of the length is no mere decoration: what it announces is too
    long, and is not read as the short message that its other octets announce."""
    short = bytearray(message(hostName(b"a.example")))
    short[1] = 1
    assert "longer than 16384 octets" in str(readAll(records(bytes(short))))


def test_refusedAtTheFirstWrongOctet() -> None:
    """[F54] Nothing more is waited for."""
    assert read([b"\x16"]) is None
    assert read([b"\x16\x02"]) == NO_TLS
    assert read([b"\x16\x03"]) is None


def test_noMoreIsHeldThanTheBound() -> None:
    """[F54] Of a message that is not whole at the bound, whatever comes at once; one
    octet ahead of it more may come."""
    content = b"\x01" + (MOST - 9).to_bytes(3) + bytes(MOST - 9)
    many = records(content, (4000,) * 4)
    assert read([many[: MOST - 1]]) is None
    assert "longer than 16384" in str(read([many[:MOST]]))
    parser = ClientHelloParser()
    with pytest.raises(BadClientHello):
        parser.feed(many + bytes(1_000_000))
    assert len(parser._raw) + len(parser._message) <= MOST


def test_aFewOctetsAreNothingYet() -> None:
    """[F54] Every beginning of a message waits for more."""
    data = realHello("example.com")
    for size in range(len(data)):
        assert read([data[:size]]) is None


@given(st.data())
def test_mutatedOnes(data: st.DataObject) -> None:
    """[F54] Another octet anywhere: its own exception, or a message; never another."""
    octets = bytearray(hello(b"example.com", (ECH, b"abc"), (GREASE, b"")))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at] = data.draw(st.integers(0, 255))
    readAll(bytes(octets))


@given(st.binary(max_size=300))
def test_anyOctetsInARecord(content: bytes) -> None:
    """[F54] Never another exception than its own."""
    readAll(records(content) or b"\x16")
    readAll(records(b"\x01" + vector(3, content)))
    readAll(records(b"\x01" + vector(3, b"\x03\x03" + bytes(32) + content)))
    readAll(records(message((0, content))))
    readAll(content)
