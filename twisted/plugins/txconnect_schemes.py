"""
The stock authentication schemes, by name.
"""

from txconnect.plugins import authSchemeFactory

basic = authSchemeFactory(
    "basic",
    "User name and password with every request (RFC 7617).",
    "txconnect.auth.basic:BasicScheme",
)
