"""
The head of an answer to CONNECT.
"""

from __future__ import annotations

import h11
import httptools
import pytest
from answerreading import answered, flawed, read
from hypothesis import example, given, strategies as st

from txconnect.wire.http1.answer import (
    AnswerHead,
    AnswerLimits,
    AnswerParser,
    BadAnswer,
    Flaw,
)

OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


def test_answer() -> None:
    """[UP-03] [T2] The head, its fields in order, and the octets behind it."""
    answer, trailing = answered(
        b"HTTP/1.1 200 OK then\r\nVia:  1.1 a \r\nX:\r\nvia: 1.1 b\t\r\n\r\n"
        b"SSH-2.0-banner\r\n"
    )
    assert answer == AnswerHead(
        200,
        "OK then",
        ((b"via", b"1.1 a"), (b"x", b""), (b"via", b"1.1 b")),
        "1.1",
    )
    assert trailing == b"SSH-2.0-banner\r\n"
    assert answer.values(b"via") == (b"1.1 a", b"1.1 b")
    assert answer.header(b"via") == b"1.1 a, 1.1 b"
    assert answer.header(b"x") == b""
    assert answer.header(b"y") is None


@pytest.mark.parametrize(
    ("line", "status", "reason", "version"),
    [
        (b"HTTP/1.1 200 OK", 200, "OK", "1.1"),
        (b"HTTP/1.0 200 OK", 200, "OK", "1.0"),
        (b"HTTP/1.9 200 OK", 200, "OK", "1.1"),
        (b"HTTP/1.1 200 ", 200, "", "1.1"),
        (b"HTTP/1.1 200", 200, "", "1.1"),
        (b"HTTP/1.1 200  a\tb ", 200, " a\tb ", "1.1"),
        (b"HTTP/1.1 204 \xe9", 204, "\xe9", "1.1"),
        (b"HTTP/1.1 999 x", 999, "x", "1.1"),
    ],
)
def test_statusLines(line: bytes, status: int, reason: str, version: str) -> None:
    """Any status of three digits; the reason, and its space, may be missing."""
    answer, _ = answered(line + b"\r\n\r\n")
    assert answer == AnswerHead(status, reason, (), version)


@pytest.mark.parametrize(
    ("status", "established"),
    [(101, False), (199, None), (200, True), (201, True), (204, True), (299, True)]
    + [(300, False), (403, False), (407, False), (502, False), (600, False)],
)
def test_established(status: int, established: bool | None) -> None:
    """[UP-02] [UP-04] [T2] Any 2xx is a tunnel, and nothing else is, 101 least."""
    outcome = read(b"HTTP/1.1 %d x\r\n\r\n" % status)
    if established is None:
        assert outcome is None
    else:
        assert outcome is not None and isinstance(outcome[0], AnswerHead)
        assert outcome[0].established is established


def test_framingIsNotRead() -> None:
    """[UP-02] [T2] Behind a 2xx all octets are the tunnel's, whatever it says."""
    for field in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
        _, trailing = answered(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n5\r\nhello" % field)
        assert trailing == b"5\r\nhello"


def test_interim() -> None:
    """[UP-04] Interim answers are skipped, and leave no field behind."""
    answer, trailing = answered(
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + b"HTTP/1.1 500"
    )
    assert (answer.status, answer.headers) == (200, ())
    assert trailing == b"HTTP/1.1 500"


@pytest.mark.parametrize(
    "stream",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.10 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"\n",
        b" HTTP/1.1 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\x05\xff",
        b"<html>",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 0200 OK\r\n\r\n",
        b"HTTP/1.1 020 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1\t200 OK\r\n\r\n",
        b"HTTP/1.1 200\tOK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 200 O\rK\r\n\r\n",
        b"HTTP/1.1 200 OK\n\r\n",
        b"HTTP/1.1 200 OK\r\n\n",
        b"HTTP/1.1 200 OK\r\nA: b\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\rc: d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\r\n",
        b"HTTP/1.1 103 x\r\n\r\nHTTP/3 200 OK\r\n\r\n",
        b"HTTP/1.1 103 x\r\n\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_malformed(stream: bytes) -> None:
    """[UP-11] [T2] What is no answer to the letter is none, at any chunking."""
    flaw, reason = flawed(stream)
    assert flaw is Flaw.MALFORMED
    assert reason.isprintable()


@pytest.mark.parametrize("stream", [b"\x16", b"HTTP/2", b"S", b"\n"])
def test_atOnce(stream: bytes) -> None:
    """[UP-11] Another protocol is seen without waiting for a line's end."""
    with pytest.raises(BadAnswer, match="malformed: the answer is not one of HTTP/1"):
        AnswerParser().feed(stream)


def test_size() -> None:
    """[UP-11] [T2] The head is bounded, to the octet, interim answers included."""
    stream = b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nA: bcd\r\n\r\n"
    size = len(stream)
    assert answered(stream + b"more", AnswerLimits(size=size))[1] == b"more"
    for less in range(8, size):
        flaw, _ = flawed(stream + b"more", AnswerLimits(size=less))
        assert flaw is Flaw.TOO_LARGE


@pytest.mark.parametrize(
    "stream",
    [
        b"HTTP/1.1 200 " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"A: 0123456789012345678901234567890\r\n" * 99 * 30,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
    ],
)
def test_endless(stream: bytes) -> None:
    """[UP-11] [T2] A head without end ends at the limits, in any form."""
    outcome = AnswerParser()
    with pytest.raises(BadAnswer) as raised:
        for at in range(0, len(stream), 4096):
            outcome.feed(stream[at : at + 4096])
    assert raised.value.flaw is Flaw.TOO_LARGE


def test_fields() -> None:
    """[UP-11] Fields are bounded, those of interim answers included."""
    limits = AnswerLimits(fields=3)
    interim = b"HTTP/1.1 103 x\r\nA: b\r\n\r\n"
    head = interim + b"HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\n"
    assert answered(head + b"\r\n", limits)[0].values(b"a") == (b"b", b"b")
    assert flawed(head + b"A: b\r\n\r\n", limits)[0] is Flaw.TOO_LARGE


@pytest.mark.parametrize("cut", range(len(OK)))
def test_incomplete(cut: int) -> None:
    """[T2] A part of a 200 is never taken for one."""
    parser = AnswerParser()
    assert parser.feed(OK[:cut]) is None
    assert parser.started is (cut > 0)
    with pytest.raises(BadAnswer) as raised:
        parser.endInput()
    assert raised.value.flaw is Flaw.INCOMPLETE
    assert ("within" if cut else "before") in raised.value.reason
    with pytest.raises(RuntimeError):
        parser.feed(b"\n")


def test_doneIsDone() -> None:
    """The end of the connection is no matter once the answer is told."""
    parser = AnswerParser()
    assert parser.feed(OK) is not None
    parser.endInput()
    with pytest.raises(RuntimeError):
        parser.feed(b"x")


NAMES = st.sampled_from([b"Via", b"content-length", b"Set-Cookie", b"X-y", b"Date"])
VALUES = st.sampled_from([b"", b"1", b"a, b", b'"q"', b"caf\xe9", b"a\tb", b"5"])
LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.0 407 Auth",
        b"HTTP/1.1 503 ",
        b"HTTP/1.1 204",
        b"HTTP/1.1 302 caf\xe9",
    ]
)
MUTANTS = [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b"\x80", b"1", b"HTTP/1."]


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Answers, most of them with one octet or so of damage."""
    lines = [draw(LINES)]
    fields = draw(
        st.lists(st.tuples(NAMES, VALUES), max_size=3, unique_by=lambda f: f[0])
    )
    lines += [
        b"%b: %b" % field for field in fields if field != (b"content-length", b"")
    ]
    stream = b"\r\n".join(lines) + b"\r\n\r\n"
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(stream)))
        cut = draw(st.integers(0, 2))
        stream = stream[:at] + draw(st.sampled_from(MUTANTS)) + stream[at + cut :]
    return stream


class Told:
    """What llhttp says of an answer."""

    def __init__(self) -> None:
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))


@given(streams())
@example(b"HTTP/1.1 407 x\r\nVia: a\r\n\r\n")
def test_oracles(stream: bytes) -> None:
    """
    [UP-11] What is accepted here, h11 and llhttp accept with the same meaning.

    They are asked as by a GET: both take framing fields of a CONNECT's 2xx for
    nothing, as we do, and so would not look at them.  Where an answer's
    framing fields are malformed they complain, and are not asked: we give
    these fields no meaning.
    """
    outcome = read(stream)
    if outcome is None or not isinstance(outcome[0], AnswerHead):
        return
    answer, trailing = outcome
    assert isinstance(trailing, bytes)
    head = stream[: len(stream) - len(trailing)]
    if answer.values(b"content-length") not in ((), (b"1",), (b"5",)):
        return
    oracle = h11.Connection(h11.CLIENT)
    oracle.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    oracle.receive_data(head)
    event = oracle.next_event()
    assert isinstance(event, h11.Response)
    assert event.status_code == answer.status
    assert event.reason == answer.reason.encode("latin-1")
    assert [(name, value) for name, value in event.headers] == list(answer.headers)
    told = Told()
    parser = httptools.HttpResponseParser(told)
    parser.feed_data(head)
    assert parser.get_status_code() == answer.status
    assert told.reason == answer.reason.encode("latin-1")
    assert told.headers == list(answer.headers)
