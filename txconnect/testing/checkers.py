"""
The conformance check for C{twisted.cred} checkers, asked as the proxy asks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Union

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials, IUsernamePassword
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.auth.authenticator import Authenticator
from txconnect.auth.basic import BasicCredentials
from txconnect.errors import Refused
from txconnect.interfaces import IAuthScheme
from txconnect.testing.complaints import requireThat, unwrapNamed, verifyInterface
from txconnect.testing.kit import makeRequest, nameOf
from txconnect.values import AuthAttempt, Cause, ChallengeReason, Identity

__all__ = ["checkChecker"]

Credentials = Union[tuple[str, str], ICredentials]
"""A user and a password, or credentials of another kind."""


def checkChecker(
    checker: object,
    valid: Credentials,
    invalid: Iterable[Credentials] = (),
    drive: Callable[[], object] | None = None,
) -> Identity:
    """
    Check an C{ICredentialsChecker}: it must name a user for valid credentials, and
    fail with C{UnauthorizedLogin} for all others: an answer, whatever it is, is no
    refusal, and another exception refuses with a 500.

    @param valid: a user and a password that it must accept, or credentials of the
        kind that the scheme makes.
    @param invalid: further credentials that it must refuse.  With a user and a
        password, a dozen near and far ones are tried anyway.
    @param drive: called after each question, so that a checker that waits can answer,
        such as C{MemoryNetwork.flush}; without it, it must answer at once.
    @return: the identity of the valid credentials.
    """
    verifyInterface(ICredentialsChecker, checker)
    takes = tuple(unwrapNamed(checker).credentialInterfaces)
    requireThat(bool(takes), checker, "its credentialInterfaces are empty")
    wrong = [*invalid, *_wrongOnes(valid)]
    requireThat(bool(wrong), checker, "give checkChecker credentials that are invalid")
    identity = _ask(checker, valid, drive)
    if isinstance(identity, Refused):
        raise AssertionError(
            f"{nameOf(checker)} refused the valid credentials: {identity.reason}"
        )
    for each in wrong:
        answer = _ask(checker, each, drive)
        requireThat(
            isinstance(answer, Refused),
            checker,
            f"it accepted {_shown(each)}; a refusal fails with UnauthorizedLogin, and "
            "any answer is taken for the user's name",
        )
    return identity


def _ask(
    checker: object, credentials: Credentials, drive: Callable[[], object] | None
) -> Identity | Refused:
    """Return the identity, or the refusal; another failure is a mistake."""
    authenticator = Authenticator([_GivenScheme(credentials)], [checker])
    answers: list[object] = []
    try:
        answer = authenticator.authenticate(makeRequest(), b"Given")
        if isinstance(answer, Deferred):
            answer.addBoth(answers.append)
            if drive is not None and not answers:
                drive()
            if not answers:
                answer.cancel()
                raise AssertionError(
                    f"{nameOf(checker)} has not answered over {_shown(credentials)}: "
                    "give checkChecker a drive that lets it answer"
                )
        else:
            answers.append(answer)
    except Refused as refused:
        answers.append(refused)
    found = answers[0].value if isinstance(answers[0], Failure) else answers[0]
    if isinstance(found, Identity):
        return found
    if isinstance(found, Refused) and found.cause is not Cause.PLUGIN_ERROR:
        return found
    reason = found.reason if isinstance(found, Refused) else repr(found)
    raise AssertionError(
        f"{nameOf(checker)} failed over {_shown(credentials)}: {reason}; a refusal fails "
        "with UnauthorizedLogin, and an answer is the user's name"
    )


def _wrongOnes(valid: Credentials) -> Iterator[Credentials]:
    if not isinstance(valid, tuple):
        return
    user, password = valid
    yield user, password + "x"
    yield user, password + "\u00e9"
    if password:
        yield user, password[:-1]
        yield user, ""
        yield user, password * 1000
    yield user + "x", password
    yield user * 1000, password
    yield "", password
    yield "", ""
    yield "no\u00e9l", password
    yield BasicCredentials(b"\xff", b"\xff")


def _shown(credentials: Credentials) -> str:
    """Return credentials for a message: the valid password is perhaps a real one."""
    user: object = "credentials of another kind"
    if isinstance(credentials, tuple):
        user = credentials[0]
    elif IUsernamePassword.providedBy(credentials):
        user = credentials.username
    else:
        return f"{type(credentials).__name__}"
    text = repr(user)
    return f"the user {text[:40]}"


@implementer(IAuthScheme)
class _GivenScheme:
    """A scheme that has read the given credentials."""

    name = "Given"

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def challenge(self, reason: ChallengeReason, realm: str) -> bytes:
        return b"Given"

    def parse(self, attempt: AuthAttempt) -> ICredentials:
        given = self._credentials
        if isinstance(given, tuple):
            user, password = (each.encode("utf-8") for each in given)
            return BasicCredentials(user, password)
        return given
