"""
C{--auth}: the checkers of C{twisted.cred}, by name.

C{strcred} alone lets a missing password file pass with a warning, and says
little about what went wrong.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import Any

from twisted.cred import strcred
from twisted.cred.credentials import IUsernamePassword
from twisted.python import usage

from txconnect.values import Named


class CheckerOptions(usage.Options, strcred.AuthOptionMixin):
    """
    The options C{--auth}, C{--help-auth} and C{--help-auth-type}.

    Besides what C{strcred} keeps, C{["checkers"]} has every checker as a
    L{Named}, in order.

    @ivar auths: what was given to each C{--auth}.
    """

    supportedInterfaces = (IUsernamePassword,)

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self["checkers"] = []
        self.auths: list[str] = []

    def opt_auth(self, checker: str) -> None:
        """
        ask for passwords, and check them with this: htpasswd:PATH, file:PATH;
        repeatable; see --help-auth
        """
        name, _, argument = checker.partition(":")
        self.auths.append(checker)
        self["checkers"].append(Named(name, self._checker(name, argument)))

    def opt_help_auth(self) -> None:
        """
        list the installed checkers for --auth and exit
        """
        strcred.AuthOptionMixin.opt_help_auth(self)

    def opt_help_auth_type(self, authType: str) -> None:
        """
        say more about one checker and exit
        """
        strcred.AuthOptionMixin.opt_help_auth_type(self, authType)

    def _checker(self, name: str, argument: str) -> Any:
        factory = self._checkerFactory(name)
        if name == "file":
            argument = _readable(argument)
        try:
            checker = factory.generateChecker(argument)
            strcred.AuthOptionMixin.addChecker(self, checker)
        except strcred.UnsupportedInterfaces:
            raise _noPasswords(name) from None
        except (ValueError, OSError, strcred.StrcredException) as error:
            raise usage.UsageError(f"--auth {name}: {error}") from error
        except Exception as error:
            # Unlike a sentence for the operator, what this one says may hold
            # the argument, and that a password.
            raise usage.UsageError(
                f"--auth {name}: the checker failed with {type(error).__name__}"
            ) from error
        return checker

    def _checkerFactory(self, name: str) -> Any:
        factories = list(strcred.findCheckerFactories())
        for factory in factories:
            if factory.authType == name:
                if not self._checksPasswords(factory):
                    raise _noPasswords(name)
                return factory
        names = sorted(f.authType for f in factories if self._checksPasswords(f))
        near = get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise usage.UsageError(
            f"--auth: there is no checker {name!r}{hint} Installed: {', '.join(names)}"
        )

    def _checksPasswords(self, factory: Any) -> bool:
        return bool(strcred.AuthOptionMixin.supportsCheckerFactory(self, factory))


def _readable(path: str) -> str:
    """An existing file's absolute path: C{twistd} may change the directory."""
    if not path.strip():
        raise usage.UsageError("--auth file: say which, as file:PATH")
    path = os.path.abspath(path)
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        raise usage.UsageError(f"--auth file: {path}: {error.strerror}") from None


def _noPasswords(name: str) -> usage.UsageError:
    return usage.UsageError(
        f"--auth {name}: it does not check user names and passwords"
    )
