"""
Checkers of C{twisted.cred}, by name or by place: C{htpasswd:PATH}, C{file:PATH},
C{./file.py:NAME:ARGUMENT}.

C{strcred} alone accepts a missing password file with a warning, and says
little about the cause of an error.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.cred import strcred
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword

from txconnect.errors import ConfigurationError
from txconnect.plugins.bareitems import bareHint
from txconnect.plugins.catalogue import Catalogue, nearest
from txconnect.plugins.kinds import CHECKER
from txconnect.plugins.loading import labelOf, loadPlugin
from txconnect.plugins.places import describeException, isPlace
from txconnect.roles import verifyRole
from txconnect.values import Named

__all__ = ["findCheckerFactory", "installedCheckers", "loadChecker"]


def loadChecker(
    text: str, catalogue: Catalogue | None = None, label: str = ""
) -> Named:
    """
    Make the checker that one C{--auth} names.

    @param text: C{NAME}, C{NAME:ARGUMENT}, C{./file.py:NAME[:ARGUMENT]} or
        C{package.module:NAME[:ARGUMENT]}.
    @param label: the start of a message; by default the option and the name.
    @return: an L{ICredentialsChecker<twisted.cred.checkers.ICredentialsChecker>}
        provider, under C{NAME}.
    @raise ConfigurationError: the checker cannot be made; the argument is not
        repeated, as it may be a password.
    """
    label = label or f"{CHECKER.option} {labelOf(CHECKER, text)}"
    name, _, argument = text.partition(":")
    if isPlace(name):
        return loadPlugin(CHECKER, text, catalogue, label)
    try:
        return Named(name, _makeInstalled(name, argument))
    except ConfigurationError as error:
        raise ConfigurationError(f"{label}: {error}") from error


def installedCheckers() -> list[strcred.ICheckerFactory]:
    """Return the installed checkers of user names and passwords, sorted by name."""
    found = filter(_checksPasswords, strcred.findCheckerFactories())
    return sorted(found, key=lambda factory: str(factory.authType))


def _makeInstalled(name: str, argument: str) -> ICredentialsChecker:
    factory: Any = findCheckerFactory(name)
    if name == "file":
        # cred only warns when the file is missing.
        argument = _readablePath(argument)
    try:
        checker: ICredentialsChecker = factory.generateChecker(argument)
    except (ValueError, OSError, strcred.StrcredException) as error:
        raise ConfigurationError(" ".join(str(error).split())) from error
    except Exception as error:
        # Unlike a sentence for the operator, the text of this one may hold the
        # argument.
        shown = describeException(error, secret=True)
        raise ConfigurationError(f"the checker failed with {shown}") from error
    verifyRole(ICredentialsChecker, checker)
    return checker


def findCheckerFactory(name: str) -> strcred.ICheckerFactory:
    """
    Return the installed factory of a name.

    @raise ConfigurationError: there is none.
    """
    for factory in strcred.findCheckerFactories():
        if factory.authType == name:
            return factory  # type: ignore[no-any-return]
    names = [str(factory.authType) for factory in installedCheckers()]
    near = nearest(name, names)
    meant = bareHint(CHECKER, name) or (f"did you mean {near!r}?" if near else "")
    hint = f"; {meant}" if meant else "."
    if os.path.exists(name + ".py"):
        hint += f" For a file, write --auth ./{name}.py:NAME."
    raise ConfigurationError(
        f"there is no checker {name!r}{hint} Installed: {', '.join(names)}"
    )


def _checksPasswords(factory: strcred.ICheckerFactory) -> bool:
    return IUsernamePassword in factory.credentialInterfaces


def _readablePath(path: str) -> str:
    """
    Return the absolute path of a file that can be read: C{twistd} may change
    the directory.
    """
    if not path.strip():
        raise ConfigurationError("say which, as file:PATH")
    path = os.path.abspath(path)
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
