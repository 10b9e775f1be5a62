"""
Checkers of C{twisted.cred}, by name: C{htpasswd:PATH}, C{file:PATH}.

C{strcred} alone accepts a missing password file with a warning, and says
little about the cause of an error.
"""

from __future__ import annotations

import os
from difflib import get_close_matches

from twisted.cred import strcred
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword

from txconnect.errors import ConfigurationError
from txconnect.values import Named


def loadChecker(text: str) -> Named:
    """
    Make the checker that one C{--auth} names.

    @param text: C{NAME} or C{NAME:ARGUMENT}.
    @return: an L{ICredentialsChecker<twisted.cred.checkers.ICredentialsChecker>}
        provider of user names and passwords, under C{NAME}.
    @raise ConfigurationError: the checker cannot be made; the argument is not
        repeated, as it may be a password.
    """
    name, _, argument = text.partition(":")
    factory = _findFactory(name)
    if name == "file":
        # cred only warns when the file is missing.
        argument = _readablePath(argument)
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
    # A factory may make a checker of less than it announces.
    if not _checksPasswords(checker):
        raise _noPasswords(name)
    return Named(name, checker)


def _findFactory(name: str) -> strcred.ICheckerFactory:
    factories: list[strcred.ICheckerFactory] = [*strcred.findCheckerFactories()]
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


def _checksPasswords(checker: strcred.ICheckerFactory | ICredentialsChecker) -> bool:
    return IUsernamePassword in checker.credentialInterfaces


def _readablePath(path: str) -> str:
    """
    Return the absolute path of a file that can be read: C{twistd} may change
    the directory.
    """
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
