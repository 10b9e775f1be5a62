"""
Fields and answers of an embedding program's own, checked before they are sent.

The octets behind a 200 to CONNECT are the tunnel's, so a field about the framing or
the connection there would make something else of them; and one line break in a
value would begin a second answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from itertools import islice

from txconnect.wire.grammar import matchFieldValue
from txconnect.wire.http1.connect import RESERVED, checkField

MOST = 32
"""The most fields that may be added to one answer."""

SIZE = 4096
"""The most octets of the added fields' names and values."""

CONTENT = 1024 * 1024
"""The most octets of an answer's content."""

Fields = tuple[tuple[bytes, bytes], ...]

# One has its length after a content that is not sent, the other is the proxy's own.
_NOT_FROM_HERE = (HTTPStatus.NOT_MODIFIED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)


def checkedFields(given: Iterable[object]) -> Fields:
    """
    Return fields as octets, each checked.

    @param given: C{(name, value)} of each, in text or bytes.
    @raise TypeError: a name or a value is neither bytes nor text.
    @raise ValueError: there are too many, a name rules the connection or the framing,
        or a value is not one line of what a field may hold.  The message never
        repeats a value.
    """
    fields = tuple(_checkedField(each) for each in islice(given, MOST + 1))
    if len(fields) > MOST:
        raise ValueError(f"more than {MOST} fields")
    if sum(len(name) + len(value) for name, value in fields) > SIZE:
        raise ValueError(f"the fields have more than {SIZE} octets")
    return fields


def _checkedField(field: object) -> tuple[bytes, bytes]:
    if not isinstance(field, tuple) or len(field) != 2:
        raise TypeError("a field is a pair of its name and its value")
    name, value = (_octets(each) for each in field)
    if name.lower() in RESERVED:
        shown = name.decode("ascii")
        raise ValueError(f"{shown} rules the connection: it cannot be added")
    checkField(name, value)
    return name, value


def _octets(text: object) -> bytes:
    if isinstance(text, str):
        if not text.isascii():
            raise ValueError("a field in text is ASCII; give other octets as bytes")
        return text.encode("ascii")
    if type(text) is not bytes:
        raise TypeError(f"a field is text or bytes, not {type(text).__name__}")
    return text


def checkAnswer(status: int, contentType: str, content: bytes) -> None:
    """
    Check the parts of an answer but for its further fields.

    @raise ValueError: the status is none that an answer from here may have, the
        content is too long or does not go with it, or its type is no field's value.
    """
    if type(status) is not int or not 200 <= status <= 599 or status in _NOT_FROM_HERE:
        raise ValueError(
            f"{status!r} is not a status of 200 to 599, without 304 and 407"
        )
    if status == HTTPStatus.NO_CONTENT and content:
        raise ValueError("a 204 has no content")
    if len(content) > CONTENT:
        raise ValueError(f"the content has more than {CONTENT} octets")
    if not contentType or not matchFieldValue(_octets(contentType)):
        raise ValueError("the content's type is not a field's value")


def phraseOf(status: int) -> str:
    """Return the reason phrase of a status, empty for one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
