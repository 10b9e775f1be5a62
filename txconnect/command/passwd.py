"""
Writing a password file: C{txconnect passwd FILE USER}.
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

Set USER's password in FILE, for --auth htpasswd:FILE.  The file is made when
it does not exist, readable by its owner alone (mode 0600).  The password is
asked for twice; when standard input is no terminal, its first line is taken.
"""

MODE = 0o600

# The scheme cannot carry control characters (RFC 7617, 2), nor C1 ones in a
# way that two clients agree on.


def setPassword(path: str | os.PathLike[str], user: str, password: str | bytes) -> bool:
    """
    Give a user a password, with a new scrypt hash.

    The file is replaced in one step: who reads it sees the old one or the new
    one whole.  Other lines and comments stay as they are.  Its owner stays,
    its mode becomes 0600, and a symbolic link stays one.

    @param password: a C{str} is taken as UTF-8, as the Basic scheme does.
    @return: whether the user is new.
    @raise ValueError: when the user or the password is one that no client
        can send, or that the file cannot hold.
    @raise OSError: when the file cannot be read or written.
    """
    name, octets = _checkUser(user), _checkPassword(password)
    target = os.path.realpath(path)
    lines, owner = _read(target)
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
    _replace(target, b"".join(line + b"\n" for line in lines), owner)
    return new


def main(
    argv: Sequence[str],
    stdin: TextIO,
    stdout: TextIO,
    stderr: TextIO,
    prompt: Callable[[str], str] = getpass.getpass,
) -> int:
    """
    The command C{txconnect passwd}.

    @param argv: what stands behind C{passwd}.
    @param prompt: asks for a password without showing it.
    @return: the exit status: 0, 1 when it could not be done, 2 for wrong
        usage.
    """
    if list(argv) in (["-h"], ["--help"]):
        stdout.write(USAGE)
        return 0
    if len(argv) != 2 or argv[0].startswith("-"):
        stderr.write(USAGE)
        return 2
    path, user = argv
    try:
        # Before anything is typed.
        _checkUser(user)
        new = setPassword(path, user, _ask(user, stdin, prompt))
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


def _ask(user: str, stdin: TextIO, prompt: Callable[[str], str]) -> str:
    if not stdin.isatty():
        line = stdin.readline()
        if not line:
            raise ValueError("there is no password on standard input")
        return _nonEmpty(line.removesuffix("\n").removesuffix("\r"))
    password = _nonEmpty(prompt(f"Password for {user}: "))
    if prompt("The same again: ") != password:
        raise ValueError("the two passwords differ; nothing was changed")
    return password


def _nonEmpty(password: str) -> str:
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
    return _encode(user, "user")


def _checkPassword(password: str | bytes) -> bytes:
    octets = _encode(password, "password") if isinstance(password, str) else password
    if findControlOctet(octets):
        raise ValueError("the password holds a control character")
    return octets


def _encode(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # Surrogates: the terminal or the pipe spoke another encoding.
        raise ValueError(f"the {what} is not UTF-8") from None


def _read(path: str) -> tuple[list[bytes], os.stat_result | None]:
    try:
        with open(path, "rb") as file:
            content = file.read().removesuffix(b"\n")
            lines = content.split(b"\n") if content else []
            return lines, os.fstat(file.fileno())
    except FileNotFoundError:
        return [], None


def _replace(path: str, content: bytes, owner: os.stat_result | None) -> None:
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
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
