"""
What a program writes that goes through a proxy; never run, only type-checked.
"""

from __future__ import annotations

from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorTCP, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS

from txconnect.client import (
    Basic,
    ConnectEndpoint,
    ProxyAttempt,
    ProxyAuthenticationRequired,
    ProxyRefused,
)


async def token(attempt: ProxyAttempt) -> bytes | None:
    """Credentials that are fetched."""
    return None if attempt.refused else b"Bearer abc"


def nested(reactor: IReactorTCP) -> IStreamClientEndpoint:
    """Two proxies, the second behind TLS and the first, and TLS inside both."""
    first = TCP4ClientEndpoint(reactor, "192.0.2.1", 3128)
    second = ConnectEndpoint(
        first, "proxy.example", 443, credentials=Basic("user", "password")
    )
    tunnel = ConnectEndpoint(
        wrapClientTLS(optionsForClientTLS("proxy.example"), second),
        b"www.example.org",
        443,
        headers=[(b"User-Agent", b"me")],
        credentials=token,
        timeout=None,
    )
    return wrapClientTLS(optionsForClientTLS("www.example.org"), tunnel)


async def tell(endpoint: ConnectEndpoint) -> str:
    """What becomes of one tunnel."""
    try:
        await endpoint.connect(Factory.forProtocol(Protocol))
    except ProxyAuthenticationRequired as required:
        return ", ".join(challenge.scheme for challenge in required.challenges)
    except ProxyRefused as refused:
        names = [member.name for member in refused.proxyStatus]
        return f"{refused.status} {refused.reason} {names} {refused.body!r}"
    return str(endpoint.authority)
