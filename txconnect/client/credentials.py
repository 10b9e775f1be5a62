"""
A client's credentials for a proxy: the value of C{Proxy-Authorization}.

A credentials object is called before each request, and again when the proxy
answers 407 (RFC 9110, 11.7).  It may serve any number of requests at once, and
no C{repr} or message of one has a secret in it.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from base64 import b64encode
from collections.abc import Callable

import attrs
from zope.interface import Interface, implementer

from txconnect.values import Authority, MaybeAsync
from txconnect.wire.challenges import Challenge
from txconnect.wire.digest import (
    LARGEST_COUNT,
    DigestChallenge,
    answerDigest,
    chooseDigest,
)
from txconnect.wire.grammar import findControl

__all__ = [
    "Basic",
    "Bearer",
    "Digest",
    "IProxyCredentials",
    "Password",
    "ProxyAttempt",
    "asCredentials",
]

# The token68 of RFC 6750, 2.1.
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


def _targetOf(attempt: ProxyAttempt) -> bytes:
    return str(attempt.authority).encode("ascii")


@attrs.frozen
class ProxyAttempt:
    """
    One request that is about to be sent to a proxy.

    @ivar authority: the destination of the request.
    @ivar challenges: the challenges of the proxy's last 407; empty for the
        first request, before any answer.
    @ivar refused: the credentials of the requests before this one, each of
        which got a 407: the value that L{IProxyCredentials.authorize} gave, or
        L{None}.  Empty for the first request.  Secrets: never logged.
    @ivar method: the request's method.
    @ivar target: the request's target, as its first line has it; by default
        C{host:port}.
    """

    authority: Authority
    challenges: tuple[Challenge, ...] = ()
    refused: tuple[bytes | None, ...] = attrs.field(default=(), repr=False)
    method: bytes = b"CONNECT"
    target: bytes = attrs.Factory(_targetOf, takes_self=True)


class IProxyCredentials(Interface):
    """
    Credentials for a proxy.

    The object itself, compared by C{==}, is part of the key under which a
    pool keeps connections.
    """

    def authorize(attempt: ProxyAttempt) -> MaybeAsync[bytes | None]:
        """
        Return the value of C{Proxy-Authorization} for one request.

        Called before each request, and after each 407 with its challenges,
        at most three times for one C{connect} or one request of an agent.

        @return: the value, such as C{b"Basic dTpw"}, or a Deferred or
            coroutine of it.  L{None} for the first request sends it without.
            L{None} after a 407 means that there are no (more) credentials to
            offer, and the refusal is final.
        """


@implementer(IProxyCredentials)
class Basic:
    """
    The Basic scheme (RFC 7617), sent with the first request.

    Anyone who can read the connection to the proxy can read the password: use
    TLS.
    """

    def __init__(self, user: str, password: str) -> None:
        """
        @param user: without a colon.  Both go as UTF-8, in Unicode's
            composed form (RFC 7617, 2.1).
        @raise ValueError: for a colon in the user, or a control character.
        """
        pair = f"{_checkUser(user)}:{_checkText(password, 'password')}"
        self._user = user
        self._value = b"Basic " + b64encode(pair.encode("utf-8"))

    def authorize(self, attempt: ProxyAttempt) -> bytes | None:
        """See L{IProxyCredentials.authorize}."""
        return None if _wasChallenged(attempt) else self._value

    def __repr__(self) -> str:
        return f"<Basic user={self._user!r}>"


@implementer(IProxyCredentials)
class Bearer:
    """
    A bearer token (RFC 6750), sent with the first request.

    Anyone who can read the connection to the proxy has the token: use TLS.
    """

    def __init__(self, token: str) -> None:
        """
        @raise ValueError: when the token holds a character that no bearer token
            can have.
        """
        if not _BEARER.fullmatch(_requireText(token, "token")):
            raise ValueError(
                "the token is empty or holds a character that no bearer token can "
                "have: letters, digits and -._~+/ with = only at its end"
            )
        self._value = b"Bearer " + token.encode("ascii")

    def authorize(self, attempt: ProxyAttempt) -> bytes | None:
        """See L{IProxyCredentials.authorize}."""
        return None if _wasChallenged(attempt) else self._value

    def __repr__(self) -> str:
        return "<Bearer>"


@implementer(IProxyCredentials)
class Digest:
    """
    The Digest scheme (RFC 7616), in the strongest form that the proxy offers.

    The first request goes without credentials.  After a challenge, its nonce
    serves the requests that follow too, until the proxy calls it stale.  So
    give each proxy a separate object.
    """

    def __init__(
        self,
        user: str,
        password: str,
        makeNonce: Callable[[], str] = lambda: secrets.token_urlsafe(18),
    ) -> None:
        """
        @param user: without a colon.
        @param makeNonce: makes our own part of each challenge's answers, a
            text in ASCII that cannot be guessed.
        @raise ValueError: for a colon in the user, or a control character.
        """
        self._user = _checkUser(user)
        self._password = _checkText(password, "password")
        self._makeNonce = makeNonce
        self._session: _DigestSession | None = None

    def authorize(self, attempt: ProxyAttempt) -> bytes | None:
        """See L{IProxyCredentials.authorize}."""
        if _wasChallenged(attempt):
            challenge = chooseDigest(attempt.challenges)
            self.forget()
            if challenge is None or self._isWrongPassword(attempt, challenge):
                return None
            self._session = _DigestSession(challenge, self._makeNonce())
        session = self._session
        if session is None or session.count == LARGEST_COUNT:
            return None
        # RFC 7616, 3.4: the count grows with each request that uses this nonce.
        session.count += 1
        return answerDigest(
            session.challenge,
            self._user,
            self._password,
            attempt.method,
            attempt.target,
            session.cnonce,
            session.count,
        )

    def forget(self) -> None:
        """Forget the challenge: the next request goes without credentials again."""
        self._session = None

    def _isWrongPassword(
        self, attempt: ProxyAttempt, challenge: DigestChallenge
    ) -> bool:
        # The value of the first request was made for an earlier nonce, and its
        # refusal says nothing about the password.  The refusal of a value that
        # answers a challenge does.
        return any(attempt.refused[1:]) and not challenge.stale

    def __repr__(self) -> str:
        return f"<Digest user={self._user!r}>"


class _DigestSession:
    """A challenge, and the count of answers to it."""

    def __init__(self, challenge: DigestChallenge, cnonce: str) -> None:
        self.challenge = challenge
        self.cnonce = cnonce
        self.count = 0


@implementer(IProxyCredentials)
class Password:
    """
    A user and a password, as a URL has them: Basic at once; Digest with a
    proxy that offers no Basic.
    """

    def __init__(self, user: str, password: str) -> None:
        """
        @raise ValueError: for a colon in the user, or a control character.
        """
        self._user = user
        self._basic = Basic(user, password)
        self._digest = Digest(user, password)

    def authorize(self, attempt: ProxyAttempt) -> bytes | None:
        """See L{IProxyCredentials.authorize}."""
        first = ProxyAttempt(attempt.authority)
        if not _wasChallenged(attempt):
            # A session means that the proxy has sent a Digest challenge before.
            return self._digest.authorize(attempt) or self._basic.authorize(first)
        if any(challenge.scheme == "basic" for challenge in attempt.challenges):
            # The proxy takes Basic, maybe since it was configured anew.
            self._digest.forget()
            value = self._basic.authorize(first)
            return None if value in attempt.refused else value
        return self._digest.authorize(attempt)

    def __repr__(self) -> str:
        return f"<Password user={self._user!r}>"


@implementer(IProxyCredentials)
@attrs.frozen
class _FunctionCredentials:
    """
    A plain function as a credentials object.  Two of one function are equal.
    """

    authorize: Callable[[ProxyAttempt], MaybeAsync[bytes | None]]


def _offerNothing(attempt: ProxyAttempt) -> None:
    return None


NO_CREDENTIALS = _FunctionCredentials(_offerNothing)
"""Credentials that never offer any."""


def asCredentials(given: object) -> IProxyCredentials:
    """
    Make a credentials object from a caller's argument.

    @param given: an object that provides L{IProxyCredentials}; or a function
        with the contract of L{IProxyCredentials.authorize}; or L{None}.
    @return: an object that provides L{IProxyCredentials}.
    @raise TypeError: for anything else.
    """
    if given is None:
        return NO_CREDENTIALS
    if IProxyCredentials.providedBy(given):
        return given
    if callable(given) and not isinstance(given, type):
        return _FunctionCredentials(given)
    raise TypeError(
        f"credentials are an object such as Basic(user, password), a function or "
        f"None; {type(given).__name__} is none of these"
    )


def _wasChallenged(attempt: ProxyAttempt) -> bool:
    return bool(attempt.challenges or attempt.refused)


def _checkUser(text: str) -> str:
    # RFC 7617, 2, and RFC 7616, 3.4.2: the first colon ends the user.
    if ":" in _requireText(text, "user"):
        raise ValueError("the user holds a colon, which ends it on the wire")
    return _checkText(text, "user")


def _requireText(text: str, part: str) -> str:
    given: object = text
    if not isinstance(given, str):
        # Its kind alone: it may be the password in bytes.
        raise TypeError(f"the {part} is text, a str, not {type(given).__name__}")
    return given


def _checkText(text: str, part: str) -> str:
    # RFC 7617, 2: neither part may hold a control character.
    if findControl(_requireText(text, part)):
        raise ValueError(f"the {part} holds a control character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Not "from error": that would show the text.
        raise ValueError(f"the {part} is not Unicode") from None
    return unicodedata.normalize("NFC", text)
