"""Fields and answers of a program's own: only what can be sent safely."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import pytest

from txconnect.values import Answer
from txconnect.wire import answerfields
from txconnect.wire.answerfields import CONTENT, MOST, SIZE, checkedFields
from txconnect.wire.http1.rendering import (
    ESTABLISHED,
    renderEstablished,
    renderResponse,
)
from txconnect.wire.responses import answerResponse


def test_fieldsAreOctets() -> None:
    """[F60] Text and bytes, in their order."""
    given = [("X-A", "1"), (b"X-B", b"\xe9"), ("x-a", "")]
    assert checkedFields(given) == ((b"X-A", b"1"), (b"X-B", b"\xe9"), (b"x-a", b""))
    assert checkedFields(iter(given)) == checkedFields(given)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (("X-A", "1\r\nX-B: 2"), "the value of X-A holds a control character"),
        (("X-A", b"1\n"), "the value of X-A holds a control character"),
        (("X-A", " 1"), "white space at an end"),
        (("X-A", "\0"), "control character"),
        (("X A", "1"), "is not the name of a header field"),
        (("", "1"), "is not the name of a header field"),
        (("X-A:", "1"), "is not the name of a header field"),
        (("Content-Length", "0"), "Content-Length rules the connection"),
        (("transfer-encoding", "chunked"), "transfer-encoding rules the connection"),
        ((b"CONNECTION", b"close"), "CONNECTION rules the connection"),
        (("Upgrade", "h2c"), "Upgrade rules the connection"),
        (("Trailer", "X"), "Trailer rules the connection"),
        (("Keep-Alive", "5"), "Keep-Alive rules the connection"),
        (("X-A", "é"), "a field in text is ASCII"),
    ],
)
def test_fieldsThatCannotBeSent(field: Any, said: str) -> None:
    """[F60] Nothing about the framing, and nothing that begins another field."""
    with pytest.raises(ValueError, match=said) as raised:
        checkedFields([field])
    assert "X-B" not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    ["X-A: 1", b"X-A", ["X-A"], [("X-A",)], [("X-A", 1)], [["X-A", "1"]], [None]],
)
def test_fieldsThatAreNone(given: Any) -> None:
    with pytest.raises(TypeError, match="a field is"):
        checkedFields(given)


def test_fieldsAreBounded() -> None:
    """[F60] Too many, too long, and without an end."""
    assert len(checkedFields([("a", "b")] * MOST)) == MOST
    with pytest.raises(ValueError, match=f"more than {MOST} fields"):
        checkedFields(repeat(("a", "b")))
    assert checkedFields([("a", "b" * (SIZE - 1))])
    with pytest.raises(ValueError, match=f"more than {SIZE} octets"):
        checkedFields([("a", "b" * SIZE)])


def test_establishedWithFields() -> None:
    """[F60] Nothing but fields stands between the status line and the empty line."""
    assert renderEstablished(()) == ESTABLISHED
    assert renderEstablished(((b"X-A", b"1"), (b"X-B", b""))) == (
        b"HTTP/1.1 200 Connection established\r\nX-A: 1\r\nX-B: \r\n\r\n"
    )


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"status": 100}, "100 is not a status"),
        ({"status": 199}, "199 is not a status"),
        ({"status": 600}, "600 is not a status"),
        ({"status": 304}, "304 is not a status"),
        ({"status": 407}, "407 is not a status"),
        ({"status": True}, "True is not a status"),
        ({"status": "200"}, "'200' is not a status"),
        ({"status": 204, "content": "x"}, "a 204 has no content"),
        ({"content": b"x" * (CONTENT + 1)}, "the content has more than"),
        ({"contentType": "text/plain\r\nX: 1"}, "the content's type"),
        ({"contentType": ""}, "the content's type"),
        ({"fields": [("Content-Length", "3")]}, "Content-Length rules"),
    ],
)
def test_answersThatCannotBeSent(parts: Any, said: str) -> None:
    """[F60] They are refused where they are made."""
    with pytest.raises(ValueError, match=said):
        Answer(**parts)


@pytest.mark.parametrize("status", [200, 204, 406, 408, 599])
def test_statusesThatCanBeSent(status: int) -> None:
    """[F60] The first and the last, and those beside what cannot be."""
    assert Answer(status=status).status == status


def test_theLongestContent() -> None:
    """[F60] A MiB, and no octet more."""
    assert len(Answer(b"x" * 1024 * 1024).content) == CONTENT


@pytest.mark.parametrize("content", [None, 1, bytearray(b"x"), ["x"]])
def test_contentOfAnotherType(content: Any) -> None:
    with pytest.raises(TypeError, match="the content is text or bytes, not"):
        Answer(content)


@pytest.mark.parametrize(
    ("answer", "method", "octets"),
    [
        (
            Answer("grün\n"),
            "GET",
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Cache-Control: no-store\r\nContent-Length: 6\r\n\r\ngr\xc3\xbcn\n",
        ),
        (
            Answer(
                "down\n", 503, fields=[("Retry-After", "5"), ("cache-control", "x")]
            ),
            "HEAD",
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\ncache-control: x\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            Answer(status=204),
            "OPTIONS",
            b"HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n\r\n",
        ),
        (
            Answer(b"{}", 299, fields=[("content-type", "application/json")]),
            "GET",
            b"HTTP/1.1 299 \r\ncontent-type: application/json\r\n"
            b"Cache-Control: no-store\r\nContent-Length: 2\r\n\r\n{}",
        ),
    ],
)
def test_answersAsOctets(answer: Answer, method: str, octets: bytes) -> None:
    """[F60] The content has its length and type; a HEAD gets the head, a 204 no length."""
    assert renderResponse(answerResponse(answer), False, method) == octets


def test_reservedOnceForAll() -> None:
    """What rules a connection in a request does in an answer, too."""
    assert b"content-length" in answerfields.RESERVED
