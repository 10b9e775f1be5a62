"""
The Digest scheme (RFC 7616) from the client's side: the choice of a challenge,
and the arithmetic of the answer.

C{qop=auth}, and for old proxies no C{qop} at all (RFC 2069).  C{auth-int} is
not supported: it would need the request's body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from urllib.parse import quote

import attrs

from txconnect.wire.challenges import Challenge

__all__ = ["DigestChallenge", "answerDigest", "chooseDigest"]

# The strongest first, with hashlib's names.  An OpenSSL may be built without one.
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

    @ivar algorithm: the algorithm as the proxy wrote it, which is also how the
        answer repeats it; L{None} if it named none, which means MD5.
    @ivar hash: the algorithm without C{-sess}, in capitals.
    @ivar session: true for a C{-sess} algorithm.
    @ivar qop: true if the proxy requires C{qop=auth}; false if it sent no C{qop}.
    @ivar stale: true if only the nonce of the answer before was wrong.
    @ivar userhash: true if the answer must hash the user's name.
    @ivar utf8: true if the proxy says that it reads UTF-8.
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
    def fromChallenge(cls, challenge: Challenge) -> DigestChallenge | None:
        """
        Interpret a challenge.

        @return: L{None} for another scheme, and for a challenge that cannot be
            answered because a required parameter is missing or because its
            algorithm, or every one of its C{qop} values, is not supported.
        """
        given = challenge.parameters
        if challenge.scheme != "digest" or not {"realm", "nonce"} <= given.keys():
            return None
        algorithm = given.get("algorithm")
        name = (algorithm or "MD5").upper()
        session = name.endswith(_SESSION)
        qop = {one.strip(" \t").lower() for one in given.get("qop", "").split(",")}
        # Without a qop there is no cnonce, which a session's key is made from.
        answerable = "auth" in qop or ("qop" not in given and not session)
        if name.removesuffix(_SESSION) not in _STRENGTH or not answerable:
            return None
        # The proxy's own spelling of the algorithm is kept for the answer, in case
        # the proxy compares the text.
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

    @return: L{None} if none can be answered.
    """
    found = (DigestChallenge.fromChallenge(challenge) for challenge in challenges)
    understood = [challenge for challenge in found if challenge is not None]
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

    @param user: the user's name, without a colon or a control character; sent
        in UTF-8.
    @param method: the request's method, such as C{b"CONNECT"}.
    @param target: the request's target as its first line has it: for CONNECT
        C{b"host:port"}.
    @param cnonce: printable ASCII that cannot be guessed, the same for all
        answers to one nonce; a C{-sess} algorithm makes its session's key of it.
    @param count: the number of answers to this nonce, this one included: 1 to
        L{LARGEST_COUNT}.
    @return: one line of octets.  It reveals no secret, but it allows an
        eavesdropper to try passwords offline.
    """
    digest = _makeHasher(challenge.hash)
    realm, nonce = _latin1Octets(challenge.realm), _latin1Octets(challenge.nonce)
    name, client = user.encode("utf-8"), cnonce.encode("ascii")
    # The names of RFC 7616, 3.4: A1 is "secret", H(A2) is "request".
    secret = digest(b":".join((name, realm, password.encode("utf-8"))))
    if challenge.session:
        secret = digest(b":".join((secret, nonce, client)))
    request = digest(method + b":" + target)
    counted = b"%08x" % count
    between = (nonce, counted, client, b"auth") if challenge.qop else (nonce,)
    fields = [
        *_userFields(challenge, name, digest),
        b"realm=" + _quotedString(realm),
        b"nonce=" + _quotedString(nonce),
        b"uri=" + _quotedString(target),
        b"response=" + _quotedString(digest(b":".join((secret, *between, request)))),
    ]
    if challenge.algorithm is not None:
        fields.append(b"algorithm=" + _latin1Octets(challenge.algorithm))
    if challenge.opaque is not None:
        fields.append(b"opaque=" + _quotedString(_latin1Octets(challenge.opaque)))
    if challenge.qop:
        fields += [b"qop=auth", b"nc=" + counted, b"cnonce=" + _quotedString(client)]
    return b"Digest " + b", ".join(fields)


def _userFields(
    challenge: DigestChallenge, name: bytes, digest: Callable[[bytes], bytes]
) -> list[bytes]:
    if challenge.userhash:
        hashed = digest(name + b":" + _latin1Octets(challenge.realm))
        return [b"username=" + _quotedString(hashed), b"userhash=true"]
    if challenge.utf8 and not name.isascii():
        # RFC 8187, 3.2.1, which obsoletes the RFC 5987 that RFC 7616 names.
        escaped = quote(name, safe="!#$&+-.^_`|~").encode("ascii")
        return [b"username*=UTF-8''" + escaped]
    return [b"username=" + _quotedString(name)]


def _makeHasher(name: str) -> Callable[[bytes], bytes]:
    def hashOctets(octets: bytes) -> bytes:
        # Some proxies offer only MD5, which a FIPS build of OpenSSL refuses
        # without this flag.
        made = hashlib.new(_HASHES[name], octets, usedforsecurity=False)
        return made.hexdigest().encode("ascii")

    return hashOctets


def _latin1Octets(text: str) -> bytes:
    # A proxy's texts go back as the octets that came, in whatever encoding.
    return text.encode("iso-8859-1")


def _quotedString(octets: bytes) -> bytes:
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
