"""
The Basic scheme (RFC 7617): the client's credentials, read strictly, and the
challenge.  The password is not judged here.
"""

from __future__ import annotations

import binascii
import hmac
import re

import attrs
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import LoginFailed
from zope.interface import implementer

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IAuthScheme
from txconnect.values import AuthAttempt, ChallengeReason
from txconnect.wire.grammar import findControlOctet

__all__ = [
    "BasicCredentials",
    "BasicScheme",
    "IBasicCredentials",
    "TextCredentials",
    "quotedString",
]

_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
# RFC 7617, 2: neither part may hold a control character (CTL, RFC 5234, B.1).
# The text of a challenge's quoted-string (RFC 9110, 5.6.4), without the octets
# that no two clients read alike.
_QUOTABLE = re.compile(r"[ -~]*")


def quotedString(text: str) -> bytes:
    """
    Write a C{quoted-string} (RFC 9110, 5.6.4).

    @raise ConfigurationError: when the text holds anything but printable
        ASCII.
    """
    if not _QUOTABLE.fullmatch(text):
        raise ConfigurationError(f"the realm {text!r} is not printable ASCII")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'.encode("ascii")


class IBasicCredentials(IUsernamePassword):
    """
    A user and a password as they came over the wire, in bytes.

    A checker that names this interface among its C{credentialInterfaces}
    takes bytes, and the authenticator calls it once.  One that names only
    L{IUsernamePassword} is called again with L{textForm}, because some
    checkers know their users as C{str}.
    """

    def textForm() -> IUsernamePassword | None:
        """
        Return the same with C{str} for bytes, or L{None} when they are not
        UTF-8.
        """


class _PlainPassword:
    """A password in either form, compared in constant time."""

    password: bytes | str

    def checkPassword(self, password: bytes | str) -> bool:
        """
        Tell whether the password is this one, C{str} counting as its UTF-8.

        Takes as long for a nearly right one as for a wrong one [AU-05].
        """
        return hmac.compare_digest(_utf8Octets(self.password), _utf8Octets(password))


def _utf8Octets(text: bytes | str) -> bytes:
    # A lone surrogate has no UTF-8; it compares as itself and nothing else.
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


@implementer(IUsernamePassword)
@attrs.frozen(eq=False)
class TextCredentials(_PlainPassword):
    """
    A user and a password, for checkers that know theirs as C{str}.
    """

    # IUsernamePassword says bytes, but strcred's own "memory:" compares str.
    username: str
    password: str = attrs.field(repr=False)


@implementer(IBasicCredentials)
@attrs.frozen(eq=False)
class BasicCredentials(_PlainPassword):
    """
    A client's credentials of the Basic scheme.

    @ivar username: the octets before the first colon; may be empty.
    @ivar password: the octets after it; may be empty and may hold colons.
    """

    username: bytes
    password: bytes = attrs.field(repr=False)

    def textForm(self) -> TextCredentials | None:
        """See L{IBasicCredentials.textForm}."""
        try:
            return TextCredentials(
                self.username.decode("utf-8"), self.password.decode("utf-8")
            )
        except UnicodeDecodeError:
            return None


@implementer(IAuthScheme)
class BasicScheme:
    """
    Basic authentication, with user and password in UTF-8.

    The challenge says so (RFC 7617, 2.1), but some clients send Latin-1 all the same,
    among them requests and aiohttp.  So octets that are no UTF-8 are read as Latin-1,
    and checkers get them in UTF-8.  Octets that are both are UTF-8: only Latin-1 such as
    C{"\xc3\xa4"}, which nobody types, is misread.
    """

    name = "Basic"
    credentialInterfaces = (IBasicCredentials,)

    def challenge(self, reason: ChallengeReason, realm: str) -> bytes:
        """
        Return the challenge for a user and a password (RFC 7617, 2 and 2.1).

        @raise ConfigurationError: when the realm is not printable ASCII.
        """
        return b"Basic realm=" + quotedString(realm) + b', charset="UTF-8"'

    def parse(self, attempt: AuthAttempt) -> BasicCredentials:
        """
        Read C{base64(user ":" password)}, in the one spelling that every
        encoder gives it.

        @return: the credentials, in UTF-8.
        @raise LoginFailed: for anything else, with a sentence that repeats
            none of it.
        """
        pair = _inUTF8(_decodeBase64(attempt.parameters))
        if findControlOctet(pair):
            raise LoginFailed("a control character in the user or the password")
        username, colon, password = pair.partition(b":")
        if not colon:
            raise LoginFailed("no colon between the user and the password")
        return BasicCredentials(username, password)


def _inUTF8(octets: bytes) -> bytes:
    """Return octets as they are if they are UTF-8, or else from Latin-1."""
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1").encode("utf-8")
    return octets


def _decodeBase64(token: bytes) -> bytes:
    try:
        pair = binascii.a2b_base64(token, strict_mode=True)
    except binascii.Error:
        pair = None
    # What encodes to the token is base64, and the only spelling of it: other bits after
    # the last octet would be one password with many tokens.
    if pair is not None and binascii.b2a_base64(pair, newline=False) == token:
        return pair
    if not _BASE64.fullmatch(token):
        raise LoginFailed("the credentials are not base64")
    if pair is None:
        raise LoginFailed("the credentials are base64 with wrong padding")
    raise LoginFailed("the credentials are not canonical base64")
