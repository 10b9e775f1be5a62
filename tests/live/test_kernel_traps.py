"""
The traps of the kernel relay, on real sockets: each was seen to happen.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import select
import socket
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kernelrig import KINDS, KernelRig
from relaypromises import noise
from rig import ESTABLISHED, body, connect, logging
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.interfaces import IPairFactory
from txconnect.tunnel.kernel import flow as room, pipes
from txconnect.tunnel.kernel.flow import Flow
from txconnect.tunnel.kernel.nested import SocketChannel
from txconnect.tunnel.kernel.relay import KernelRelay
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.tunnel.transport.relay import TransportRelay
from txconnect.values import Closed, Direction, TunnelInfo

MakeRig = Callable[..., KernelRig]
FEW = 8
"""More turns than anything here takes."""
MANY = 100
"""Turns in which a spin is told of an event each."""


@pytest.fixture(params=["transports", "bare"])
def makeRig(request: pytest.FixtureRequest) -> Iterator[MakeRig]:
    """A rig that accepts as an embedded proxy does, or as the command does."""
    made: list[KernelRig] = []

    def make(**arguments: Any) -> KernelRig:
        made.append(KernelRig(**{"accepts": request.param, **arguments}))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


everyKind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[SocketChannel]:
    """How often each channel has been told of events."""
    counted: Counter[SocketChannel] = Counter()
    ready = SocketChannel.eventsReady

    def counting(self: SocketChannel, events: int) -> None:
        counted[self] += 1
        ready(self, events)

    monkeypatch.setattr(SocketChannel, "eventsReady", counting)
    return counted


@pytest.fixture
def bulkAtOnce(monkeypatch: pytest.MonkeyPatch) -> None:
    """A direction is bulk from its first read on."""
    monkeypatch.setattr(room, "READ", 1000)
    monkeypatch.setattr(room, "BULK", 1)


def fill(rig: KernelRig, writer: Any) -> bytes:
    """
    Let C{writer} send until a little of it stays behind the relay, unread.
    """
    relay, sent = rig.relay(), b""
    while len(sent) < rig.flood:
        before = relay.up + relay.down
        data = noise(65536)
        writer.send(data)
        sent += data
        rig.flush()
        if relay.up + relay.down == before:
            return sent
    raise AssertionError("nothing is ever full")


def pipeOf(flow: Flow) -> pipes.Pipe:
    """The pipe in which octets wait."""
    assert flow._backlog is not None
    pipe = flow._backlog._pipe
    assert pipe is not None
    return pipe


def turns(rig: KernelRig, number: int = MANY) -> None:
    for _ in range(number):
        rig.turn()


# K1


@everyKind
@pytest.mark.parametrize("kindOfError", [RuntimeError, SystemExit])
def test_aTurnThatRaisesEndsItsTunnelAlone(
    makeRig: MakeRig,
    kind: str,
    kindOfError: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """[K1] Whatever leaves a turn ends that tunnel, with a log line, and no other."""
    rig = makeRig(kind=kind)
    client, destination = rig.tunnel()
    failing = rig.relay()._up
    other, otherDestination = rig.tunnel()
    move = Flow.movePiece

    def raises(self: Flow) -> None:
        if self is failing:
            raise kindOfError("a bug")
        move(self)

    monkeypatch.setattr(Flow, "movePiece", raises)
    with logging() as logged:
        client.send(b"x")
        rig.flush()
    assert len(logged.errors) == 1
    assert "it alone is ended" in logged.errors[0]
    assert (client.reset, destination.reset) == (True, True)
    assert [each.reason for each in rig.events.closed] == [Closed.INTERNAL]
    shared = kind == "txconnect"
    assert shared or rig.kernel.nested in rig.reactor.getReaders()
    other.send(b"still")
    otherDestination.send(b"here")
    rig.flush()
    assert (otherDestination.received, body(other)) == (b"still", b"here")


# K2


@everyKind
def test_bothDirectionsShutAndASlowPeerDoNotSpin(
    makeRig: MakeRig, kind: str, calls: Counter[SocketChannel]
) -> None:
    """[K2] HUP comes again and again; while nothing can be done, nobody is told."""
    rig = makeRig(kind=kind)
    client, destination = rig.tunnel()
    client.pause()
    client.end()
    rig.flush()
    data = fill(rig, destination)
    destination.end()
    rig.flush()
    calls.clear()
    turns(rig)
    assert calls.total() < MANY / 2
    client.resume()
    rig.flush()
    assert body(client) == data
    rig.assertOver()


def test_anEndThatIsPausedDoesNotSpin(
    makeRig: MakeRig, calls: Counter[SocketChannel]
) -> None:
    """[K2] A rate limit sleeps, also where both directions are shut."""
    rig = makeRig()
    client, destination = rig.tunnel()
    relay = rig.relay()
    pause = relay.pause(Direction.DOWN)
    client.end()
    destination.send(b"late")
    destination.end()
    rig.flush()
    calls.clear()
    turns(rig)
    assert calls.total() < MANY / 2
    assert body(client) == b""
    pause.release()
    rig.flush()
    assert body(client) == b"late"
    rig.assertOver()


# K3 is in tests/relay/test_kernel_nested.py, by descriptors.


def test_tunnelsThatEndTogetherMeetNoNewOne(makeRig: MakeRig) -> None:
    """[K3] Many end in one batch while others begin: each has its own bytes."""
    rig = makeRig()
    server = rig.serve()
    old = [rig.client(connect()) for _ in range(20)]
    ending = list(server.peers)
    for client in old:
        client.abort()
    for destination in ending:
        destination.abort()
    new = [rig.client() for _ in range(20)]
    for client in new:
        client.send(connect())
    rig.flush()
    for number, destination in enumerate(server.peers[20:]):
        destination.send(b"%d" % number)
    for number, client in enumerate(new):
        client.send(b"%d" % number)
    rig.flush()
    assert [body(client) for client in new] == [
        destination.received for destination in server.peers[20:]
    ]
    assert len(rig.events.closed) == 20


# K4


class Wants(ProxyServer):
    """A half that wants the bytes: the transport relay serves."""


@implementer(IPairFactory)
class Wanting:
    """Hands one out."""

    def buildPair(self, tunnel: TunnelInfo) -> tuple[ProxyServer, ProxyClient]:
        return Wants(), ProxyClient()


@everyKind
def test_anAdoptedSocketLeavesNoEvents(makeRig: MakeRig, kind: str) -> None:
    """[K4] What became a transport is told of by the reactor alone."""
    rig = makeRig(kind=kind, pairFactory=Wanting())
    client, destination = rig.tunnel()
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    assert isinstance(tunnel.relay, TransportRelay)
    # Paused, so that nobody looks at what has happened to it.
    tunnel.relay._destination.transport.pauseProducing()
    destination.abort()
    turns(rig, FEW)
    assert rig.watched == 0
    assert rig.kernel.nested._epoll.poll(0) == []
    tunnel.relay._destination.transport.resumeProducing()
    client.abort()
    rig.assertOver()


# K5 and K6


@pytest.mark.usefixtures("bulkAtOnce")
@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_aFullDestinationLosesNothingInThePipe(
    makeRig: MakeRig, up: bool, calls: Counter[SocketChannel]
) -> None:
    """[K5] EAGAIN with bytes in the pipe: the destination is full; it is waited for."""
    rig = makeRig()
    client, destination = rig.tunnel()
    writer, reader = (client, destination) if up else (destination, client)
    reader.pause()
    sent = fill(rig, writer)
    relay = rig.relay()
    source = relay._up if up else relay._down
    assert pipeOf(source).held
    calls.clear()
    turns(rig)
    assert calls.total() < MANY / 2
    reader.resume()
    rig.flush()
    assert (reader.received if up else body(reader)) == sent
    assert (relay.up if up else relay.down) == len(sent)


@pytest.mark.usefixtures("bulkAtOnce")
def test_aPipeWithBytesIsNotUsedAgain(makeRig: MakeRig) -> None:
    """[K6] What one user has left in a pipe reaches nobody else."""
    rig = makeRig()
    client, destination = rig.tunnel()
    client.pause()
    fill(rig, destination)
    left = pipeOf(rig.relay()._down)
    assert left.held
    client.abort()
    rig.assertOver()
    assert rig.kernel.pipes._free == []
    for descriptor in (left.exit, left.entry):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    again, destination = rig.tunnel()
    destination.send(noise(5000))
    rig.flush()
    assert body(again) == noise(5000)


@pytest.mark.usefixtures("bulkAtOnce")
def test_anEmptyPipeIsUsedAgain(makeRig: MakeRig) -> None:
    """[K6] Pipes are pooled, and bounded in number; whoever gets none goes on without."""
    rig = makeRig()
    held = rig.kernel.pipes
    held._most = 1
    for _ in range(3):
        client, destination = rig.tunnel()
        destination.send(noise(300_000))
        client.send(noise(300_001))
        rig.flush()
        assert body(client) == noise(300_000)
        assert destination.received == noise(300_001)
        client.abort()
        rig.flush()
        assert held._lent == 0
        assert len(held._free) == 1


# F01


@implementer(IPairFactory)
class WithoutBytes:
    """A pair that the kernel relay serves."""

    def buildPair(self, tunnel: TunnelInfo) -> tuple[ProxyServer, ProxyClient]:
        return ProxyServer(), ProxyClient()


HOWS: dict[str, dict[str, Any]] = {
    "sockets": {},
    "a parent's": {"legs": "transports"},
    "pair": {"pairFactory": WithoutBytes()},
    "transport relay": {"legs": "transports", "settings": {"relay": "transport"}},
}


def sendUrgent(peer: Any, data: bytes) -> None:
    peer.transport.getHandle().send(data, socket.MSG_OOB)


@pytest.mark.usefixtures("bulkAtOnce")
@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize("how", HOWS)
def test_anUrgentOctetIsOneOfTheStream(makeRig: MakeRig, how: str, up: bool) -> None:
    """
    [F01] [TU-04] C{splice} stops in front of it, and says 0 as at the end: the
    end is where C{recv} says so, and all octets come through, in order.
    """
    rig = makeRig(**HOWS[how])
    client, destination = rig.tunnel()
    writer, reader = (client, destination) if up else (destination, client)
    sent = b""
    for number in range(4):
        writer.send(noise(50_000))
        rig.flush()
        sendUrgent(writer, b"%d" % number)
        writer.send(noise(5_000))
        rig.flush()
        sent += noise(50_000) + b"%d" % number + noise(5_000)
    writer.end()
    rig.flush()
    assert (reader.received if up else body(reader)) == sent
    assert reader.ended
    # The other direction goes on.
    reader.send(b"seen")
    rig.flush()
    assert (body(writer) if up else writer.received) == b"seen"


@pytest.mark.usefixtures("bulkAtOnce")
@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize("legs", ["sockets", "transports"])
def test_anUrgentOctetDoesNotSpin(
    makeRig: MakeRig, legs: str, up: bool, calls: Counter[SocketChannel]
) -> None:
    """[F01] [K2] Also where it is the last one that came, nobody is told in vain."""
    rig = makeRig(legs=legs)
    client, destination = rig.tunnel()
    writer, reader = (client, destination) if up else (destination, client)
    writer.send(noise(50_000))
    rig.flush()
    sendUrgent(writer, b"!")
    rig.flush()
    calls.clear()
    turns(rig)
    assert calls.total() == 0
    assert (reader.received if up else body(reader)) == noise(50_000) + b"!"


# K7


@everyKind
def test_theReactorsStopEndsEveryTunnel(makeRig: MakeRig, kind: str) -> None:
    """[K7] The reader is told that it is lost: all is reset and accounted for."""
    rig = makeRig(kind=kind)
    tunnels = [rig.tunnel() for _ in range(3)]
    # One that has ended half, one that is full.
    tunnels[0][0].end()
    tunnels[1][0].pause()
    tunnels[1][1].send(noise(rig.flood))
    rig.flush()
    nested = rig.kernel.nested
    rig.reactor.removeReader(nested)
    nested.connectionLost(Failure(ConnectionLost()))
    rig.flush()
    assert [each.reason for each in rig.events.closed] == [Closed.SHUTDOWN] * 3
    assert all(each.reset for tunnel in tunnels for each in tunnel)
    rig.assertOver()
    assert nested.fileno() == -1


def test_theReactorsStopEndsWhatIsDialled(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[K7] So is a connection that is being opened: its client is refused."""
    rig = makeRig(accepts="transports")
    rig.serve()
    nested = rig.kernel.nested
    monkeypatch.setattr(nested, "doRead", lambda: None)
    client = rig.client()
    client.send(connect())
    turns(rig, FEW)
    assert rig.watched == 1
    rig.reactor.removeReader(nested)
    nested.connectionLost(Failure(ConnectionLost()))
    rig.flush()
    assert client.received.startswith(b"HTTP/1.1 502 ")
    assert len(rig.events.refused) == 1
    client.end()
    rig.assertOver()


# K8


class Stingy:
    """A socket that takes no more than it is told to, once a C{send}."""

    def __init__(self, skt: socket.socket, takes: list[int]) -> None:
        self._socket = skt
        self._takes = takes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def send(self, data: Any) -> int:
        if not self._takes:
            return self._socket.send(data)
        taken = self._takes.pop(0)
        if not taken:
            raise BlockingIOError
        return self._socket.send(data[:taken])

    def sendmsg(self, buffers: list[Any]) -> int:
        return self.send(b"".join(buffers))


@everyKind
@pytest.mark.parametrize("takes", [[0], [0, 0], [3], [3, 0, 2], [0, 1, 0, 1, 0]])
def test_theAnswerLeavesFirst(
    makeRig: MakeRig, kind: str, takes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[K8] [H1-31] However little of the 200 is taken, the destination waits behind it."""
    rig = makeRig(kind=kind)

    left = list(takes)
    rig.wrapClients(monkeypatch, lambda skt: Stingy(skt, left))
    server = rig.serve(banner=b"TARGET")
    client = rig.client(connect() + b"early")
    rig.flush()
    assert left == []
    assert client.received == ESTABLISHED + b"TARGET"
    assert server.peers[0].received == b"early"
    assert rig.relay().down == len(b"TARGET")


def test_aClientThatResetsUnderTheAnswer(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[K8] [TU-04] It is gone when the 200 is sent: a tunnel, reset, told in order."""
    rig = makeRig()

    class Gone(Stingy):
        def send(self, data: Any) -> int:
            raise ConnectionResetError

    rig.wrapClients(monkeypatch, lambda skt: Gone(skt, []))
    server = rig.serve()
    rig.client(connect() + b"early")
    rig.flush()
    assert server.peers[0].reset
    rig.assertOver()
    assert [type(each).__name__ for each in rig.events.events] == [
        "TunnelEstablished",
        "TunnelClosed",
    ]
    assert rig.events.closed[0].reason is Closed.CLIENT_RESET


def test_noAnswerWhenNoMoreCanBeWatched(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    [K8] [T3] A client that cannot be watched is refused, before any 200.  A bare one
    has been watched from the start.
    """
    rig = makeRig(accepts="transports")
    rig.watchesNoMore(monkeypatch)
    server = rig.serve()
    client = rig.client(connect())
    assert client.received.startswith(b"HTTP/1.1 503 ")
    assert server.peers[0].reset
    assert len(rig.kernel.nested) == 0
    client.end()
    rig.assertOver()
    assert rig.events.established == []


# K9


@pytest.mark.parametrize("leaves", ["client", "destination"])
def test_aResetBehindAPauseIsSeenAtOnce(makeRig: MakeRig, leaves: str) -> None:
    """[K9] The kernel relay sees it where it does not read: no deadline is needed."""
    rig = makeRig()
    client, destination = rig.tunnel()
    gone, stays = (client, destination) if leaves == "client" else (destination, client)
    stays.pause()
    fill(rig, gone)
    gone.abort()
    rig.flush()
    assert stays.reset
    rig.assertOver()
    reason = Closed.CLIENT_RESET if leaves == "client" else Closed.DESTINATION_RESET
    assert rig.events.closed[0].reason is reason


# Fairness, operators, and what is done without


@everyKind
def test_aBusyTunnelStarvesNobody(
    makeRig: MakeRig, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[TU-06] A turn takes a bounded piece of a flood, and serves the others too."""
    rig = makeRig(kind=kind)
    _, flooding = rig.tunnel()
    busy = rig.relay()
    client, _ = rig.tunnel()
    small = rig.proxy.resources.tunnels.allTunnels()[1].relay
    turned: list[str] = []
    rig.clock.callLater(0, turned.append, "a turn of the reactor's")
    pieces: list[int] = []
    serve = rig.kernel.nested.serveBatch

    def serving(batch: Any) -> Any:
        before = busy.down
        others = serve(batch)
        pieces.append(busy.down - before)
        return others

    monkeypatch.setattr(rig.kernel.nested, "serveBatch", serving)
    flooding.send(bytes(rig.flood))
    turns(rig, FEW)
    assert turned
    # How long the system takes to bring a byte is not ours to count.
    arrived = select.poll()
    arrived.register(small._up.source.descriptor, select.POLLIN)
    for number in range(1, 6):
        client.send(b"x")
        waited = 0
        while small.up < number:
            waited += bool(arrived.poll(0))
            rig.turn()
        assert waited < FEW
    assert busy.down < rig.flood
    assert 0 < max(pieces) <= pipes.SIZE


def test_theOperatorEndsATunnel(makeRig: MakeRig) -> None:
    """[TU-04] Both legs are reset, also one to which much is still to be written."""
    rig = makeRig()
    client, destination = rig.tunnel()
    client.pause()
    fill(rig, destination)
    (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
    tunnel.cut(Closed.OPERATOR)
    rig.flush()
    assert client.reset
    assert destination.reset
    rig.assertOver()
    assert [each.reason for each in rig.events.closed] == [Closed.OPERATOR]


def test_anObserverThatStopsTheProxyInATurn(makeRig: MakeRig) -> None:
    """[K7] Stopped from within a batch: everything ends once, nothing is left."""
    rig = makeRig()
    tunnels = [rig.tunnel() for _ in range(3)]
    stopped: list[Any] = []

    def stop(event: Any) -> None:
        if not stopped:
            stopped.append(rig.proxy.stopService())

    rig.events.observe = stop  # type: ignore[method-assign]
    for client, _ in tunnels:
        client.abort()
    rig.flush()
    assert stopped[0].called
    assert rig.kernel.nested.fileno() == -1
    assert all(destination.reset for _, destination in tunnels)
    rig.assertOver()


def test_pauseAndRelease(makeRig: MakeRig) -> None:
    """A paused direction is read on with the last release; the other goes on."""
    rig = makeRig()
    client, destination = rig.tunnel()
    relay = rig.relay()
    pauses = [relay.pause(Direction.UP) for _ in range(2)]
    client.send(b"up")
    destination.send(b"down")
    rig.flush()
    assert (destination.received, body(client)) == (b"", b"down")
    pauses[0].release()
    # A second time is none of the other's.
    pauses[0].release()
    rig.flush()
    assert destination.received == b""
    pauses[1].release()
    rig.flush()
    assert destination.received == b"up"


def test_aResetIsSeenWhilePaused(makeRig: MakeRig) -> None:
    """[K9] A rate limit hides no reset."""
    rig = makeRig()
    client, destination = rig.tunnel()
    rig.relay().pause(Direction.UP)
    client.abort()
    rig.flush()
    assert destination.reset
    rig.assertOver()


def refusing(call: Callable[..., Any], number: int, when: Any) -> Callable[..., Any]:
    def refused(*arguments: Any, **keywords: Any) -> Any:
        if when(*arguments):
            raise OSError(number, os.strerror(number))
        return call(*arguments, **keywords)

    return refused


def noPipe(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "pipe2", refusing(os.pipe2, errno.EMFILE, lambda *_: True))


def noLargePipe(patch: pytest.MonkeyPatch) -> None:
    refused = refusing(
        fcntl.fcntl, errno.EPERM, lambda _, what, *__: what == fcntl.F_SETPIPE_SZ
    )
    patch.setattr(fcntl, "fcntl", refused)


def noSplice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "splice", refusing(os.splice, errno.EINVAL, lambda *_: True))


@pytest.mark.usefixtures("bulkAtOnce")
@pytest.mark.parametrize("without", [noPipe, noLargePipe, noSplice])
def test_whatCannotBeHadIsDoneWithout(
    makeRig: MakeRig,
    without: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """[TU-01] No pipe, none enlarged, no splice: slower, and exact all the same."""
    rig = makeRig()
    without(monkeypatch)
    client, destination = rig.tunnel()
    up, down = noise(3_000_000), noise(3_000_001)
    client.send(up)
    destination.send(down)
    rig.flush()
    assert destination.received == up
    assert body(client) == down
    client.end()
    destination.end()
    rig.assertOver()
    assert (rig.events.closed[0].up, rig.events.closed[0].down) == (len(up), len(down))


@pytest.mark.usefixtures("bulkAtOnce")
def test_resetsInBulkAreResets(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[TU-04] [T16] Told by splice on either side, and bytes counted to the last."""
    rig = makeRig()
    client, destination = rig.tunnel()
    destination.send(noise(200_000))
    rig.flush()
    assert body(client) == noise(200_000)
    destination.send(noise(2000))
    rig.flush()
    assert isinstance(rig.relay(), KernelRelay)
    destination.abort()
    rig.flush()
    assert client.reset
    rig.assertOver()
    closed = rig.events.closed[0]
    assert (closed.reason, closed.down) == (Closed.DESTINATION_RESET, 202_000)


def test_nothingWaitsForTheCollector(makeRig: MakeRig) -> None:
    """[T11] What a tunnel was made of is gone with it: there are no circles in it."""
    rig = makeRig()
    client, destination = rig.tunnel()
    (front,) = rig.proxy.clients.fronts
    relay = rig.relay()
    left = [
        weakref.ref(each)
        for each in (front, front._exchange, front._exchange._tunnel, relay)
    ]
    del front, relay
    gc.disable()
    try:
        client.end()
        destination.end()
        rig.assertOver()
        assert [each() for each in left] == [None] * 4
    finally:
        gc.enable()
