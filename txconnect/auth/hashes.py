"""
Hashes of passwords: scrypt from the standard library, and bcrypt, which
C{htpasswd -B} writes, where its library is installed.

Pure: a line's text in, a value that can verify out.  Verifying takes tens of
milliseconds on purpose; never call it in the reactor's thread.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import importlib
import os
import re
from types import ModuleType
from typing import Protocol

import attrs

__all__ = [
    "BadHash",
    "BcryptHash",
    "PasswordHash",
    "ScryptHash",
    "makeHash",
    "parseHash",
]

# 2 to the 14th with blocks of 8: 16 MiB and tens of milliseconds.
LOG_ROUNDS = 14
BLOCK_SIZE = 8
PARALLEL = 1
SALT_SIZE = 16
HASH_SIZE = 32

# A line of the file must not make one login take all memory, or minutes: the
# operator may have copied it from elsewhere.
MAX_SCRYPT_MEMORY = 64 * 1024 * 1024
MAX_PARALLEL = 8
MAX_BCRYPT_COST = 16

BCRYPT_LIMIT = 72
"""Octets of a password that bcrypt can take."""

_SCRYPT = re.compile(
    rb"\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]{0,2}),p=([1-9][0-9]?)"
    rb"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
)
# Of the salt's last character two bits count.  The library raises when the
# others are not zero, and that must show at start-up, not at a login.
_BCRYPT = re.compile(rb"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")

_REFUSED = (
    (b"{SHA}", "{SHA} (unsalted SHA-1) is not accepted: it is guessed in no time"),
    (b"{SSHA}", "{SSHA} (salted SHA-1) is not accepted: it is guessed in no time"),
    (b"$apr1$", "$apr1$ (MD5) is not accepted: it is guessed in no time"),
    (b"$1$", "$1$ (MD5 crypt) is not accepted: it is guessed in no time"),
    (b"$5$", "$5$ (SHA-256 crypt) is not accepted: Python no longer verifies it"),
    (b"$6$", "$6$ (SHA-512 crypt) is not accepted: Python no longer verifies it"),
    (b"$argon2", "Argon2 is not accepted"),
    (b"$2", "a bcrypt hash that is not well-formed"),
    (b"$scrypt$", "a scrypt hash that is not well-formed"),
)


class BadHash(ValueError):
    """
    The text is no hash that is accepted here.  C{str()} gives the reason, and
    repeats none of the text: it may be a password.
    """


class PasswordHash(Protocol):
    """
    A password, kept so that it can be recognised and not read.

    @ivar text: the octets in the file.
    @ivar kind: the method and its parameters; hashes of one kind take the
        same time to verify.
    """

    @property
    def text(self) -> bytes: ...

    @property
    def kind(self) -> tuple[object, ...]: ...

    def verify(self, password: bytes) -> bool:
        """Tell whether the password is the one; slow; safe in any thread."""


@attrs.frozen
class ScryptHash:
    """
    C{$scrypt$ln=14,r=8,p=1$salt$hash}, salt and hash in base64 without
    padding: the form that passlib and libpass write too.  RFC 7914.
    """

    text: bytes = attrs.field(repr=False)
    logRounds: int
    blockSize: int
    parallel: int
    salt: bytes = attrs.field(repr=False)
    digest: bytes = attrs.field(repr=False)

    @property
    def kind(self) -> tuple[object, ...]:
        return ("scrypt", self.logRounds, self.blockSize, self.parallel)

    def verify(self, password: bytes) -> bool:
        found = _deriveScrypt(
            password,
            self.salt,
            self.logRounds,
            self.blockSize,
            self.parallel,
            len(self.digest),
        )
        return hmac.compare_digest(found, self.digest)


@attrs.frozen
class BcryptHash:
    """
    C{$2y$10$...}, as C{htpasswd -B} writes it.
    """

    text: bytes = attrs.field(repr=False)
    cost: int

    @property
    def kind(self) -> tuple[object, ...]:
        return ("bcrypt", self.cost)

    def verify(self, password: bytes) -> bool:
        # Older libraries cut a long password off in silence, newer ones
        # raise.  Here it is wrong, and takes as long as any wrong one.
        fitting = password[:BCRYPT_LIMIT].replace(b"\0", b"?")
        matched = bool(_importBcrypt().checkpw(fitting, self.text))
        return matched and fitting == password


def makeHash(password: bytes) -> ScryptHash:
    """Hash a password with a new salt; slow."""
    salt = os.urandom(SALT_SIZE)
    digest = _deriveScrypt(password, salt, LOG_ROUNDS, BLOCK_SIZE, PARALLEL, HASH_SIZE)
    text = b"$scrypt$ln=%d,r=%d,p=%d$%s$%s" % (
        LOG_ROUNDS,
        BLOCK_SIZE,
        PARALLEL,
        _encodeUnpadded(salt),
        _encodeUnpadded(digest),
    )
    return ScryptHash(text, LOG_ROUNDS, BLOCK_SIZE, PARALLEL, salt, digest)


def parseHash(text: bytes) -> PasswordHash:
    """
    Read the hash in a line of a password file: the text after the user's colon.

    @raise BadHash: for anything but a well-formed scrypt or bcrypt hash
        within bounds, and for bcrypt without its library.
    """
    if match := _SCRYPT.fullmatch(text):
        return _parseScrypt(text, match)
    if match := _BCRYPT.fullmatch(text):
        return _parseBcrypt(text, match)
    for prefix, sentence in _REFUSED:
        if text.startswith(prefix):
            raise BadHash(sentence)
    raise BadHash("neither a bcrypt nor a scrypt hash: plain text, or old crypt")


def _parseScrypt(text: bytes, match: re.Match[bytes]) -> ScryptHash:
    logRounds, blockSize, parallel = (int(match[group]) for group in (1, 2, 3))
    if (
        _scryptMemory(logRounds, blockSize) > MAX_SCRYPT_MEMORY
        or parallel > MAX_PARALLEL
    ):
        raise BadHash(
            "a scrypt hash that asks for more than "
            f"{MAX_SCRYPT_MEMORY >> 20} MiB or for p above {MAX_PARALLEL}"
        )
    if logRounds >= 16 * blockSize:
        raise BadHash("a scrypt hash whose ln is too large for its r (RFC 7914, 6)")
    salt, digest = _decodeUnpadded(match[4]), _decodeUnpadded(match[5])
    return ScryptHash(text, logRounds, blockSize, parallel, salt, digest)


def _parseBcrypt(text: bytes, match: re.Match[bytes]) -> BcryptHash:
    cost = int(match[1])
    if not 4 <= cost <= MAX_BCRYPT_COST:
        raise BadHash(f"a bcrypt hash whose cost is not 4 to {MAX_BCRYPT_COST}")
    _importBcrypt()
    return BcryptHash(text, cost)


def _importBcrypt() -> ModuleType:
    # An extra: imported where a hash needs it, and missed at start-up, when
    # the file is read, not at the first login.
    try:
        return importlib.import_module("bcrypt")
    except ImportError:
        raise BadHash(
            "a bcrypt hash needs a library: pip install 'txconnect-proxy[htpasswd]'"
        ) from None


def _deriveScrypt(
    password: bytes,
    salt: bytes,
    logRounds: int,
    blockSize: int,
    parallel: int,
    size: int,
) -> bytes:
    return hashlib.scrypt(
        password,
        salt=salt,
        n=1 << logRounds,
        r=blockSize,
        p=parallel,
        dklen=size,
        # OpenSSL counts its blocks too, and refuses at the limit itself.
        maxmem=MAX_SCRYPT_MEMORY + 128 * blockSize * (parallel + 4) + 1024 * 1024,
    )


def _scryptMemory(logRounds: int, blockSize: int) -> int:
    return 128 * blockSize << logRounds


def _encodeUnpadded(octets: bytes) -> bytes:
    return base64.b64encode(octets).rstrip(b"=")


def _decodeUnpadded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise BadHash("a scrypt hash that is not well-formed") from None
