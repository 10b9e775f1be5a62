"""
What the schemes read must be what the checkers check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from twisted.cred.credentials import (
    IAnonymous,
    ICredentials,
    IUsernameHashedPassword,
    IUsernamePassword,
)
from zope.interface import implementer

from txconnect.auth.basic import BasicScheme
from txconnect.auth.credentialkinds import checkKinds
from txconnect.errors import ConfigurationError
from txconnect.values import Named

if TYPE_CHECKING:
    from twisted.cred.credentials import CredentialFactory


class ITokenCredentials(ICredentials):
    """A token."""


@implementer(ITokenCredentials)
class Token:
    """One."""


class Checker:
    """Checks what it is told."""

    def __init__(self, *kinds: Any) -> None:
        self.credentialInterfaces = kinds


class Declared:
    """Says what it reads as a checker does."""

    credentialInterfaces = (ITokenCredentials,)


class Annotated:
    """Says it to type checkers."""

    def parse(self, attempt: Any) -> Token:
        raise NotImplementedError


class OfInterface:
    """Likewise, by the interface."""

    def parse(self, attempt: Any) -> ITokenCredentials:
        raise NotImplementedError


class Silent:
    """Says nothing."""

    def parse(self, attempt):  # type: ignore[no-untyped-def]
        raise NotImplementedError


class Broad:
    """Says what is true of all credentials."""

    def parse(self, attempt: Any) -> ICredentials:
        raise NotImplementedError


class Unresolved:
    """Says what is there for type checkers alone."""

    def parse(self, attempt: Any) -> CredentialFactory:
        raise NotImplementedError


BASIC = Named("basic", BasicScheme())
PASSWORDS = Named("file", Checker(IUsernamePassword))
TOKENS = Named("tokens", Checker(ITokenCredentials))


def refusal(schemes: list[Any], checkers: list[Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        checkKinds(schemes, checkers)
    return str(caught.value)


@pytest.mark.parametrize("scheme", [Declared(), Annotated(), OfInterface()])
def test_schemeWithoutItsChecker(scheme: Any) -> None:
    """[F61] However it says what it reads."""
    named = Named("Bearer", scheme)
    assert refusal([named], [PASSWORDS]) == (
        "checkers 'file': it checks IUsernamePassword, which no scheme reads: Bearer "
        "reads ITokenCredentials"
    )
    assert refusal([BASIC, named], [PASSWORDS]) == (
        "schemes 'Bearer': it reads ITokenCredentials, which no checker takes: file "
        "checks IUsernamePassword"
    )
    checkKinds([named], [TOKENS])
    checkKinds([BASIC, named], [PASSWORDS, TOKENS])


def test_checkerThatWouldNeverBeAsked() -> None:
    """[F61] It would look as if it guarded something."""
    for kind in (IAnonymous, IUsernameHashedPassword, ITokenCredentials):
        odd = Named("odd", Checker(kind))
        assert refusal([BASIC], [PASSWORDS, odd]) == (
            f"checkers 'odd': it checks {kind.__name__}, which no scheme reads: basic "
            "reads IBasicCredentials"
        )
        checkKinds([BASIC], [Named("both", Checker(kind, IUsernamePassword))])


@pytest.mark.parametrize("scheme", [Silent(), Broad(), Unresolved()])
def test_unknownKindsAreLeftToTheRequest(scheme: Any) -> None:
    """What a scheme does not say is no mistake."""
    named = Named("Own", scheme)
    checkKinds([named], [PASSWORDS])
    checkKinds([BASIC, named], [PASSWORDS, TOKENS])
