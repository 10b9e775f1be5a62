"""
Saying what a plugin's exception said, without the credentials in it.

A checker is other people's code: C{ValueError(f"bad password {password}")}
must reach neither the log nor the client.
"""

from __future__ import annotations

import traceback

from twisted.python.failure import Failure
from twisted.python.reflect import safe_str

__all__ = ["Secrets", "framesOf"]


class Secrets:
    """
    What one request's credentials look like in a text.
    """

    def __init__(self, credentials: bytes) -> None:
        """
        @param credentials: the value of C{Proxy-Authorization}.
        """
        self._forms: set[str] = set()
        self._add(credentials)
        self._add(credentials.rpartition(b" ")[2])

    def learn(self, credentials: object) -> None:
        """
        Add the password of cred credentials, where they have one.
        """
        password = getattr(credentials, "password", None)
        if isinstance(password, (bytes, str)):
            self._add(password)

    def describe(self, error: BaseException | None) -> str:
        """
        Name an exception, with its message when that holds no secret.
        """
        kind = type(error).__name__
        message = safe_str(error)
        if any(form in message for form in self._forms):
            return f"{kind} (its message holds the credentials)"
        return f"{kind}: {message}" if message else kind

    def _add(self, secret: bytes | str) -> None:
        octets = (
            secret.encode("utf-8", "surrogatepass")
            if isinstance(secret, str)
            else secret
        )
        text = octets.decode("utf-8", "backslashreplace")
        latin = octets.decode("latin-1")
        plain = {text, latin, repr(octets)[2:-1]}
        escaped = {write(one)[1:-1] for write in (repr, ascii) for one in (text, latin)}
        self._forms |= (plain | escaped) - {""}


def framesOf(failure: Failure) -> str:
    """
    Where a failure comes from: files, lines and source, and no values.
    """
    return "".join(traceback.format_tb(failure.getTracebackObject()))
