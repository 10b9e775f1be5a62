"""
The memory network against the real thing.

Each scenario runs twice: on a reactor with sockets of this machine's kernel,
and on the memory network.  Both must tell the same story.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.testing import MemoryNetwork

MEBIBYTE = 1 << 20
# More than the kernel's buffers take on loopback, so that the writer blocks.
MUCH = 32 * MEBIBYTE


class Recorder(Protocol):
    """Writes down what its transport tells it."""

    transport: Any

    def __init__(self) -> None:
        self.story: list[Any] = []
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        if not self.data:
            self.story.append("data")
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.story.append(reason.type.__name__)


@implementer(IHalfCloseableProtocol)
class HalfRecorder(Recorder):
    def readConnectionLost(self) -> None:
        self.story.append("read lost")

    def writeConnectionLost(self) -> None:
        self.story.append("write lost")


class Producer:
    """A streaming producer that writes down what it is told."""

    def __init__(self, story: list[Any]) -> None:
        self._story = story

    def pauseProducing(self) -> None:
        self._story.append("pause")

    def resumeProducing(self) -> None:
        self._story.append("resume")

    def stopProducing(self) -> None:
        self._story.append("stop")


class Memory:
    """The memory network as scenarios need it."""

    def __init__(self) -> None:
        # A window like the kernel's, so that the same writes fit or do not.
        self.reactor: Any = MemoryNetwork(windowSize=MEBIBYTE)

    def settle(self) -> None:
        self.reactor.flush()

    def dial(self, address: Any) -> Any:
        dialled = self.reactor.kernel.socket(socket.AF_INET, outside=True)
        dialled.connect_ex((address.host, address.port))
        return dialled

    def close(self) -> None:
        assert not self.reactor.failures


class Real:
    """The kernel's sockets, and a reactor that is not the global one."""

    def __init__(self) -> None:
        self.reactor: Any = EPollReactor()
        self.reactor.startRunning(installSignalHandlers=False)
        self._dialled: list[socket.socket] = []

    def settle(self) -> None:
        for _ in range(8):
            self.reactor.iterate(0.01)

    def dial(self, address: Any) -> socket.socket:
        dialled = socket.create_connection((address.host, address.port), 5)
        dialled.setblocking(False)
        self._dialled.append(dialled)
        return dialled

    def close(self) -> None:
        for each in self._dialled:
            each.close()
        self.settle()
        self.reactor.removeAll()
        self.reactor.fireSystemEvent("shutdown")
        self.settle()
        for each in self.reactor.removeAll():
            each.connectionLost(Failure(ConnectionError()))
        self.reactor._poller.close()


World = Memory | Real


@contextlib.contextmanager
def connected(world: World, protocol: type[Recorder]) -> Iterator[tuple[Any, Any]]:
    """A recorder, and the bare socket at the other end."""
    made: list[Recorder] = []

    class Recording(Factory):
        noisy = False

        def buildProtocol(self, addr: Any) -> Recorder:
            made.append(protocol())
            return made[-1]

    port = world.reactor.listenTCP(0, Recording(), interface="127.0.0.1")
    other = world.dial(port.getHost())
    world.settle()
    port.stopListening()
    world.settle()
    yield made[0], other
    if made[0].connected and made[0].transport.connected:
        made[0].transport.abortConnection()
    other.close()
    world.settle()


def reset(other: Any) -> None:
    """Close with a RST."""
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()


def drain(world: World, other: Any) -> list[Any]:
    """Read all that comes: how much it was, and how it ended."""
    size = blocked = 0
    while blocked < 2:
        try:
            data = other.recv(MEBIBYTE)
        except BlockingIOError:
            blocked += 1
            world.settle()
        except OSError as error:
            return [size, errno.errorcode[error.errno or 0]]
        else:
            blocked = 0
            size += len(data)
            if not data:
                return [size, "end"]
    return [size, "open"]


# The scenarios.  Each returns its story.


def halfClose(world: World) -> list[Any]:
    """The end of input, and writing on behind it."""
    with connected(world, HalfRecorder) as (recorder, other):
        other.send(b"abc")
        other.shutdown(socket.SHUT_WR)
        world.settle()
        recorder.transport.write(b"xyz")
        recorder.transport.loseWriteConnection()
        world.settle()
        recorder.story.append(drain(world, other))
        recorder.transport.loseConnection()
        world.settle()
        return recorder.story


def endWithoutHalfClose(world: World) -> list[Any]:
    """The end of input for a protocol that knows no half-close."""
    with connected(world, Recorder) as (recorder, other):
        other.send(b"abc")
        other.shutdown(socket.SHUT_WR)
        world.settle()
        return [*recorder.story, recorder.data, drain(world, other)]


def resetBehindData(world: World) -> list[Any]:
    """A RST leaves what has arrived to be read."""
    with connected(world, HalfRecorder) as (recorder, other):
        other.send(b"abc")
        reset(other)
        world.settle()
        return [*recorder.story, recorder.data]


def pauseHidesEnd(world: World) -> list[Any]:
    """A paused transport sees neither data nor FIN."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.pauseProducing()
        other.send(b"abc")
        other.shutdown(socket.SHUT_WR)
        world.settle()
        recorder.story.append("resumed")
        recorder.transport.resumeProducing()
        world.settle()
        return recorder.story


def pauseHidesReset(world: World) -> list[Any]:
    """A paused transport does not see a RST."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.pauseProducing()
        other.send(b"abc")
        reset(other)
        world.settle()
        recorder.story.append("resumed")
        recorder.transport.resumeProducing()
        world.settle()
        return recorder.story


def resetWhileBlocked(world: World) -> list[Any]:
    """A paused transport that has something to write does see a RST."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.pauseProducing()
        recorder.transport.write(b"x" * MUCH)
        world.settle()
        reset(other)
        world.settle()
        return recorder.story


def resumeBehindEnd(world: World) -> list[Any]:
    """Whoever resumes after the end of input is told of it again."""
    with connected(world, HalfRecorder) as (recorder, other):
        other.shutdown(socket.SHUT_WR)
        world.settle()
        recorder.transport.resumeProducing()
        world.settle()
        return recorder.story


def producerThreshold(world: World) -> list[Any]:
    """A producer is paused by the octet behind 65536, and resumed when empty."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.registerProducer(Producer(recorder.story), True)
        recorder.transport.write(b"x" * 65536)
        recorder.story.append("full")
        recorder.transport.write(b"x")
        world.settle()
        return [*recorder.story, drain(world, other)]


def producerWaits(world: World) -> list[Any]:
    """A producer whose reader does not read stays paused."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.registerProducer(Producer(recorder.story), True)
        recorder.transport.write(b"x" * MUCH)
        world.settle()
        recorder.story.append("reading")
        return [*recorder.story, drain(world, other), *recorder.story[2:]]


def pullProducer(world: World) -> list[Any]:
    """A pull producer is asked at once, and whenever the buffer is empty."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.registerProducer(Producer(recorder.story), False)
        recorder.transport.write(b"x")
        world.settle()
        recorder.transport.unregisterProducer()
        return recorder.story


def producerSwallowsHalfClose(world: World) -> list[Any]:
    """With a paused producer C{loseWriteConnection} comes to nothing."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.registerProducer(Producer(recorder.story), True)
        recorder.transport.write(b"x" * 70000)
        recorder.transport.loseWriteConnection()
        world.settle()
        recorder.story.append(drain(world, other))
        recorder.transport.write(b"y")
        world.settle()
        return [*recorder.story, drain(world, other)]


def producerSwallowsClose(world: World) -> list[Any]:
    """With a paused producer C{loseConnection} waits for it to go."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.registerProducer(Producer(recorder.story), True)
        recorder.transport.write(b"x" * 70000)
        recorder.transport.loseConnection()
        world.settle()
        recorder.story.append(drain(world, other))
        recorder.transport.unregisterProducer()
        world.settle()
        return [*recorder.story, drain(world, other)]


def lossStopsProducer(world: World) -> list[Any]:
    """The producer of a connection that is lost is stopped."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.registerProducer(Producer(recorder.story), True)
        reset(other)
        world.settle()
        recorder.transport.write(b"ignored")
        return recorder.story


def closeFlushes(world: World) -> list[Any]:
    """C{loseConnection} sends all that was written, and reads no more."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.write(b"x" * MUCH)
        recorder.transport.loseConnection()
        recorder.transport.loseConnection()
        world.settle()
        return [*recorder.story, drain(world, other), *recorder.story]


def abort(world: World) -> list[Any]:
    """C{abortConnection} is a RST; nothing more is told but the loss."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.write(b"x")
        recorder.transport.abortConnection()
        recorder.story.append("aborted")
        world.settle()
        return [*recorder.story, drain(world, other)]


def closeWithUnread(world: World) -> list[Any]:
    """Who closes with bytes unread resets what the other sends on."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.pauseProducing()
        other.send(b"abc")
        world.settle()
        recorder.transport.write(b"xyz")
        recorder.transport.loseConnection()
        world.settle()
        # Asked first: reading all tells of the FIN, and not of the RST.
        try:
            other.send(b"more")
        except OSError as error:
            recorder.story.append(errno.errorcode[error.errno or 0])
        return [*recorder.story, drain(world, other)]


def writeToClosed(world: World) -> list[Any]:
    """What is sent to a closed end brings a RST, which the next write meets."""
    with connected(world, HalfRecorder) as (recorder, other):
        other.close()
        world.settle()
        recorder.transport.write(b"x")
        world.settle()
        recorder.story.append("again")
        recorder.transport.write(b"x")
        world.settle()
        return recorder.story


def endToClosed(world: World) -> list[Any]:
    """A FIN to a closed end brings no RST: the input ends, and has no error."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.pauseProducing()
        other.close()
        world.settle()
        recorder.transport.loseWriteConnection()
        world.settle()
        handle = recorder.transport.getHandle()
        recorder.story.append(handle.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        recorder.transport.resumeProducing()
        world.settle()
        recorder.transport.loseConnection()
        world.settle()
        return recorder.story


def endedBothWays(world: World) -> list[Any]:
    """Both directions ended: the transport stays until it is closed."""
    with connected(world, HalfRecorder) as (recorder, other):
        recorder.transport.loseWriteConnection()
        world.settle()
        other.shutdown(socket.SHUT_WR)
        world.settle()
        recorder.story.append("waiting")
        recorder.transport.loseConnection()
        world.settle()
        return recorder.story


class Dialler(ClientFactory):
    noisy = False

    def __init__(self) -> None:
        self.story: list[Any] = []
        self.made: list[Recorder] = []

    def doStart(self) -> None:
        self.story.append("start")
        super().doStart()

    def doStop(self) -> None:
        self.story.append("stop")
        super().doStop()

    def startedConnecting(self, connector: Any) -> None:
        self.story.append(f"started {connector.state}")

    def buildProtocol(self, addr: Any) -> Recorder:
        self.story.append(f"build {addr.host}")
        self.made.append(Recorder())
        return self.made[-1]

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        number = getattr(reason.value, "osError", None)
        self.story.append(f"failed {reason.type.__name__} {number} {connector.state}")

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.story.append(f"lost {reason.type.__name__} {connector.state}")


def dialled(world: World) -> list[Any]:
    """What a client factory is told of a connection, from start to stop."""
    port = world.reactor.listenTCP(0, Factory.forProtocol(Recorder))
    dialler = Dialler()
    host = port.getHost()
    connector = world.reactor.connectTCP("127.0.0.1", host.port, dialler)
    world.settle()
    dialler.story.append(connector.getDestination().host)
    connector.disconnect()
    world.settle()
    port.stopListening()
    world.settle()
    return [host.host, *dialler.story, *dialler.made[0].story]


def refused(world: World) -> list[Any]:
    """Nobody listens."""
    port = world.reactor.listenTCP(0, Factory.forProtocol(HalfRecorder))
    number = port.getHost().port
    port.stopListening()
    world.settle()
    dialler = Dialler()
    world.reactor.connectTCP("127.0.0.1", number, dialler)
    world.settle()
    return dialler.story


def givenUp(world: World) -> list[Any]:
    """The attempt is stopped before it has come to anything."""
    dialler = Dialler()
    connector = world.reactor.connectTCP("127.0.0.1", 9, dialler)
    connector.stopConnecting()
    world.settle()
    return dialler.story


def portInUse(world: World) -> list[Any]:
    """Two listeners at one place."""
    factory = Factory.forProtocol(HalfRecorder)
    port = world.reactor.listenTCP(0, factory, interface="127.0.0.1")
    number = port.getHost().port
    story = []
    for interface in ("127.0.0.1", ""):
        with pytest.raises(Exception) as raised:
            world.reactor.listenTCP(number, factory, interface=interface)
        error: Any = raised.value
        story += [type(error).__name__, error.socketError.errno]
    port.stopListening()
    world.settle()
    return story


SCENARIOS = [
    halfClose,
    endWithoutHalfClose,
    resetBehindData,
    pauseHidesEnd,
    pauseHidesReset,
    resetWhileBlocked,
    resumeBehindEnd,
    producerThreshold,
    producerWaits,
    pullProducer,
    producerSwallowsHalfClose,
    producerSwallowsClose,
    lossStopsProducer,
    closeFlushes,
    abort,
    closeWithUnread,
    writeToClosed,
    endToClosed,
    endedBothWays,
    dialled,
    refused,
    givenUp,
    # Twisted before 25 leaves the socket that could not be bound to the
    # garbage collector.
    pytest.param(
        portInUse, marks=pytest.mark.filterwarnings("ignore::ResourceWarning")
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_memoryTellsTheSameStory(scenario: Callable[[World], list[Any]]) -> None:
    """[K9] [T10] [T11] Pausing, half-close, RST and producers are the real ones."""
    stories = []
    for world in (Real(), Memory()):
        try:
            stories.append(scenario(world))
        finally:
            world.close()
    real, memory = stories
    assert memory == real
    assert real, "a scenario without a story compares nothing"
