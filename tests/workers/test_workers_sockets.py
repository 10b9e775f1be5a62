"""
Listening sockets that several processes share.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory

from txconnect.errors import ConfigurationError
from txconnect.workers.sockets import (
    CannotShare,
    HandedSockets,
    HeldSockets,
    sharedEndpoint,
)


class Port:
    """A port that a reactor has bound."""

    def __init__(self, asked: tuple[Any, ...], host: Any = None) -> None:
        self.asked = asked
        self.host = host or IPv4Address("TCP", "127.0.0.1", 1)
        self.reading = True

    def stopReading(self) -> None:
        self.reading = False

    def startReading(self) -> None:
        self.reading = True

    def fileno(self) -> int:
        return 5

    def getHost(self) -> Any:
        return self.host


class Binding:
    """A reactor that binds."""

    def __init__(self) -> None:
        self.ports: list[Port] = []
        self.factory: Any = None

    def listenTCP(self, port: int, factory: Any, *rest: Any) -> Port:
        return self._bound("tcp", port, *rest)

    def listenUNIX(self, address: str, factory: Any, *rest: Any) -> Port:
        return self._bound("unix", address, *rest)

    def adoptStreamPort(self, descriptor: int, family: Any, factory: Any) -> Port:
        self.factory = factory
        port = self._bound("adopt", family)
        if family == socket.AF_UNIX:
            port.host = UNIXAddress(b"/sock")
        return port

    def _bound(self, *asked: Any) -> Port:
        self.ports.append(Port(asked))
        return self.ports[-1]


@pytest.mark.parametrize(
    ("description", "asked"),
    [
        ("tcp:80:interface=127.0.0.2:backlog=9", ("tcp", 80, 9, "127.0.0.2")),
        ("tcp6:80", ("tcp", 80, 50, "::")),
        ("unix:/s:mode=600", ("unix", "/s", 50, 0o600, True)),
        ("haproxy:tcp:80", ("tcp", 80, 50, "")),
    ],
)
def test_parentBindsAndNeverAccepts(description: str, asked: tuple[Any, ...]) -> None:
    """What is read from is accepted from, in the same turn of the reactor."""
    reactor = Binding()
    held = HeldSockets(reactor)
    serverFromString(held, description).listen(Factory())
    [port] = reactor.ports
    assert port.asked == asked
    assert not port.reading
    assert held.descriptors() == [5]


def test_parentBindsBelowTls() -> None:
    reactor = Binding()
    HeldSockets(reactor).listenSSL(443, Factory(), object(), 9, "::1")
    assert reactor.ports[0].asked == ("tcp", 443, 9, "::1")


def test_whatOnlySomeReactorsDoCannotBeShared() -> None:
    """C{stdio:}, or an endpoint that asks others first."""
    for shared in (HeldSockets(Binding()), HandedSockets(Binding(), [])):
        with pytest.raises(CannotShare, match="needs the reactor's connectTCP"):
            shared.connectTCP("127.0.0.1", 1)
        assert not hasattr(shared, "nameResolver")
    with pytest.raises(ConfigurationError, match="no socket"):
        HeldSockets(Binding()).descriptors()


@pytest.mark.parametrize(
    ("description", "family"),
    [
        ("tcp:80", socket.AF_INET),
        ("tcp:80", socket.AF_INET6),
        ("haproxy:tcp:80", socket.AF_INET),
        ("systemd:domain=INET:name=x", socket.AF_INET),
    ],
)
def test_workerGetsWhatTheParentHasBound(description: str, family: int) -> None:
    """By the family that the socket has, whatever the endpoint would bind."""
    reactor, factory = Binding(), Factory()
    handed = HandedSockets(reactor, [socket.socket(family).detach()])
    endpoint = serverFromString(handed, sharedEndpoint(description))
    endpoint.listen(factory)
    assert reactor.ports[0].asked == ("adopt", family)
    failed: list[Any] = []
    endpoint.listen(factory).addErrback(lambda failure: failed.append(failure.value))
    assert isinstance(failed[0], ConfigurationError)


def test_workerSpeaksTls() -> None:
    reactor = Binding()
    handed = HandedSockets(reactor, [socket.socket().detach()])
    handed.listenSSL(443, Factory(), CertificateOptions(), backlog=9, interface="::1")
    assert isinstance(reactor.factory, TLSMemoryBIOFactory)


def test_workerLeavesThePathOfAUnixSocket() -> None:
    """A port that is stopped removes it; the others still accept there."""
    reactor = Binding()
    handed = HandedSockets(reactor, [socket.socket(socket.AF_UNIX).detach()])
    port = handed.listenUNIX("/sock", Factory(), mode=0o600)
    done: list[Any] = []
    stopped = port.stopListening()
    assert isinstance(stopped, Deferred)
    stopped.addCallback(done.append)
    assert done == [None]
    assert not reactor.ports[0].reading
    port.startListening()
    assert reactor.ports[0].reading
    assert port.getHost() == UNIXAddress(b"/sock")
