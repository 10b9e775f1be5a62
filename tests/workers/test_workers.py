"""
Workers: what parent and worker say to each other, who is replaced when, and
what is handed on.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from rig import logging
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, LogPublisher, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.scripts.twistd import ServerOptions

from txconnect.command import Options, makeService
from txconnect.errors import ConfigurationError
from txconnect.listening import Exit
from txconnect.testing.chunks import chunkings
from txconnect.workers.crew import Crew
from txconnect.workers.files import LARGEST, RootFiles
from txconnect.workers.member import LONGEST, Member, spawn
from txconnect.workers.messages import (
    ATOM,
    FIRST_SOCKET,
    FROM_PARENT,
    FROM_WORKER,
    STOP_TIMEOUT,
    BadMessage,
    Messages,
    encode,
)
from txconnect.workers.orders import Orders
from txconnect.workers.place import START_TIMEOUT, Backoff
from txconnect.workers.rereading import WorkerOptions
from txconnect.workers.sockets import (
    CannotShare,
    HandedSockets,
    HeldSockets,
    sharedEndpoint,
)
from txconnect.workers.worker import Upward

ORDERS = Orders(
    options=["--realm=a b"],
    directory="/",
    rundir="/",
    reactor="twisted.internet.epollreactor",
    foreground=True,
    sockets=[1, 2],
)


# Messages


def test_messagesAtEveryChunking() -> None:
    data = encode("ready") + encode("log", text="a\nb\u2028") + encode("stop")
    for _, chunks in chunkings(data):
        messages = Messages()
        got = [message for chunk in chunks for message in messages.feed(chunk)]
        assert [message["kind"] for message in got] == ["ready", "log", "stop"]
        assert got[1]["text"] == "a\nb\u2028"


@pytest.mark.parametrize(
    "data",
    [
        b"x" * ATOM,
        b"x" * ATOM + b"\n",
        b"\n",
        b"{]\n",
        b"\xff\n",
        b"[]\n",
        b"{}\n",
        b'{"kind": 1}\n',
    ],
)
def test_whatIsNoMessageIsToldFromOne(data: bytes) -> None:
    """And memory is bounded, whatever comes."""
    with pytest.raises(BadMessage):
        Messages().feed(data)


def test_ordersArriveAsTheyWere() -> None:
    """The first line is for an interpreter that knows nothing of us yet."""
    boot, _, body = ORDERS.encode().partition(b"\n")
    assert json.loads(boot)["size"] == len(body)
    assert Orders.decode(body) == ORDERS


def test_ordersOfAnotherVersionAreNotGuessedAt() -> None:
    """The program was replaced, and its parent goes on running."""
    body = attrs.evolve(ORDERS, version=0).encode().partition(b"\n")[2]
    with pytest.raises(BadMessage, match="restart it"):
        Orders.decode(body)


class Pipe:
    """What a worker writes to, until it is full."""

    def __init__(self) -> None:
        self.full = False
        self.sent: list[bytes] = []

    def write(self, descriptor: int, data: bytes) -> int:
        if self.full:
            raise BlockingIOError
        self.sent.append(data)
        return len(data)

    def publisher(self) -> LogPublisher:
        return LogPublisher(Upward(4, self.write))

    def messages(self) -> list[dict[str, Any]]:
        return Messages().feed(b"".join(self.sent))


@pytest.mark.parametrize("text", ["x" * 9000, '"' * 9000, "\U0001f600" * 3000, "a\n"])
def test_logIsSentInWholeMessages(text: str) -> None:
    """However it is written, no message is more than goes at once."""
    pipe = Pipe()
    Logger("name.space", observer=pipe.publisher()).warn("{text}", text=text)
    assert all(len(message) <= ATOM for message in pipe.sent)
    messages = pipe.messages()
    assert "".join(message["text"] for message in messages) == text
    assert {m["namespace"] for m in messages} == {"name.space"}
    assert {m["level"] for m in messages} == {"warn"}
    assert [m["more"] for m in messages] == [True] * (len(messages) - 1) + [False]


def test_logThatIsLostIsCounted() -> None:
    """Nobody waits for a parent that does not keep up."""
    pipe = Pipe()
    log = Logger("n", observer=pipe.publisher())
    pipe.full = True
    log.info("one")
    log.info("two")
    pipe.full = False
    log.info("three")
    log.info("four")
    told = [message["text"] for message in pipe.messages()]
    assert told == ["(2 lines of this log are lost) three", "four"]


# One process, as its parent sees it


class Transport:
    """A process."""

    pid: int | None = 7

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.signals: list[str] = []
        self.lost = False

    def writeToChild(self, childFD: int, data: bytes) -> None:
        assert childFD == FROM_PARENT
        self.written.append(data)

    def signalProcess(self, name: str) -> None:
        if self.pid is None:
            raise ProcessExitedAlready
        self.signals.append(name)

    def loseConnection(self) -> None:
        self.lost = True


class Told:
    """Who is told what becomes of a worker."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def workerReady(self, member: Member) -> None:
        self.told.append("ready")

    def workerFailed(self, member: Member, reason: str) -> None:
        self.told.append(reason)

    def workerExited(self, member: Member, how: str) -> None:
        self.told.append(how)

    def workerGone(self, member: Member) -> None:
        self.told.append("gone")


def member() -> tuple[Member, Transport, Told]:
    told, transport = Told(), Transport()
    made = Member("worker 1", b"orders", told)
    made.makeConnection(transport)
    return made, transport, told


def test_memberGetsItsOrdersFirst() -> None:
    made, transport, _ = member()
    made.tell("stop")
    assert transport.written == [b"orders", encode("stop")]


def test_memberIsHeard() -> None:
    """What is not known is passed over: a newer worker may say more."""
    made, transport, told = member()
    made.childDataReceived(
        FROM_WORKER,
        encode("news", x=1) + encode("ready") + encode("failed", reason="r"),
    )
    assert told.told == ["ready", "r"]
    assert transport.signals == []


def test_memberThatTalksNonsenseIsEnded() -> None:
    made, transport, told = member()
    with logging() as logged:
        made.childDataReceived(FROM_WORKER, b"?\n" + encode("ready"))
    assert transport.signals == ["KILL"]
    assert told.told == []
    assert len(logged.errors) == 1


def test_memberThatIsGoneIsNotWrittenTo() -> None:
    """It has closed its end: Twisted has no pipe any more."""
    made, transport, _ = member()
    made.childConnectionLost(FROM_PARENT)
    made.tell("stop")
    transport.pid = None
    made.kill()
    assert transport.written == [b"orders"]


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        (ProcessDone(0), "status 0"),
        (ProcessTerminated(3), "status 3"),
        (ProcessTerminated(None, 9), "SIGKILL"),
        (ProcessTerminated(None, 99), "signal 99"),
    ],
)
def test_endsAreSaid(reason: Exception, how: str) -> None:
    made, _, told = member()
    made.processExited(Failure(reason))
    made.processEnded(Failure(reason))
    assert told.told == [how, "gone"]


def texts(act: Callable[[Member], object]) -> list[tuple[Any, str, str]]:
    """Level, namespace and text of what a member logs."""
    made, _, _ = member()
    with logging() as logged:
        act(made)
    return [
        (event["log_level"], event["log_namespace"], event.get("text", ""))
        for event in logged.events
    ]


def test_logOfAWorkerIsLoggedWhole() -> None:
    """With its own namespace and level, in one piece."""
    part = {"namespace": "a.b", "level": "error", "event": 1}
    data = encode("log", **part, text="x", more=True)
    data += encode("log", **part, text="y", more=False)
    assert texts(lambda made: made.childDataReceived(FROM_WORKER, data)) == [
        (LogLevel.error, "a.b", "xy")
    ]


def test_logOfWhichARestIsLostIsNotMixed() -> None:
    part = {"namespace": "a.b", "level": "info"}
    data = encode("log", **part, event=1, text="x", more=True)
    data += encode("log", **part, event=2, text="y", more=False)
    got = texts(lambda made: made.childDataReceived(FROM_WORKER, data))
    assert [text for _, _, text in got] == ["y"]


def test_standardErrorIsLoggedByLine() -> None:
    """An interpreter that fails early has no other way to say why."""

    def fail(made: Member) -> None:
        made.childDataReceived(2, b"one\ntw")
        made.childDataReceived(2, b"o\xff\n" + b"x" * (LONGEST + 9))
        made.processEnded(Failure(ProcessDone(0)))

    got = texts(fail)
    assert [text for _, _, text in got] == ["one", "two\\xff", "x" * LONGEST]
    assert {level for level, _, _ in got} == {LogLevel.warn}


class Spawning:
    """Keeps what it is asked to spawn."""

    def spawnProcess(self, *arguments: Any, **keywords: Any) -> None:
        self.arguments, self.keywords = arguments, keywords
        self.held = signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_nothingIsToldByArgumentsOrEnvironment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the descriptors that systemd handed over are the parent's."""
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("OTHER", "1")
    reactor, (made, _, _) = Spawning(), member()
    spawn(reactor, made, 3, "program", {0: 8, 1: 9, FIRST_SOCKET: 10})
    _, _, command = reactor.arguments
    assert command[1:] == ["-P", "-c", "program", "txconnect-worker", "3"]
    assert reactor.keywords["env"]["OTHER"] == "1"
    assert "LISTEN_PID" not in reactor.keywords["env"]
    assert reactor.keywords["childFDs"] == {
        0: 8,
        1: 9,
        2: "r",
        FROM_PARENT: "w",
        FROM_WORKER: "r",
        FIRST_SOCKET: 10,
    }


def test_signalsWaitUntilAWorkerCatchesThem() -> None:
    """[F10] A terminal that closes ends no worker that has just been started."""
    reactor, (made, _, _) = Spawning(), member()
    spawn(reactor, made, 1, "program", {})
    assert reactor.held >= {signal.SIGHUP, signal.SIGQUIT}
    # The parent, which has them too, tells it to end.
    assert reactor.held >= {signal.SIGINT, signal.SIGTERM}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


# All of them


def test_backoffDoublesAndForgets() -> None:
    backoff = Backoff(first=1, most=5, stable=10)
    assert [backoff.after(served) for served in (0, 0, 9, 9, 0)] == [1, 2, 4, 5, 5]
    assert [backoff.after(served) for served in (10, 0)] == [1, 2]


class Reactor(Clock):
    """A clock that can be asked to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = 0

    def stop(self) -> None:
        self.stopped += 1

    def addSystemEventTrigger(self, *_: Any) -> None:
        """What is done behind the end is the exit's own matter."""


class Bound:
    """A listening socket."""

    def fileno(self) -> int:
        return 77


class Setting:
    """A crew whose processes are scripted."""

    def __init__(self, count: int = 2, refuse: bool = False) -> None:
        self.reactor = Reactor()
        self.members: list[Member] = []
        self.transports: list[Transport] = []
        self.inherited: list[dict[int, int]] = []
        self.refuse = refuse
        held = HeldSockets(self.reactor)
        held.ports.append(Bound())
        self.crew = Crew(
            self.reactor,
            count,
            [held],
            RootFiles(["--realm=x"]),
            Exit(self.reactor, True),
            foreground=False,
            spawn=self._spawn,
        )
        self.announced = 0
        self.crew.announce(self._announce)

    def _announce(self) -> None:
        self.announced += 1

    def _spawn(
        self,
        reactor: Any,
        member: Member,
        number: int,
        boot: str,
        inherited: dict[int, int],
    ) -> None:
        if self.refuse:
            raise OSError(11, "no more processes")
        self.transports.append(Transport())
        self.members.append(member)
        self.inherited.append(inherited)
        member.makeConnection(self.transports[-1])

    def begin(self) -> None:
        self.crew.privilegedStartService()
        self.crew.startService()
        self.ready()

    def ready(self) -> None:
        for member in self.members:
            member.childDataReceived(FROM_WORKER, encode("ready"))

    def die(self, at: int) -> None:
        reason = Failure(ProcessTerminated(None, 9))
        self.transports[at].pid = None
        self.members[at].processExited(reason)
        self.members[at].processEnded(reason)

    def stop(self) -> list[None]:
        done: list[None] = []
        self.crew.stopService().addCallback(done.append)
        return done


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_announcesWhenAllAreReady(setting: Setting) -> None:
    setting.crew.startService()
    setting.members[0].childDataReceived(FROM_WORKER, encode("ready"))
    assert setting.announced == 0
    setting.ready()
    assert setting.announced == 1
    assert [each[FIRST_SOCKET] for each in setting.inherited] == [77, 77]


def test_deadWorkerIsReplacedLaterAndLater(setting: Setting) -> None:
    """And soon again, once one has served for a while."""
    setting.begin()
    waits: list[float] = []
    for served in (0, 0, 0, 60, 0):
        setting.reactor.advance(served)
        before = len(setting.members)
        setting.die(-1 if before > 2 else 0)
        began = setting.reactor.seconds()
        while len(setting.members) == before:
            setting.reactor.advance(0.25)
        waits.append(setting.reactor.seconds() - began)
        setting.members[-1].childDataReceived(FROM_WORKER, encode("ready"))
    assert waits == [0.25, 0.5, 1, 0.25, 0.5]
    assert setting.announced == 1
    assert setting.reactor.stopped == 0


def test_replacementThatCannotStartIsTriedAgain(setting: Setting) -> None:
    """Of whatever kind the trouble is, the other workers go on."""
    setting.begin()
    setting.die(0)
    setting.refuse = True
    setting.reactor.advance(0.25)
    setting.refuse = False
    setting.reactor.advance(0.5)
    assert len(setting.members) == 3
    with logging() as logged:
        setting.members[2].childDataReceived(
            FROM_WORKER, encode("failed", reason="no log")
        )
        setting.die(2)
    assert [event["reason"] for event in logged.events if "reason" in event] == [
        "no log"
    ]
    setting.reactor.advance(1)
    assert len(setting.members) == 4
    assert setting.reactor.stopped == 0


def test_firstStartThatFailsEndsTheProgram(
    setting: Setting, capfd: pytest.CaptureFixture[str]
) -> None:
    """Said once, by whichever worker is first."""
    setting.crew.startService()
    setting.members[0].childDataReceived(FROM_WORKER, encode("ready"))
    for member in setting.members:
        member.childDataReceived(FROM_WORKER, encode("failed", reason="no log"))
    setting.die(0)
    setting.die(1)
    setting.reactor.advance(100)
    assert capfd.readouterr().err == "txconnect: cannot start: no log\n"
    assert setting.reactor.stopped == 1
    assert len(setting.members) == 2


def test_workerThatNeverGetsReadyIsEnded(
    setting: Setting, capfd: pytest.CaptureFixture[str]
) -> None:
    setting.crew.startService()
    setting.reactor.advance(START_TIMEOUT)
    assert [each.signals for each in setting.transports] == [["KILL"], ["KILL"]]
    setting.die(1)
    assert capfd.readouterr().err == (
        "txconnect: cannot start: worker 2 ended while it started (SIGKILL)\n"
    )


def test_noProcessAtAllStopsTheStart(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="no more processes"):
        Setting(refuse=True).crew.startService()


def test_requestsArePassedOnToEveryWorker(setting: Setting) -> None:
    """[F10] To one that is starting too: its file may have been renamed since."""
    setting.crew.startService()
    setting.members[0].childDataReceived(FROM_WORKER, encode("ready"))
    assert setting.crew.reopenLogs() == "told 2 workers to open the log files again"
    assert [each.written[-1] for each in setting.transports] == [encode("reopen")] * 2
    setting.ready()
    setting.die(0)
    assert setting.crew.reopenLogs() == "told 1 worker to open the log files again"
    assert setting.transports[0].written.count(encode("reopen")) == 1
    with logging() as logged:
        setting.crew.listTunnels()
    assert setting.transports[1].written[-1] == encode("list")
    assert formatEvent(logged.events[0]) == "told 1 worker to list the open tunnels"
    setting.stop()
    assert setting.crew.reopenLogs() == "told 0 workers to open the log files again"
    assert setting.transports[1].written[-1] == encode("stop")


def test_stopAsksThenKills(setting: Setting) -> None:
    """It ends when no process is left, and replaces none."""
    setting.begin()
    done = setting.stop()
    assert [each.written[-1] for each in setting.transports] == [encode("stop")] * 2
    setting.die(0)
    setting.reactor.advance(STOP_TIMEOUT)
    assert [each.signals for each in setting.transports] == [[], ["KILL"]]
    assert done == []
    setting.die(1)
    assert done == [None]
    assert len(setting.members) == 2
    assert setting.reactor.getDelayedCalls() == []


def test_stopDoesNotWaitForWhatAWorkerHasStarted(setting: Setting) -> None:
    """A program that a plugin has started may hold the pipes open."""
    setting.begin()
    setting.stop()
    setting.members[0].processExited(Failure(ProcessDone(0)))
    setting.reactor.advance(1)
    assert setting.transports[0].lost
    assert not setting.transports[1].lost


def test_stopWhileAReplacementWaits(setting: Setting) -> None:
    setting.begin()
    setting.die(0)
    done = setting.stop()
    setting.die(1)
    assert done == [None]
    assert setting.reactor.getDelayedCalls() == []


def test_lateWordsOfADeadWorkerAreNotTheNextOnes(setting: Setting) -> None:
    """What is still in its pipe makes nobody else ready."""
    setting.begin()
    reason = Failure(ProcessTerminated(None, 9))
    setting.members[0].processExited(reason)
    setting.reactor.advance(0.25)
    setting.members[0].childDataReceived(FROM_WORKER, encode("ready"))
    setting.members[0].processEnded(reason)
    setting.reactor.advance(START_TIMEOUT)
    assert setting.transports[2].signals == ["KILL"]


# Sockets


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
        with pytest.raises(CannotShare, match="asks the reactor for connectTCP"):
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


# Files


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with files that options may name; the current one."""
    for name in ("users", "key", "a:b", "443", "token", "log"):
        (tmp_path / name).write_text(f"it is {name}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rewritten(*options: str, readable: Sequence[str] = ()) -> list[str]:
    """The options that a worker gets, with the contents for their paths."""
    files = RootFiles(options, lambda path: os.path.basename(path) in readable)
    files.open()
    files.keep()
    told = files.options(9000)
    for number, descriptor in enumerate(files.descriptors, 9000):
        content = Path(f"/proc/self/fd/{descriptor}").read_text()
        told = [t.replace(f"/proc/self/fd/{number}", f"<{content}>") for t in told]
    files.close()
    return told


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--auth=htpasswd:users", "--auth=htpasswd:<it is users>"),
        ("--auth=users", "--auth=users"),
        ("--auth=memory:alice:users", "--auth=memory:alice:users"),
        ("--auth=file:a:b", "--auth=file:<it is a:b>"),
        (
            "--listen=ssl:443:privateKey=key:certKey=key",
            "--listen=ssl:443:privateKey=<it is key>:certKey=<it is key>",
        ),
        ("--listen=ssl:1:privateKey=a\\:b", "--listen=ssl:1:privateKey=<it is a:b>"),
        ("--listen=443", "--listen=443"),
        ("--policy=ports:443", "--policy=ports:443"),
        ("--policy=ask:1,token=./token", "--policy=ask:1,token=<it is token>"),
        (
            "--route=./key:Name=http://p:1,credentials=users|https://q,ca=key,cert=./users",
            "--route=./key:Name=http://p:1,credentials=<it is users>"
            "|https://q,ca=<it is key>,cert=<it is users>",
        ),
        (
            "--route=ask:x=./token=socks5://p:1",
            "--route=ask:x=<it is token>=socks5://p:1",
        ),
        (
            "--route=http://p:1,credentials=env:key",
            "--route=http://p:1,credentials=env:key",
        ),
        ("--route=hosts:a=direct", "--route=hosts:a=direct"),
        ("--observer=accesslog:./log", "--observer=accesslog:./log"),
        ("--realm=users", "--realm=users"),
        ("--auth=htpasswd:missing", "--auth=htpasswd:missing"),
    ],
)
@pytest.mark.usefixtures("directory")
def test_namedFilesAreHandedOn(option: str, told: str) -> None:
    """What is written, and what only looks like a file, is not."""
    before = len(os.listdir("/proc/self/fd"))
    assert rewritten("--open-proxy", option) == ["--open-proxy", told]
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("directory")
def test_whatCanBeReadStaysAPath() -> None:
    """So a password file is still read again when it changes."""
    option = "--auth=htpasswd:users"
    assert rewritten(option, readable=["users"]) == [option]


def test_contentsCannotBeChanged(directory: Path) -> None:
    """One worker must not change what the next one reads."""
    files = RootFiles(["--auth=htpasswd:users"], lambda path: False)
    files.open()
    (directory / "users").unlink()
    files.keep()
    [descriptor] = files.descriptors
    with pytest.raises(PermissionError):
        os.write(descriptor, b"x")
    assert stat.S_ISREG(os.fstat(descriptor).st_mode)
    files.close()


def test_largeFilesAreNoKeys(directory: Path) -> None:
    with open(directory / "users", "ab") as file:
        file.truncate(LARGEST + 1)
    option = "--auth=htpasswd:users"
    assert rewritten(option) == [option]


# The command line


def parsed(*arguments: str, twistd: Sequence[str] = ("-n",)) -> Options:
    """Our options, below twistd's."""
    config = ServerOptions()
    config.parseOptions([*twistd, "connectproxy", *arguments])
    assert isinstance(config.subOptions, Options)
    return config.subOptions


@pytest.mark.parametrize("number", ["0", "-1", "two", "", "1.5", "1025", "9" * 5000])
def test_workersAreANumber(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed(f"--workers={number}")
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert re.search("--workers: .* is not 1 to 1024", said)


def test_oneWorkerIsNoWorker() -> None:
    """The program stays one process, and nothing of this is in it."""
    options = parsed("--workers", "1")
    assert "held" not in options
    assert not isinstance(makeService(options).service.proxy, Crew)
    assert isinstance(makeService(parsed("--workers=2")).service.proxy, Crew)


def test_chrootHasNoProgramToStart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed("--workers=2", twistd=["-n", "--chroot", str(tmp_path)])
    assert caught.value.code == 1
    assert "--chroot" in capsys.readouterr().err


def test_workerReadsTheSameCommandLine(directory: Path) -> None:
    """Everything that can be said is said to the worker, in the same order."""
    (directory / "passwords").write_text("alice:secret\n")
    given = parsed(
        *("--workers=2", "-l", "3128", "--listen", "unix:sock"),
        *("--auth", "file:passwords", "--auth", "memory:bob:b=c"),
        *("--policy", "ports:1-2", "--policy", "hosts:a.example"),
        *("--observer", "counters", "--open-proxy", "--idle-timeout", "5"),
        *("--realm", "a=b c"),
    )
    orders = attrs.evolve(ORDERS, options=given.restated(), sockets=[1, 1])
    read = WorkerOptions(Binding(), orders)
    read.parseOptions(list(orders.options))
    assert read["settings"] == given["settings"]
    assert read["settings"].realm == "a=b c"
    assert read["open-proxy"] and read.foreground
    for kind in ("checkers", "policies", "observers", "schemes"):
        assert [each.name for each in read[kind]] == [each.name for each in given[kind]]
    assert [each.description for each in read["listeners"]] == ["3128", "unix:sock"]
    assert read.restated() == given.restated()


def test_workersHaveOneName(monkeypatch: pytest.MonkeyPatch) -> None:
    """[UP-07] [T15] What has been through one worker has been through the proxy."""
    restated: list[list[str]] = []

    def files(options: Sequence[str]) -> RootFiles:
        restated.append(list(options))
        return RootFiles(options)

    monkeypatch.setattr("txconnect.workers.files.RootFiles", files)
    for name, said in (
        ([], "--name=txconnect-[0-9a-f]{6}"),
        (["--name=mine"], "--name=mine"),
    ):
        makeService(parsed("--workers=2", *name))
        given = [each for each in restated.pop() if each.startswith("--name=")]
        assert len(given) == 1 and re.fullmatch(said, given[0])


def test_workerTakesTheSameRoutes(directory: Path) -> None:
    """Everything that a route says, credentials included, is said to the worker."""
    (directory / "who").write_text("ann:secret\n")
    routes = ["hosts:a.example=http://p:1,credentials=who|http://q:1", "direct"]
    given = parsed("--workers=2", *(f"--route={route}" for route in routes))
    orders = attrs.evolve(ORDERS, options=given.restated(), sockets=[1])
    read = WorkerOptions(Binding(), orders)
    read.parseOptions(list(orders.options))
    assert [rule.text for rule in read["routes"]] == [
        rule.text for rule in given["routes"]
    ]
    assert read["routes"][0].text.targets[0].credentials.user == "ann"


def test_workerTakesItsListenersSocketsInOrder() -> None:
    """Also when one of them has several."""
    orders = attrs.evolve(
        ORDERS, options=["--listen=1", "--listen=systemd:domain=INET:index=0"]
    )
    options = WorkerOptions(Binding(), orders)
    options.parseOptions(list(orders.options))
    assert [text for _, text in options.endpoints()] == ["1", "tcp:0"]
