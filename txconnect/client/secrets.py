"""
Credentials for a proxy from a file or the environment: the command line and
the names of processes are for everybody to read.

One line: C{user:password}, or C{Bearer TOKEN}.  No message here repeats any of
it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import attrs

from txconnect.client.credentials import Bearer, IProxyCredentials, Password

__all__ = ["ENVIRONMENT", "StoredCredentials", "loadCredentials", "readCredentials"]

ENVIRONMENT = "env:"
"""What a source begins with that is the name of an environment variable."""

LIMIT = 65536
"""Octets: far more than any head of a request may hold."""

_TOKEN = re.compile(r"bearer(?:[ \t]+(.*))?", re.IGNORECASE | re.DOTALL)
_FORM = "one line: user:password, or Bearer TOKEN"


@attrs.frozen
class StoredCredentials:
    """
    What one such line says: either a user and a password, or a token.

    @ivar user: without a colon; L{None} where there is a token.
    @ivar password: everything behind the first colon.
    @ivar token: of a bearer, for HTTP proxies alone.
    """

    user: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)
    token: str | None = attrs.field(default=None, repr=False)

    def forHTTP(self) -> IProxyCredentials:
        """
        Make what C{ConnectEndpoint} and the agents take.

        Keep it as long as the proxy: it remembers what a proxy with Digest
        has asked.

        @raise ValueError: when no proxy could be sent these credentials.
        """
        if self.token is not None:
            return Bearer(self.token)
        return Password(self.user or "", self.password or "")

    def forSOCKS(self) -> tuple[str, str]:
        """
        Give the user and the password (RFC 1929).

        @raise ValueError: for a token, for which SOCKS5 has no place.
        """
        if self.token is not None:
            raise ValueError("a SOCKS5 proxy takes a user and a password, and no token")
        return self.user or "", self.password or ""


def readCredentials(text: str) -> StoredCredentials:
    """
    Read the one line; a line's end behind it may be there or not.

    @raise ValueError: when it is not exactly that, or no proxy could be sent
        it.
    """
    line = text.removesuffix("\n").removesuffix("\r")
    if not line.strip():
        raise ValueError(f"the credentials are empty: they are {_FORM}")
    if "\n" in line or "\r" in line:
        raise ValueError(f"the credentials have more than one line: they are {_FORM}")
    stored = _readLine(line)
    # What cannot be sent is found now, and not with the first connection.
    stored.forHTTP()
    return stored


def loadCredentials(
    source: str, environ: Mapping[str, str] | None = None
) -> StoredCredentials:
    """
    Read credentials where an operator says that they are.

    @param source: the path of a file in UTF-8; or C{env:NAME}, an environment
        variable.  A path that begins so is written C{./env:...}.
    @param environ: the environment; L{None}: the process's own.
    @raise ValueError: when they are not there, or are none, with the source,
        unless that may be a secret itself.
    """
    try:
        if source.startswith(ENVIRONMENT):
            text = _fromEnvironment(source.removeprefix(ENVIRONMENT), environ)
        else:
            text = _fromFile(source)
        return readCredentials(text)
    except ValueError as error:
        if _mayBeSecret(source):
            raise ValueError(
                "credentials: there is no such file; what they are does not belong "
                f"here, but into a file, or a variable that {ENVIRONMENT}NAME names"
            ) from None
        raise ValueError(f"credentials {source!r}: {error}") from None


def _mayBeSecret(source: str) -> bool:
    """Whether somebody may have given credentials in the place of a file."""
    if source.startswith(ENVIRONMENT) or os.path.lexists(source):
        return False
    return ":" in source or _TOKEN.fullmatch(source) is not None


def _readLine(line: str) -> StoredCredentials:
    token = _TOKEN.fullmatch(line)
    if token is not None:
        return StoredCredentials(token=(token[1] or "").strip(" \t"))
    user, colon, password = line.partition(":")
    if not colon:
        raise ValueError(f"the credentials have no colon: they are {_FORM}")
    return StoredCredentials(user, password)


def _fromEnvironment(name: str, environ: Mapping[str, str] | None) -> str:
    text = (os.environ if environ is None else environ).get(name)
    if text is None:
        raise ValueError("there is no such environment variable")
    return text


def _fromFile(path: str) -> str:
    try:
        with open(path, "rb") as file:
            octets = file.read(LIMIT + 1)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if len(octets) > LIMIT:
        raise ValueError("the file is too large to hold credentials")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8") from None
