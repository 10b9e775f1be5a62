"""
The message of a plugin's exception, without the credentials in it.

A checker may be anyone's code: C{ValueError(f"bad password {password}")} must
reach neither the log nor the client.
"""

from __future__ import annotations

import traceback
from typing import NoReturn

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str

from txconnect.errors import Refused
from txconnect.values import Cause

__all__ = ["Secrets", "framesOf", "refuseFailed"]

_log = Logger()


class Secrets:
    """
    The forms in which one request's credentials may appear in a text, made when there
    is a text: most requests have none.
    """

    def __init__(self, credentials: bytes) -> None:
        """
        @param credentials: the value of C{Proxy-Authorization}.
        """
        self._credentials = credentials
        self._passwords: list[bytes | str] = []

    def learn(self, credentials: object) -> None:
        """
        Add the password of cred credentials, where they have one.
        """
        password = getattr(credentials, "password", None)
        if isinstance(password, (bytes, str)):
            self._passwords.append(password)

    def describe(self, error: BaseException | None) -> str:
        """
        Name an exception, with its message when that holds no secret.
        """
        kind = type(error).__name__
        message = safe_str(error)
        if self._isIn(message):
            return f"{kind} (its message holds the credentials)"
        return f"{kind}: {message}" if message else kind

    def messageOf(self, error: BaseException | None) -> str:
        """
        Return the message of an exception; empty when there is none, or when it
        holds a secret.
        """
        message = safe_str(error)
        return "" if self._isIn(message) else message

    def _isIn(self, message: str) -> bool:
        token = self._credentials.rpartition(b" ")[2]
        secrets = (self._credentials, token, *self._passwords)
        forms = {form for secret in secrets for form in _formsOf(secret) if form}
        return any(form in message for form in forms)


def _formsOf(secret: bytes | str) -> set[str]:
    # A message may quote the secret as text, as repr() of str or of bytes, or
    # decoded as Latin-1: each of these spells it differently.
    octets = (
        secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
    )
    text = octets.decode("utf-8", "backslashreplace")
    latin = octets.decode("latin-1")
    plain = {text, latin, repr(octets)[2:-1]}
    escaped = {write(one)[1:-1] for write in (repr, ascii) for one in (text, latin)}
    return plain | escaped


def framesOf(failure: Failure) -> str:
    """
    Return a failure's traceback: files, lines and source, and no values.
    """
    return "".join(traceback.format_tb(failure.getTracebackObject()))


def refuseFailed(name: str, id: str, secrets: Secrets, failure: Failure) -> NoReturn:
    """
    Log a checker's or a scheme's failure, and refuse the request.

    @param name: the plugin's name.
    @param id: the request's.
    @raise Refused: always.
    """
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
