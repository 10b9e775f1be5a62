"""
Structured fields (RFC 9651, which obsoletes RFC 8941): writing the part that
C{Proxy-Status} needs.

Tokens, Strings, Integers and Booleans, with parameters.  What RFC 9651, 4.1
says cannot be written raises L{ValueError}: nothing is repaired or cut here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["BareItem", "Token", "isToken", "serializeBareItem", "serializeItem"]

_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_STRING = re.compile(r"[ -~]*")
_LARGEST = 999_999_999_999_999


class Token(str):
    """
    A value to be written as a Token; any other C{str} is written as a String.

    Not checked before it is written: see L{isToken}.
    """

    __slots__ = ()


BareItem = bool | int | str
"""What can be written: a Boolean, an Integer, a String or a L{Token}."""


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
