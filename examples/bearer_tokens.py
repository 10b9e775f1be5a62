"""
A scheme and its checker: clients send a token (Bearer, RFC 6750).

    txconnect --auth-scheme ./bearer_tokens.py:BearerScheme \
        --auth ./bearer_tokens.py:TokenChecker:ada=05d765b1f68dc7d18272a2acb0dbdc44ce8794c884b2ef05f1199b020876be57

The scheme reads what a client has sent, and the checker knows whose it is.  What joins
the two is the interface of the credentials.  The checker is given the SHA-256 of each
token, so that neither a command line nor a process list holds one:

    $ printf %s "$TOKEN" | sha256sum

A token must be long and random, as a hash this fast protects no word that can be guessed.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from zope.interface import Attribute, implementer

from txconnect import AuthAttempt, ChallengeReason, Identity
from txconnect.interfaces import IAuthScheme

TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1


class IToken(ICredentials):
    """A token that a client has sent."""

    token: bytes = Attribute("The token's octets.")


@implementer(IToken)
class Token:
    def __init__(self, token: bytes) -> None:
        self.token = token


@implementer(IAuthScheme)
class BearerScheme:
    name = "Bearer"
    credentialInterfaces = (IToken,)

    def challenge(self, reason: ChallengeReason, realm: str) -> bytes:
        quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
        challenge = f'Bearer realm="{quoted}"'
        if reason is ChallengeReason.BAD:
            challenge += ', error="invalid_token"'
        return challenge.encode("ascii")

    def parse(self, attempt: AuthAttempt) -> Token:
        if TOKEN.fullmatch(attempt.parameters) is None:
            raise LoginFailed("no token of RFC 6750")
        return Token(attempt.parameters)


@implementer(ICredentialsChecker)
class TokenChecker:
    """
    @param hashes: the SHA-256 of each user's token, in hexadecimal.
    @raise ValueError: one is no such hash.
    """

    credentialInterfaces = (IToken,)

    def __init__(self, **hashes: str) -> None:
        for user, text in hashes.items():
            if re.fullmatch("[0-9a-f]{64}", text) is None:
                raise ValueError(f"{user}: write the token's SHA-256, 64 digits of hex")
        self._hashes = hashes

    # The annotation is wider than cred's, which knows neither groups nor coroutines.
    def requestAvatarId(self, credentials: Token) -> Identity:  # type: ignore[override]
        sent = sha256(credentials.token).hexdigest()
        for user, known in self._hashes.items():
            if hmac.compare_digest(sent, known):
                # The proxy puts the checker's name in the place of the source.
                return Identity(user, "token", groups=("robots",))
        raise UnauthorizedLogin("no such token")
