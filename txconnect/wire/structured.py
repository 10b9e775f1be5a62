"""
Structured fields (RFC 9651, which obsoletes RFC 8941): reading Lists, and
writing the part that C{Proxy-Status} needs.

Written are Tokens, Strings, Integers and Booleans, with parameters; read is
every type, as others may have put it into a parameter.  What RFC 9651, 4 says
cannot be written, or read, raises L{ValueError}: nothing is repaired or cut
here.
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
_LARGEST = 999_999_999_999_999


class Token(str):
    """
    A value to be written as a Token; any other C{str} is written as a String.

    Not checked before it is written: see L{isToken}.
    """

    __slots__ = ()


class Date(int):
    """A Date: seconds since 1970 (RFC 9651, 3.3.7)."""

    __slots__ = ()


class DisplayString(str):
    """A Display String: text beyond ASCII (RFC 9651, 3.3.8)."""

    __slots__ = ()


BareItem = bool | int | str
"""What can be written: a Boolean, an Integer, a String or a L{Token}."""

ReadItem = bool | int | Decimal | str | bytes
"""
What can be read: the same, and a L{Date}, a L{DisplayString}, a Decimal or a
Byte Sequence.
"""


@attrs.frozen
class Item:
    """
    A member of a List, or of an Inner List.

    @ivar value: what it is; a tuple for an Inner List.
    @ivar parameters: in order.
    """

    value: ReadItem | tuple[Item, ...]
    parameters: Mapping[str, ReadItem]


def isToken(text: str) -> bool:
    """Whether a text can be written as a Token (RFC 9651, 3.3.4)."""
    return _TOKEN.fullmatch(text) is not None


def serializeItem(value: BareItem, parameters: Mapping[str, BareItem]) -> str:
    """
    Write an Item, or a member of a List, with its parameters (RFC 9651, 4.1.3).

    @raise ValueError: for a value or a key that has no form on the wire.
    """
    return serializeBareItem(value) + "".join(
        _serializeParameter(key, parameters[key]) for key in parameters
    )


def serializeBareItem(value: BareItem) -> str:
    """
    Write a value without parameters (RFC 9651, 4.1.3.1).

    @raise ValueError: for a value that has no form on the wire.
    """
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, int):
        if abs(value) > _LARGEST:
            raise ValueError("an Integer has at most 15 digits")
        return str(value)
    if isinstance(value, Token):
        if not isToken(value):
            raise ValueError("a Token is made of other characters")
        return str(value)
    return _serializeString(value)


def _serializeString(value: str) -> str:
    if not _STRING.fullmatch(value):
        raise ValueError("a String is made of printable ASCII")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _serializeParameter(key: str, value: BareItem) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError("a parameter's key is made of other characters")
    return f";{key}" if value is True else f";{key}={serializeBareItem(value)}"


def parseList(octets: bytes) -> tuple[Item, ...]:
    """
    Read a List (RFC 9651, 4.2.1).

    @param octets: the field's value; of several fields, all values with a
        comma between them.
    @raise ValueError: when any part of it is not exactly as it must be.
    """
    return _Reader(octets.decode("ascii")).readList()


class _Reader:
    """A text, and how far it has been read."""

    def __init__(self, text: str) -> None:
        self._text = text.strip(" ")
        self._at = 0

    def readList(self) -> tuple[Item, ...]:
        members: list[Item] = []
        while not self._ended():
            members.append(self._member())
            self._match(_OPTIONAL_SPACE)
            if self._ended():
                break
            self._expect(",")
            self._match(_OPTIONAL_SPACE)
            if self._ended():
                raise ValueError("a comma at the end of a List")
        return tuple(members)

    def _member(self) -> Item:
        if not self._take("("):
            return self._item()
        inner: list[Item] = []
        while True:
            self._match(_SPACES)
            if self._take(")"):
                return Item(tuple(inner), self._parameters())
            inner.append(self._item())
            if self._peek() not in (" ", ")"):
                raise ValueError("an Inner List goes on without a space")

    def _item(self) -> Item:
        return Item(self._bareItem(), self._parameters())

    def _parameters(self) -> dict[str, ReadItem]:
        found: dict[str, ReadItem] = {}
        while self._take(";"):
            self._match(_SPACES)
            key = self._match(_KEY)[0]
            found[key] = self._bareItem() if self._take("=") else True
        return found

    def _bareItem(self) -> ReadItem:
        first = self._peek()
        if first == '"':
            return re.sub(r"\\(.)", r"\1", self._match(_QUOTED)[1])
        if first == ":":
            return _decode(self._match(_BYTES)[1])
        if first == "?":
            return self._match(_BOOLEAN)[1] == "1"
        if first == "%":
            octets = unquote_to_bytes(self._match(_DISPLAY)[1])
            return DisplayString(octets.decode("utf-8"))
        if self._take("@"):
            return self._date()
        if first == "-" or first.isdigit():
            return self._number()
        return Token(self._match(_TOKEN)[0])

    def _date(self) -> Date:
        seconds = self._number()
        if isinstance(seconds, Decimal):
            raise ValueError("a Date is a whole number")
        return Date(seconds)

    def _number(self) -> int | Decimal:
        whole, fraction = self._match(_NUMBER).groups()
        digits = len(whole.removeprefix("-"))
        if fraction is None:
            if digits > 15:
                raise ValueError("an Integer has at most 15 digits")
            return int(whole)
        if digits > 12 or not 2 <= len(fraction) <= 4:
            raise ValueError("a Decimal has at most 12 digits, a point and 1 to 3")
        return Decimal(whole + fraction)

    def _ended(self) -> bool:
        return self._at == len(self._text)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, character: str) -> bool:
        taken = self._peek() == character
        self._at += taken
        return taken

    def _expect(self, character: str) -> None:
        if not self._take(character):
            raise ValueError(f"no {character!r} where one must be")

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"at {self._at}: nothing that can be read")
        self._at = match.end()
        return match


def _decode(base64: str) -> bytes:
    # RFC 9651, 4.2.7: padding may be missing.
    stripped = base64.rstrip("=")
    return b64decode(stripped + "=" * (-len(stripped) % 4), validate=True)
