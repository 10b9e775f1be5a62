"""
The requests and tunnels that a plugin is given in a test, and a record of its events.
No socket, no reactor, no proxy.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from twisted.application.service import IService
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from zope.interface import implementer

from txconnect.interfaces import ITrafficObserver
from txconnect.values import (
    Authority,
    Event,
    Identity,
    Named,
    Request,
    TunnelClosed,
    TunnelEstablished,
    TunnelInfo,
    TunnelRefused,
)

if TYPE_CHECKING:
    from OpenSSL.crypto import X509

PUBLIC_ADDRESS = "93.184.215.14"
"""The address that a name resolves to by default: a public one."""

CLIENT_PORT = 50000


def makeRequest(
    target: str = "example.com:443",
    *,
    user: str | Identity | None = None,
    groups: Iterable[str] = (),
    client: str | IAddress | None = "127.0.0.1",
    server: str | IAddress | None = "127.0.0.1",
    headers: Iterable[tuple[str | bytes, str | bytes]] = (),
    httpVersion: str = "1.1",
    certificate: X509 | None = None,
    id: str = "test-1",
) -> Request:
    """
    Make a request as a policy, a router or an observer gets it.

    @param target: C{host:port}, read as the proxy reads it.
    @param user: the client's identity; a plain name is an L{Identity} of the
        source C{"test"} with these C{groups}; L{None} where nothing
        authenticates.
    @param client: the client's address, or an IP literal for one.
    @param server: likewise, the proxy's address of that connection.
    @param headers: names in any case, values in text or bytes.
    @raise BadAuthority: the proxy would not accept this target.
    """
    if isinstance(user, str):
        several: object = groups
        if isinstance(several, str):
            raise TypeError(f"groups are several: write groups=[{several!r}]")
        user = Identity(user, "test", tuple(groups))
    # Lower case and bytes, as the parser of heads leaves them.
    fields = tuple(
        (_encodeText(name).lower(), _encodeText(value)) for name, value in headers
    )
    return Request(
        Authority.parse(target),
        fields,
        httpVersion,
        _makeAddress(client, CLIENT_PORT),
        _makeAddress(server, 3128),
        user,
        certificate,
        id,
    )


def makeTunnel(
    request: Request | None = None, address: str | None = PUBLIC_ADDRESS
) -> TunnelInfo:
    """Make a tunnel as a tap, a pair factory or an observer gets it."""
    return TunnelInfo(
        makeRequest() if request is None else request,
        None if address is None else ip_address(address),
    )


def serviceHint(plugin: object) -> str:
    """Return a hint about a plugin that only a proxy that runs would have started."""
    given = Named.of(plugin).plugin
    if IService.providedBy(given) and not given.running:
        return "; it is a service: call its startService() before, and stopService()"
    return ""


def nameOf(plugin: object) -> str:
    """Return the name of a plugin in messages, as the proxy gives it."""
    return Named.of(plugin).name


def _encodeText(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


def _makeAddress(place: str | IAddress | None, port: int) -> IAddress | None:
    if not isinstance(place, str):
        return place
    kind = IPv6Address if ip_address(place).version == 6 else IPv4Address
    made: IAddress = kind("TCP", place, port)
    return made


@implementer(ITrafficObserver)
class RecordingObserver:
    """
    An observer that keeps its events.

    @ivar events: all events, in order.
    @ivar refused: the refusals among them.
    @ivar established: the established tunnels among them.
    @ivar closed: the closed tunnels among them.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.refused: list[TunnelRefused] = []
        self.established: list[TunnelEstablished] = []
        self.closed: list[TunnelClosed] = []

    def observe(self, event: Event) -> None:
        """
        Keep one event.

        @raise TypeError: it is none of the three kinds.
        """
        if isinstance(event, TunnelRefused):
            self.refused.append(event)
        elif isinstance(event, TunnelEstablished):
            self.established.append(event)
        elif isinstance(event, TunnelClosed):
            self.closed.append(event)
        else:
            raise TypeError(f"{event!r} is no event")
        self.events.append(event)
