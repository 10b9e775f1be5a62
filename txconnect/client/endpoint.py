"""
A client endpoint that goes through an HTTP proxy.

It wraps the endpoint of the proxy itself, of any kind: TCP, TLS, a Unix socket,
or another of these, for a chain of proxies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from txconnect.client.arguments import (
    checkedEndpoint,
    checkedTimeout,
    listedFields,
)
from txconnect.client.connectnegotiator import ConnectNegotiator
from txconnect.client.credentials import asCredentials
from txconnect.client.destination import makeDestination
from txconnect.client.negotiation import Negotiation, globalClock
from txconnect.wire.http1.connect import checkField

if TYPE_CHECKING:
    from txconnect.values import AnyEndpoint

__all__ = ["ConnectEndpoint"]


@implementer(IStreamClientEndpoint)
class ConnectEndpoint:
    """
    An endpoint for a host and port by way of an HTTP proxy (RFC 9110, 9.3.6).

    C{connect} may be called any number of times; each has its own tunnel.

    @ivar authority: the destination.
    """

    def __init__(
        self,
        proxyEndpoint: AnyEndpoint,
        host: str | bytes,
        port: int,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        credentials: object = None,
        timeout: float | None = 30.0,
        clock: IReactorTime | None = None,
    ) -> None:
        """
        @param proxyEndpoint: the endpoint of the proxy itself.
            L{wrapClientTLS<twisted.internet.endpoints.wrapClientTLS>} around it
            gives TLS to the proxy; around this endpoint, TLS to the destination.
        @param host: the destination, which the proxy looks up: a name, or an
            address, of IPv6 with or without brackets.
        @param port: 1 to 65535.
        @param headers: C{(name, value)} of fields to send with CONNECT.
        @param credentials: an
            L{IProxyCredentials<txconnect.client.credentials.IProxyCredentials>},
            a callable with the signature of its C{authorize}, or L{None}.
        @param timeout: seconds until there is a tunnel, connecting to the proxy
            and all its answers included; L{None} for no limit.
        @param clock: for the deadline; by default the global reactor.
        @raise ValueError: for a destination that no CONNECT can name, a field
            that cannot be sent, or a timeout that is not above 0.
        """
        self.authority = makeDestination(host, port)
        self._proxyEndpoint = checkedEndpoint(proxyEndpoint)
        self._headers = listedFields(headers)
        self._credentials = asCredentials(credentials)
        self._timeout = checkedTimeout(timeout)
        self._clock = clock
        # Now and not in connect: a wrong argument is the caller's bug, and shows
        # where it was made.
        for name, value in self._headers:
            checkField(name, value)
            if credentials is not None and _isCredentials(name):
                raise ValueError(
                    "there is a Proxy-Authorization field and credentials too: "
                    "give one of them"
                )

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Get a tunnel.

        @param protocolFactory: its C{buildProtocol} is called when there is a
            tunnel, with the address of the destination.  Its protocol's
            transport is the connection to the proxy.
        @return: fires with the protocol, connected.  Fails with a
            L{ProxyError<txconnect.client.errors.ProxyError>}, with Twisted's
            own error where the proxy cannot be reached, with an exception of
            the credentials, or, cancelled, with
            L{ConnectingCancelledError
            <twisted.internet.error.ConnectingCancelledError>}.
        """
        clock = globalClock() if self._clock is None else self._clock
        negotiator = ConnectNegotiator(
            self.authority, self._headers, self._credentials, clock
        )
        return Negotiation(
            self._proxyEndpoint, negotiator, protocolFactory, self._timeout, clock
        ).start()

    def __repr__(self) -> str:
        return f"<ConnectEndpoint {self.authority} by {self._proxyEndpoint!r}>"


def _isCredentials(name: bytes) -> bool:
    return name.lower() == b"proxy-authorization"
