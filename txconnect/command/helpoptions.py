"""
The options that show something and exit: the help, the lists of plugins, the versions.

The docstring of each C{opt_} method is the option's text in C{--help}.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from twisted.copyright import version as twistedVersion
from twisted.cred import strcred
from twisted.python import usage

from txconnect.errors import ConfigurationError
from txconnect.naming import VERSION
from txconnect.plugins import (
    AUTH_SCHEME,
    OBSERVER,
    PAIR,
    PLUGIN,
    POLICY,
    ROUTER,
    TAP,
)
from txconnect.plugins.arguments import shownText
from txconnect.plugins.checkers import findCheckerFactory
from txconnect.plugins.listing import listed, listedCheckers

__all__ = ["HelpOptions", "writeAndExit"]


def writeAndExit(text: str) -> NoReturn:
    """Write a text to standard output, and end the program in order."""
    sys.stdout.write(text)
    raise SystemExit(0)


class HelpOptions:
    """The options that show something, for a C{usage.Options} with C{--auth}."""

    def opt_help(self: Any) -> None:
        """
        show this help and exit
        """
        usage.Options.opt_help(self)

    opt_h = opt_help

    def opt_help_policy(self) -> None:
        """
        list the installed policies and exit
        """
        writeAndExit(listed(POLICY))

    def opt_help_observer(self) -> None:
        """
        list the installed observers and exit
        """
        writeAndExit(listed(OBSERVER))

    def opt_help_tap(self) -> None:
        """
        list the installed taps and exit
        """
        writeAndExit(listed(TAP))

    def opt_help_pair(self) -> None:
        """
        list the installed pair factories and exit
        """
        writeAndExit(listed(PAIR))

    def opt_help_router(self) -> None:
        """
        list the installed routers and exit
        """
        writeAndExit(listed(ROUTER))

    def opt_help_plugin(self) -> None:
        """
        list everything that --plugin loads by name, and exit
        """
        writeAndExit(listed(PLUGIN))

    def opt_help_auth_scheme(self) -> None:
        """
        list the installed authentication schemes and exit
        """
        writeAndExit(listed(AUTH_SCHEME))

    def opt_help_auth(self) -> None:
        """
        list the installed checkers for --auth and exit
        """
        writeAndExit(listedCheckers())

    def opt_help_auth_type(self: Any, authType: str) -> None:
        """
        describe one checker and exit
        """
        try:
            findCheckerFactory(authType)
        except ConfigurationError as error:
            text = f"--help-auth-type {shownText(authType)}: {error}"
            raise usage.UsageError(text) from error
        strcred.AuthOptionMixin.opt_help_auth_type(self, authType)

    def opt_version(self) -> None:
        """
        show the versions and exit
        """
        writeAndExit(f"txconnect {VERSION}\nTwisted {twistedVersion}\n")
