"""
Clients of proxies: endpoints and agents with which a Twisted program reaches a
host by way of an HTTP proxy's CONNECT, or of a SOCKS5 proxy.

They work with any proxy, and need nothing of this package's own.

Each name is imported at its first use: a program that only tunnels a socket
does not pay for an Agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txconnect.naming import namesWhenUsed

if TYPE_CHECKING:
    from txconnect.client.agent import (
        agentFromEnvironment,
        proxyAgent,
    )
    from txconnect.client.credentials import (
        Basic,
        Bearer,
        Digest,
        IProxyCredentials,
        Password,
        ProxyAttempt,
    )
    from txconnect.client.endpoint import (
        ConnectEndpoint,
    )
    from txconnect.client.environment import (
        ProxyEnvironment,
    )
    from txconnect.client.errors import (
        ProxyAuthenticationRequired,
        ProxyClosed,
        ProxyError,
        ProxyProtocolError,
        ProxyRefused,
        ProxyTimeout,
    )
    from txconnect.client.proxyurl import (
        ProxyURL,
        proxyEndpoint,
        tunnelEndpoint,
    )
    from txconnect.client.secrets import (
        StoredCredentials,
        loadCredentials,
    )
    from txconnect.client.socks import Socks5Endpoint, SocksRefused
    from txconnect.client.tunnels import ConnectEndpointFactory

__all__ = [
    "Basic",
    "Bearer",
    "ConnectEndpoint",
    "ConnectEndpointFactory",
    "Digest",
    "IProxyCredentials",
    "Password",
    "ProxyAttempt",
    "ProxyAuthenticationRequired",
    "ProxyClosed",
    "ProxyEnvironment",
    "ProxyError",
    "ProxyProtocolError",
    "ProxyRefused",
    "ProxyTimeout",
    "ProxyURL",
    "Socks5Endpoint",
    "SocksRefused",
    "StoredCredentials",
    "agentFromEnvironment",
    "loadCredentials",
    "proxyAgent",
    "proxyEndpoint",
    "tunnelEndpoint",
]

# The module of each name.  Three lists must agree: the imports for type
# checkers, __all__ and this one; tests/client/test_client_names.py checks them.
_HOMES = {
    "Basic": ".credentials",
    "Bearer": ".credentials",
    "ConnectEndpoint": ".endpoint",
    "ConnectEndpointFactory": ".tunnels",
    "Digest": ".credentials",
    "IProxyCredentials": ".credentials",
    "Password": ".credentials",
    "ProxyAttempt": ".credentials",
    "ProxyAuthenticationRequired": ".errors",
    "ProxyClosed": ".errors",
    "ProxyEnvironment": ".environment",
    "ProxyError": ".errors",
    "ProxyProtocolError": ".errors",
    "ProxyRefused": ".errors",
    "ProxyTimeout": ".errors",
    "ProxyURL": ".proxyurl",
    "Socks5Endpoint": ".socks",
    "SocksRefused": ".socks",
    "StoredCredentials": ".secrets",
    "agentFromEnvironment": ".agent",
    "loadCredentials": ".secrets",
    "proxyAgent": ".agent",
    "proxyEndpoint": ".proxyurl",
    "tunnelEndpoint": ".proxyurl",
}


__getattr__ = namesWhenUsed(__name__, _HOMES, globals())
