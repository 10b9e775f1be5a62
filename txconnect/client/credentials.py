"""
What a client says of itself to a proxy: the value of C{Proxy-Authorization}.

An object of credentials is asked before each request, and again when the
proxy answers 407 (RFC 9110, 11.7).  It may serve any number of requests at
once, and no C{repr} or message of one has a secret in it.
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

# RFC 7617, 2: neither part may hold one.
# RFC 6750, 2.1.
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


def _targetOf(attempt: ProxyAttempt) -> bytes:
    return str(attempt.authority).encode("ascii")


@attrs.frozen
class ProxyAttempt:
    """
    One request that is about to be sent to a proxy.

    @ivar authority: where the request wants to go.
    @ivar challenges: what the proxy asked for when it last answered 407;
        empty for the first request, when nothing has been asked yet.
    @ivar refused: what went with the requests before this one, each of which
        was answered 407: the value that L{IProxyCredentials.authorize} gave,
        or L{None}.  Empty for the first request.  Secrets: never logged.
    @ivar method: the request's method.
    @ivar target: the request's target, as its first line has it; C{host:port}
        where nothing else is said.
    """

    authority: Authority
    challenges: tuple[Challenge, ...] = ()
    refused: tuple[bytes | None, ...] = attrs.field(default=(), repr=False)
    method: bytes = b"CONNECT"
    target: bytes = attrs.Factory(_targetOf, takes_self=True)


class IProxyCredentials(Interface):
    """
    What says who asks.

    The object itself, compared by C{==}, is part of the key under which a
    pool keeps connections.
    """

    def authorize(attempt: ProxyAttempt) -> MaybeAsync[bytes | None]:
        """
        Give the value of C{Proxy-Authorization} for one request.

        Called before each request, and after each 407 with its challenges,
        at most three times for one connection to be had.

        @return: the value, such as C{b"Basic dTpw"}, or a Deferred or
            coroutine of it.  L{None} for the first request: it goes without.
            L{None} after a 407: there is nothing (more) to offer, and the
            refusal is final.
        """


@implementer(IProxyCredentials)
class Basic:
    """
    The Basic scheme (RFC 7617), sent with the first request.

    Whoever sees the connection to the proxy sees the password: use TLS.
    """

    def __init__(self, user: str, password: str) -> None:
        """
        @param user: without a colon.  Both go as UTF-8, in Unicode's
            composed form (RFC 7617, 2.1).
        @raise ValueError: for a colon in the user, or a control character.
        """
        pair = f"{_user(user)}:{_text(password, 'password')}"
        self._user = user
        self._value = b"Basic " + b64encode(pair.encode("utf-8"))

    def authorize(self, attempt: ProxyAttempt) -> bytes | None:
        """See L{IProxyCredentials.authorize}."""
        return None if _asked(attempt) else self._value

    def __repr__(self) -> str:
        return f"<Basic user={self._user!r}>"


@implementer(IProxyCredentials)
class Bearer:
    """
    A bearer token (RFC 6750), sent with the first request.

    Whoever sees the connection to the proxy has the token: use TLS.
    """

    def __init__(self, token: str) -> None:
        """
        @raise ValueError: when the token holds what none can.
        """
        if not _BEARER.fullmatch(token):
            raise ValueError(
                "the token is empty or holds a character that no bearer token can "
                "have: letters, digits and -._~+/ with = only at its end"
            )
        self._value = b"Bearer " + token.encode("ascii")

    def authorize(self, attempt: ProxyAttempt) -> bytes | None:
        """See L{IProxyCredentials.authorize}."""
        return None if _asked(attempt) else self._value

    def __repr__(self) -> str:
        return "<Bearer>"


@implementer(IProxyCredentials)
class Digest:
    """
    The Digest scheme (RFC 7616), in the strongest form that the proxy offers.

    The first request goes without credentials.  Once the proxy has asked, its
    nonce serves the requests that follow too, until it is called stale.  So
    give each proxy an object of its own.
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
            text in ASCII that nobody can guess.
        @raise ValueError: for a colon in the user, or a control character.
        """
        self._user = _user(user)
        self._password = _text(password, "password")
        self._makeNonce = makeNonce
        self._session: _Session | None = None

    def authorize(self, attempt: ProxyAttempt) -> bytes | None:
        """See L{IProxyCredentials.authorize}."""
        if _asked(attempt):
            challenge = chooseDigest(attempt.challenges)
            self.forget()
            if challenge is None or self._isWrong(attempt, challenge):
                return None
            self._session = _Session(challenge, self._makeNonce())
        session = self._session
        if session is None or session.count == LARGEST_COUNT:
            return None
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
        """Let the next request go without credentials, as the first did."""
        self._session = None

    def _isWrong(self, attempt: ProxyAttempt, challenge: DigestChallenge) -> bool:
        # What went with the first request was made for an earlier nonce, and
        # says nothing of the password.  What came after a challenge does.
        return any(attempt.refused[1:]) and not challenge.stale

    def __repr__(self) -> str:
        return f"<Digest user={self._user!r}>"


class _Session:
    """A challenge, and how often it was answered."""

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
        if not _asked(attempt):
            # A session means that the proxy has asked for Digest before.
            return self._digest.authorize(attempt) or self._basic.authorize(first)
        if any(challenge.scheme == "basic" for challenge in attempt.challenges):
            self._digest.forget()
            value = self._basic.authorize(first)
            return None if value in attempt.refused else value
        return self._digest.authorize(attempt)

    def __repr__(self) -> str:
        return f"<Password user={self._user!r}>"


@implementer(IProxyCredentials)
@attrs.frozen
class _Asked:
    """
    A plain function in the place of an object.  Two of one function are equal.
    """

    authorize: Callable[[ProxyAttempt], MaybeAsync[bytes | None]]


def _nothing(attempt: ProxyAttempt) -> None:
    return None


NO_CREDENTIALS = _Asked(_nothing)
"""Offers nothing, whatever is asked."""


def asCredentials(given: object) -> IProxyCredentials:
    """
    Make credentials of what a caller gave.

    @param given: an object that provides L{IProxyCredentials}; or a function
        that does what L{IProxyCredentials.authorize} says; or L{None}.
    @return: an object that provides L{IProxyCredentials}.
    @raise TypeError: for anything else.
    """
    if given is None:
        return NO_CREDENTIALS
    if IProxyCredentials.providedBy(given):
        return given
    if callable(given) and not isinstance(given, type):
        return _Asked(given)
    raise TypeError(
        f"credentials are an object such as Basic(user, password), a function or "
        f"None; {type(given).__name__} is none of these"
    )


def _asked(attempt: ProxyAttempt) -> bool:
    return bool(attempt.challenges or attempt.refused)


def _user(text: str) -> str:
    if ":" in text:
        raise ValueError("the user holds a colon, which ends it on the wire")
    return _text(text, "user")


def _text(text: str, what: str) -> str:
    if findControl(text):
        raise ValueError(f"the {what} holds a control character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Not from this one: it would show the text.
        raise ValueError(f"the {what} is not Unicode") from None
    return unicodedata.normalize("NFC", text)
