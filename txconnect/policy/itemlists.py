"""
The items of a policy: those of its argument, and those of files that it names.

An item C{@FILE} stands for the items in a file: one a line, C{#} begins a comment,
and a file names no further file.  What was said of such a file at start-up holds for
each later version (L{txconnect.rereading}): a line that cannot be read, octets that
are not UTF-8, and a last line without its end make it bad.  The last line counts
because a name that is cut short is another name, and it may be somebody's.

A version is read when the file has rested for a second, and looked for at most once a
second, in the call of a policy: 10,000 lines hold the reactor for some hundredths of
a second, once a change.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from twisted.logger import Logger

from txconnect.errors import ConfigurationError
from txconnect.rereading import RereadFile

__all__ = ["AddsItems", "ItemList", "shownItem", "strippedItem", "withoutZone"]

LOOK_EVERY = 1.0
"""Seconds between two looks at a file; a new version counts after two of these."""

_SHOWN = 80
_ZONE = re.compile(r"%[^\]/]*")
_NESTED = "a file names no further file; give each in the argument"

_log = Logger()


class AddsItems(Protocol):
    """A set of items, as a policy searches it."""

    def add(self, item: str) -> None:
        """
        Add an item.

        @raise ValueError: it is none; with a sentence that repeats it.
        """


_Set = TypeVar("_Set", bound=AddsItems)


class ItemList(Generic[_Set]):
    """
    The items of one policy, in one set for its argument and one for each file.

    @ivar items: the items of the argument, each once, the files' paths absolute.
    """

    # The clocks of the files; tests replace them.
    seconds = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def __init__(
        self,
        items: Iterable[str],
        makeSet: Callable[[], _Set],
        noun: str,
        mayBeEmpty: bool = True,
    ) -> None:
        """
        @param makeSet: makes an empty set.
        @param noun: a file's name in messages, such as C{"the list of hosts"}.
        @param mayBeEmpty: whether a file without an item is a good one: it is for
            a list that allows, and refuses all; one that denies would allow all.
        @raise ValueError: there is no item, or one is wrong.
        """
        self.items = tuple(dict.fromkeys(map(_withAbsolutePath, items)))
        self._makeSet = makeSet
        self._noun = noun
        self._mayBeEmpty = mayBeEmpty
        direct = makeSet()
        self._files: list[RereadFile[_Set]] = []
        for item in self.items:
            if item.startswith("@"):
                self._files.append(self._watchFile(item[1:]))
            else:
                direct.add(item)
        self._direct: Sequence[_Set] = (direct,)

    def sets(self) -> Sequence[_Set]:
        """Return the sets as they are now; an item is in one of them."""
        if not self._files:
            return self._direct
        return (*self._direct, *[file.content() for file in self._files])

    def _watchFile(self, path: str) -> RereadFile[_Set]:
        return RereadFile(
            path,
            self._parseFile,
            self._noun,
            every=LOOK_EVERY,
            settle=LOOK_EVERY,
            seconds=self.seconds,
            wall=self.wall,
        )

    def _parseFile(self, path: str, data: bytes) -> _Set:
        made, empty = self._makeSet(), True
        for number, line in enumerate(_linesOf(path, data), 1):
            # Not all white space: what is not a space or a tab is a mistake.
            item = line.partition("#")[0].strip(" \t\r")
            if not item:
                continue
            empty = False
            try:
                if item[0] == "@":
                    raise ValueError(f"{shownItem(item)}: {_NESTED}")
                made.add(item)
            except ValueError as error:
                raise ConfigurationError(f"{path}:{number}: {error}") from None
        if empty:
            self._noteEmpty(path)
        return made

    def _noteEmpty(self, path: str) -> None:
        if not self._mayBeEmpty:
            raise ConfigurationError(
                f"{path}: {self._noun} has no item, so it would deny nothing; without "
                "the policy nothing is denied either"
            )
        _log.warn(
            "{path}: {noun} has no item, so it allows nothing",
            path=path,
            noun=self._noun,
        )


def shownItem(item: str) -> str:
    """Return an item for a message, cut where it is too long."""
    return repr(item if len(item) <= _SHOWN else item[:_SHOWN] + "...")


def withoutZone(item: str) -> str:
    """
    Return an item without the zone of an IPv6 address, C{%eth0} (RFC 4007, 11).

    No request has one, and addresses are compared without it, so an item that has one
    would cover more than it says.
    """
    return _ZONE.sub("", item)


def strippedItem(item: str) -> str:
    """
    Return an item without white space at its ends.

    @raise ValueError: it is no text, such as a list of items.
    """
    given: object = item
    if not isinstance(given, str):
        raise ValueError(
            f"an item is a text, not of type {type(given).__name__}; give each item "
            "as an argument of its own"
        )
    return given.strip()


def _withAbsolutePath(item: str) -> str:
    # Made absolute here: a daemon changes its directory.
    item = strippedItem(item)
    if not item.startswith("@"):
        return item
    if item == "@":
        raise ValueError("'@' names no file: write @FILE")
    return "@" + os.path.abspath(item[1:])


def _linesOf(path: str, data: bytes) -> list[str]:
    """Return the lines of a file that is whole, as far as can be seen."""
    if data and not data.endswith(b"\n"):
        number = data.count(b"\n") + 1
        raise ConfigurationError(
            f"{path}:{number}: the last line has no end, so the file may be half of "
            "one; end it with a newline"
        )
    try:
        # With the mark that some editors put in front.
        return data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{number}: this is not UTF-8") from None
