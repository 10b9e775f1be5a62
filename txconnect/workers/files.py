"""
Files that are named on the command line and that only root may read: keys,
passwords.

They are opened while C{twistd} still is root, and looked at again when it is
not any more.  What can still be read then is left alone, so that a password
file is read again when it changes.  Of the others the contents are kept in
memory, and a worker, also one that is started much later, finds them under
C{/proc/self/fd}.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence

import attrs

from txconnect.errors import ConfigurationError

LARGEST = 1 << 20
"""Octets; what is larger is no key and no password file."""

_PLUGINS = ("auth-scheme", "policy", "router", "tap", "pair")
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_SEALS = ("F_SEAL_WRITE", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_SEAL")
_PART = re.compile(r"(?:\\.|[^:\\])+", re.DOTALL)
_ITEM = re.compile(r"[^:,=]+")
_TARGETS = re.compile(r"(?:\A|=)(?:https?|socks5h?)://", re.IGNORECASE)
_TARGET_FILE = re.compile(r",(?:credentials|ca|cert|key)=(?!env:)([^,|]+)")


@attrs.frozen
class Named:
    """
    Where an option names what may be a file.

    @ivar option: the option's place on the command line.
    @ivar start: where the name begins in the option's text; C{end} likewise.
    @ivar path: the file, absolute.
    """

    option: int
    start: int
    end: int
    path: str


def namedFiles(options: Sequence[str]) -> list[Named]:
    """
    Every file that the options name: what stands behind the first colon of
    C{--auth}, a part of C{--listen}, C{credentials=} and the like of a
    C{--route}, and a path with a slash among the arguments of a plugin.  A log,
    which is written, is none of these.

    @param options: C{--name=value} each.
    """
    return [
        named
        for number, option in enumerate(options)
        for named in _namesIn(number, option)
        if os.path.isfile(named.path)
    ]


def _namesIn(number: int, option: str) -> Iterator[Named]:
    name, _, value = option.removeprefix("--").partition("=")
    base = len(option) - len(value)
    head, colon, rest = value.partition(":")
    start = base + len(head) + 1
    if name == "auth" and rest:
        yield Named(number, start, len(option), os.path.abspath(rest))
    elif name == "listen" and colon:
        for part in _PART.finditer(option, start):
            key, equals, text = part[0].rpartition("=")
            path = re.sub(r"\\(.)", r"\1", text)
            if path.isdigit():
                continue  # a port
            at = part.start() + len(key) + len(equals)
            yield Named(number, at, part.end(), os.path.abspath(path))
    elif name == "route":
        found = _TARGETS.search(value)
        targets = base + (found.start() if found else len(value))
        yield from _arguments(number, option, start, targets)
        for file in _TARGET_FILE.finditer(option, targets):
            yield Named(number, *file.span(1), os.path.abspath(file[1]))
    elif name in _PLUGINS and colon:
        yield from _arguments(number, option, start, len(option))


def _arguments(number: int, option: str, start: int, end: int) -> Iterator[Named]:
    for item in _ITEM.finditer(option, start, end):
        if "/" in item[0]:
            yield Named(number, *item.span(), os.path.abspath(item[0]))


class RootFiles:
    """
    The files of one command line.

    @ivar descriptors: what has been kept, for every worker to inherit.
    """

    def __init__(
        self,
        options: Sequence[str],
        readable: Callable[[str], bool] | None = None,
    ) -> None:
        """
        @param options: as L{namedFiles} takes them; relative names count from
            the directory that is the current one now.
        @param readable: whether this process may read a path, now.
        """
        self._options = list(options)
        self._named = namedFiles(options)
        self._readable = readable or _readable
        self._opened: dict[str, int] = {}
        self._kept: dict[str, int] = {}

    def open(self) -> None:
        """Open them all; called while the program has all its rights."""
        for named in self._named:
            if named.path not in self._opened:
                descriptor = _openFile(named.path)
                if descriptor is not None:
                    self._opened[named.path] = descriptor

    def keep(self) -> None:
        """
        Keep the contents of what cannot be read any more; called with the
        rights that the workers will have.

        @raise ConfigurationError: this system cannot do that.
        """
        opened, self._opened = self._opened, {}
        for path, descriptor in opened.items():
            with os.fdopen(descriptor, "rb") as file:
                if not self._readable(path):
                    self._kept[path] = _inMemory(file.read(LARGEST))

    @property
    def descriptors(self) -> list[int]:
        return list(self._kept.values())

    def close(self) -> None:
        """Forget everything."""
        for descriptor in (*self._opened.values(), *self._kept.values()):
            os.close(descriptor)
        self._opened.clear()
        self._kept.clear()

    def options(self, first: int) -> list[str]:
        """
        The command line for a worker that inherits L{descriptors}.

        @param first: the number of the first of them there.
        """
        paths = {
            path: f"/proc/self/fd/{number}"
            for number, path in enumerate(self._kept, first)
        }
        told = list(self._options)
        # From the end, so that what stands before keeps its place.
        for named in reversed(self._named):
            if named.path in paths:
                text = told[named.option]
                told[named.option] = (
                    text[: named.start] + paths[named.path] + text[named.end :]
                )
        return told


def _readable(path: str) -> bool:
    return os.access(path, os.R_OK, effective_ids=True)


def _openFile(path: str) -> int | None:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        # Not even now: who needs it will say so.
        return None
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
    # One worker must not change what the next one reads.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _seals())
    return descriptor


def _seals() -> int:
    return sum(getattr(fcntl, name) for name in _SEALS)
