"""
From C{Proxy-Authorization} to an L{Identity<txconnect.values.Identity>}.

The scheme that the client names reads the credentials; the authenticator
asks the C{twisted.cred} checkers in order, and the first that accepts gives
the identity.  There is no L{Portal<twisted.cred.portal.Portal>}: it keeps one
checker an interface and drops the others without a word.

Time-outs are not set here: the caller of L{Authenticator.authenticate}
cancels the Deferred that it got.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from typing import NoReturn

import attrs
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface

from txconnect.auth.basic import BasicScheme, IBasicCredentials
from txconnect.auth.credentialkinds import checkKinds
from txconnect.auth.redaction import Secrets, framesOf
from txconnect.errors import ConfigurationError, Refused
from txconnect.interfaces import IAuthScheme
from txconnect.maybeasync import CANCELLED, run, settle
from txconnect.roles import verifyRole
from txconnect.values import (
    Attempted,
    AuthAttempt,
    Cause,
    ChallengeReason,
    Identity,
    Named,
    Request,
)
from txconnect.wire.grammar import TOKEN_OCTETS

__all__ = ["Authenticator"]

_log = Logger()

# credentials = auth-scheme [ 1*SP ... ] (RFC 9110, 11.4).  A tab is no SP.
_CREDENTIALS = re.compile(rb"(" + TOKEN_OCTETS + rb")(?: +([^ \t].*))?", re.DOTALL)
# A challenge is copied into a response's head: a line break in it would begin
# another field.
_ONE_LINE = re.compile(rb"[\x21-\x7e][\x20-\x7e]*")

_UNSAID = "unknown user or wrong password"
"""The words for a checker that refuses without saying why."""

_DEFAULT = (BasicScheme(),)
"""The schemes where none is given."""

_REASONS = {Cause.CREDENTIALS_MISSING: ChallengeReason.MISSING}


@attrs.frozen
class _Try:
    """One set of credentials for one checker."""

    name: str
    checker: ICredentialsChecker
    credentials: ICredentials

    def askChecker(self) -> object:
        return self.checker.requestAvatarId(self.credentials)


class Authenticator:
    """
    The authentication of requests: an identity for each, or a refusal.

    @ivar realm: the name of this proxy in the challenges.
    """

    def __init__(
        self,
        schemes: Sequence[object],
        checkers: Sequence[object],
        realm: str = "proxy",
    ) -> None:
        """
        @param schemes: L{IAuthScheme} providers, or L{Named} ones; none:
            Basic.
        @param checkers: L{ICredentialsChecker} providers, or L{Named} ones,
            in the order in which they are tried.
        @raise ConfigurationError: for an object that provides neither, two
            schemes of one name, no checker, or a realm that no challenge can
            hold.
        """
        self.realm = realm
        self._schemes = _schemesByName(schemes or _DEFAULT)
        self._checkers = tuple(map(Named.of, checkers))
        if not self._checkers:
            raise ConfigurationError("there is no checker: no client could log in")
        for checker in self._checkers:
            _verifyNamed(ICredentialsChecker, checker)
        checkKinds([Named.of(each) for each in schemes or _DEFAULT], self._checkers)
        # Made at once, so that a realm which no challenge can hold stops the
        # start; kept, because a scheme may fail later (see challenges).
        self._startChallenges = {
            (name, reason): _firstChallenge(scheme, reason, realm)
            for name, scheme in self._schemes.items()
            for reason in ChallengeReason
        }

    def authenticate(
        self, request: Request, credentials: bytes | None
    ) -> Identity | Deferred[Identity]:
        """
        Identify the client of a request.

        The decision calls this once a request, in the reactor's thread.

        @param credentials: the value of C{Proxy-Authorization}, or L{None}
            when the request has none.
        @return: the identity when every checker tried has answered at once,
            else a L{Deferred} of it; cancelling that cancels the checker that
            has not answered yet, and no further one is tried.
        @raise Refused: (or the L{Deferred} fails with it) with
            C{CREDENTIALS_MISSING}, C{CREDENTIALS_MALFORMED},
            C{CREDENTIALS_REFUSED}, or C{PLUGIN_ERROR} when a checker or a
            scheme failed; a L{Refused} that a checker raised passes as it is.
        """
        if credentials is None:
            raise Refused(Cause.CREDENTIALS_MISSING)
        secrets = Secrets(credentials)
        parsed = self._parseCredentials(request, credentials, secrets)
        login = _Login(request.id, secrets, _claimedUser(parsed))
        return run(login.askInOrder(self._possibleTries(parsed)))

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        """
        Return the values of C{Proxy-Authenticate}, one field line each, for a
        407.

        Basic comes first: there are clients that give up at a scheme that
        they do not know [H1-37].

        A scheme that fails is logged, and its challenge from start-up is
        used: no 407 may lack one (RFC 9110, 11.7.1), and the refusal that
        needs it cannot fail in its turn.
        """
        reason = _REASONS.get(cause, ChallengeReason.BAD)
        return tuple(
            self._currentChallenge(name, scheme, reason)
            for name, scheme in self._schemes.items()
        )

    def _currentChallenge(
        self, name: bytes, scheme: IAuthScheme, reason: ChallengeReason
    ) -> bytes:
        try:
            return _challenge(scheme, reason, self.realm)
        except Exception:
            _log.failure("The scheme {scheme} has no challenge", scheme=scheme.name)
            return self._startChallenges[name, reason]

    def _parseCredentials(
        self, request: Request, credentials: bytes, secrets: Secrets
    ) -> ICredentials:
        match = _CREDENTIALS.fullmatch(credentials.strip(b" \t"))
        if match is None:
            raise Refused(Cause.CREDENTIALS_MALFORMED)
        # The name may be the secret itself, where the client forgot it.
        scheme = self._schemes.get(match[1].lower())
        if scheme is None:
            raise Refused(
                Cause.CREDENTIALS_MALFORMED,
                "the client used a scheme that this proxy does not offer",
            )
        try:
            parsed: ICredentials = scheme.parse(AuthAttempt(match[2] or b"", request))
        except LoginFailed as error:
            said = secrets.messageOf(error) or "the credentials could not be read"
            reason = f"{scheme.name}: {said}"
            raise Refused(Cause.CREDENTIALS_MALFORMED, reason) from None
        except Exception:
            _refuseFailed(scheme.name, request.id, secrets, Failure())
        secrets.learn(parsed)
        return parsed

    def _possibleTries(self, credentials: ICredentials) -> Iterator[_Try]:
        for named in self._checkers:
            name, checker = named.name, named.plugin
            if not _takesCredentials(checker, credentials):
                continue
            yield _Try(name, checker, credentials)
            # strcred's "file:" knows its users in bytes, "memory:" in str.
            if IBasicCredentials not in checker.credentialInterfaces:
                text = _textOf(credentials)
                if text is not None:
                    yield _Try(name, checker, text)


class _Login:
    """One client's login: its checkers, tried in order until one accepts."""

    def __init__(self, id: str, secrets: Secrets, user: str) -> None:
        """
        @param user: the name that the client claims; empty: none.
        """
        self._id = id
        self._secrets = secrets
        self._user = user
        self._refusals: list[str] = []

    def askInOrder(
        self, tries: Iterator[_Try]
    ) -> Generator[Deferred[object], object, Identity]:
        try:
            return (yield from self._askEach(tries))
        except Refused as refused:
            if self._user:
                refused.attempted = Attempted(user=self._user)
            raise

    def _askEach(
        self, tries: Iterator[_Try]
    ) -> Generator[Deferred[object], object, Identity]:
        for attempt in tries:
            answer: object
            try:
                answer = settle(attempt.askChecker(), self._logLateFailure)
                if isinstance(answer, Deferred):
                    answer = yield answer
            except Exception:
                answer = Failure()
            identity = self._judgeAnswer(attempt, answer)
            if identity is not None:
                return identity
        raise Refused(
            Cause.CREDENTIALS_REFUSED,
            "; ".join(self._refusals) or "no checker takes credentials of this kind",
        )

    def _logLateFailure(self, result: object) -> None:
        """Log a failure that comes after the login was cancelled, without secrets."""
        if isinstance(result, Failure) and not result.check(*CANCELLED):
            _log.error(
                "a checker failed after request {id} was given up: {reason}",
                id=self._id,
                reason=self._secrets.describe(result.value),
            )

    def _judgeAnswer(self, attempt: _Try, answer: object) -> Identity | None:
        """Return the identity, or L{None} when this checker refuses."""
        if not isinstance(answer, Failure):
            identity = self._identityOf(attempt.name, answer)
            if identity is None:
                self._noteRefusal(f"{attempt.name}: accepted without naming a user")
            return identity
        if answer.check(UnauthorizedLogin):
            said = self._secrets.messageOf(answer.value) or _UNSAID
            self._noteRefusal(f"{attempt.name}: {said}")
            return None
        if isinstance(answer.value, Refused):
            raise answer.value
        _refuseFailed(attempt.name, self._id, self._secrets, answer)

    def _identityOf(self, name: str, avatar: object) -> Identity | None:
        # ANONYMOUS is (); an empty name identifies as little.
        if isinstance(avatar, (tuple, str, bytes)) and not avatar:
            return None
        if isinstance(avatar, Identity):
            return attrs.evolve(avatar, source=name) if avatar.user else None
        if isinstance(avatar, bytes):
            try:
                avatar = avatar.decode("utf-8")
            except UnicodeDecodeError:
                # Any other reading could be a second user's name.
                raise Refused(
                    Cause.CREDENTIALS_MALFORMED, f"{name}: the user is not UTF-8"
                ) from None
        if not isinstance(avatar, str):
            error = TypeError(f"it answered with {type(avatar).__name__}, not a name")
            _refuseFailed(name, self._id, self._secrets, Failure(error))
        return Identity(avatar, name)

    def _noteRefusal(self, refusal: str) -> None:
        # Both forms of the credentials get the same answer as a rule.
        if refusal not in self._refusals:
            self._refusals.append(refusal)


def _textOf(credentials: ICredentials) -> ICredentials | None:
    """Return Basic credentials with C{str} for bytes, where they can be had."""
    if not IBasicCredentials.providedBy(credentials):
        return None
    return IBasicCredentials(credentials).textForm()


def _claimedUser(credentials: object) -> str:
    """Return the user that credentials name, empty where they name none."""
    user = getattr(credentials, "username", "")
    if isinstance(user, bytes):
        return user.decode("utf-8", "backslashreplace")
    return user if isinstance(user, str) else ""


def _refuseFailed(name: str, id: str, secrets: Secrets, failure: Failure) -> NoReturn:
    # Not log.failure: a checker's message may hold the password.
    reason = secrets.describe(failure.value)
    _log.error(
        "{name} failed, so request {id} is refused: {reason}\n{frames}",
        name=name,
        id=id,
        reason=reason,
        frames=framesOf(failure),
    )
    raise Refused(Cause.PLUGIN_ERROR, reason, name) from None


def _takesCredentials(checker: ICredentialsChecker, credentials: ICredentials) -> bool:
    return any(
        interface.providedBy(credentials) for interface in checker.credentialInterfaces
    )


def _schemesByName(given: Sequence[object]) -> dict[bytes, IAuthScheme]:
    found: dict[bytes, IAuthScheme] = {}
    for named in map(Named.of, given):
        _verifyNamed(IAuthScheme, named)
        scheme: IAuthScheme = named.plugin
        name = str(scheme.name).lower().encode("utf-8")
        if name in found or not _CREDENTIALS.fullmatch(name) or b" " in name:
            raise ConfigurationError(
                f"the scheme {scheme.name!r} is given twice, or is no scheme's name"
            )
        found[name] = scheme
    # Basic first, the others as they were given: False sorts before True.
    return dict(sorted(found.items(), key=lambda item: item[0] != b"basic"))


def _verifyNamed(interface: type[Interface], named: Named) -> None:
    try:
        verifyRole(interface, named.plugin)
    except ConfigurationError as error:
        noun = "scheme" if interface is IAuthScheme else "checker"
        raise ConfigurationError(f"{noun} {named.name!r}: {error}") from None


def _challenge(scheme: IAuthScheme, reason: ChallengeReason, realm: str) -> bytes:
    # A plugin is not type-checked: it may return a str.
    value: object = scheme.challenge(reason, realm)
    if not isinstance(value, bytes) or not _ONE_LINE.fullmatch(value):
        raise ValueError("a challenge is one line of printable ASCII, in bytes")
    return value


def _firstChallenge(scheme: IAuthScheme, reason: ChallengeReason, realm: str) -> bytes:
    try:
        return _challenge(scheme, reason, realm)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"the scheme {scheme.name} has no challenge: {error}"
        ) from error
