"""
From C{Proxy-Authorization} to an L{Identity<txconnect.values.Identity>}.

The scheme that the client names reads the credentials
(L{txconnect.auth.offeredschemes}); the C{twisted.cred} checkers are asked in order, and
the first that accepts gives the identity (L{txconnect.auth.login}).

Time-outs are not set here: the caller of L{Authenticator.authenticate}
cancels the Deferred that it got.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred

from txconnect.auth.basic import BasicScheme
from txconnect.auth.credentialkinds import checkKinds
from txconnect.auth.login import Login
from txconnect.auth.offeredschemes import OfferedSchemes
from txconnect.auth.redaction import Secrets
from txconnect.errors import ConfigurationError, Refused
from txconnect.maybeasync import run
from txconnect.roles import verifiedPlugins
from txconnect.values import Cause, Identity, Named, Request

__all__ = ["Authenticator"]

_DEFAULT = (BasicScheme(),)
"""The schemes where none is given."""


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
        named = tuple(map(Named.of, schemes or _DEFAULT))
        self._schemes = OfferedSchemes(named, realm)
        self._checkers = verifiedPlugins(checkers, ICredentialsChecker)
        if not self._checkers:
            raise ConfigurationError("there is no checker: no client could log in")
        checkKinds(named, self._checkers)

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
        parsed = self._schemes.parseCredentials(request, credentials, secrets)
        login = Login(request.id, parsed, secrets)
        return run(login.askInOrder(self._checkers))

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        """
        Return the values of C{Proxy-Authenticate}, one field line each, for a
        407.
        """
        return self._schemes.challenges(cause)
