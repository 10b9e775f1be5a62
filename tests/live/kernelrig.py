"""
A whole proxy with the kernel relay, on real sockets and a reactor that is turned
by hand.

Time is a C{Clock}; the network is turned until it is quiet.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import uvloop
from rig import ANYTHING, ESTABLISHED, connect
from twisted.internet import asyncioreactor, epollreactor, tcp
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from txconnect.dialing.openers import transportOpener
from txconnect.proxy import ConnectProxy, ConnectProxyFactory
from txconnect.reactor import TxconnectReactor
from txconnect.settings import Settings
from txconnect.testing import ImmediatePool, RecordingObserver, scriptedLookup
from txconnect.testing.peers import Peer
from txconnect.tunnel.kernel.clientsocket import ClientSocket
from txconnect.tunnel.kernel.flow import BULK
from txconnect.tunnel.kernel.nested import SocketChannel
from txconnect.tunnel.kernel.relay import KernelRelay, KernelResources
from txconnect.tunnel.kernel.socketleg import openSocket

TCP_CLOSE = 7

SPINNING = 50_000
"""Turns, far more than any test here has work for."""


def handTurned(base: type) -> type:
    """A reactor class whose time is a clock's, and that knows when it is quiet."""

    class Turned(base):  # type: ignore[misc]
        busy = False

        def useClock(self, clock: Clock) -> None:
            self.clock = clock

        def seconds(self) -> float:
            return self.clock.seconds()

        def callLater(self, delay: float, f: Any, *args: Any, **kw: Any) -> Any:
            return self.clock.callLater(delay, f, *args, **kw)

        def _doReadOrWrite(self, *args: Any) -> None:
            self.busy = True
            super()._doReadOrWrite(*args)

        def _readOrWrite(self, *args: Any) -> None:
            self.busy = True
            super()._readOrWrite(*args)

    return Turned


class _OnALoop(handTurned(asyncioreactor.AsyncioSelectorReactor)):  # type: ignore[misc]
    """A turn is one of the loop's, without the reactor's 10 ms."""

    def iterate(self, delay: float = 0) -> None:
        loop = self._asyncioEventloop
        loop.call_soon(loop.stop)
        loop.run_forever()


class _Noticing:
    """What shares a reactor's epoll, which makes that busy."""

    def __init__(self, reactor: Any, sharing: Any) -> None:
        self._reactor = reactor
        self.connectionLost = sharing.connectionLost
        self._sharing = sharing

    def serveBatch(self, batch: Any) -> Any:
        others = self._sharing.serveBatch(batch)
        if len(others) < len(batch):
            self._reactor.busy = True
        return others


class _WithOneEpoll(handTurned(TxconnectReactor)):  # type: ignore[misc]
    """The command's own."""

    def shareEpoll(self, sharing: Any) -> Any:
        return super().shareEpoll(_Noticing(self, sharing))


KINDS: dict[str, Callable[[], Any]] = {
    "epoll": handTurned(epollreactor.EPollReactor),
    "txconnect": _WithOneEpoll,
    "asyncio": lambda: _OnALoop(asyncio.new_event_loop()),
    "uvloop": lambda: _OnALoop(uvloop.new_event_loop()),
}


@cache
def reactorOf(kind: str) -> Any:
    """One a kind, kept to the end: a reactor cannot be taken apart again."""
    return KINDS[kind]()


class RealPeer(Peer):
    """A peer on a real socket."""

    prompt = False
    """Whether octets are sent at once, each write in a segment of its own."""

    def connectionMade(self) -> None:
        # The system would keep what follows octets that a tap holds, for its own
        # acknowledgement of them comes late.
        transport: Any = self.transport
        if self.prompt and transport.getHandle().family != socket.AF_UNIX:
            transport.setTcpNoDelay(True)
        super().connectionMade()

    @property
    def reset(self) -> bool:
        if self.closed:
            return self.reason is not None and not self.reason.check(ConnectionDone)
        return self._info() == TCP_CLOSE

    def _info(self) -> int:
        handle: Any = self.transport.getHandle()
        return int(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])


class KernelRig:
    """As L{rig.Rig}, on loopback, with the kernel relay."""

    inFlight = 24_000_000
    flood = 60_000_000
    unread = flood
    sip = 100_000

    def __init__(
        self,
        chunk: Any = None,
        settings: dict[str, Any] | None = None,
        kind: str = "epoll",
        legs: str = "sockets",
        accepts: str = "transports",
        **more: Any,
    ) -> None:
        self.reactor = reactorOf(kind)
        self.legs = legs
        self.clock = Clock()
        self.reactor.useClock(self.clock)
        self.network = self
        self.peers: list[Any] = []
        self.events = RecordingObserver()
        self.proxy = ConnectProxy(
            self.reactor,
            policies=ANYTHING,
            observers=[self.events],
            getaddrinfo=scriptedLookup({"example.com": ["127.0.0.1"]}),
            settings=Settings(**(settings or {})),
            pool=ImmediatePool(),
            open=self._open,
            **more,
        )
        self.proxy.startService()
        factory = ConnectProxyFactory(self.reactor, self.proxy)
        self.port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.accepts = accepts
        if accepts == "bare":
            self.proxy.acceptBare(self.port, factory)
        self.servers: list[Any] = []

    def _open(self, address: Any, port: int) -> Any:
        port = self.servers[-1].getHost().port
        if self.legs == "transports":
            return transportOpener(self.reactor)(address, port)
        return openSocket(self.kernel.nested, address, port)

    @property
    def kernel(self) -> KernelResources:
        """What the proxy's kernel relays share."""
        kernel = self.proxy.kernel
        assert kernel is not None
        return kernel

    def serve(self, **served: Any) -> Any:
        factory = Serving(self, **served)
        port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.servers.append(port)
        return factory

    def client(self, data: bytes = b"") -> RealPeer:
        skt = socket.create_connection(("127.0.0.1", self.port.getHost().port))
        skt.setblocking(False)
        peer = RealPeer()
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: peer  # type: ignore[method-assign]
        self.reactor.adoptStreamConnection(skt.fileno(), socket.AF_INET, factory)
        skt.close()
        self.peers.append(peer)
        if data:
            peer.send(data)
        self.flush()
        return peer

    def tunnel(
        self, target: str = "example.com:443", early: bytes = b"", **served: Any
    ) -> tuple[Any, Any]:
        destination = self.serve(**served)
        client = self.client(connect(target) + early)
        assert client.received.startswith(ESTABLISHED), client.received
        return client, destination.peers[-1]

    def turn(self) -> None:
        """Let the reactor turn once."""
        self.clock.advance(0)
        self.reactor.iterate(0)

    def flush(self) -> None:
        # On loopback what is sent is there at once: two idle turns are quiet.
        quiet = 0
        for _ in range(SPINNING):
            self.reactor.busy = False
            self.turn()
            quiet = 0 if self.reactor.busy else quiet + 1
            if quiet == 2:
                return
            # Where the system delivers by a thread of its own, it may now.
            os.sched_yield()
        raise AssertionError("the reactor is never quiet: something spins")

    def advance(self, seconds: float) -> None:
        until = self.clock.seconds() + seconds
        self.flush()
        while self.clock.seconds() < until:
            due = [call.getTime() for call in self.clock.getDelayedCalls()]
            self.clock.advance(min([until, *due]) - self.clock.seconds())
            self.flush()

    def watchesNoMore(self, monkeypatch: pytest.MonkeyPatch, channels: int = 0) -> None:
        """From now on there is room in the nested epoll for so many channels."""
        nested = self.kernel.nested
        watch, seen = nested.watch, 0

        def full(descriptor: int, events: int, watched: Any) -> None:
            nonlocal seen
            if isinstance(watched, SocketChannel):
                seen += 1
                if seen > channels:
                    raise OSError(errno.ENOSPC, "no space left on device")
            watch(descriptor, events, watched)

        monkeypatch.setattr(nested, "watch", full)

    def narrow(self, reader: RealPeer) -> None:
        """
        Have the system keep little for C{reader}: what waits for it is the
        relay's, in its pipe, and a little that leaves is seen to leave.
        """
        handle: Any = reader.transport.getHandle()
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        for flow in (self.relay()._up, self.relay()._down):
            skt = flow.sink.socket  # type: ignore[attr-defined]
            skt.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            flow._bulk = BULK

    @property
    def watched(self) -> int:
        """How many descriptors the nested epoll watches, but for a port that accepts."""
        accepts = self.accepts == "bare" and self.port.connected
        return len(self.kernel.nested) - accepts

    def wrapClients(
        self, monkeypatch: pytest.MonkeyPatch, wrap: Callable[[socket.socket], Any]
    ) -> None:
        """Have the sockets of clients wrapped, however they are accepted."""
        bare = ClientSocket.__init__

        def getHandle(transport: Any) -> Any:
            ours = transport.getHost().port == self.port.getHost().port
            return wrap(transport.socket) if ours else transport.socket

        def made(client: Any, nested: Any, skt: Any, *more: Any) -> None:
            bare(client, nested, wrap(skt), *more)

        monkeypatch.setattr(tcp.Server, "getHandle", getHandle)
        monkeypatch.setattr(ClientSocket, "__init__", made)

    def relay(self) -> KernelRelay:
        """The one tunnel's."""
        (tunnel,) = self.proxy.resources.tunnels.allTunnels()
        assert isinstance(tunnel.relay, KernelRelay)
        return tunnel.relay

    def assertOver(self) -> None:
        self.flush()
        assert not self.proxy.clients.fronts
        assert not self.proxy.resources.tunnels.allTunnels()
        assert not self.clock.getDelayedCalls()
        assert self.watched == 0
        assert self.kernel.pipes._lent == 0

    def close(self) -> None:
        """Give all back."""
        for port in (self.port, *self.servers):
            port.stopListening()
        for peer in self.peers:
            if not peer.closed:
                peer.abort()
        self.proxy.stopService()
        self.flush()
        self.advance(1)
        assert not self.reactor.removeAll()


class Serving(Factory):
    """A destination on a real port."""

    noisy = False

    def __init__(
        self,
        rig: KernelRig,
        banner: bytes = b"",
        echo: bool = False,
        accepted: Callable[[Any], object] | None = None,
    ) -> None:
        self.rig = rig
        self.peers: list[RealPeer] = []
        self._made = partial(RealPeer, banner, echo)
        self._accepted = accepted

    def buildProtocol(self, addr: Any) -> RealPeer:
        peer = self._made()
        self.peers.append(peer)
        self.rig.peers.append(peer)
        if self._accepted is not None:
            connected, accepted = peer.connectionMade, self._accepted

            def connectionMade() -> None:
                connected()
                accepted(peer)

            peer.connectionMade = connectionMade  # type: ignore[method-assign]
        return peer
