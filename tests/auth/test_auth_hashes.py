"""How passwords are kept."""

from __future__ import annotations

import hashlib
import sys
from base64 import b64encode
from typing import Any

import bcrypt
import pytest

from txconnect.auth.hashes import (
    BadHash,
    BcryptHash,
    ScryptHash,
    makeHash,
    parseHash,
)

SALT = b"0123456789abcdef"


def scrypt(password: bytes, ln: int = 4, r: int = 8, p: int = 1) -> bytes:
    digest = hashlib.scrypt(password, salt=SALT, n=1 << ln, r=r, p=p, dklen=32)
    return b"$scrypt$ln=%d,r=%d,p=%d$%s$%s" % (
        ln,
        r,
        p,
        b64encode(SALT).rstrip(b"="),
        b64encode(digest).rstrip(b"="),
    )


GOOD = scrypt(b"p")
BCRYPT = bcrypt.hashpw(b"p", bcrypt.gensalt(4))


def test_makeHash() -> None:
    """A new hash verifies its password and no other, and has its own salt."""
    made = makeHash(b"p\xc3\xa4ss")
    assert made.text.startswith(b"$scrypt$ln=14,r=8,p=1$")
    read = parseHash(made.text)
    assert read == made
    assert read.verify(b"p\xc3\xa4ss") is True
    assert read.verify(b"p\xc3\xa4s") is False
    assert makeHash(b"p\xc3\xa4ss").text != made.text


def test_scrypt() -> None:
    """The form of passlib and libpass is read."""
    stored = parseHash(GOOD)
    assert isinstance(stored, ScryptHash)
    assert stored.kind == ("scrypt", 4, 8, 1)
    assert (stored.verify(b"p"), stored.verify(b"q"), stored.verify(b"")) == (
        True,
        False,
        False,
    )


def test_largestScryptVerifies() -> None:
    """What the bounds let in, OpenSSL's own memory limit lets in too."""
    text = GOOD.replace(b"ln=4,r=8", b"ln=16,r=8")
    assert parseHash(text).verify(b"p") is False
    assert parseHash(GOOD.replace(b"ln=4,r=8", b"ln=15,r=1")).verify(b"p") is False


@pytest.mark.parametrize("prefix", [b"$2a$", b"$2b$", b"$2y$"])
def test_bcrypt(prefix: bytes) -> None:
    """All three spellings of bcrypt's one method are read."""
    stored = parseHash(prefix + BCRYPT[4:])
    assert isinstance(stored, BcryptHash)
    assert stored.kind == ("bcrypt", 4)
    assert (stored.verify(b"p"), stored.verify(b"q")) == (True, False)


def test_bcryptBeyond72Octets() -> None:
    """[AU-05] A password that bcrypt cannot take is wrong: it is neither cut
    off nor an error, and the work is done all the same."""
    stored = parseHash(bcrypt.hashpw(b"a" * 72, bcrypt.gensalt(4)))
    assert stored.verify(b"a" * 72) is True
    assert stored.verify(b"a" * 73) is False
    assert stored.verify(b"a" * 100_000) is False


def test_bcryptAndNul() -> None:
    """A NUL ends no password."""
    assert parseHash(BCRYPT).verify(b"p\0q") is False
    assert parseHash(bcrypt.hashpw(b"p?q", bcrypt.gensalt(4))).verify(b"p\0q") is False


def test_bcryptLibraryIsMissed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its library, bcrypt says at once what to install."""
    hidden: Any = None
    monkeypatch.setitem(sys.modules, "bcrypt", hidden)
    with pytest.raises(BadHash, match=r"pip install 'txconnect-proxy\[htpasswd\]'"):
        parseHash(BCRYPT)
    assert parseHash(GOOD).verify(b"p")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
        (b"{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
        (b"$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "MD5"),
        (b"$1$aaaaaaaa$eIMz/iKDkbtys/uU7LEK00", "MD5"),
        (b"$5$rounds=5000$salt$hash", "SHA-256"),
        (b"$6$salt$hash", "SHA-512"),
        (b"$argon2id$v=19$m=65536", "Argon2"),
        (b"secret", "plain text"),
        (b"rl.3StKT.4T8M", "plain text"),
        (b"", "plain text"),
        (BCRYPT[:-1], "not well-formed"),
        (BCRYPT + b"x", "not well-formed"),
        (b"$2x$" + BCRYPT[4:], "not well-formed"),
        (BCRYPT[:28] + b"/" + BCRYPT[29:], "not well-formed"),
        (BCRYPT.replace(b"$04$", b"$03$"), "cost"),
        (BCRYPT.replace(b"$04$", b"$31$"), "cost"),
        (GOOD.replace(b"ln=4", b"ln=17"), "64 MiB"),
        (GOOD.replace(b"ln=4", b"ln=99"), "64 MiB"),
        (GOOD.replace(b"p=1", b"p=9"), "p above"),
        (GOOD.replace(b"ln=4,r=8", b"ln=16,r=1"), "too large"),
        (GOOD.replace(b"ln=4", b"ln=0"), "not well-formed"),
        (GOOD.replace(b"r=8", b"r=0"), "not well-formed"),
        (GOOD.rpartition(b"$")[0] + b"$", "not well-formed"),
        (GOOD.rpartition(b"$")[0] + b"$" + b"A" * 25, "not well-formed"),
        (GOOD + b"=", "not well-formed"),
        (GOOD + b":x", "not well-formed"),
    ],
)
def test_refused(text: bytes, said: str) -> None:
    """[T8] A hash that is weak, unbounded or broken is refused with a word,
    and never repeated: it may be somebody's password."""
    with pytest.raises(BadHash, match=said) as caught:
        parseHash(text)
    assert len(text) < 5 or text.decode() not in str(caught.value)


def test_comparesInConstantTime(monkeypatch: pytest.MonkeyPatch) -> None:
    """[AU-05] Digests are compared by hmac.compare_digest."""
    monkeypatch.setattr("hmac.compare_digest", lambda one, other: False)
    assert parseHash(GOOD).verify(b"p") is False


def test_reprHoldsNoHash() -> None:
    """[AU-05] No repr shows what could be guessed from."""
    for text in (GOOD, BCRYPT):
        assert text.decode()[-20:] not in repr(parseHash(text))
