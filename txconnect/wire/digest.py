"""
The Digest scheme (RFC 7616) from the client's side: which challenge to
answer, and the arithmetic of an answer.

C{qop=auth}, and for old proxies no C{qop} at all (RFC 2069).  C{auth-int}
is not offered: it would need the request's body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from urllib.parse import quote

import attrs

from txconnect.wire.challenges import Challenge

__all__ = ["DigestChallenge", "answerDigest", "chooseDigest"]

# By strength, and what hashlib calls them.  An OpenSSL may be built without one.
_HASHES = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}
_STRENGTH = tuple(
    name for name, python in _HASHES.items() if python in hashlib.algorithms_available
)
_SESSION = "-SESS"

LARGEST_COUNT = 0xFFFFFFFF
"""C{nc} has eight hexadecimal digits (RFC 7616, 3.4)."""


@attrs.frozen
class DigestChallenge:
    """
    A Digest challenge that can be answered.

    Texts are as L{Challenge} has them: a character an octet.

    @ivar algorithm: as the proxy wrote it, and as it is to be written back;
        L{None} when it named none, which means MD5.
    @ivar hash: the algorithm without C{-sess}, in capitals.
    @ivar session: whether the algorithm is a C{-sess} one.
    @ivar qop: whether C{qop=auth} is asked for; else there is no C{qop}.
    @ivar stale: whether only the nonce was wrong in what was answered before.
    @ivar userhash: whether the user's name is to be hashed.
    @ivar utf8: whether the proxy says that it reads UTF-8.
    """

    realm: str
    nonce: str
    opaque: str | None = None
    algorithm: str | None = None
    hash: str = "MD5"
    session: bool = False
    qop: bool = True
    stale: bool = False
    userhash: bool = False
    utf8: bool = False

    @classmethod
    def read(cls, challenge: Challenge) -> DigestChallenge | None:
        """
        Understand a challenge.

        @return: L{None} for another scheme, or when the algorithm, or all of
            its C{qop}, or what is missing, make it one that cannot be answered.
        """
        given = challenge.parameters
        if challenge.scheme != "digest" or not {"realm", "nonce"} <= given.keys():
            return None
        algorithm = given.get("algorithm")
        name = (algorithm or "MD5").upper()
        session = name.endswith(_SESSION)
        qop = {one.strip(" \t").lower() for one in given.get("qop", "").split(",")}
        # Without a qop there is no cnonce, of which a session is made.
        answerable = "auth" in qop or ("qop" not in given and not session)
        if name.removesuffix(_SESSION) not in _STRENGTH or not answerable:
            return None
        return cls(
            realm=given["realm"],
            nonce=given["nonce"],
            opaque=given.get("opaque"),
            algorithm=algorithm,
            hash=name.removesuffix(_SESSION),
            session=session,
            qop="qop" in given,
            stale=given.get("stale", "").lower() == "true",
            userhash=given.get("userhash", "").lower() == "true",
            utf8=given.get("charset", "").lower() == "utf-8",
        )


def chooseDigest(challenges: Sequence[Challenge]) -> DigestChallenge | None:
    """
    Choose the challenge with the strongest algorithm (RFC 7616, 3.7), of
    equally strong ones the first.

    @return: L{None} when none can be answered.
    """
    read = (DigestChallenge.read(challenge) for challenge in challenges)
    understood = [challenge for challenge in read if challenge is not None]
    return min(understood, key=lambda one: _STRENGTH.index(one.hash), default=None)


def answerDigest(
    challenge: DigestChallenge,
    user: str,
    password: str,
    method: bytes,
    target: bytes,
    cnonce: str,
    count: int = 1,
) -> bytes:
    """
    Compute the value of C{Proxy-Authorization} (RFC 7616, 3.4).

    @param user: goes over the wire in UTF-8; without a colon or a control
        character.
    @param method: the request's, such as C{b"CONNECT"}.
    @param target: the request's target as its first line has it: for CONNECT
        C{b"host:port"}.
    @param cnonce: printable ASCII that nobody can guess, the same for all
        answers to one nonce, of which a C{-sess} algorithm makes its session.
    @param count: how often this nonce has been answered, this time included:
        1 to L{LARGEST_COUNT}.
    @return: one line of octets; no secret can be had from it, but who sees
        it can guess passwords at leisure.
    """
    digest = _hasher(challenge.hash)
    realm, nonce = _octets(challenge.realm), _octets(challenge.nonce)
    name, client = user.encode("utf-8"), cnonce.encode("ascii")
    secret = digest(b":".join((name, realm, password.encode("utf-8"))))
    if challenge.session:
        secret = digest(b":".join((secret, nonce, client)))
    request = digest(method + b":" + target)
    counted = b"%08x" % count
    between = (nonce, counted, client, b"auth") if challenge.qop else (nonce,)
    fields = [
        *_userFields(challenge, name, digest),
        b"realm=" + _quoted(realm),
        b"nonce=" + _quoted(nonce),
        b"uri=" + _quoted(target),
        b"response=" + _quoted(digest(b":".join((secret, *between, request)))),
    ]
    if challenge.algorithm is not None:
        fields.append(b"algorithm=" + _octets(challenge.algorithm))
    if challenge.opaque is not None:
        fields.append(b"opaque=" + _quoted(_octets(challenge.opaque)))
    if challenge.qop:
        fields += [b"qop=auth", b"nc=" + counted, b"cnonce=" + _quoted(client)]
    return b"Digest " + b", ".join(fields)


def _userFields(
    challenge: DigestChallenge, name: bytes, digest: Callable[[bytes], bytes]
) -> list[bytes]:
    if challenge.userhash:
        hashed = digest(name + b":" + _octets(challenge.realm))
        return [b"username=" + _quoted(hashed), b"userhash=true"]
    if challenge.utf8 and not name.isascii():
        # RFC 8187, 3.2.1, which obsoletes the RFC 5987 that RFC 7616 names.
        escaped = quote(name, safe="!#$&+-.^_`|~").encode("ascii")
        return [b"username*=UTF-8''" + escaped]
    return [b"username=" + _quoted(name)]


def _hasher(name: str) -> Callable[[bytes], bytes]:
    def digest(octets: bytes) -> bytes:
        # MD5 is what such a proxy asks for; a FIPS build would not give it.
        made = hashlib.new(_HASHES[name], octets, usedforsecurity=False)
        return made.hexdigest().encode("ascii")

    return digest


def _octets(text: str) -> bytes:
    return text.encode("iso-8859-1")


def _quoted(octets: bytes) -> bytes:
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
