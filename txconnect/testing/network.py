"""
A network in memory, and a reactor that lives on it.

L{MemoryNetwork} is given to the code under test in place of the reactor.
The transports are Twisted's own TCP transports; only the sockets below them
are made here.  So pausing really holds data, FIN and RST back, a window that
is full really stops the writer, and C{loseWriteConnection} really half-closes,
with all the traps of the real ones.  Nothing moves until a test drives it,
and then always in the same order.

Three ways to see to it that a test stands on firm ground: L{MemoryNetwork.flush}
raises when things do not come to rest, L{MemoryNetwork.failures} keeps what
was raised into the reactor, and L{MemoryNetwork.assertClean} complains of
whatever is left.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import error, main
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import (
    IConnector,
    IDelayedCall,
    IHalfCloseableDescriptor,
    IListeningPort,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorTCP,
    IReactorTime,
    IReadDescriptor,
    IWriteDescriptor,
)
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.testing.peers import Destination, Peer
from txconnect.testing.sockets import ERR, HUP, IN, OUT, SILENCE, Chunk, Kernel
from txconnect.testing.transports import (
    MemoryConnector,
    MemoryPort,
    OutsidePort,
    PeerTransport,
    TLSLikeFactory,
    familyOf,
)

if TYPE_CHECKING:
    from OpenSSL.crypto import X509

MAX_TURNS = 1_000_000
"""Turns of the reactor after which L{MemoryNetwork.flush} gives up."""


class _Clock(Clock):
    """Runs what is due in single turns, as a reactor does."""

    def due(self) -> list[Any]:
        return [call for call in self.calls if call.getTime() <= self.rightNow]

    def run(self, call: Any) -> None:
        self.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)

    def until(self, end: float) -> float:
        """The time of the next call, or C{end} when that comes first."""
        return min([end, *(call.getTime() for call in self.calls)])


@implementer(IReactorTime, IReactorTCP, IReactorFDSet, IReactorFromThreads)
class MemoryNetwork:
    """
    A reactor and the network around it.

    Addresses are IP literals.  The machine of the code under test has
    L{OWN_ADDRESSES<txconnect.testing.sockets.OWN_ADDRESSES>}; any other
    address is somewhere else, and where nobody L{serve}s connections are
    refused.

    @param chunk: how the code under test is given what arrives: L{None} for
        as much as is there (at most 65536 octets), a number for at most that
        many at a time, C{"random"} for random pieces.
    @param windowSize: octets that may be under way in one direction before
        the sender has to wait.
    @param seed: for the random pieces.
    @param resetDiscards: what a RST does to data that has arrived and was not
        read yet.  By default it is still read, as on Linux; true takes it
        away, as other systems do and as one that overtakes the data would.
    @ivar clock: the time; L{advance} moves it.
    @ivar kernel: the sockets, for tests of this network.
    @ivar failures: what was raised into the reactor by the code under test,
        which has been logged too.
    """

    running = True
    _log = Logger()

    def __init__(
        self,
        chunk: Chunk = None,
        windowSize: int = 65536,
        seed: int = 0,
        resetDiscards: bool = False,
    ) -> None:
        self.clock = _Clock()
        self.kernel = Kernel(chunk, windowSize, seed, resetDiscards)
        self.failures: list[Failure] = []
        self._readers: dict[Any, None] = {}
        self._writers: dict[Any, None] = {}
        self._tlsLike: dict[tuple[int, str | None], X509 | None] = {}

    # Driving it.

    def flush(self, turns: int = MAX_TURNS) -> None:
        """
        Turn the reactor until nothing moves any more.

        @raise AssertionError: when something still moves after so many turns.
        """
        for _ in range(turns):
            if not self._turn():
                return
        raise AssertionError(f"the network did not come to rest in {turns} turns")

    def advance(self, seconds: float) -> None:
        """
        Let time pass, stopping at each delayed call on the way, and flush at
        each stop.
        """
        end = self.clock.seconds() + seconds
        self.flush()
        while self.clock.seconds() < end:
            self.clock.rightNow = self.clock.until(end)
            self.flush()

    @property
    def open(self) -> list[Any]:
        """
        The transports of the code under test that are connected, or still
        connecting; neither listening ports nor a test's own peers.
        """
        return [
            each.owner or each
            for each in self.kernel.sockets.values()
            if not (each.outside or each.listening)
        ]

    def assertClean(self) -> None:
        """
        Check that the code under test has given everything back.

        @raise AssertionError: with what is left: open transports, delayed
            calls, exceptions that were raised into the reactor.
        """
        left = [f"open: {transport!r}" for transport in self.open]
        left += [f"delayed: {call}" for call in self.getDelayedCalls()]
        left += [f"raised: {each.getTraceback()}" for each in self.failures]
        if left:
            raise AssertionError("the network is not clean:\n" + "\n".join(left))

    def _turn(self) -> bool:
        """
        One turn of the reactor: the calls that are due, then the events that
        are there.

        @return: whether there was anything to do.
        """
        due = self.clock.due()
        for call in due:
            if call.active():
                self._guarded(self.clock.run, call)
        ready = [
            (selectable, events)
            for selectable in {**self._readers, **self._writers}
            if (events := self._events(selectable))
        ]
        for selectable, events in ready:
            # An earlier one may have closed it, or stopped it altogether.
            if selectable in self._readers or selectable in self._writers:
                self._dispatch(selectable, events)
        return bool(due or ready)

    def _events(self, selectable: Any) -> int:
        watched = ERR | HUP
        watched |= IN if selectable in self._readers else 0
        watched |= OUT if selectable in self._writers else 0
        return self.kernel.sockets[selectable.fileno()].events() & watched

    def _dispatch(self, selectable: Any, events: int) -> None:
        """Do what Twisted's reactors on poll and epoll do with an event."""
        reading = bool(events & IN)
        why: object = None
        if events & (ERR | HUP) and not reading:
            # Nobody who reads gets here: ERR and HUP come with IN for him.
            why = main.CONNECTION_LOST
        else:
            if reading:
                why = self._guarded(selectable.doRead)
            if not why and events & OUT:
                reading = False
                why = self._guarded(selectable.doWrite)
        if why:
            self._disconnect(selectable, why, reading)

    def _disconnect(self, selectable: Any, why: object, reading: bool) -> None:
        self.removeReader(selectable)
        reason = why if isinstance(why, Failure) else Failure(why)
        if (
            reading
            and reason.type is error.ConnectionDone
            and IHalfCloseableDescriptor.providedBy(selectable)
        ):
            self._guarded(selectable.readConnectionLost, reason)
        else:
            self.removeWriter(selectable)
            self._guarded(selectable.connectionLost, reason)

    def _guarded(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call; what is raised is logged, kept, and given back as a Failure."""
        try:
            return function(*args)
        except Exception:
            failure = Failure()
            self.failures.append(failure)
            self._log.failure("Unhandled in the memory network", failure)
            return failure

    # IReactorTime and IReactorFromThreads.

    def seconds(self) -> float:
        """The time."""
        return self.clock.seconds()

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any
    ) -> IDelayedCall:
        """Call when that time has come: never before the next turn."""
        return self.clock.callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """The calls that have not been made."""
        return list(self.clock.getDelayedCalls())

    def callFromThread(
        self, callable: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        """Call at once: there are no threads here."""
        callable(*args, **kw)

    # IReactorFDSet, for transports on this network's sockets.

    def addReader(self, reader: IReadDescriptor) -> None:
        """Watch for input."""
        self._own(reader)
        self._readers[reader] = None

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Watch for room to write."""
        self._own(writer)
        self._writers[writer] = None

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Watch for input no more."""
        self._readers.pop(reader, None)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Watch for room to write no more."""
        self._writers.pop(writer, None)

    def removeAll(self) -> list[Any]:
        """Watch nothing any more."""
        watched = list({**self._readers, **self._writers})
        self._readers.clear()
        self._writers.clear()
        return watched

    def getReaders(self) -> list[Any]:
        """Who is watched for input."""
        return list(self._readers)

    def getWriters(self) -> list[Any]:
        """Who is watched for room to write."""
        return list(self._writers)

    def _own(self, descriptor: Any) -> None:
        found = self.kernel.sockets.get(descriptor.fileno())
        if found is None:
            raise ValueError(
                f"{descriptor!r} is on no socket of this memory network, which "
                "can watch no others"
            )
        found.owner = descriptor

    # IReactorTCP.

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        Listen, as the code under test.

        @raise twisted.internet.error.CannotListenError: when someone listens
            there already.
        """
        wrapped = self._dressed(factory, port, interface)
        return self._listen(MemoryPort(port, wrapped, backlog, interface, self))

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: Any = None,
    ) -> IConnector:
        """
        Connect to an IP literal, as the code under test.

        @raise ValueError: for a name: nothing is looked up here.
        """
        if not (isIPAddress(host) or isIPv6Address(host)):
            raise ValueError(f"{host!r} is no IP address, and nothing resolves it here")
        wrapped = self._dressed(factory, port, host)
        connector = MemoryConnector(host, port, wrapped, timeout, bindAddress, self)
        connector.connect()
        return connector

    def _listen(self, port: MemoryPort) -> IListeningPort:
        port.startListening()
        return port

    def _dressed(self, factory: Any, port: int, host: str) -> Any:
        for place in ((port, host), (port, None)):
            if place in self._tlsLike:
                return TLSLikeFactory(factory, self._tlsLike[place])
        return factory

    # The rest of the world.

    def connect(self, host: str, port: int, source: str | None = None) -> Peer:
        """
        Connect a client of the test's own.  It may send at once.

        @param source: the IP literal that it comes from; by default the
            machine itself.
        @raise ConnectError: where nobody listens, or as it is scripted.
        """
        opened = self.kernel.socket(familyOf(host), outside=True)
        if source is not None:
            opened.bind((source, 0))
        result = opened.connect_ex((host, port))
        if result != errno.EINPROGRESS:
            opened.close()
            raise error.getConnectError((result, os.strerror(result)))
        peer = Peer()
        transport = PeerTransport(opened, peer, self)
        peer.makeConnection(transport)  # type: ignore[no-untyped-call]
        return peer

    def serve(
        self,
        host: str,
        port: int,
        banner: bytes = b"",
        echo: bool = False,
        accepted: Callable[[Peer], object] | None = None,
    ) -> Destination:
        """
        Let someone accept connections.

        @param banner: what it says to whoever connects.
        @param echo: whether it sends back what it is sent, to the end.
        @param accepted: called with each L{Peer} when it is connected.
        """
        destination = Destination(banner, echo, accepted)
        destination.port = self._listen(OutsidePort(port, destination, 50, host, self))
        return destination

    def tlsLike(
        self, port: int, host: str | None = None, certificate: X509 | None = None
    ) -> None:
        """
        From now on give the code under test transports with the manners of
        TLS (L{TLSLike<txconnect.testing.transports.TLSLike>}) where it listens
        on, or connects to, this port.  A test's own peers stay plain.

        @param host: the interface or destination; L{None} for all.
        @param certificate: what C{getPeerCertificate} gives.
        """
        self._tlsLike[port, host] = certificate

    def fail(self, host: str, port: int | None, number: int) -> None:
        """
        Let whoever connects there fail.

        @param port: L{None} for every port.
        @param number: an C{errno}.
        """
        self.kernel.fates[host, port] = number

    def refuse(self, host: str, port: int | None = None) -> None:
        """Refuse connections, as where nobody listens."""
        self.fail(host, port, errno.ECONNREFUSED)

    def unroutable(self, host: str, port: int | None = None) -> None:
        """Let there be no route."""
        self.fail(host, port, errno.ENETUNREACH)

    def blackhole(self, host: str, port: int | None = None) -> None:
        """Let nobody ever answer."""
        self.fail(host, port, SILENCE)

    def exhaust(self, exhausted: bool = True) -> None:
        """Let the code under test have no more descriptors to dial with."""
        self.kernel.exhausted = exhausted
