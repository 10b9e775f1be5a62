"""
Credentials for a proxy from a file or the environment, because other users of
the machine can read the command lines of processes.

They are one line: C{user:password}, or C{Bearer TOKEN}.  No message here repeats
any of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import attrs

from txconnect.client.credentials import Bearer, IProxyCredentials, Password

__all__ = ["ENVIRONMENT", "StoredCredentials", "loadCredentials", "readCredentials"]

ENVIRONMENT = "env:"
"""The prefix of a source that names an environment variable."""

LIMIT = 65536
"""
Most octets of a file: far more than any head of a request may hold.  A wrong
path may lead to a device that never ends.
"""

_TOKEN = re.compile(r"bearer(?:[ \t]+(.*))?", re.IGNORECASE | re.DOTALL)
_FORM = "one line: user:password, or Bearer TOKEN"


@attrs.frozen
class StoredCredentials:
    """
    The content of one such line: either a user and a password, or a token.

    @ivar user: without a colon; L{None} where there is a token.
    @ivar password: everything after the first colon.
    @ivar token: of a bearer, for HTTP proxies alone.
    """

    user: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)
    token: str | None = attrs.field(default=None, repr=False)

    def forHTTP(self) -> IProxyCredentials:
        """
        Make credentials for C{ConnectEndpoint} and the agents.

        Keep them as long as the proxy: they remember the challenge of a proxy
        with Digest.

        @raise ValueError: when these credentials cannot be sent to a proxy.
        """
        if self.token is not None:
            return Bearer(self.token)
        return Password(self.user or "", self.password or "")

    def forSOCKS(self) -> tuple[str, str]:
        """
        Return the user and the password (RFC 1929).

        @raise ValueError: for a token, for which SOCKS5 has no place.
        """
        if self.token is not None:
            raise ValueError("a SOCKS5 proxy takes a user and a password, and no token")
        return self.user or "", self.password or ""


def readCredentials(text: str) -> StoredCredentials:
    """
    Read one line, with or without a line end.

    @raise ValueError: when it is not exactly that, or cannot be sent to a proxy.
    """
    line = text.removesuffix("\n").removesuffix("\r")
    if not line.strip():
        raise ValueError(f"the credentials are empty: they are {_FORM}")
    if "\n" in line or "\r" in line:
        raise ValueError(f"the credentials have more than one line: they are {_FORM}")
    stored = _readLine(line)
    # Credentials that cannot be sent fail now, and not with the first connection.
    stored.forHTTP()
    return stored


def loadCredentials(
    source: str, environ: Mapping[str, str] | None = None
) -> StoredCredentials:
    """
    Read credentials from the source that an operator names.

    @param source: the path of a file in UTF-8; or C{env:NAME}, an environment
        variable.  A path that begins with C{env:} is written C{./env:...}.
    @param environ: the environment; L{None}: the process's own.
    @raise ValueError: when they cannot be read, or are not valid.  The message
        has the source, unless that may be a secret itself.
    """
    try:
        if source.startswith(ENVIRONMENT):
            text = _readEnvironment(source.removeprefix(ENVIRONMENT), environ)
        else:
            text = _readFile(source)
        return readCredentials(text)
    except ValueError as error:
        if _mayBeSecret(source):
            raise ValueError(
                "credentials: there is no such file; a secret does not belong here, "
                f"but in a file, or in the variable that {ENVIRONMENT}NAME names"
            ) from None
        raise ValueError(f"credentials {source!r}: {error}") from None


def _mayBeSecret(source: str) -> bool:
    """Tell whether the operator may have written credentials in place of a file."""
    if source.startswith(ENVIRONMENT) or os.path.lexists(source):
        return False
    return ":" in source or _TOKEN.fullmatch(source) is not None


def _readLine(line: str) -> StoredCredentials:
    # First: a blank after "Bearer" makes it a token, whatever follows.
    token = _TOKEN.fullmatch(line)
    if token is not None:
        return StoredCredentials(token=(token[1] or "").strip(" \t"))
    user, colon, password = line.partition(":")
    if not colon:
        raise ValueError(f"the credentials have no colon: they are {_FORM}")
    return StoredCredentials(user, password)


def _readEnvironment(name: str, environ: Mapping[str, str] | None) -> str:
    text = (os.environ if environ is None else environ).get(name)
    if text is None:
        raise ValueError("there is no such environment variable")
    return text


def _readFile(path: str) -> str:
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
