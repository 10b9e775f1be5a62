"""
A whole proxy on the memory network, as most protocol tests need one.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from txconnect.interfaces import IAddressPolicy, IDestinationPolicy
from txconnect.proxy import ConnectProxy, ConnectProxyFactory
from txconnect.settings import Settings
from txconnect.testing import (
    ImmediatePool,
    MemoryNetwork,
    RecordingObserver,
    scriptedLookup,
)
from txconnect.testing.peers import Destination, Peer
from txconnect.values import Allow, Decision, Named

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
DESTINATION = "192.0.2.1"


@implementer(IDestinationPolicy, IAddressPolicy)
class Anything:
    """Allows all there is."""

    def decide(self, request: Any) -> Decision:
        return Allow()

    def decideAddress(self, request: Any, address: Any) -> Decision:
        return Allow()


ANYTHING = [Named("ports", Anything()), Named("networks", Anything())]


class Rig:
    """
    A proxy on 127.0.0.1:3128 that lets everything pass, and its network.

    @ivar events: what its observers heard.
    @cvar inFlight: octets that a relay may have taken from a writer whose
        reader does not read: two windows of 64 KiB, a write buffer of as much,
        and one read more.
    @cvar flood: octets that are clearly more.
    @cvar unread: octets that do not fit where nobody reads.
    @cvar sip: octets that a slow reader takes at a time, so that some more leave
        for it, and the relay reads none yet.
    """

    inFlight = 4 * 65536
    flood = 4_000_000
    unread = 150_000
    sip = 1000

    def __init__(
        self,
        chunk: Any = None,
        names: Mapping[str, Sequence[str] | BaseException] | None = None,
        policies: Sequence[Any] = (),
        observers: Sequence[Any] = (),
        settings: Mapping[str, Any] | None = None,
        tlsClient: bool = False,
        tlsDestination: bool = False,
        network: MemoryNetwork | None = None,
        **arguments: Any,
    ) -> None:
        self.network = MemoryNetwork(chunk=chunk) if network is None else network
        self.events = RecordingObserver()
        self.lookup = scriptedLookup(names or {"example.com": [DESTINATION]})
        if tlsClient:
            self.network.tlsLike(3128, "127.0.0.1")
        if tlsDestination:
            self.network.tlsLike(443, DESTINATION)
        arguments.setdefault("pool", ImmediatePool())
        self.proxy = ConnectProxy(
            self.network,
            policies=[*ANYTHING, *policies],
            observers=[self.events, *observers],
            getaddrinfo=self.lookup,
            settings=Settings(**(settings or {})),
            **arguments,
        )
        self.proxy.startService()
        self.factory = ConnectProxyFactory(self.network, self.proxy)
        self.port = self.network.listenTCP(3128, self.factory, interface="127.0.0.1")

    def client(self, data: bytes = b"", source: str | None = None) -> Peer:
        """Connect a client, and let it send."""
        peer = self.network.connect("127.0.0.1", 3128, source)
        if data:
            peer.send(data)
        self.network.flush()
        return peer

    def tunnel(
        self, target: str = "example.com:443", early: bytes = b"", **served: Any
    ) -> tuple[Peer, Peer]:
        """Establish a tunnel; the client's peer and the destination's."""
        destination = self.serve(**served)
        client = self.client(connect(target) + early)
        assert client.received.startswith(ESTABLISHED), client.received
        return client, destination.peers[-1]

    def serve(
        self, host: str = DESTINATION, port: int = 443, **served: Any
    ) -> Destination:
        """Let a destination accept connections."""
        return self.network.serve(host, port, **served)

    def narrow(self, reader: Peer) -> None:
        """Have the system keep little for C{reader}, as it does here anyway."""

    def flush(self) -> None:
        self.network.flush()

    def assertOver(self) -> None:
        """Nothing of any request is left behind, but the listener."""
        self.network.flush()
        assert not self.network.open, self.network.open
        assert not self.network.getDelayedCalls(), self.network.getDelayedCalls()
        assert not self.network.failures, self.network.failures
        assert not self.proxy.clients.fronts
        assert not self.proxy.resources.tunnels.allTunnels()
        assert not self.proxy.lookups._flights


def connect(
    target: str = "example.com:443", *fields: str, version: str = "1.1"
) -> bytes:
    """The head of a CONNECT."""
    host = [f"Host: {target}"] if version == "1.1" else []
    lines = [f"CONNECT {target} HTTP/{version}", *host, *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def body(peer: Peer) -> bytes:
    """What came behind the 200."""
    assert peer.received.startswith(ESTABLISHED), peer.received
    return peer.received[len(ESTABLISHED) :]


def status(peer: Peer) -> int:
    """The status code of the one answer that a client has had."""
    return int(peer.received.split(b" ", 2)[1])


class Logged:
    """
    What has been written to the log.

    @ivar events: all of it, in order.
    """

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    @property
    def errors(self) -> list[str]:
        """What was logged as an error or a failure, in words."""
        return [
            f"{formatEvent(each)} {each.get('log_failure', '')}"
            for each in self.events
            if each["log_level"].name in ("error", "critical")
        ]

    @property
    def unhandled(self) -> list[str]:
        """The errors of Deferreds that nobody has looked at."""
        gc.collect()
        return [each for each in self.errors if "Unhandled error in" in each]


@contextmanager
def logging() -> Iterator[Logged]:
    """Listen to the log."""
    logged = Logged()
    globalLogPublisher.addObserver(logged.events.append)
    try:
        yield logged
    finally:
        globalLogPublisher.removeObserver(logged.events.append)
