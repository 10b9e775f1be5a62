"""
The schemes that a proxy offers: the challenges of a 407, and the scheme that reads a
client's credentials.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from twisted.cred.credentials import ICredentials
from twisted.cred.error import LoginFailed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.auth.redaction import Secrets, refuseFailed
from txconnect.errors import ConfigurationError, Refused
from txconnect.interfaces import IAuthScheme
from txconnect.roles import verifiedPlugins
from txconnect.values import AuthAttempt, Cause, ChallengeReason, Named, Request
from txconnect.wire.grammar import TOKEN_OCTETS

__all__ = ["OfferedSchemes"]

_log = Logger()

# credentials = auth-scheme [ 1*SP ... ] (RFC 9110, 11.4).  A tab is no SP.
_CREDENTIALS = re.compile(rb"(" + TOKEN_OCTETS + rb")(?: +([^ \t].*))?", re.DOTALL)
# A challenge is copied into a response's head: a line break in it would begin
# another field.
_ONE_LINE = re.compile(rb"[\x21-\x7e][\x20-\x7e]*")

_REASONS = {Cause.CREDENTIALS_MISSING: ChallengeReason.MISSING}


class OfferedSchemes:
    """
    The schemes of one proxy, by their names.

    @param schemes: at least one.
    @raise ConfigurationError: one is none, two have one name, or one has no challenge
        with this realm.
    """

    def __init__(self, schemes: Sequence[Named], realm: str) -> None:
        self._realm = realm
        self._schemes = _schemesByName(schemes)
        # Made at once, so that a realm which no challenge can hold stops the
        # start; kept, because a scheme may fail later (see challenges).
        self._startChallenges = {
            (name, reason): _firstChallenge(scheme, reason, realm)
            for name, scheme in self._schemes.items()
            for reason in ChallengeReason
        }

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
            return _challenge(scheme, reason, self._realm)
        except Exception:
            _log.failure("The scheme {scheme} has no challenge", scheme=scheme.name)
            return self._startChallenges[name, reason]

    def parseCredentials(
        self, request: Request, credentials: bytes, secrets: Secrets
    ) -> ICredentials:
        """
        Return a client's credentials, read by the scheme that they name.

        @param secrets: learns them.
        @raise Refused: they cannot be read, or the scheme has failed.
        """
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
            refuseFailed(scheme.name, request.id, secrets, Failure())
        secrets.learn(parsed)
        return parsed


def _schemesByName(given: Sequence[Named]) -> dict[bytes, IAuthScheme]:
    found: dict[bytes, IAuthScheme] = {}
    for named in verifiedPlugins(given, IAuthScheme):
        scheme: IAuthScheme = named.plugin
        name = str(scheme.name).lower().encode("utf-8")
        if name in found or not _CREDENTIALS.fullmatch(name) or b" " in name:
            raise ConfigurationError(
                f"the scheme {scheme.name!r} is given twice, or is no scheme's name"
            )
        found[name] = scheme
    # Basic first, the others as they were given: False sorts before True.
    return dict(sorted(found.items(), key=lambda item: item[0] != b"basic"))


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
