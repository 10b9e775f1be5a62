"""
A whole proxy on the memory network, in one line.

The proxy is the real one: its parser, its decision, its default policies, its
refusals and its relay run; only the sockets, the clock and the resolver are a
test's.  So a test of a plugin sees what a client and an operator would see.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from txconnect.proxy import ConnectProxy, ConnectProxyFactory
from txconnect.testing.kit import RecordingObserver
from txconnect.testing.lookups import (
    Answer,
    ImmediatePool,
    answersOf,
    scriptedLookup,
)
from txconnect.testing.network import MemoryNetwork
from txconnect.testing.peers import Destination, Peer
from txconnect.values import Authority

if TYPE_CHECKING:
    from typing import Unpack

    from txconnect.proxy.factory import ProxyArguments

__all__ = ["MemoryClient", "MemoryProxy", "proxyOnMemory"]

_HOST, _PORT = "127.0.0.1", 3128

_Field = tuple[str, str]


def proxyOnMemory(
    *,
    hosts: Mapping[str, str | Answer] | None = None,
    network: MemoryNetwork | None = None,
    **arguments: Unpack[ProxyArguments],
) -> MemoryProxy:
    """
    Make a whole proxy, which runs and listens on 127.0.0.1:3128::

        net = proxyOnMemory(policies=[...], hosts={"a.example": "93.184.216.34"})
        client = net.connectThrough("a.example:443")
        assert client.status == 200

    @param hosts: the names that exist: for each its address, or a list of them, or
        what else L{scriptedLookup<txconnect.testing.scriptedLookup>} takes.
    @param network: another network than a plain one, such as
        C{MemoryNetwork(chunk=1)}.
    @param arguments: those of L{ConnectProxy<txconnect.ConnectProxy>}, whose default
        policies stand: public addresses, and port 443.
    """
    return MemoryProxy(hosts or {}, network or MemoryNetwork(), arguments)


class MemoryProxy:
    """
    A proxy with its network; L{proxyOnMemory} makes one.

    As a context manager it is stopped at the end, and must then have left nothing
    open.

    @ivar network: the L{MemoryNetwork<txconnect.testing.MemoryNetwork>}, for what is
        not here: a destination that resets, a route that is missing, a full window.
    @ivar proxy: the L{ConnectProxy<txconnect.ConnectProxy>}.
    @ivar events: a L{RecordingObserver<txconnect.testing.RecordingObserver>} of the
        proxy, behind those that were given.
    @ivar lookup: the names that were looked up (C{calls}), and the answers, which a
        test may change.
    """

    def __init__(
        self,
        hosts: Mapping[str, str | Answer],
        network: MemoryNetwork,
        arguments: ProxyArguments,
    ) -> None:
        self.network = network
        self.events = RecordingObserver()
        self.lookup = scriptedLookup(answersOf(hosts))
        self._destinations: dict[tuple[str, int], Destination] = {}
        given: ProxyArguments = {"getaddrinfo": self.lookup, "pool": ImmediatePool()}
        given.update(arguments)
        given["observers"] = [*arguments.get("observers", ()), self.events]
        self.proxy = ConnectProxy(network, **given)
        self.proxy.startService()
        factory = ConnectProxyFactory(network, self.proxy)
        self._port = network.listenTCP(_PORT, factory, interface=_HOST)

    def connectThrough(
        self,
        target: str,
        *,
        user: str | None = None,
        password: str = "",
        headers: Iterable[_Field] = (),
        early: bytes = b"",
        client: str | None = None,
    ) -> MemoryClient:
        """
        Connect a client, and have it ask for a tunnel.

        A destination that is not L{serve}d yet accepts and is silent; where the
        proxy connects to none, nothing is different.

        @param target: the destination, C{host:port}.
        @param user: sent with the password in C{Proxy-Authorization}.
        @param headers: further fields, C{(name, value)}.
        @param early: octets right behind the head.
        @param client: the client's address, an IP literal.
        """
        destination = self._destinationOf(target)
        fields = [("Host", target), *_checkedPairs(headers)]
        if user is not None:
            token = b64encode(f"{user}:{password}".encode()).decode("ascii")
            fields.append(("Proxy-Authorization", f"Basic {token}"))
        return self._connect(
            _head("CONNECT", target, fields) + early, client, destination
        )

    def ask(
        self,
        method: str,
        target: str,
        *,
        headers: Iterable[_Field] = (("Host", "proxy.example"),),
        client: str | None = None,
    ) -> MemoryClient:
        """
        Connect a client, and have it ask for something else than a tunnel:
        C{ask("GET", "/healthz")}.

        @param headers: the fields, C{(name, value)}.
        @param client: the client's address, an IP literal.
        """
        head = _head(method, target, _checkedPairs(headers))
        return self._connect(head, client, None)

    def serve(
        self, target: str, *, banner: bytes = b"", echo: bool = False
    ) -> Destination:
        """
        Let a destination accept connections.

        @param target: C{host:port}; a name is one of the C{hosts}, and stands for its
            first address.
        @param banner: the octets that it sends first on each connection.
        @param echo: true when it sends all octets back, and at last its FIN.
        @raise ValueError: the name has no address.
        """
        place = self._placeOf(target)
        if place is None:
            raise ValueError(f"{target}: none of the hosts, so it has no address")
        destination = self.network.serve(*place, banner=banner, echo=echo)
        self._destinations[place] = destination
        return destination

    def flush(self) -> None:
        """Let everything move that can move now."""
        self.network.flush()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.network.advance(seconds)

    def stop(self) -> None:
        """
        Stop the proxy.

        @raise AssertionError: it has left something open, or raised something.
        """
        self._port.stopListening()
        self.proxy.stopService()
        self.flush()
        self.network.assertClean()

    def __enter__(self) -> MemoryProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The test's own failure matters more than what it has left open.
        if kind is None:
            self.stop()

    def _connect(
        self, head: bytes, source: str | None, destination: Destination | None
    ) -> MemoryClient:
        client = MemoryClient(
            self.network, self.network.connect(_HOST, _PORT, source), destination
        )
        client.send(head)
        return client

    def _destinationOf(self, target: str) -> Destination | None:
        place = self._placeOf(target)
        if place is None or place == (_HOST, _PORT):
            return None
        if place not in self._destinations:
            self._destinations[place] = self.network.serve(*place)
        return self._destinations[place]

    def _placeOf(self, target: str) -> tuple[str, int] | None:
        """Return the address and port that a target leads to, if it does."""
        try:
            authority = Authority.parse(target)
        except ValueError:
            # Such a target is the test's: the proxy refuses it.
            return None
        if authority.address is not None:
            return str(authority.address), authority.port
        answer = self.lookup.answers.get(authority.host)
        if isinstance(answer, BaseException) or callable(answer) or not answer:
            return None
        return answer[0], authority.port


class MemoryClient:
    """
    A client of a L{MemoryProxy}, and what it has been answered.

    All that it does moves the network at once.

    @ivar peer: its end of the connection.
    """

    def __init__(
        self, network: MemoryNetwork, peer: Peer, destination: Destination | None
    ) -> None:
        self.peer = peer
        self._network = network
        self._served = destination
        self._before = 0 if destination is None else len(destination.peers)

    @property
    def status(self) -> int:
        """Return the status of the answer."""
        return int(self._head.split(b" ", 2)[1])

    @property
    def phrase(self) -> str:
        """Return the reason phrase of the answer."""
        return self._head.split(b"\r\n", 1)[0].split(b" ", 2)[2].decode("ascii")

    def header(self, name: str) -> str | None:
        """Return the first value of a field of the answer, or L{None}."""
        for line in self._head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode("ascii").lower() == name.lower():
                return value.strip().decode("latin-1")
        return None

    @property
    def received(self) -> bytes:
        """Return all octets behind the answer's head: the tunnel's, or the content."""
        return self.peer.received.partition(b"\r\n\r\n")[2]

    @property
    def isAnswered(self) -> bool:
        """Tell whether the whole head of an answer has come."""
        return b"\r\n\r\n" in self.peer.received

    @property
    def ended(self) -> bool:
        """Tell whether the proxy has ended its direction, or all."""
        return self.peer.ended or self.peer.closed

    @property
    def reset(self) -> bool:
        """Tell whether the proxy has reset the connection."""
        return self.peer.reset

    @property
    def destination(self) -> Peer:
        """
        Return the destination's end of the tunnel.

        @raise AssertionError: the proxy has not connected to it.
        """
        peers = [] if self._served is None else self._served.peers[self._before :]
        if not peers:
            raise AssertionError("the proxy has not connected to a destination")
        return peers[0]

    def send(self, data: bytes) -> None:
        """Send octets."""
        self.peer.send(data)
        self._network.flush()

    def end(self) -> None:
        """Send a FIN, and go on reading."""
        self.peer.end()
        self._network.flush()

    def close(self) -> None:
        """Close the connection."""
        self.peer.close()
        self._network.flush()

    def abort(self) -> None:
        """Send a RST."""
        self.peer.abort()
        self._network.flush()

    @property
    def _head(self) -> bytes:
        received = self.peer.received
        if not self.isAnswered:
            raise AssertionError(
                f"the proxy has not answered: all that has come is {received!r}"
            )
        return received.partition(b"\r\n\r\n")[0]


def _checkedPairs(headers: Iterable[_Field]) -> Iterable[_Field]:
    given: object = headers
    if isinstance(given, Mapping | str):
        raise TypeError("headers: give pairs, [(NAME, VALUE)]: a name may come twice")
    return headers


def _head(method: str, target: str, headers: Iterable[_Field]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
