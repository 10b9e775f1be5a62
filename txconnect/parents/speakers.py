"""
What is spoken with a parent: CONNECT or SOCKS 5, and who this proxy is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from txconnect.client.credentials import IProxyCredentials
from txconnect.client.endpoint import ConnectEndpoint
from txconnect.errors import ConfigurationError
from txconnect.parents.targets import ParentTarget
from txconnect.values import Authority

Speaker = Callable[
    [IStreamClientEndpoint, Authority, Sequence[tuple[bytes, bytes]], float, Any],
    IStreamClientEndpoint,
]
"""
Makes the endpoint of one tunnel: of the endpoint of the parent itself, the
destination, the fields of its CONNECT, the seconds that it may take, and the
clock.
"""


def speakerFor(target: ParentTarget) -> Speaker:
    """
    What to speak with a parent.

    @raise ConfigurationError: it cannot take these credentials.
    """
    try:
        if target.url.scheme in ("http", "https"):
            stored = target.credentials
            return _http(None if stored is None else stored.forHTTP())
        raise ValueError("socks5:// is not served by this version")
    except ValueError as error:
        raise ConfigurationError(f"{target}: credentials: {error}") from None


def _http(credentials: IProxyCredentials | None) -> Speaker:
    # One object for all tunnels: it remembers what a Digest has asked.
    def through(
        endpoint: IStreamClientEndpoint,
        authority: Authority,
        fields: Sequence[tuple[bytes, bytes]],
        seconds: float,
        clock: Any,
    ) -> IStreamClientEndpoint:
        return ConnectEndpoint(
            endpoint,
            authority.lookupName,
            authority.port,
            headers=fields,
            credentials=credentials,
            timeout=seconds,
            clock=clock,
        )

    return through
