"""
C{--auth htpasswd:PATH}, for txconnect and every other C{strcred} server.

Imported whenever any program looks for plugins: nothing heavy here.
"""

from __future__ import annotations

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(ICheckerFactory, IPlugin)
class HtpasswdCheckerFactory:
    """Makes L{txconnect.auth.htpasswd.HtpasswdChecker}."""

    authType = "htpasswd"
    authHelp = """
A file of user:hash lines, with bcrypt hashes (as "htpasswd -B" writes them;
needs the extra "htpasswd") or scrypt hashes.  Write it with

    txconnect passwd FILE USER

It is read again when it changes.
"""
    argStringFormat = "The path of the password file."
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argstring: str) -> object:
        """
        Read the file.

        @raise ConfigurationError: when it is not a good password file.
        """
        if not argstring:
            raise InvalidAuthArgumentString("htpasswd needs a file: htpasswd:PATH")
        from txconnect.auth.htpasswd import HtpasswdChecker

        return HtpasswdChecker(argstring)


htpasswdCheckerFactory = HtpasswdCheckerFactory()
