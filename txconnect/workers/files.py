"""
Files that the configuration names and only root may read: keys, passwords.

They are opened while C{twistd} is still root, and checked again after it has
dropped its privileges.  A file that can still be read then keeps its path, so
that a password file is read again when it changes.  The contents of the others
are kept in memory, and a worker, even one that starts much later, finds them
under C{/proc/self/fd}: its configuration names that path instead.

A name is found by the shape of the text, as no plugin tells which files it will
read.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from txconnect.configuration import Configuration
from txconnect.errors import ConfigurationError
from txconnect.plugins.places import isPlace
from txconnect.rereading import LIMIT

LARGEST = LIMIT
"""The most octets; a larger file is no key, no password file and no list."""

# Not blocking: opening a FIFO would wait for its writer.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_SEALS = ("F_SEAL_WRITE", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_SEAL")
_PART = re.compile(r"(?:\\.|[^:\\])+", re.DOTALL)
_ITEM = re.compile(r"(?:\\.|[^:,=\\])+", re.DOTALL)
_TARGETS = re.compile(r"(?:\A|=)(?:https?|socks5h?)://", re.IGNORECASE)
_TARGET_FILE = re.compile(
    r",\s*(?:credentials|ca|cert|key)=(?!env:)((?:\\.|[^,|\\])+)", re.DOTALL
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

Span = tuple[int, int, str]
"""The start and the end of a path in a text, and the path."""


@attrs.frozen
class FileReference:
    """
    A place in the configuration that names a file.

    @ivar field: the field of the configuration.
    @ivar index: of the text in that field.
    @ivar start: the index at which the path begins in the text; C{end} likewise.
    @ivar path: the file, absolute.
    """

    field: str
    index: int
    start: int
    end: int
    path: str


def fileReferences(configuration: Configuration) -> list[FileReference]:
    """
    Find every file that a configuration names: the argument of a checker, a
    part of a listener, C{credentials=} and the like of a route, a path with a slash
    in the argument of a plugin, and C{@FILE} there.  The file of an observer is none of
    these: a log is written.
    """
    return [
        FileReference(field, index, start, end, path)
        for field, find in _FINDERS.items()
        for index, text in enumerate(_fieldTexts(configuration, field))
        for start, end, name in find(text)
        if os.path.isfile(path := os.path.abspath(name))
    ]


def _fieldTexts(configuration: Configuration, field: str) -> tuple[str, ...]:
    value = getattr(configuration, field)
    if field == "pair":
        return () if value is None else (value,)
    texts: tuple[str, ...] = value
    return texts


def _inChecker(text: str) -> Iterator[Span]:
    name, _, path = text.partition(":")
    if isPlace(name):
        # Its argument is read as that of any plugin, and begins after NAME.
        start = text.find(":", len(name) + 1) + 1 or len(text)
        yield from _itemsWithSlash(text, start, len(text))
    elif path:
        yield len(name) + 1, len(text), path


def _inListener(text: str) -> Iterator[Span]:
    kind, colon, _ = text.partition(":")
    for part in _PART.finditer(text, len(kind) + len(colon)):
        key, equals, value = part[0].rpartition("=")
        path = _ESCAPE.sub(r"\1", value)
        # A port is no file, even where one of that name exists.
        if not path.isdigit():
            yield part.start() + len(key) + len(equals), part.end(), path


def _inRoute(text: str) -> Iterator[Span]:
    # The pattern before the targets is a policy, whose argument may be a file.
    found = _TARGETS.search(text)
    targets = found.start() if found else len(text)
    yield from _pathArguments(text, targets)
    for file in _TARGET_FILE.finditer(text, targets):
        yield *file.span(1), _ESCAPE.sub(r"\1", file[1])


def _inPlugin(text: str) -> Iterator[Span]:
    return _pathArguments(text, len(text))


def _pathArguments(text: str, end: int) -> Iterator[Span]:
    yield from _itemsWithSlash(text, text.find(":") + 1 or len(text), end)


def _itemsWithSlash(text: str, start: int, end: int) -> Iterator[Span]:
    for item in _ITEM.finditer(text, start, end):
        # A list of items stands in a file behind the mark.
        path = item[0].strip()
        name = path.removeprefix("@")
        if "/" in name or name != path:
            begin = text.index(name, item.start())
            yield begin, begin + len(name), _ESCAPE.sub(r"\1", name)


_FINDERS: dict[str, Callable[[str], Iterator[Span]]] = {
    "checkers": _inChecker,
    "listeners": _inListener,
    "routes": _inRoute,
    **dict.fromkeys(
        ("schemes", "policies", "routers", "taps", "pair", "plugins"), _inPlugin
    ),
}
"""For each field that may name files, the function that finds them in a text."""


class RootFiles:
    """
    The files of one configuration.
    """

    def __init__(
        self,
        configuration: Configuration,
        readable: Callable[[str], bool] | None = None,
    ) -> None:
        """
        @param configuration: relative names in it count from the current
            directory at this moment.
        @param readable: tells whether this process may read a path now.
        """
        self._configuration = configuration
        self._references = fileReferences(configuration)
        self._isReadable = readable or _isReadable
        self._opened: dict[str, int] = {}
        self._kept: dict[str, int] = {}

    def open(self) -> None:
        """Open all files; called before the program drops its privileges."""
        for reference in self._references:
            if reference.path not in self._opened:
                descriptor = _openFile(reference.path)
                if descriptor is not None:
                    self._opened[reference.path] = descriptor

    def keep(self) -> None:
        """
        Keep the contents of the files that cannot be read any more; called with
        the privileges that the workers will have.

        @raise ConfigurationError: this system has no files in memory.
        """
        opened, self._opened = self._opened, {}
        for path, descriptor in opened.items():
            with os.fdopen(descriptor, "rb") as file:
                if not self._isReadable(path):
                    self._kept[path] = _inMemory(file.read(LARGEST))

    @property
    def descriptors(self) -> list[int]:
        """The files in memory, for every worker to inherit."""
        return list(self._kept.values())

    def close(self) -> None:
        """Close all files, and forget the contents."""
        for descriptor in (*self._opened.values(), *self._kept.values()):
            os.close(descriptor)
        self._opened.clear()
        self._kept.clear()

    def configuration(self, first: int) -> Configuration:
        """
        Return the configuration for a worker that inherits L{descriptors}.

        @param first: the number of the first of these descriptors in the worker.
        """
        # The order of the descriptors is that of the paths: both are of one dict.
        paths = {
            path: f"/proc/self/fd/{number}"
            for number, path in enumerate(self._kept, first)
        }
        kept = [each for each in self._references if each.path in paths]
        changed: dict[str, Any] = {
            field: _replacePaths(
                _fieldTexts(self._configuration, field),
                [each for each in kept if each.field == field],
                paths,
            )
            for field in {each.field for each in kept}
        }
        if "pair" in changed:
            [changed["pair"]] = changed["pair"]
        return attrs.evolve(self._configuration, **changed)


def _replacePaths(
    texts: tuple[str, ...], references: list[FileReference], paths: Mapping[str, str]
) -> tuple[str, ...]:
    replaced = list(texts)
    # From the end, so that the indexes of earlier paths stay right.
    for each in reversed(references):
        text = replaced[each.index]
        replaced[each.index] = text[: each.start] + paths[each.path] + text[each.end :]
    return tuple(replaced)


def _isReadable(path: str) -> bool:
    # By the effective user: the real one may still be root.
    return os.access(path, os.R_OK, effective_ids=True)


def _openFile(path: str) -> int | None:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        # Not even root can open it: the plugin that needs it will report that.
        return None
    # Checked on the descriptor: the path may lead elsewhere a moment later.
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST:
        return descriptor
    os.close(descriptor)
    return None


def _inMemory(content: bytes) -> int:
    if not hasattr(os, "memfd_create") or not os.path.isdir("/proc/self/fd"):
        raise ConfigurationError(
            "handing a file that only root may read to workers needs memfd_create and "
            "/proc; make the keys and password files readable for the user of --uid"
        )
    descriptor = os.memfd_create(
        "txconnect", os.MFD_CLOEXEC | getattr(os, "MFD_ALLOW_SEALING", 0)
    )
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    # One worker must not change the content for the next one.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _sealFlags())
    return descriptor


def _sealFlags() -> int:
    return sum(getattr(fcntl, name) for name in _SEALS)
