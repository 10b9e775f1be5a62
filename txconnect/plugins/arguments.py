r"""
The argument of a plugin: the text after its name's colon.

It is items between commas, C{key=value} items last, as in a Python call::

    accesslog:/var/log/proxy.log,format=json

White space around an item is dropped.  A backslash before a character that is no
letter and no digit takes that character's meaning from it, as in the endpoint
strings of Twisted: C{\,} is a comma within an item, C{\=} an equals sign that makes
no key, C{\ } a space at an item's end, and C{\\} a backslash.  Before a letter or a
digit a backslash is a mistake: a path or an expression that was pasted would lose it
without a word.

This is the one place for it; the targets of a route are split and escaped so, too,
with bars between them.  The argument of a C{twisted.cred} checker that is
installed is its own, whole; that of one in a file or a module is read as here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import TypeVar

__all__ = [
    "buildFromArgument",
    "formOf",
    "parseArgument",
    "shownText",
    "splitItems",
    "unescape",
]

_T = TypeVar("_T")

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# A path with "=" in it, as /a=b/c, is an item and no key.
_KEY = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=(.*)", re.DOTALL)
_WIDEST = 120
"""The most characters of an argument that a message repeats."""


def parseArgument(argument: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """
    Read the argument of a plugin: see L{txconnect.plugins.arguments}.

    @return: the items, and the keys with their values.
    @raise ValueError: for an empty item, an item after a key, a key given twice,
        or a backslash that escapes nothing.
    """
    items: list[str] = []
    keys: dict[str, str] = {}
    for item in splitItems(argument):
        match = _KEY.fullmatch(item)
        if match is None:
            _addItem(items, keys, unescape(item))
        elif match[1] in keys:
            raise ValueError(f"the key {match[1]!r} is given twice")
        else:
            keys[match[1]] = unescape(match[2])
    return tuple(items), keys


def splitItems(argument: str, at: str = ",") -> list[str]:
    """
    Split an argument at the commas that no backslash escapes.

    @param at: the character at which to split, instead of a comma.
    @return: the items, still escaped, without the white space around them.
    @raise ValueError: a backslash escapes nothing.
    """
    items: list[str] = []
    mark = re.escape(at)
    pattern = re.compile(rf"((?:\\.|[^\\{mark}])*)({mark}|\Z)", re.DOTALL)
    place, more = 0, bool(argument.strip())
    while more:
        match = pattern.match(argument, place)
        if match is None:
            raise ValueError(r"a backslash at the end escapes nothing; write \\")
        items.append(_stripped(match[1]))
        place, more = match.end(), bool(match[2])
    return items


def _stripped(item: str) -> str:
    kept = item.lstrip()
    bare = kept.rstrip()
    # A space behind an odd number of backslashes is escaped.
    slashes = len(bare) - len(bare.rstrip("\\"))
    return bare + kept[len(bare) : len(bare) + slashes % 2]


def unescape(item: str) -> str:
    """
    Return an item without its escapes.

    @raise ValueError: a backslash escapes nothing.
    """
    return _ESCAPE.sub(_escapedCharacter, item)


def _escapedCharacter(match: re.Match[str]) -> str:
    if match[1].isalnum():
        raise ValueError(rf"\{match[1]} is no escape: a backslash itself is written \\")
    return match[1]


def _addItem(items: list[str], keys: dict[str, str], item: str) -> None:
    if not item:
        raise ValueError("an item of the argument is empty")
    if keys:
        # As in a Python call, which the argument becomes.
        raise ValueError(f"{item!r} follows a key=value item; those come last")
    items.append(item)


def formOf(name: str, build: Callable[..., object]) -> str:
    """
    Return the form of a plugin with its argument, as its parameters have it:
    C{Quota:TUNNELS[,octets=OCTETS]}.
    """
    items: list[str] = []
    for each in inspect.signature(build).parameters.values():
        word = each.name.upper()
        if each.kind is each.VAR_POSITIONAL:
            items.append(f"{word},...")
        elif each.kind is each.VAR_KEYWORD:
            items.append("KEY=VALUE,...")
        elif each.default is not each.empty:
            items.append(f"[{each.name}={word}]")
        elif each.kind is each.KEYWORD_ONLY:
            items.append(f"{each.name}={word}")
        else:
            items.append(word)
    argument = ",".join(items).replace(",[", "[,")
    if not argument:
        return name
    # All that may be left out takes its colon along.
    return f"{name}[:{argument[1:]}" if argument[0] == "[" else f"{name}:{argument}"


def buildFromArgument(
    build: Callable[..., _T], argument: str, form: str | Callable[[], str]
) -> _T:
    """
    Call C{build} with the items and keys of an argument.

    @param form: the correct form of the argument, or what makes it, for the message.
    @raise ValueError: when the argument does not fit C{build}'s parameters.
        Any error of C{build} itself passes through.
    """
    items, keys = parseArgument(argument)
    signature = inspect.signature(build)
    # Bound first, so that a TypeError inside C{build} is not taken for a wrong
    # argument of the operator's.
    try:
        signature.bind(*items, **keys)
    except TypeError as error:
        near = _nearestKey(signature, keys)
        right = form if isinstance(form, str) else form()
        raise ValueError(
            f"the argument does not fit, {error}{near}; write {right}"
        ) from None
    return build(*items, **keys)


def _nearestKey(signature: inspect.Signature, keys: dict[str, str]) -> str:
    """Return a hint for a key that no parameter takes, or nothing."""
    for key in keys:
        if key not in signature.parameters:
            near = get_close_matches(key, signature.parameters, 1)
            return f" (did you mean {near[0]}=?)" if near else ""
    return ""


def shownText(text: str) -> str:
    """Return an operator's own text as messages repeat it: printable, and not long."""
    shown = text if text.isprintable() and text else ascii(text)
    return shown if len(shown) <= _WIDEST else shown[: _WIDEST - 3] + "..."
