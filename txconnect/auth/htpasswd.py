"""
A password file: C{user:hash} lines, as C{txconnect passwd} and
C{htpasswd -B} write them.

Verifying a password takes tens of milliseconds on purpose.  So it is done in
a thread, once for however many requests wait for the same answer, and a
positive answer is kept for a short time.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import blake2b
from shlex import quote
from typing import Union

import attrs
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.auth.basic import IBasicCredentials
from txconnect.auth.hashes import BadHash, PasswordHash, makeHash, parseHash
from txconnect.errors import ConfigurationError, Refused
from txconnect.rereading import RereadFile, readFile
from txconnect.values import Cause

__all__ = ["HtpasswdChecker", "Users", "readUsers"]

_log = Logger()

_NOUN = "the password file"

_Run = Callable[[Callable[[bytes], bool], bytes], "Deferred[bool]"]
# The type that ICredentialsChecker declares; here it is never the anonymous ().
_Avatar = Union[bytes, tuple[()]]


@attrs.frozen
class Users:
    """
    The users of a password file.

    @ivar hashes: the hash of each user.
    @ivar decoy: a hash of the file's most common kind, on which the time is
        spent that an unknown user must cost.
    """

    hashes: Mapping[bytes, PasswordHash]
    decoy: PasswordHash


def readUsers(path: str) -> Users:
    """
    Read a password file.  One without a user is an empty list: nobody may.

    @raise ConfigurationError: when it cannot be read or holds a line that is
        not understood; with the file and the line, and never with the text
        after the user, which may be a password.
    """
    return _parseUsers(path, readFile(path, _NOUN))


def _parseUsers(path: str, data: bytes) -> Users:
    hashes: dict[bytes, PasswordHash] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        # Also the CR of an editor that ends its lines with CRLF.
        line = line.rstrip()
        if not line or line.startswith(b"#"):
            continue
        try:
            user, stored = _readLine(line, path)
            if user in hashes:
                raise BadHash(f"the user {user.decode()!r} is listed a second time")
        except BadHash as error:
            raise ConfigurationError(f"{path}:{number}: {error}") from None
        hashes[user] = stored
    if not hashes:
        _log.warn(
            "{path}: the password file has no user, so nobody may; add one: "
            "txconnect passwd {quoted} USER",
            path=path,
            quoted=quote(path),
        )
    return Users(hashes, _chooseDecoy(hashes))


def _readLine(line: bytes, path: str) -> tuple[bytes, PasswordHash]:
    name, colon, text = line.partition(b":")
    if not colon:
        raise BadHash("no colon: a line is user:hash")
    try:
        user = name.decode("utf-8")
    except UnicodeDecodeError:
        raise BadHash("the user is not UTF-8") from None
    if not user:
        raise BadHash("the user is empty")
    try:
        return name, parseHash(text)
    except BadHash as error:
        advice = ""
        if "pip install" not in str(error):
            command = f"txconnect passwd {quote(path)} {quote(user)}"
            advice = f"; set the password anew: {command}"
        raise BadHash(f"user {user!r}: {error}{advice}") from None


def _chooseDecoy(hashes: Mapping[bytes, PasswordHash]) -> PasswordHash:
    if not hashes:
        # Nobody's: whether the list is empty must not show in the time either.
        return makeHash(os.urandom(16))
    [(kind, _)] = Counter(stored.kind for stored in hashes.values()).most_common(1)
    return next(stored for stored in hashes.values() if stored.kind == kind)


class _AcceptedPasswords:
    """
    The passwords that were right a short time ago.

    It holds keyed hashes under a key that never leaves the process, so without
    that key they are worthless in a dump of the memory.
    """

    def __init__(self, seconds: Callable[[], float], keep: float, size: int) -> None:
        self._seconds = seconds
        self._keep = keep
        self._size = size
        self._secret = os.urandom(32)
        self._until: dict[bytes, float] = {}

    def keyFor(self, *parts: bytes) -> bytes:
        # Their lengths come first: else "ab" and "c" would be "a" and "bc".
        lengths = repr([*map(len, parts)]).encode("ascii")
        hashed = blake2b(lengths + b"".join(parts), key=self._secret, digest_size=32)
        return hashed.digest()

    def isFresh(self, key: bytes) -> bool:
        until = self._until.get(key)
        if until is None:
            return False
        if self._seconds() >= until:
            del self._until[key]
            return False
        return True

    def addKey(self, key: bytes) -> None:
        if self._size < 1:
            return
        self._until.pop(key, None)
        while len(self._until) >= self._size:
            # The oldest: a dict keeps its order, and all are kept equally long.
            del self._until[next(iter(self._until))]
        self._until[key] = self._seconds() + self._keep


@implementer(ICredentialsChecker)
class HtpasswdChecker:
    """
    A checker of users and passwords against a password file.

    The constructor reads the file, so that a bad one stops start-up; a login
    reads it again when it has changed.  See L{txconnect.rereading} for a new
    version that is bad and a file that is gone: the users stay as they were.
    """

    name = "htpasswd"
    # The second says that this takes bytes: so the authenticator calls it once,
    # and not again with the credentials as str.
    credentialInterfaces = (IUsernamePassword, IBasicCredentials)

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        cacheSeconds: float = 60.0,
        cacheSize: int = 1024,
        queue: int = 64,
        seconds: Callable[[], float] = time.monotonic,
        run: _Run = deferToThread,
    ) -> None:
        """
        @param path: the file; a relative path is made absolute at once.
        @param cacheSeconds: seconds for which a positive answer is kept.  A
            user whose line changes or goes is not found there any more.
        @param cacheSize: number of answers kept; 0: none.
        @param queue: number of verifications that may be under way or waiting;
            a request that would start one more is refused with a 503.
        @param seconds: a clock that never goes back.
        @param run: calls its first argument with its second in another thread
            and returns a L{Deferred} of the result.
        @raise ConfigurationError: see L{readUsers}.
        """
        self._file = RereadFile(path, _parseUsers, _NOUN, seconds=seconds)
        self._accepted = _AcceptedPasswords(seconds, cacheSeconds, cacheSize)
        self._queue = queue
        self._run = run
        self._waiting: dict[bytes, list[Deferred[_Avatar]]] = {}

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[_Avatar]:
        """
        See L{ICredentialsChecker.requestAvatarId}.

        An unknown user costs the same as a known one with a wrong password
        [AU-05].

        @return: a L{Deferred} of the user; fails with L{UnauthorizedLogin},
            or with L{Refused} when too many verifications wait.
        """
        user, password = (
            _asOctets(credentials.username),
            _asOctets(credentials.password),
        )
        users = self._file.content()
        known = user in users.hashes
        stored = users.hashes[user] if known else users.decoy
        # With the hash in the key: a changed line makes the old answer unfindable.
        key = self._accepted.keyFor(b"known" * known, user, password, stored.text)
        if self._accepted.isFresh(key):
            return succeed(user)
        return self._verifyInThread(key, user if known else None, stored, password)

    def _verifyInThread(
        self, key: bytes, user: bytes | None, stored: PasswordHash, password: bytes
    ) -> Deferred[_Avatar]:
        waiting = self._waiting.get(key)
        first = waiting is None
        if waiting is None:
            if len(self._waiting) >= self._queue:
                return fail(Refused(Cause.EXHAUSTED, "too many passwords to verify"))
            waiting = self._waiting[key] = []
        result: Deferred[_Avatar] = Deferred(waiting.remove)
        waiting.append(result)
        if first:
            verified = maybeDeferred(self._run, stored.verify, password)
            verified.addBoth(self._answerWaiting, key, user)
        return result

    def _answerWaiting(
        self, matched: bool | Failure, key: bytes, user: bytes | None
    ) -> None:
        waiting = self._waiting.pop(key)
        outcome: bytes | Failure
        if isinstance(matched, Failure):
            outcome = matched
        elif matched and user is not None:
            self._accepted.addKey(key)
            outcome = user
        else:
            # For the log alone: both cost a client the same time, and get the same answer.
            why = "unknown user" if user is None else "wrong password"
            outcome = Failure(UnauthorizedLogin(why))
        for result in tuple(waiting):
            # The callback of one request may have cancelled another.
            if not result.called:
                result.callback(outcome)


def _asOctets(text: bytes | str) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
