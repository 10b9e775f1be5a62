"""
What connections have from their port, on real sockets.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernelrig import reactorOf
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from txconnect.fronts.accepting import AcceptGuard
from txconnect.fronts.ports import Ports
from txconnect.ownaddresses import OwnAddresses, OwnListeners


class Accepting(Factory):
    """Has each connection prepared, and keeps it."""

    noisy = False

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        self.hosts: list[Any] = []
        self.transports: list[Any] = []

    def buildProtocol(self, addr: Any) -> Protocol:
        made = Protocol()
        made.connectionMade = lambda: self.made(made.transport)  # type: ignore[method-assign]
        return made

    def made(self, transport: Any) -> None:
        self.hosts.append(self.ports.prepareAccepted(transport))
        self.transports.append(transport)


class Bench:
    """A reactor that is turned by hand, and clients."""

    def __init__(self) -> None:
        self.reactor = reactorOf("epoll")
        self.clock = Clock()
        self.reactor.useClock(self.clock)
        self.accepting = Accepting(
            Ports(
                OwnListeners(OwnAddresses()),
                AcceptGuard(self.clock, lambda client: None, lambda: ""),
            )
        )
        self.clients: list[socket.socket] = []
        self.listening: list[Any] = []

    def listen(self, interface: str) -> Any:
        self.listening.append(
            self.reactor.listenTCP(0, self.accepting, interface=interface)
        )
        return self.listening[-1]

    def connect(self, port: Any, count: int) -> None:
        """Connections that wait to be accepted."""
        for _ in range(count):
            self.clients.append(
                socket.create_connection(("127.0.0.1", port.getHost().port))
            )

    def until(self, condition: Callable[[], object]) -> None:
        for _ in range(100_000):
            if condition():
                return
            self.clock.advance(0)
            self.reactor.iterate(0)
        raise AssertionError("it does not come")

    def accept(self, count: int) -> list[Any]:
        """The connections accepted so far, when there are so many."""
        self.until(lambda: len(self.accepting.transports) == count)
        return self.accepting.transports

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for transport in self.accepting.transports:
            transport.abortConnection()
        for port in self.listening:
            port.stopListening()
        ending = self.listening + self.accepting.transports
        self.until(lambda: not any(each.connected for each in ending))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def prepared(transport: Any) -> bool:
    """Whether it has both options."""
    return bool(transport.getTcpNoDelay() and transport.getTcpKeepAlive())


def test_everyConnectionIsPrepared(bench: Bench) -> None:
    """Also those that were there before the port was asked to pass it on."""
    port = bench.listen("127.0.0.1")
    bench.connect(port, 4)
    assert all(map(prepared, bench.accept(4)))
    (known,) = bench.accepting.ports._known.values()
    # The port has the options by now, but none that came with them was seen.
    assert not known.inherited
    bench.connect(port, 4)
    assert all(map(prepared, bench.accept(8)))
    assert known.inherited


def test_inheritedOptionsAreNotSetAgain(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the first that had them from the port, nothing is asked or set."""
    port = bench.listen("127.0.0.1")
    for count in (1, 2):
        bench.connect(port, 1)
        bench.accept(count)
    (known,) = bench.accepting.ports._known.values()
    assert known.inherited

    def prepare(self: Any, handle: Any) -> None:
        raise AssertionError("it has been asked again")

    monkeypatch.setattr(type(known), "prepareSocket", prepare)
    bench.connect(port, 1)
    assert prepared(bench.accept(3)[2])


def test_whereTheyCome(bench: Bench) -> None:
    """
    A port on one address says it once; one on all asks each connection.  All are
    places where this proxy listens.
    """
    one, everywhere = bench.listen("127.0.0.1"), bench.listen("0.0.0.0")
    bench.connect(one, 2)
    bench.accept(2)
    bench.connect(everywhere, 2)
    bench.accept(4)
    assert bench.accepting.hosts == [one.getHost(), one.getHost(), None, None]
    ports = bench.accepting.ports
    hosts = [ports.hostOf(transport) for transport in bench.accepting.transports]
    assert hosts[:2] == bench.accepting.hosts[:2]
    assert [host.host for host in hosts] == ["127.0.0.1"] * 4
    listening = {one.getHost().port, everywhere.getHost().port}
    assert ports._listeners._ports == listening
    assert all(map(prepared, bench.accepting.transports))


def test_portsThatAreGoneAreForgotten(bench: Bench) -> None:
    """A program that listens again and again keeps none of them."""
    bench.connect(bench.listen("127.0.0.1"), 1)
    bench.accept(1)
    assert len(bench.accepting.ports._known) == 1
    bench.close()
    bench.listening.clear()
    bench.accepting.transports.clear()
    gc.collect()
    assert not bench.accepting.ports._known


def test_unix(bench: Bench, tmp_path: Path) -> None:
    """A unix: listener has no such options."""
    path = str(tmp_path / "proxy")
    port = bench.reactor.listenUNIX(path, bench.accepting)
    bench.listening.append(port)
    client = socket.socket(socket.AF_UNIX)
    bench.clients.append(client)
    client.connect(path)
    bench.accept(1)
    assert bench.accepting.hosts == [None]


def test_adopted(bench: Bench) -> None:
    """A connection that somebody else has accepted has no port to ask."""
    listener = socket.create_server(("127.0.0.1", 0))
    bench.clients += [socket.create_connection(listener.getsockname())]
    accepted, _ = listener.accept()
    listener.close()
    accepted.setblocking(False)
    bench.reactor.adoptStreamConnection(
        accepted.fileno(), socket.AF_INET, bench.accepting
    )
    accepted.close()
    (transport,) = bench.accept(1)
    assert prepared(transport)
    assert bench.accepting.hosts == [None]
    assert bench.accepting.ports.hostOf(transport) == transport.getHost()
