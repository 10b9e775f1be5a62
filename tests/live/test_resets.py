"""
Resets as Linux reports them to epoll: the event that Twisted takes for a clean
end cannot be made by waiting for it, so it is handed to a real reactor.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loopback import ESTABLISHED, reset
from twisted.internet import tcp
from twisted.internet.epollreactor import EPollReactor

from txconnect.policy.networks import NetworksPolicy
from txconnect.policy.ports import PortsPolicy
from txconnect.proxy import ConnectProxyFactory
from txconnect.settings import Settings
from txconnect.testing import RecordingObserver
from txconnect.values import Closed, Named


class World:
    """A proxy on a reactor that is turned by hand, and both ends of a tunnel."""

    def __init__(self) -> None:
        self.reactor: Any = EPollReactor()
        self.observer = RecordingObserver()
        factory = ConnectProxyFactory(
            self.reactor,
            policies=[
                Named("ports", PortsPolicy("any")),
                Named("networks", NetworksPolicy("any")),
            ],
            observers=[self.observer],
            settings=Settings(relay="transport"),
        )
        self.port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.client = socket.create_connection(("127.0.0.1", self.port.getHost().port))
        self.client.setblocking(False)
        authority = b"127.0.0.1:%d" % self.listener.getsockname()[1]
        self.client.sendall(b"CONNECT %b HTTP/1.0\r\n\r\n" % authority)
        self.destination = self.turnUntil(lambda: self.listener.accept()[0])
        self.destination.setblocking(False)
        assert self.turnUntil(lambda: self.client.recv(1000)) == ESTABLISHED

    def turnUntil(self, ask: Callable[[], Any], turns: int = 500) -> Any:
        """What C{ask} answers, once it does not have to wait."""
        for _ in range(turns):
            try:
                return ask()
            except BlockingIOError:
                self.reactor.iterate(0.01)
        raise AssertionError("it never happened")

    def transportTo(self, end: socket.socket) -> Any:
        """The proxy's transport that is connected with C{end}."""
        wanted = end.getsockname()
        for each in self.reactor.getReaders():
            if isinstance(each, tcp.Connection):
                peer = each.getPeer()
                if (peer.host, peer.port) == wanted:
                    return each
        raise AssertionError("there is no such transport")

    def close(self) -> None:
        for end in (self.client, self.destination, self.listener):
            end.close()
        self.port.stopListening()
        for _ in range(20):
            self.reactor.iterate(0.01)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


@pytest.mark.parametrize("who", ["client", "destination"])
@pytest.mark.parametrize("event", ["ERR", "ERR|HUP"])
def test_resetThatLooksLikeAnEnd(world: World, who: str, event: str) -> None:
    """[TU-04] [T11] It is told as a reset, and passed on as one."""
    ends = world.client, world.destination
    resetting, other = ends if who == "client" else ends[::-1]
    transport = world.transportTo(resetting)
    reset(resetting)
    bits = select.EPOLLERR | (select.EPOLLHUP if "HUP" in event else 0)
    world.reactor._doReadOrWrite(transport, transport.fileno(), bits)
    with pytest.raises(ConnectionResetError):
        world.turnUntil(lambda: other.recv(1))
    (closed,) = world.observer.closed
    assert closed.reason is Closed(f"{who}-reset")
