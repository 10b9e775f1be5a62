"""
What is spoken with a parent: CONNECT or SOCKS 5, and who this proxy is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from txconnect.client.credentials import IProxyCredentials
from txconnect.client.endpoint import ConnectEndpoint
from txconnect.client.socks import Socks5Endpoint
from txconnect.errors import ConfigurationError
from txconnect.routing.targets import ParentTarget
from txconnect.values import Authority
from txconnect.wire.socks5 import encodeLogin

Fields = Sequence[tuple[bytes, bytes]]

Speaker = Callable[
    [IStreamClientEndpoint, Authority, Fields, float, Any],
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
        return _socks(target)
    except ValueError as error:
        raise ConfigurationError(f"{target}: credentials: {error}") from None


def _http(credentials: IProxyCredentials | None) -> Speaker:
    # One object for all tunnels: it remembers what a Digest has asked.
    return _speaker(
        lambda fields: partial(ConnectEndpoint, headers=fields, credentials=credentials)
    )


def _socks(target: ParentTarget) -> Speaker:
    stored = target.credentials
    user, password = (None, None) if stored is None else stored.forSOCKS()
    if user is not None:
        # What cannot be sent is found now, and not with the first tunnel.
        encodeLogin(user, password or "")
    # It has no place for fields.
    return _speaker(lambda _: partial(Socks5Endpoint, user=user, password=password))


def _speaker(
    making: Callable[[Fields], Callable[..., IStreamClientEndpoint]],
) -> Speaker:
    def through(
        endpoint: IStreamClientEndpoint,
        authority: Authority,
        fields: Fields,
        seconds: float,
        clock: Any,
    ) -> IStreamClientEndpoint:
        make = making(fields)
        name, port = authority.lookupName, authority.port
        return make(endpoint, name, port, timeout=seconds, clock=clock)

    return through
