"""
The protocol and the credentials used towards a parent: CONNECT or SOCKS 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from txconnect.client.credentials import IProxyCredentials
from txconnect.client.endpoint import ConnectEndpoint
from txconnect.client.socks import Socks5Endpoint
from txconnect.errors import ConfigurationError
from txconnect.routing.targets import ParentTarget
from txconnect.values import Authority
from txconnect.wire.socks5 import encodeLogin

Fields = Sequence[tuple[bytes, bytes]]
"""Names and values of header fields, in order."""

Speaker = Callable[
    [IStreamClientEndpoint, Authority, Fields, float, IReactorTime],
    IStreamClientEndpoint,
]
"""
Makes the endpoint of one tunnel, from the endpoint of the parent itself, the
destination, the fields of the CONNECT, the time-out in seconds, and the clock.
"""


def speakerFor(target: ParentTarget) -> Speaker:
    """
    Choose the protocol for a parent, and read its credentials.

    @raise ConfigurationError: the protocol cannot carry these credentials.
    """
    try:
        if target.url.scheme in ("http", "https"):
            stored = target.credentials
            return _httpSpeaker(None if stored is None else stored.forHTTP())
        return _socksSpeaker(target)
    except ValueError as error:
        raise ConfigurationError(f"{target}: credentials: {error}") from None


def _httpSpeaker(credentials: IProxyCredentials | None) -> Speaker:
    # One object for all tunnels: it remembers the challenge of a Digest.
    return _makeSpeaker(
        lambda fields: partial(ConnectEndpoint, headers=fields, credentials=credentials)
    )


def _socksSpeaker(target: ParentTarget) -> Speaker:
    stored = target.credentials
    user, password = (None, None) if stored is None else stored.forSOCKS()
    if user is not None:
        # A login that SOCKS cannot carry must stop start-up, not a tunnel.
        encodeLogin(user, password or "")
    # SOCKS has no place for fields.
    return _makeSpeaker(lambda _: partial(Socks5Endpoint, user=user, password=password))


def _makeSpeaker(
    endpointClass: Callable[[Fields], Callable[..., IStreamClientEndpoint]],
) -> Speaker:
    def makeEndpoint(
        endpoint: IStreamClientEndpoint,
        authority: Authority,
        fields: Fields,
        seconds: float,
        clock: IReactorTime,
    ) -> IStreamClientEndpoint:
        make = endpointClass(fields)
        name, port = authority.lookupName, authority.port
        return make(endpoint, name, port, timeout=seconds, clock=clock)

    return makeEndpoint
