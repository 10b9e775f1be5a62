"""
The claims of a client whose request was refused: for the log, and proved by nothing.

A request that is no CONNECT, or that could not be parsed to its end, has no
authority; then its request line is all that tells what was asked for.  A target may
hold secrets, C{http://user:password@host/} and C{?token=}, so neither part is kept.
"""

from __future__ import annotations

import re

import attrs

__all__ = ["Attempted", "attemptedLine"]

_LONGEST = 2048
"""The most octets of a target that are kept: a log shows fewer still."""

# The userinfo of an authority, up to its last "@" (RFC 3986, 3.2), with any number of
# slashes before it: a password must not show because its URL is mistyped.
_USERINFO = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]*:(?=/))?/*)[^/?#]+@")
_AFTER_PATH = re.compile(r"[?#].*", re.DOTALL)


@attrs.frozen
class Attempted:
    """
    The unproved part of a refused request.

    @ivar user: the user that the client has named in credentials that were refused;
        empty where it named none, or none that could be read.
    @ivar method: the method of a request that was not parsed to its end.
    @ivar target: its target, without a password in it and without a query, which
        may be one: C{?...} stands for it.
    """

    user: str = ""
    method: str = ""
    target: str = ""


def attemptedLine(method: bytes, target: bytes) -> Attempted | None:
    """
    Make the claims of a request line; L{None} if there was none yet.

    @param method: the octets of the method, in any case.
    @param target: those of the target, whatever they are.
    """
    if not method:
        return None
    # The whole target first: a password of any length must be found, and then cut.
    text = target.decode("latin-1")
    userinfo = _USERINFO.match(text)
    if userinfo is not None:
        text = f"{userinfo[1]}...@{text[userinfo.end() :]}"
    text = _AFTER_PATH.sub(lambda match: match[0][0] + "...", text)
    return Attempted(method=method[:_LONGEST].decode("latin-1"), target=text[:_LONGEST])
