"""
Authentication: schemes, checkers and certificates.

An L{IAuthScheme<txconnect.interfaces.IAuthScheme>} reads credentials from the
wire (L{txconnect.auth.basic}); C{twisted.cred} checkers judge them
(L{txconnect.auth.htpasswd}, and every C{strcred} plugin);
L{txconnect.auth.authenticator} brings the two together.  Nothing here knows
of destinations, tunnels or HTTP versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txconnect.naming import namesWhenUsed

if TYPE_CHECKING:
    from txconnect.auth.authenticator import Authenticator
    from txconnect.auth.basic import BasicCredentials, BasicScheme, IBasicCredentials
    from txconnect.auth.certificate import certificateIdentity, certificateName
    from txconnect.auth.htpasswd import HtpasswdChecker

__all__ = [
    "Authenticator",
    "BasicCredentials",
    "BasicScheme",
    "HtpasswdChecker",
    "IBasicCredentials",
    "certificateIdentity",
    "certificateName",
]

_HOMES = {
    "Authenticator": ".authenticator",
    "BasicCredentials": ".basic",
    "BasicScheme": ".basic",
    "HtpasswdChecker": ".htpasswd",
    "IBasicCredentials": ".basic",
    "certificateIdentity": ".certificate",
    "certificateName": ".certificate",
}

__getattr__ = namesWhenUsed(__name__, _HOMES, globals())
