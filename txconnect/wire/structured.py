"""
Structured fields (RFC 9651, which obsoletes RFC 8941): reading Lists, and
writing the part that C{Proxy-Status} needs.

The writer knows Tokens, Strings, Integers and Booleans, with parameters; the
reader knows every type, as others may have put it into a parameter.  A value
that RFC 9651, 4 forbids to write, or to read, raises L{ValueError}: nothing is
repaired or cut here.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import unquote_to_bytes

import attrs

from txconnect.wire.grammar import TOKEN_CHARACTERS

__all__ = [
    "BareItem",
    "Date",
    "DisplayString",
    "Item",
    "ReadItem",
    "Token",
    "isToken",
    "parseList",
    "serializeBareItem",
    "serializeItem",
]

_TOKEN = re.compile(rf"[A-Za-z*][{TOKEN_CHARACTERS}:/]*")
_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_STRING = re.compile(r"[ -~]*")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_DISPLAY = re.compile(r'%"((?:[ !#$&-~]|%[0-9a-f]{2})*)"')
_NUMBER = re.compile(r"(-?[0-9]+)(\.[0-9]*)?")
_BYTES = re.compile(r":((?:[A-Za-z0-9+/]+={0,2})?):")
_BOOLEAN = re.compile(r"\?([01])")
_SPACES = re.compile(r" *")
_OPTIONAL_SPACE = re.compile(r"[ \t]*")
# 15 digits, which an IEEE 754 double still holds exactly (RFC 9651, 3.3.1).
_LARGEST = 999_999_999_999_999


class Token(str):
    """
    A value that is written as a Token; any other C{str} is written as a String.

    Checked only by the writer: see L{isToken}.
    """

    __slots__ = ()


class Date(int):
    """A Date: seconds since 1970 (RFC 9651, 3.3.7)."""

    __slots__ = ()


class DisplayString(str):
    """A Display String: text beyond ASCII (RFC 9651, 3.3.8)."""

    __slots__ = ()


BareItem = bool | int | str
"""A value that can be written: a Boolean, an Integer, a String or a L{Token}."""

ReadItem = bool | int | Decimal | str | bytes
"""
A value that can be read: the same, and a L{Date}, a L{DisplayString}, a Decimal
or a Byte Sequence.
"""


@attrs.frozen
class Item:
    """
    A member of a List, or of an Inner List.

    @ivar value: the bare value; a tuple for an Inner List.
    @ivar parameters: the parameters, in order.
    """

    value: ReadItem | tuple[Item, ...]
    parameters: Mapping[str, ReadItem]


def isToken(text: str) -> bool:
    """Tell whether a text can be written as a Token (RFC 9651, 3.3.4)."""
    return _TOKEN.fullmatch(text) is not None


def serializeItem(value: BareItem, parameters: Mapping[str, BareItem]) -> str:
    """
    Write an Item, or a member of a List, with its parameters (RFC 9651, 4.1.3).

    @raise ValueError: for a value or a key that cannot be serialized.
    """
    return serializeBareItem(value) + "".join(
        _serializeParameter(key, parameters[key]) for key in parameters
    )


def serializeBareItem(value: BareItem) -> str:
    """
    Write a value without parameters (RFC 9651, 4.1.3.1).

    @raise ValueError: for a value that cannot be serialized.
    """
    # The order matters: a bool is an int to Python, and a Token is a str.
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, int):
        if abs(value) > _LARGEST:
            raise ValueError("an Integer has at most 15 digits")
        return str(value)
    if isinstance(value, Token):
        if not isToken(value):
            raise ValueError("a Token cannot hold these characters")
        return str(value)
    return _serializeString(value)


def _serializeString(value: str) -> str:
    if not _STRING.fullmatch(value):
        raise ValueError("a String can hold only printable ASCII")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _serializeParameter(key: str, value: BareItem) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError("a parameter's key cannot hold these characters")
    # "is", because 1 == True, and an Integer 1 is written out.
    return f";{key}" if value is True else f";{key}={serializeBareItem(value)}"


def parseList(octets: bytes) -> tuple[Item, ...]:
    """
    Read a List (RFC 9651, 4.2.1).

    @param octets: the field's value; for several fields all values, joined with
        commas.
    @raise ValueError: if any part of it is not exactly of the grammar.
    """
    return _Reader(octets.decode("ascii")).readList()


class _Reader:
    """A text, and the position up to which it has been read."""

    def __init__(self, text: str) -> None:
        self._text = text.strip(" ")
        self._at = 0

    def readList(self) -> tuple[Item, ...]:
        members: list[Item] = []
        while not self._atEnd():
            members.append(self._readMember())
            self._matchPattern(_OPTIONAL_SPACE)
            if self._atEnd():
                break
            self._expectCharacter(",")
            self._matchPattern(_OPTIONAL_SPACE)
            if self._atEnd():
                raise ValueError("a comma at the end of a List")
        return tuple(members)

    def _readMember(self) -> Item:
        if not self._takeCharacter("("):
            return self._readItem()
        inner: list[Item] = []
        while True:
            self._matchPattern(_SPACES)
            if self._takeCharacter(")"):
                return Item(tuple(inner), self._readParameters())
            inner.append(self._readItem())
            if self._peekCharacter() not in (" ", ")"):
                raise ValueError("an Inner List goes on without a space")

    def _readItem(self) -> Item:
        return Item(self._readBareItem(), self._readParameters())

    def _readParameters(self) -> dict[str, ReadItem]:
        found: dict[str, ReadItem] = {}
        while self._takeCharacter(";"):
            self._matchPattern(_SPACES)
            # Of a key that comes twice the last value counts (RFC 9651, 4.2.3.2).
            key = self._matchPattern(_KEY)[0]
            found[key] = self._readBareItem() if self._takeCharacter("=") else True
        return found

    def _readBareItem(self) -> ReadItem:
        # The first character alone decides the type (RFC 9651, 4.2.3.1).
        first = self._peekCharacter()
        if first == '"':
            return re.sub(r"\\(.)", r"\1", self._matchPattern(_QUOTED)[1])
        if first == ":":
            return _decodeBase64(self._matchPattern(_BYTES)[1])
        if first == "?":
            return self._matchPattern(_BOOLEAN)[1] == "1"
        if first == "%":
            octets = unquote_to_bytes(self._matchPattern(_DISPLAY)[1])
            return DisplayString(octets.decode("utf-8"))
        if self._takeCharacter("@"):
            return self._readDate()
        if first == "-" or first.isdigit():
            return self._readNumber()
        return Token(self._matchPattern(_TOKEN)[0])

    def _readDate(self) -> Date:
        seconds = self._readNumber()
        if isinstance(seconds, Decimal):
            raise ValueError("a Date is a whole number")
        return Date(seconds)

    def _readNumber(self) -> int | Decimal:
        whole, fraction = self._matchPattern(_NUMBER).groups()
        digits = len(whole.removeprefix("-"))
        if fraction is None:
            if digits > 15:
                raise ValueError("an Integer has at most 15 digits")
            return int(whole)
        if digits > 12 or not 2 <= len(fraction) <= 4:
            raise ValueError("a Decimal has up to 12 digits, a point and 1 to 3 digits")
        return Decimal(whole + fraction)

    def _atEnd(self) -> bool:
        return self._at == len(self._text)

    def _peekCharacter(self) -> str:
        return self._text[self._at : self._at + 1]

    def _takeCharacter(self, character: str) -> bool:
        taken = self._peekCharacter() == character
        self._at += taken
        return taken

    def _expectCharacter(self, character: str) -> None:
        if not self._takeCharacter(character):
            raise ValueError(f"{character!r} is missing")

    def _matchPattern(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"at {self._at}: the text breaks the grammar")
        self._at = match.end()
        return match


def _decodeBase64(base64: str) -> bytes:
    # RFC 9651, 4.2.7: padding may be missing.
    stripped = base64.rstrip("=")
    return b64decode(stripped + "=" * (-len(stripped) % 4), validate=True)
