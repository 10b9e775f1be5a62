"""
Checkers of C{twisted.cred}, by name: C{htpasswd:PATH}, C{file:PATH}.

C{strcred} alone lets a missing password file pass with a warning, and says
little about what went wrong.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import Any

from twisted.cred import strcred
from twisted.cred.credentials import IUsernamePassword

from txconnect.errors import ConfigurationError
from txconnect.values import Named


def loadChecker(text: str) -> Named:
    """
    Make the checker that one C{--auth} names.

    @param text: C{NAME} or C{NAME:ARGUMENT}.
    @return: an L{ICredentialsChecker<twisted.cred.checkers.ICredentialsChecker>}
        provider of user names and passwords, under C{NAME}.
    @raise ConfigurationError: there is none; the argument is not repeated, as
        it may be a password.
    """
    name, _, argument = text.partition(":")
    factory = _factory(name)
    if name == "file":
        argument = _readable(argument)
    try:
        checker = factory.generateChecker(argument)
    except (ValueError, OSError, strcred.StrcredException) as error:
        raise ConfigurationError(f"--auth {name}: {error}") from error
    except Exception as error:
        # Unlike a sentence for the operator, the text of this one may hold the
        # argument.
        raise ConfigurationError(
            f"--auth {name}: the checker failed with {type(error).__name__}"
        ) from error
    if not _checksPasswords(checker):
        raise _noPasswords(name)
    return Named(name, checker)


def _factory(name: str) -> Any:
    factories = list(strcred.findCheckerFactories())
    for factory in factories:
        if factory.authType == name:
            if not _checksPasswords(factory):
                raise _noPasswords(name)
            return factory
    names = sorted(f.authType for f in factories if _checksPasswords(f))
    near = get_close_matches(name, names, 1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ConfigurationError(
        f"--auth: there is no checker {name!r}{hint} Installed: {', '.join(names)}"
    )


def _checksPasswords(checker: Any) -> bool:
    return IUsernamePassword in checker.credentialInterfaces


def _readable(path: str) -> str:
    """An existing file's absolute path: C{twistd} may change the directory."""
    if not path.strip():
        raise ConfigurationError("--auth file: say which, as file:PATH")
    path = os.path.abspath(path)
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        raise ConfigurationError(f"--auth file: {path}: {error.strerror}") from None


def _noPasswords(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"--auth {name}: it does not check user names and passwords"
    )
