"""
The command C{txconnect passwd FILE USER}, which writes a password file.

A proxy may read the file at any time, and an operator may be interrupted at any
time: so a new file is written whole beside the old one, and renamed over it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import TextIO

from txconnect.auth.hashes import makeHash
from txconnect.wire.grammar import findControl, findControlOctet

__all__ = ["main", "setPassword"]

USAGE = """\
Usage: txconnect passwd FILE USER

Set USER's password in FILE, for --auth htpasswd:FILE.  The file is
created if it does not exist, readable only by its owner (mode 0600).  The
command asks for the password twice; if standard input is not a terminal, its
first line is the password.
"""

MODE = 0o600
"""The mode of a password file."""

# The scheme cannot carry control characters (RFC 7617, 2), nor C1 ones in a
# way that two clients agree on.


def setPassword(path: str | os.PathLike[str], user: str, password: str | bytes) -> bool:
    """
    Give a user a password, with a new scrypt hash.

    The file is replaced in one step: a reader sees the whole old one or the
    whole new one.  Other lines and comments stay as they are.  Its owner stays,
    its mode becomes 0600, and a symbolic link stays one.

    @param password: a C{str} is taken as UTF-8, as the Basic scheme does.
    @return: true when the user is new.
    @raise ValueError: no client can send this user or password, or the file
        cannot hold it.
    @raise OSError: the file cannot be read or written.
    """
    name, octets = _checkUser(user), _checkPassword(password)
    target = os.path.realpath(path)
    lines, owner = _readLines(target)
    entry = name + b":" + makeHash(octets).text
    theirs = [line.startswith(name + b":") for line in lines]
    new = not any(theirs)
    if new:
        lines.append(entry)
    else:
        lines[theirs.index(True)] = entry
        # A second line of this user would keep the old password alive.
        extra = {at for at, his in enumerate(theirs) if his} - {theirs.index(True)}
        lines = [line for at, line in enumerate(lines) if at not in extra]
    _replaceFile(target, b"".join(line + b"\n" for line in lines), owner)
    return new


def main(
    argv: Sequence[str],
    stdin: TextIO,
    stdout: TextIO,
    stderr: TextIO,
    prompt: Callable[[str], str] = getpass.getpass,
) -> int:
    """
    Run the command C{txconnect passwd}.

    @param argv: the arguments after C{passwd}.
    @param prompt: a function that asks for a password without showing it.
    @return: the exit status: 0 for success, 1 for failure, 2 for wrong usage.
    """
    if list(argv) in (["-h"], ["--help"]):
        stdout.write(USAGE)
        return 0
    if len(argv) != 2 or argv[0].startswith("-"):
        stderr.write(USAGE)
        return 2
    path, user = argv
    try:
        # Now, so that nobody types a password twice for a user that is refused.
        _checkUser(user)
        _checkPlace(path)
        new = setPassword(path, user, _askPassword(user, stdin, prompt))
    except (EOFError, KeyboardInterrupt):
        stderr.write("\ntxconnect passwd: nothing was changed\n")
        return 1
    except OSError as error:
        stderr.write(f"txconnect passwd: {path}: {error.strerror or error}\n")
        return 1
    except ValueError as error:
        stderr.write(f"txconnect passwd: {error}\n")
        return 1
    stdout.write(f"{path}: {'added' if new else 'changed'} {user}\n")
    return 0


def _checkPlace(path: str) -> None:
    directory = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise ValueError(f"{path} is a directory: name a file in it")
    if not os.path.isdir(directory):
        raise ValueError(f"{path}: {directory} is no directory; make it first")


def _askPassword(user: str, stdin: TextIO, prompt: Callable[[str], str]) -> str:
    if not stdin.isatty():
        # One line: a password file's line holds no more, and echo adds its end.
        line = stdin.readline()
        if not line:
            raise ValueError("there is no password on standard input")
        return _requireNonEmpty(line.removesuffix("\n").removesuffix("\r"))
    password = _requireNonEmpty(prompt(f"Password for {user}: "))
    if prompt("The same again: ") != password:
        raise ValueError("the two passwords differ; nothing was changed")
    return password


def _requireNonEmpty(password: str) -> str:
    if not password:
        raise ValueError("the password is empty; nothing was changed")
    return password


def _checkUser(user: str) -> bytes:
    if not user:
        raise ValueError("the user is empty")
    if ":" in user:
        raise ValueError("the user holds a colon, which ends it on the wire")
    if findControl(user):
        raise ValueError("the user holds a control character")
    if user.startswith("#"):
        raise ValueError("the user starts with '#', as a comment does")
    return _encodeText(user, "user")


def _checkPassword(password: str | bytes) -> bytes:
    octets = (
        _encodeText(password, "password") if isinstance(password, str) else password
    )
    if findControlOctet(octets):
        raise ValueError("the password holds a control character")
    return octets


def _encodeText(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # Surrogates: the terminal or the pipe spoke another encoding.
        raise ValueError(f"the {what} is not UTF-8") from None


def _readLines(path: str) -> tuple[list[bytes], os.stat_result | None]:
    try:
        with open(path, "rb") as file:
            content = file.read().removesuffix(b"\n")
            lines = content.split(b"\n") if content else []
            return lines, os.fstat(file.fileno())
    except FileNotFoundError:
        return [], None


def _replaceFile(path: str, content: bytes, owner: os.stat_result | None) -> None:
    # In the same directory, as only a file system can rename within itself.
    # mkstemp makes it 0600 before there is anything to read.
    descriptor, temporary = tempfile.mkstemp(
        prefix=".passwd-", dir=os.path.dirname(path)
    )
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), MODE)
            if owner is not None and owner.st_uid != os.geteuid():
                # root changes the file of the user that the proxy runs as.
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            # A crash after the rename must not leave an empty file.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
