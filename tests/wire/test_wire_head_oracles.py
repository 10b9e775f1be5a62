"""
The head of a CONNECT against two other parsers, h11 and llhttp (by httptools).

[T5] [T14] What we accept, both accept with the same meaning: nothing that
passes here is another request to anybody else.  The converse does not hold and
is not meant to: both accept heads that a CONNECT proxy must refuse.

Where an oracle legitimately differs, and what the tests make of it:

  - h11 reads C{Host} as RFC 9112 does; we keep to our own grammar of hosts,
    which is narrower.  Without any it refuses HTTP/1.1; it is given one then.
  - h11 limits a head to its own size, set here to be larger than ours.
  - llhttp takes C{HTTP/1.0} and C{HTTP/1.1} and no other minor version; the
    others are given to h11 alone, which calls them what they are.
  - h11 does not skip empty lines in front of the request line, as RFC 9112, 2.2
    asks (SHOULD); it is given the stream without them.
  - llhttp leaves white space at the end of a field's value to its user; RFC 9112,
    5 excludes it from the value, and so does this test.
  - httptools tells of a CONNECT's end by L{httptools.HttpParserUpgrade}, whose
    argument is the offset of what stands behind the head.
"""

from __future__ import annotations

import random
import re

import h11
import httptools
from headreading import read, readPieces
from hypothesis import example, given, note, settings, strategies as st

from txconnect.wire.http1.head import Head, HeadLimits

TCHAR = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
VALUE = bytes(range(0x21, 0x7F)) + bytes(range(0x80, 0x100)) + b" \t"
KNOWN = [
    b"User-Agent",
    b"Proxy-Authorization",
    b"Proxy-Connection",
    b"Connection",
    b"Keep-Alive",
    b"Upgrade",
    b"Expect",
    b"TE",
    b"Trailer",
    b"Content-Length",
    b"Transfer-Encoding",
    b"Host",
]
MUTANTS = [
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b":",
    b"\0",
    b"\x0b",
    b"\x80",
    b"0",
    b"/",
]


def octets(alphabet: bytes, least: int, most: int) -> st.SearchStrategy[bytes]:
    """
    Octets out of an alphabet.

    Drawn all at once: to draw each by itself took most of the time here.
    """
    table = bytes(alphabet[code % len(alphabet)] for code in range(256))
    drawn = st.binary(min_size=least, max_size=most)
    return drawn.map(lambda data: data.translate(table))


NAMES = st.sampled_from(
    [
        b"example.com",
        b"EXAMPLE.com.",
        b"a_b.-",
        b"1.2.3.4",
        b"[::1]",
        b"[::FFFF:1.2.3.4]",
    ]
)
PORTS = st.sampled_from([b"1", b"443", b"65535"])
BLANK = st.sampled_from([b"", b" ", b"\t", b"  \t "])
VALUES = st.one_of(
    octets(VALUE, 0, 20), st.sampled_from([b"close", b"h2c", b"0", b"chunked", b"x=y"])
)
FIELDS = st.lists(
    st.tuples(
        st.one_of(octets(TCHAR, 1, 8), st.sampled_from(KNOWN[:10])),
        BLANK,
        VALUES,
        BLANK,
    ).map(lambda parts: parts[0] + b":" + b"".join(parts[1:])),
    max_size=5,
)
# Made once: a strategy made within a draw is checked in each.
VERSIONS = st.sampled_from([b"1.1"] * 6 + [b"1.0"] * 3 + [b"1.2"])
SPELLINGS = st.sampled_from([b"Host: ", b"host:", b"HOST:\t"])
EMPTY = st.sampled_from([b"", b"\r\n", b"\r\n\r\n"])
EDGE = re.compile(rb"\A|(?=[ \t:\r\n])|(?<=[ \t:\r\n])")
SEEDS = st.integers(0, 2**32)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Heads that are valid or nearly so, with odd but legal parts."""
    name, port = draw(NAMES), draw(PORTS)
    version = draw(VERSIONS)
    fields = draw(FIELDS)
    if draw(st.sampled_from([True, True, True, False])):
        host = draw(st.sampled_from([name, name + b":", name + b":" + port]))
        at = draw(st.integers(0, len(fields)))
        fields.insert(at, draw(SPELLINGS) + host + draw(BLANK))
    line = b"CONNECT " + name + b":" + port + b" HTTP/" + version
    return draw(EMPTY) + b"\r\n".join([line, *fields, b"", b""])


def damaged(stream: bytes, source: random.Random) -> bytes:
    """
    A stream in which an octet or two was changed, put in or left out: anywhere,
    or where one part ends and another begins.
    """
    for _ in range(source.randint(1, 2)):
        edges = [match.start() for match in EDGE.finditer(stream)]
        at = source.choice([source.randint(0, len(stream)), source.choice(edges)])
        some = bytes(source.choices(VALUE, k=source.randint(0, 2)))
        instead = source.choice([source.choice(MUTANTS), some])
        stream = stream[:at] + instead + stream[at + source.randint(0, 2) :]
    return stream


class Heard:
    """What httptools tells of a request."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.rstrip(b" \t")))


def fieldsOf(head: Head) -> list[tuple[bytes, bytes]]:
    """Our fields, with the credentials that we keep apart, without an order."""
    secret = [] if head.credentials is None else [head.credentials]
    return sorted(
        [*head.headers, *((b"proxy-authorization", value) for value in secret)]
    )


def agreesWithH11(stream: bytes, head: Head, target: bytes, trailing: bytes) -> None:
    """h11 reads the same request out of the stream."""
    fields = fieldsOf(head)
    if b"host" not in dict(fields):
        # h11 wants one of HTTP/1.1, which a CONNECT may lack here (H1-03).
        fields = sorted([*fields, (b"host", b"x")])
        line, _, rest = stream.partition(b"\r\n")
        stream = line + b"\r\nHost: x\r\n" + rest
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
    connection.receive_data(stream)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    assert request.method == b"CONNECT"
    assert request.target == target
    assert (request.http_version == b"1.0") == (head.httpVersion == "1.0")
    assert sorted(request.headers) == fields
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    assert connection.next_event() is h11.PAUSED
    assert connection.trailing_data == (trailing, False)


def agreesWithLlhttp(stream: bytes, head: Head, target: bytes, trailing: bytes) -> None:
    """llhttp reads the same request out of the stream."""
    heard = Heard()
    parser = httptools.HttpRequestParser(heard)
    try:
        parser.feed_data(stream)
    except httptools.HttpParserUpgrade as upgrade:
        assert stream[upgrade.args[0] :] == trailing
    else:
        raise AssertionError("llhttp does not think that the head is complete")
    assert parser.get_method() == b"CONNECT"
    assert heard.target == target
    assert parser.get_http_version() == head.httpVersion
    assert sorted(heard.fields) == fieldsOf(head)


def check(stream: bytes) -> bool:
    """
    Read a stream; when it is accepted, both oracles must agree.

    @return: whether it was accepted.
    """
    outcome = read(stream)
    if outcome is None or not isinstance(outcome[0], Head):
        return False
    head, trailing = outcome
    assert isinstance(trailing, bytes)
    begun = stream.lstrip(b"\r\n")
    _, target, version = begun.partition(b"\r\n")[0].split(b" ")
    agreesWithH11(begun, head, target, trailing)
    if version in (b"HTTP/1.0", b"HTTP/1.1"):
        agreesWithLlhttp(stream, head, target, trailing)
    return True


@settings(max_examples=400)
@given(heads(), st.binary(max_size=30))
@example(b"CONNECT a:1 HTTP/1.0\r\n\r\n", b"")
@example(b" \r\nCONNECT a:1 HTTP/1.0\r\n\r\n", b"")
@example(b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"")
@example(b"CONNECT a:1 HTTP/1.1\r\nHost:\r\n\r\n", b"")
@example(b"CONNECT a:1 HTTP/1.1\r\nhost:a\r\nContent-Length: 0\r\n\r\n", b"\r\n")
def test_validHeads(stream: bytes, early: bytes) -> None:
    """[H1-01] [H1-17] [T1] Odd but legal heads mean the same to all three."""
    check(stream + early)


@settings(max_examples=250)
@given(heads(), SEEDS, st.binary(max_size=10))
def test_mutatedHeads(stream: bytes, seed: int, early: bytes) -> None:
    """
    [H1-12] [T14] What passes although it was damaged is not two things at once.

    A head takes longer to draw than to read, so each is damaged in many ways:
    3000 in all, of which about 400 pass.
    """
    source = random.Random(seed)
    for _ in range(12):
        mutant = damaged(stream, source) + early
        note(repr(mutant))
        check(mutant)


def test_theGeneratorIsWorthSomething() -> None:
    """Most heads of the first kind pass, else the properties would hold of nothing."""
    passed: list[bool] = []

    @settings(max_examples=200, database=None)
    @given(heads())
    def count(stream: bytes) -> None:
        passed.append(check(stream))

    count()
    assert sum(passed) > len(passed) // 2


def test_everyChangeOfOneOctet() -> None:
    """[H1-06] [T14] Each octet in turn is each other octet: nobody disagrees."""
    stream = b"CONNECT a.b:1 HTTP/1.1\r\nHost: a.b:1\r\nX-y: z\r\n\r\n"
    accepted = 0
    for at in range(len(stream)):
        for code in range(256):
            accepted += check(stream[:at] + bytes([code]) + stream[at + 1 :] + b"!")
    assert accepted > len(stream)


@settings(max_examples=100)
@given(heads(), SEEDS)
def test_splitsDecideNothing(stream: bytes, seed: int) -> None:
    """
    [T1] One outcome for one stream, at any split and any limit.

    A head takes longer to draw than to read, so each is read ten times, at other
    limits and splits, whole and damaged.
    """
    source = random.Random(seed)
    for number in range(10):
        variant = damaged(stream, source) if number % 2 else stream
        limits = HeadLimits(size=source.randint(1, 120), fields=source.randint(0, 3))
        count = min(len(variant), source.randint(0, 6))
        cuts = sorted(source.sample(range(len(variant)), count))
        edges = [0, *cuts, len(variant)]
        pieces = [variant[a:b] for a, b in zip(edges, edges[1:], strict=False)]
        note(f"{limits} {pieces}")
        whole = readPieces([variant], limits)
        assert readPieces(pieces, limits) == whole
        assert read(variant, limits) == whole
