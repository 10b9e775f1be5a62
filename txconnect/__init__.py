"""
txconnect: a pluggable HTTP CONNECT proxy on Twisted.

The names that a plugin's author and an embedding program need every day are here::

    from txconnect import Allow, Deny, policyPlugin

More stand in L{txconnect.interfaces}, L{txconnect.client}, L{txconnect.testing},
L{txconnect.policy}, L{txconnect.auth}, L{txconnect.observers}, L{txconnect.taps} and
L{txconnect.wire}.
All other modules are internal: they may change in any release.

Each name is imported when it is first used, so that importing this costs nothing,
and C{__version__} can be read without Twisted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txconnect.naming import VERSION as __version__, namesWhenUsed

if TYPE_CHECKING:
    from txconnect.errors import (
        ConfigurationError,
        EndTunnel,
        Refused,
    )
    from txconnect.plugins import (
        addressPolicyPlugin,
        authSchemeFactory,
        loadPlugin,
        observerFactory,
        observerPlugin,
        pairFactory,
        pairPlugin,
        parseArgument,
        pluginFactory,
        policyFactory,
        policyPlugin,
        routerFactory,
        routerPlugin,
        tapFactory,
        tapPlugin,
    )
    from txconnect.policy import allOf, anyOf, reportOnly
    from txconnect.proxy import (
        ConnectProxy,
        ConnectProxyFactory,
    )
    from txconnect.settings import (
        Settings,
    )
    from txconnect.tunnel.pair import (
        ProxyClient,
        ProxyServer,
    )
    from txconnect.tunnel.transport.leg import (
        Leg,
    )
    from txconnect.values import (
        Allow,
        Answer,
        Attempted,
        AuthAttempt,
        Authority,
        BadAuthority,
        Cause,
        ChallengeReason,
        Closed,
        Decision,
        Deny,
        Direction,
        Event,
        Identity,
        IPAddress,
        MaybeAsync,
        Named,
        Reached,
        Request,
        Route,
        TapVerdict,
        TunnelClosed,
        TunnelEnded,
        TunnelEstablished,
        TunnelInfo,
        TunnelRefused,
    )

__all__ = [
    "Allow",
    "Answer",
    "Attempted",
    "AuthAttempt",
    "Authority",
    "BadAuthority",
    "Cause",
    "ChallengeReason",
    "Closed",
    "ConfigurationError",
    "ConnectProxy",
    "ConnectProxyFactory",
    "Request",
    "Decision",
    "Deny",
    "Direction",
    "EndTunnel",
    "Event",
    "IPAddress",
    "Identity",
    "Leg",
    "MaybeAsync",
    "Named",
    "ProxyClient",
    "ProxyServer",
    "Reached",
    "Refused",
    "Route",
    "Settings",
    "TapVerdict",
    "TunnelClosed",
    "TunnelEnded",
    "TunnelEstablished",
    "TunnelInfo",
    "TunnelRefused",
    "__version__",
    "addressPolicyPlugin",
    "allOf",
    "anyOf",
    "authSchemeFactory",
    "loadPlugin",
    "observerFactory",
    "observerPlugin",
    "pairFactory",
    "pairPlugin",
    "parseArgument",
    "pluginFactory",
    "policyFactory",
    "policyPlugin",
    "reportOnly",
    "routerFactory",
    "routerPlugin",
    "tapFactory",
    "tapPlugin",
]

# The module of each name.  tests/test_surface.py compares this with the imports
# above, and both with docs/reference.rst.
_HOMES = {
    "Allow": "txconnect.values",
    "Answer": "txconnect.values",
    "Attempted": "txconnect.values",
    "AuthAttempt": "txconnect.values",
    "Authority": "txconnect.values",
    "BadAuthority": "txconnect.values",
    "Cause": "txconnect.values",
    "ChallengeReason": "txconnect.values",
    "Closed": "txconnect.values",
    "ConfigurationError": "txconnect.errors",
    "ConnectProxy": "txconnect.proxy",
    "ConnectProxyFactory": "txconnect.proxy",
    "Request": "txconnect.values",
    "Decision": "txconnect.values",
    "Deny": "txconnect.values",
    "Direction": "txconnect.values",
    "EndTunnel": "txconnect.errors",
    "Event": "txconnect.values",
    "IPAddress": "txconnect.values",
    "Identity": "txconnect.values",
    "Leg": "txconnect.tunnel.transport.leg",
    "MaybeAsync": "txconnect.values",
    "Named": "txconnect.values",
    "ProxyClient": "txconnect.tunnel.pair",
    "ProxyServer": "txconnect.tunnel.pair",
    "Reached": "txconnect.values",
    "Refused": "txconnect.errors",
    "Route": "txconnect.values",
    "Settings": "txconnect.settings",
    "TapVerdict": "txconnect.values",
    "TunnelClosed": "txconnect.values",
    "TunnelEnded": "txconnect.values",
    "TunnelEstablished": "txconnect.values",
    "TunnelInfo": "txconnect.values",
    "TunnelRefused": "txconnect.values",
    "addressPolicyPlugin": "txconnect.plugins",
    "allOf": "txconnect.policy",
    "anyOf": "txconnect.policy",
    "authSchemeFactory": "txconnect.plugins",
    "loadPlugin": "txconnect.plugins",
    "observerFactory": "txconnect.plugins",
    "observerPlugin": "txconnect.plugins",
    "pairFactory": "txconnect.plugins",
    "pairPlugin": "txconnect.plugins",
    "parseArgument": "txconnect.plugins",
    "pluginFactory": "txconnect.plugins",
    "policyFactory": "txconnect.plugins",
    "policyPlugin": "txconnect.plugins",
    "reportOnly": "txconnect.policy",
    "routerFactory": "txconnect.plugins",
    "routerPlugin": "txconnect.plugins",
    "tapFactory": "txconnect.plugins",
    "tapPlugin": "txconnect.plugins",
}


__getattr__ = namesWhenUsed(__name__, _HOMES, globals())


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
