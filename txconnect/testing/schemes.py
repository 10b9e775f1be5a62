"""
The conformance check for authentication schemes, which have a grammar.
"""

from __future__ import annotations

import re

from twisted.cred.credentials import ICredentials
from twisted.cred.error import LoginFailed

from txconnect.interfaces import IAuthScheme
from txconnect.testing.complaints import requireThat, unwrapNamed, verifyInterface
from txconnect.testing.kit import makeRequest, nameOf
from txconnect.testing.samples import CREDENTIALS
from txconnect.values import AuthAttempt, ChallengeReason
from txconnect.wire.grammar import TOKEN, matchToken

# A token, a quoted string, a challenge: RFC 9110, 5.6.2, 5.6.4 and 11.3.
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PARAMETER = rf"{TOKEN} *= *(?:{TOKEN}|{_QUOTED})"
_CHALLENGE = re.compile(
    rf"{TOKEN}(?: +(?:[A-Za-z0-9._~+/-]+=*|{_PARAMETER}(?: *, *{_PARAMETER})*))?",
    re.ASCII,
)
_ONE_LINE = re.compile(rb"[\x20-\x7e]+")


def checkAuthScheme(scheme: object, good: bytes | None = None) -> None:
    """
    Check an L{IAuthScheme}.

    @param good: parameters that a client may send after the scheme's name:
        they must yield credentials.
    """
    verifyInterface(IAuthScheme, scheme)
    plugin = unwrapNamed(scheme)
    name = plugin.name
    requireThat(
        isinstance(name, str) and matchToken(name) is not None,
        scheme,
        f"its name, {name!r}, is no token of RFC 9110",
    )
    for reason in ChallengeReason:
        for realm in ("proxy", 'the "inner" \\ proxy'):
            # A realm with a quote and a backslash must be escaped.
            _checkChallenge(scheme, plugin.challenge(reason, realm), realm)
    for garbage in CREDENTIALS:
        _checkParsing(scheme, garbage, mayFail=True)
    if good is not None:
        _checkParsing(scheme, good, mayFail=False)


def _checkChallenge(scheme: object, challenge: object, realm: str) -> None:
    if not isinstance(challenge, bytes) or _ONE_LINE.fullmatch(challenge) is None:
        raise AssertionError(
            f"{nameOf(scheme)}: its challenge, {challenge!r}, is not one line of ASCII "
            "in bytes"
        )
    name = unwrapNamed(scheme).name.encode("ascii")
    requireThat(
        challenge.split(b" ", 1)[0].lower() == name.lower(),
        scheme,
        f"its challenge, {challenge!r}, does not start with its name, {name!r}",
    )
    requireThat(
        _CHALLENGE.fullmatch(challenge.decode("ascii")) is not None,
        scheme,
        f"its challenge for the realm {realm!r}, {challenge!r}, is not well-formed",
    )


def _checkParsing(scheme: object, parameters: bytes, mayFail: bool) -> None:
    attempt = AuthAttempt(parameters, makeRequest())
    shown = parameters[:20]
    try:
        credentials = unwrapNamed(scheme).parse(attempt)
    except LoginFailed as refused:
        if not mayFail:
            raise AssertionError(
                f"{nameOf(scheme)} cannot read {shown!r}: {refused}"
            ) from refused
        return
    except Exception as raised:
        raise AssertionError(
            f"{nameOf(scheme)} raised {type(raised).__name__} over {shown!r}; what "
            "cannot be read is a LoginFailed"
        ) from raised
    requireThat(
        ICredentials.providedBy(credentials),
        scheme,
        f"it made {type(credentials).__name__} of {shown!r}, which does not provide "
        "ICredentials",
    )
