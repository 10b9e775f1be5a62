"""
The options that show something and exit: the help, the lists of plugins, the versions.

The docstring of each C{opt_} method is the option's text in C{--help}.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from twisted.cred import strcred
from twisted.python import usage

from txconnect.command.versions import versionsText
from txconnect.errors import ConfigurationError

__all__ = ["HelpOptions", "writeAndExit"]


def writeAndExit(text: str) -> NoReturn:
    """Write a text to standard output, and end the program in order."""
    sys.stdout.write(text)
    raise SystemExit(0)


def _writeList(noun: str) -> NoReturn:
    """Write what is installed of one kind, and exit."""
    # Late, as the help of the options needs no plugins.
    from txconnect.plugins import KINDS, PLUGIN
    from txconnect.plugins.listing import listed

    kinds = {kind.noun: kind for kind in (*KINDS, PLUGIN)}
    writeAndExit(listed(kinds[noun]))


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
        _writeList("policy")

    def opt_help_observer(self) -> None:
        """
        list the installed observers and exit
        """
        _writeList("observer")

    def opt_help_tap(self) -> None:
        """
        list the installed taps and exit
        """
        _writeList("tap")

    def opt_help_pair(self) -> None:
        """
        list the installed pair factories and exit
        """
        _writeList("pair")

    def opt_help_router(self) -> None:
        """
        list the installed routers and exit
        """
        _writeList("router")

    def opt_help_plugin(self) -> None:
        """
        list everything that --plugin loads by name, and exit
        """
        _writeList("plugin")

    def opt_help_auth_scheme(self) -> None:
        """
        list the installed authentication schemes and exit
        """
        _writeList("auth-scheme")

    def opt_help_auth(self) -> None:
        """
        list the installed checkers for --auth and exit
        """
        from txconnect.plugins.listing import listedCheckers

        writeAndExit(listedCheckers())

    def opt_help_auth_type(self: Any, authType: str) -> None:
        """
        describe one checker and exit
        """
        from txconnect.plugins.arguments import shownText
        from txconnect.plugins.checkers import findCheckerFactory

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
        writeAndExit(versionsText())
