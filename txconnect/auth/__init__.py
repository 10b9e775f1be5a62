"""
Who asks: schemes, checkers and certificates.

How credentials look on the wire is an
L{IAuthScheme<txconnect.interfaces.IAuthScheme>} (L{txconnect.auth.basic});
whether they are right is for C{twisted.cred} checkers to say
(L{txconnect.auth.htpasswd}, and every C{strcred} plugin);
L{txconnect.auth.authenticator} brings the two together.  Nothing here knows
of destinations, tunnels or HTTP versions.
"""
