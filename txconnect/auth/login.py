"""
One client's login: C{twisted.cred} checkers, asked in order until one accepts.

There is no L{Portal<twisted.cred.portal.Portal>}: it keeps one checker an interface and
drops the others without a word.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import attrs
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.auth.basic import IBasicCredentials
from txconnect.auth.redaction import Secrets, refuseFailed
from txconnect.errors import Refused
from txconnect.maybeasync import CANCELLED, settle
from txconnect.values import Attempted, Cause, Identity, Named

__all__ = ["Login"]

_log = Logger()

_UNSAID = "unknown user or wrong password"
"""The words for a checker that refuses without saying why."""


@attrs.frozen
class _Try:
    """One set of credentials for one checker."""

    name: str
    checker: ICredentialsChecker
    credentials: ICredentials

    def askChecker(self) -> object:
        return self.checker.requestAvatarId(self.credentials)


class Login:
    """One client's login."""

    def __init__(self, id: str, credentials: ICredentials, secrets: Secrets) -> None:
        """
        @param id: the request's.
        """
        self._id = id
        self._credentials = credentials
        self._secrets = secrets
        self._refusals: list[str] = []

    def askInOrder(
        self, checkers: Sequence[Named]
    ) -> Generator[Deferred[object], object, Identity]:
        """
        Ask the checkers.

        @raise Refused: none has accepted, or one has failed.
        """
        tries = _possibleTries(checkers, self._credentials)
        try:
            return (yield from self._askEach(tries))
        except Refused as refused:
            user = _claimedUser(self._credentials)
            if user:
                refused.attempted = Attempted(user=user)
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
        refuseFailed(attempt.name, self._id, self._secrets, answer)

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
            refuseFailed(name, self._id, self._secrets, Failure(error))
        return Identity(avatar, name)

    def _noteRefusal(self, refusal: str) -> None:
        # Both forms of the credentials get the same answer as a rule.
        if refusal not in self._refusals:
            self._refusals.append(refusal)


def _possibleTries(
    checkers: Sequence[Named], credentials: ICredentials
) -> Iterator[_Try]:
    for named in checkers:
        name, checker = named.name, named.plugin
        if not _takesCredentials(checker, credentials):
            continue
        yield _Try(name, checker, credentials)
        # strcred's "file:" knows its users in bytes, "memory:" in str.
        if IBasicCredentials not in checker.credentialInterfaces:
            text = _textOf(credentials)
            if text is not None:
                yield _Try(name, checker, text)


def _textOf(credentials: ICredentials) -> ICredentials | None:
    """Return Basic credentials with C{str} for bytes, where they can be had."""
    if not IBasicCredentials.providedBy(credentials):
        return None
    return IBasicCredentials(credentials).textForm()


def _takesCredentials(checker: ICredentialsChecker, credentials: ICredentials) -> bool:
    return any(
        interface.providedBy(credentials) for interface in checker.credentialInterfaces
    )


def _claimedUser(credentials: object) -> str:
    """Return the user that credentials name, empty where they name none."""
    user = getattr(credentials, "username", "")
    if isinstance(user, bytes):
        return user.decode("utf-8", "backslashreplace")
    return user if isinstance(user, str) else ""
