"""
From C{Proxy-Authorization} to an L{Identity<txconnect.values.Identity>}.

The scheme that the client names reads what it sent; the C{twisted.cred}
checkers are asked in order; the first that accepts says who it is.  There is
no L{Portal<twisted.cred.portal.Portal>}: it keeps one checker an interface
and drops the others without a word.

Deadlines are not set here: who calls L{Authenticator.authenticate} cancels
what it returned.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NoReturn

import attrs
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from txconnect.auth.basic import BasicScheme, IBasicCredentials
from txconnect.auth.redaction import Secrets, framesOf
from txconnect.errors import ConfigurationError, Refused
from txconnect.interfaces import IAuthScheme
from txconnect.maybeasync import CANCELLED, run, settle
from txconnect.values import (
    AuthAttempt,
    Cause,
    ChallengeReason,
    ConnectRequest,
    Identity,
    Named,
)
from txconnect.wire.grammar import TOKEN_OCTETS

__all__ = ["Authenticator"]

_log = Logger()

# credentials = auth-scheme [ 1*SP ... ] (RFC 9110, 11.4).  A tab is no SP.
_CREDENTIALS = re.compile(rb"(" + TOKEN_OCTETS + rb")(?: +([^ \t].*))?", re.DOTALL)
# A challenge goes into a response's head as it is.
_ONE_LINE = re.compile(rb"[\x21-\x7e][\x20-\x7e]*")

_REASONS = {Cause.CREDENTIALS_MISSING: ChallengeReason.MISSING}


@attrs.frozen
class _Try:
    """One question to one checker."""

    name: str
    checker: Any
    credentials: ICredentials

    def ask(self) -> Any:
        return self.checker.requestAvatarId(self.credentials)


class Authenticator:
    """
    Says who asks, or refuses.

    @ivar realm: what the challenges call this proxy.
    """

    def __init__(
        self,
        schemes: Sequence[Any],
        checkers: Sequence[Any],
        realm: str = "proxy",
    ) -> None:
        """
        @param schemes: L{IAuthScheme} providers, or L{Named} ones; none:
            Basic.
        @param checkers: L{ICredentialsChecker} providers, or L{Named} ones,
            in the order in which they are asked.
        @raise ConfigurationError: for an object that provides neither, two
            schemes of one name, no checker, or a realm that no challenge can
            hold.
        """
        self.realm = realm
        self._schemes = _schemesByName(schemes or (BasicScheme(),))
        self._checkers = tuple(_named(checker) for checker in checkers)
        if not self._checkers:
            raise ConfigurationError("there is no checker: nobody could log in")
        for _, checker in self._checkers:
            _verify(ICredentialsChecker, checker)
        # Also what a scheme falls back on that fails later.
        self._first = {
            (name, reason): _firstChallenge(scheme, reason, realm)
            for name, scheme in self._schemes.items()
            for reason in ChallengeReason
        }

    def authenticate(
        self, request: ConnectRequest, credentials: bytes | None
    ) -> Identity | Deferred[Identity]:
        """
        Find out who asks.

        Called once a request, in the reactor's thread.

        @param credentials: the value of C{Proxy-Authorization}, or L{None}
            when the request has none.
        @return: the identity when every checker asked has answered at once,
            else a L{Deferred} of it; cancelling that cancels the checker that
            is being asked, and asks no further one.
        @raise Refused: (or the L{Deferred} fails with it) with
            C{CREDENTIALS_MISSING}, C{CREDENTIALS_MALFORMED},
            C{CREDENTIALS_REFUSED}, or C{PLUGIN_ERROR} when a checker or a
            scheme failed; a L{Refused} that a checker raised passes as it is.
        """
        if credentials is None:
            raise Refused(Cause.CREDENTIALS_MISSING)
        secrets = Secrets(credentials)
        parsed = self._parse(request, credentials, secrets)
        return run(_Login(request.id, secrets).steps(self._tries(parsed)))

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        """
        The values of C{Proxy-Authenticate}, one field line each, for a 407.

        Basic comes first: there are clients that give up at a scheme that
        they do not know [H1-37].

        A scheme that fails is logged, and its challenge from start-up is
        taken: there is no 407 without one, and the refusal that needs it is
        no place to raise.
        """
        reason = _REASONS.get(cause, ChallengeReason.BAD)
        return tuple(
            self._challenge(name, scheme, reason)
            for name, scheme in self._schemes.items()
        )

    def _challenge(self, name: bytes, scheme: Any, reason: ChallengeReason) -> bytes:
        try:
            return _challenge(scheme, reason, self.realm)
        except Exception:
            _log.failure("The scheme {scheme} has no challenge", scheme=scheme.name)
            return self._first[name, reason]

    def _parse(
        self, request: ConnectRequest, credentials: bytes, secrets: Secrets
    ) -> ICredentials:
        match = _CREDENTIALS.fullmatch(credentials.strip(b" \t"))
        if match is None:
            raise Refused(Cause.CREDENTIALS_MALFORMED)
        # The name may be the secret itself, where the client forgot it.
        scheme = self._schemes.get(match[1].lower())
        if scheme is None:
            raise Refused(
                Cause.CREDENTIALS_MALFORMED,
                "the client used a scheme that is not asked for here",
            )
        try:
            parsed: ICredentials = scheme.parse(AuthAttempt(match[2] or b"", request))
        except LoginFailed as error:
            reason = f"{scheme.name}: {secrets.describe(error)}"
            raise Refused(Cause.CREDENTIALS_MALFORMED, reason) from None
        except Exception:
            _refuseFailed(scheme.name, request.id, secrets, Failure())
        secrets.learn(parsed)
        return parsed

    def _tries(self, credentials: ICredentials) -> Iterator[_Try]:
        text = None
        if IBasicCredentials.providedBy(credentials):
            text = IBasicCredentials(credentials).textForm()
        for name, checker in self._checkers:
            if not _takes(checker, credentials):
                continue
            yield _Try(name, checker, credentials)
            # strcred's "file:" knows its users in bytes, "memory:" in str.
            if text is not None and IBasicCredentials not in set(
                checker.credentialInterfaces
            ):
                yield _Try(name, checker, text)


class _Login:
    """Asks one checker after the other until one accepts."""

    def __init__(self, id: str, secrets: Secrets) -> None:
        self._id = id
        self._secrets = secrets
        self._refusals: list[str] = []

    def steps(self, tries: Iterator[_Try]) -> Generator[Deferred[Any], Any, Identity]:
        for attempt in tries:
            answer: Any
            try:
                answer = settle(attempt.ask(), self._dropped)
                if isinstance(answer, Deferred):
                    answer = yield answer
            except Exception:
                answer = Failure()
            identity = self._judge(attempt, answer)
            if identity is not None:
                return identity
        raise Refused(
            Cause.CREDENTIALS_REFUSED,
            "; ".join(self._refusals) or "no checker takes credentials of this kind",
        )

    def _dropped(self, result: Any) -> None:
        """Log a checker's failure after it was given up, without its secrets."""
        if isinstance(result, Failure) and not result.check(*CANCELLED):
            _log.error(
                "a checker failed after request {id} was given up: {reason}",
                id=self._id,
                reason=self._secrets.describe(result.value),
            )

    def _judge(self, attempt: _Try, answer: Any) -> Identity | None:
        """Who it is, or L{None} when this checker says no."""
        if not isinstance(answer, Failure):
            identity = self._identify(attempt.name, answer)
            if identity is None:
                self._note(f"{attempt.name}: accepted nobody in particular")
            return identity
        if answer.check(UnauthorizedLogin):
            said = self._secrets.describe(answer.value)
            self._note(f"{attempt.name}: {said}")
            return None
        if isinstance(answer.value, Refused):
            raise answer.value
        _refuseFailed(attempt.name, self._id, self._secrets, answer)

    def _identify(self, name: str, avatar: Any) -> Identity | None:
        # ANONYMOUS is (); an empty name is its neighbour.
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

    def _note(self, refusal: str) -> None:
        # Both forms of the credentials get the same answer as a rule.
        if refusal not in self._refusals:
            self._refusals.append(refusal)


def _refuseFailed(name: str, id: str, secrets: Secrets, failure: Failure) -> NoReturn:
    reason = secrets.describe(failure.value)
    _log.error(
        "{name} failed, so request {id} is refused: {reason}\n{frames}",
        name=name,
        id=id,
        reason=reason,
        frames=framesOf(failure),
    )
    raise Refused(Cause.PLUGIN_ERROR, reason, name) from None


def _takes(checker: Any, credentials: ICredentials) -> bool:
    return any(
        interface.providedBy(credentials) for interface in checker.credentialInterfaces
    )


def _schemesByName(given: Sequence[Any]) -> dict[bytes, Any]:
    found: dict[bytes, Any] = {}
    for _, scheme in map(_named, given):
        _verify(IAuthScheme, scheme)
        name = str(scheme.name).lower().encode("utf-8")
        if name in found or not _CREDENTIALS.fullmatch(name) or b" " in name:
            raise ConfigurationError(
                f"the scheme {scheme.name!r} is given twice, or is no scheme's name"
            )
        found[name] = scheme
    return dict(sorted(found.items(), key=lambda item: item[0] != b"basic"))


def _named(given: Any) -> tuple[str, Any]:
    """A plugin with the name that L{txconnect.interfaces} says it goes by."""
    plugin = given.plugin if isinstance(given, Named) else given
    own = getattr(plugin, "name", None)
    if isinstance(own, str) and own:
        return own, plugin
    return given.name if given is not plugin else type(plugin).__name__, plugin


def _verify(interface: type[Interface], provider: Any) -> None:
    try:
        verifyObject(interface, provider)
    except Invalid as error:
        sentence = " ".join(str(error).split())
        raise ConfigurationError(sentence) from None


def _challenge(scheme: Any, reason: ChallengeReason, realm: str) -> bytes:
    value = scheme.challenge(reason, realm)
    if not isinstance(value, bytes) or not _ONE_LINE.fullmatch(value):
        raise ValueError("a challenge is one line of printable ASCII, in bytes")
    return value


def _firstChallenge(scheme: Any, reason: ChallengeReason, realm: str) -> bytes:
    try:
        return _challenge(scheme, reason, realm)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"the scheme {scheme.name} has no challenge: {error}"
        ) from error
