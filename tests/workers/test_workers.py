"""
Workers, as their parent sees them: what becomes of one process, and which is
replaced when.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from rig import logging
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent
from twisted.python.failure import Failure

from txconnect.configuration import Configuration
from txconnect.errors import ConfigurationError
from txconnect.listening import Exit
from txconnect.workers.channel import ASK_TIMEOUT
from txconnect.workers.config import (
    BOOT,
    CHANNEL,
    FIRST_SOCKET,
    LONGEST_LINE,
    START_TIMEOUT,
    STOP_TIMEOUT,
    WorkerConfig,
)
from txconnect.workers.framing import FrameDecoder, encodeFrame
from txconnect.workers.process import WorkerProcess, spawn
from txconnect.workers.slot import Backoff
from txconnect.workers.sockets import HeldSockets
from txconnect.workers.supervisor import Supervisor

CONFIG = WorkerConfig(
    configuration=Configuration(checkers=("memory:alice:secret",)),
    directory="/",
    rundir="/",
    foreground=True,
    sockets=(1, 2),
)
READY = encodeFrame({"answer": 1, "fields": {}})
STOP = {"kind": "stop", "fields": {}}


def failed(reason: str) -> bytes:
    """The answer of a worker that cannot start."""
    return encodeFrame({"answer": 1, "error": reason})


class Transport:
    """A process, and the stream below its channel."""

    pid: int | None = 7

    def __init__(self) -> None:
        self.written = b""
        self.signals: list[str] = []
        self.lost = False
        self.closed = False

    def signalProcess(self, name: str) -> None:
        if self.pid is None:
            raise ProcessExitedAlready
        self.signals.append(name)

    def loseConnection(self) -> None:
        self.lost = True

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def messages(self) -> list[dict[str, Any]]:
        """What was sent behind the line that the interpreter reads."""
        return list(FrameDecoder().feed(self.written.partition(b"\n")[2]))


class Told:
    """The owner of a process."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def workerReady(self, process: WorkerProcess) -> None:
        self.told.append("ready")

    def workerFailed(self, process: WorkerProcess, reason: str) -> None:
        self.told.append(reason)

    def workerLate(self, process: WorkerProcess) -> None:
        self.told.append("late")

    def workerExited(self, process: WorkerProcess, how: str) -> None:
        self.told.append(how)

    def workerGone(self, process: WorkerProcess) -> None:
        self.told.append("gone")


class One:
    """One process."""

    def __init__(self) -> None:
        self.clock, self.transport, self.owner = Clock(), Transport(), Told()
        self.process = WorkerProcess(
            self.clock, "worker 1", b"boot\n", CONFIG, self.owner
        )
        self.process.makeConnection(self.transport)
        self.process.connectChannel(self.transport)

    def hear(self, data: bytes) -> None:
        """What the worker sends, as the socket gives it."""
        try:
            self.process.channel.dataReceived(data)
        except Exception as error:
            self.process.channel.connectionLost(error)


@pytest.fixture
def one() -> One:
    return One()


# One process


def test_workerIsStartedByItsConfiguration(one: One) -> None:
    """[F19] One line for the interpreter, then the whole configuration."""
    one.process.stop()
    assert one.transport.written.startswith(b"boot\n")
    start, stop = one.transport.messages()
    assert (start["kind"], start["id"]) == ("start", 1)
    assert WorkerConfig.fromData(start["fields"]) == CONFIG
    assert stop == STOP


def test_workerThatAcceptsAnswers(one: One) -> None:
    one.hear(READY)
    assert one.owner.told == ["ready"]
    assert one.clock.getDelayedCalls() == []


def test_workerThatCannotStartSaysWhy(one: One) -> None:
    one.hear(failed("no log"))
    assert one.owner.told == ["no log"]


def test_requestIsAnswered(one: One) -> None:
    """[F10] Of one that has been done nothing is said."""
    with logging() as logged:
        one.process.request("reopen")
        one.hear(encodeFrame({"answer": 2, "fields": {"done": "all"}}))
    assert one.transport.messages()[-1] == {"kind": "reopen", "id": 2, "fields": {}}
    one.clock.advance(ASK_TIMEOUT)
    assert logged.events == []


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        (encodeFrame({"answer": 2, "error": "no"}), ["no"]),
        (b"", ["no answer within 10 seconds"]),
        (None, []),
    ],
)
def test_requestThatIsNotDoneIsTold(
    one: One, answer: bytes | None, reasons: list[str]
) -> None:
    """[F10] A worker that hangs writes on to a file that was renamed; of one that
    is gone its status tells."""
    with logging() as logged:
        one.process.request("reopen")
        if answer is None:
            one.process.channel.connectionLost(ConnectionError())
        else:
            one.hear(answer)
        one.clock.advance(ASK_TIMEOUT)
    assert [formatEvent(event) for event in logged.events] == [
        f"worker 1 has not done the request (reopen): {each}" for each in reasons
    ]


def test_workerThatIsLate(one: One) -> None:
    """Its answer counts no more."""
    one.clock.advance(START_TIMEOUT)
    one.hear(READY)
    assert one.owner.told == ["late"]


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\0\0\0\2{]", encodeFrame({"answer": 2})]
)
def test_workerThatTalksNonsenseIsEnded(one: One, data: bytes) -> None:
    with logging() as logged:
        one.hear(data)
    assert one.transport.signals == ["KILL"]
    assert one.owner.told == []
    assert len(logged.errors) == 1


def test_workerThatIsKilledInAMessageIsNotToBlame(one: One) -> None:
    """What is cut off is nothing that it said."""
    with logging() as logged:
        one.process.channel.dataReceived(READY[:-1])
        one.process.channel.connectionLost(ConnectionError())
        one.process.processExited(Failure(ProcessTerminated(None, 9)))
        one.process.processEnded(Failure(ProcessTerminated(None, 9)))
    assert one.owner.told == ["SIGKILL", "gone"]
    assert (one.transport.signals, logged.events) == ([], [])


def test_workerThatIsGoneIsNotWrittenTo(one: One) -> None:
    before = one.transport.written
    one.process.channel.connectionLost(ConnectionError())
    one.process.stop()
    one.transport.pid = None
    one.process.kill()
    assert one.transport.written == before


def test_itsLastLinesAreWaitedFor(one: One) -> None:
    """It is gone when it has ended and all of its channel is read."""
    one.process.processExited(Failure(ProcessDone(0)))
    one.process.processEnded(Failure(ProcessDone(0)))
    assert one.owner.told == ["status 0"]
    one.process.channel.connectionLost(ConnectionError())
    assert one.owner.told == ["status 0", "gone"]


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        (ProcessDone(0), "status 0"),
        (ProcessTerminated(3), "status 3"),
        (ProcessTerminated(None, 9), "SIGKILL"),
        (ProcessTerminated(None, 99), "signal 99"),
    ],
)
def test_endsAreSaid(one: One, reason: Exception, how: str) -> None:
    one.process.processExited(Failure(reason))
    assert one.owner.told == [how]


def texts(act: Callable[[One], object]) -> list[tuple[Any, str, str]]:
    """Level, namespace and text of what a worker logs."""
    one = One()
    with logging() as logged:
        act(one)
    return [
        (event["log_level"], event["log_namespace"], event.get("text", ""))
        for event in logged.events
    ]


@pytest.mark.parametrize(
    ("level", "logged"), [("error", LogLevel.error), ("shout", LogLevel.info)]
)
def test_logOfAWorkerIsLogged(level: str, logged: Any) -> None:
    """With its own namespace and level, however long it is."""
    fields = {"namespace": "a.b", "level": level, "text": "x" * LONGEST_LINE}
    data = encodeFrame({"kind": "log", "fields": fields})
    assert texts(lambda one: one.hear(data)) == [(logged, "a.b", "x" * LONGEST_LINE)]


def test_standardErrorIsLoggedByLine() -> None:
    """An interpreter that fails early has no other way to say why."""

    def fail(one: One) -> None:
        one.process.childDataReceived(2, b"one\ntw")
        one.process.childDataReceived(2, b"o\xff\n" + b"x" * (LONGEST_LINE + 9))
        one.process.processEnded(Failure(ProcessDone(0)))

    got = texts(fail)
    assert [text for _, _, text in got] == ["one", "two\\xff", "x" * LONGEST_LINE]
    assert {level for level, _, _ in got} == {LogLevel.warn}


class Spawning:
    """Keeps what it is asked to spawn, and serves the channel."""

    def __init__(self, error: OSError | None = None) -> None:
        self.error = error
        self.readers: list[Any] = []

    def spawnProcess(self, process: Any, *arguments: Any, **keywords: Any) -> None:
        if self.error is not None:
            raise self.error
        self.arguments, self.keywords = arguments, keywords
        self.held = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        process.makeConnection(Transport())

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def removeWriter(self, writer: Any) -> None:
        """There is none."""


def unstarted(clock: Clock) -> WorkerProcess:
    """One that is still to be started."""
    return WorkerProcess(clock, "worker 3", b"boot\n", CONFIG, Told())


def test_nothingIsToldByArgumentsOrEnvironment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the descriptors that systemd handed over are the parent's."""
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("OTHER", "1")
    reactor, process = Spawning(), unstarted(Clock())
    spawn(reactor, process, 3, {0: 8, 1: 9, FIRST_SOCKET: 10})
    executable, command = reactor.arguments
    assert executable == sys.executable
    assert command[1:] == ["-P", "-c", BOOT, "txconnect-worker", "3"]
    assert reactor.keywords["env"]["OTHER"] == "1"
    assert "LISTEN_PID" not in reactor.keywords["env"]
    handed = reactor.keywords["childFDs"]
    assert isinstance(handed.pop(CHANNEL), int)
    assert handed == {0: 8, 1: 9, 2: "r", FIRST_SOCKET: 10}
    process.channel.close()
    assert reactor.readers == []


def test_processThatCannotBeStartedLeavesNothingOpen() -> None:
    reactor = Spawning(OSError(11, "no more processes"))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="no more processes"):
        spawn(reactor, unstarted(Clock()), 3, {})
    assert os.listdir("/proc/self/fd") == before


def test_signalsWaitUntilAWorkerCatchesThem() -> None:
    """[F10] A terminal that closes ends no worker that has just been started."""
    reactor, process = Spawning(), unstarted(Clock())
    spawn(reactor, process, 1, {})
    assert reactor.held >= {signal.SIGHUP, signal.SIGQUIT}
    # The parent, which has them too, tells it to end.
    assert reactor.held >= {signal.SIGINT, signal.SIGTERM}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    process.channel.close()


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
    """A supervisor whose processes are scripted."""

    def __init__(self, count: int = 2, refuse: bool = False) -> None:
        self.reactor = Reactor()
        self.processes: list[WorkerProcess] = []
        self.transports: list[Transport] = []
        self.inherited: list[Mapping[int, int]] = []
        self.refuse = refuse
        held = HeldSockets(self.reactor)
        held.ports.append(Bound())
        self.supervisor = Supervisor(
            self.reactor,
            Configuration(workers=count),
            [held],
            Exit(self.reactor, True),
            foreground=False,
            spawn=self._spawn,
        )
        self.announced = 0
        self.supervisor.announce(self._announce)

    def _announce(self) -> None:
        self.announced += 1

    def _spawn(
        self,
        reactor: Any,
        process: WorkerProcess,
        number: int,
        inherited: Mapping[int, int],
    ) -> None:
        if self.refuse:
            raise OSError(11, "no more processes")
        self.transports.append(Transport())
        self.processes.append(process)
        self.inherited.append(inherited)
        process.makeConnection(self.transports[-1])
        process.connectChannel(self.transports[-1])

    def begin(self) -> None:
        self.supervisor.privilegedStartService()
        self.supervisor.startService()
        self.ready()

    def ready(self) -> None:
        for process in self.processes:
            process.channel.dataReceived(READY)

    def die(self, at: int) -> None:
        reason = Failure(ProcessTerminated(None, 9))
        self.transports[at].pid = None
        self.processes[at].processExited(reason)
        self.processes[at].channel.connectionLost(ConnectionError())
        self.processes[at].processEnded(reason)

    def stop(self) -> list[None]:
        done: list[None] = []
        self.supervisor.stopService().addCallback(done.append)
        return done


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_announcesWhenAllAreReady(setting: Setting) -> None:
    setting.supervisor.startService()
    setting.processes[0].channel.dataReceived(READY)
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
        before = len(setting.processes)
        setting.die(-1 if before > 2 else 0)
        began = setting.reactor.seconds()
        while len(setting.processes) == before:
            setting.reactor.advance(0.25)
        waits.append(setting.reactor.seconds() - began)
        setting.processes[-1].channel.dataReceived(READY)
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
    assert len(setting.processes) == 3
    with logging() as logged:
        setting.processes[2].channel.dataReceived(failed("no log"))
        setting.die(2)
    assert [event["reason"] for event in logged.events if "reason" in event] == [
        "no log"
    ]
    setting.reactor.advance(1)
    assert len(setting.processes) == 4
    assert setting.reactor.stopped == 0


def test_firstStartThatFailsEndsTheProgram(
    setting: Setting, capfd: pytest.CaptureFixture[str]
) -> None:
    """Said once, by whichever worker is first."""
    setting.supervisor.startService()
    setting.processes[0].channel.dataReceived(READY)
    for process in setting.processes[1:]:
        process.channel.dataReceived(failed("no log"))
    setting.die(0)
    setting.die(1)
    setting.reactor.advance(100)
    assert capfd.readouterr().err == "txconnect: cannot start: no log\n"
    assert setting.reactor.stopped == 1
    assert len(setting.processes) == 2


@pytest.mark.parametrize("how", ["fails", "dies"])
def test_aStopFindsAWorkerThatStarts(
    setting: Setting, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """[F18] The ports are closed by then, and what it says of them is no news."""
    setting.supervisor.startService()
    setting.processes[0].channel.dataReceived(READY)
    setting.supervisor.tellStop("SIGTERM")
    if how == "fails":
        setting.processes[1].channel.dataReceived(failed("no such socket"))
    else:
        setting.die(1)
    setting.reactor.advance(1)
    assert capfd.readouterr().err == ""
    assert setting.reactor.stopped == 0
    assert len(setting.processes) == 2


def test_workerThatNeverGetsReadyIsEnded(
    setting: Setting, capfd: pytest.CaptureFixture[str]
) -> None:
    setting.supervisor.startService()
    setting.reactor.advance(START_TIMEOUT)
    assert [each.signals for each in setting.transports] == [["KILL"], ["KILL"]]
    setting.die(1)
    assert capfd.readouterr().err == (
        "txconnect: cannot start: worker 2 ended while it started (SIGKILL)\n"
    )


def test_noProcessAtAllStopsTheStart(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="no more processes"):
        Setting(refuse=True).supervisor.startService()


def test_requestsArePassedOnToEveryWorker(setting: Setting) -> None:
    """[F10] To one that is starting too: its file may have been renamed since."""

    def kinds(at: int) -> list[str]:
        return [each["kind"] for each in setting.transports[at].messages()]

    supervisor = setting.supervisor
    supervisor.startService()
    setting.processes[0].channel.dataReceived(READY)
    assert supervisor.reopenLogs() == "told 2 workers to open the log files again"
    assert [kinds(0), kinds(1)] == [["start", "reopen"]] * 2
    setting.processes[1].channel.dataReceived(READY)
    setting.die(0)
    assert supervisor.reopenLogs() == "told 1 worker to open the log files again"
    assert kinds(0).count("reopen") == 1
    with logging() as logged:
        supervisor.listTunnels()
    assert kinds(1) == ["start", "reopen", "reopen", "list"]
    assert formatEvent(logged.events[0]) == "told 1 worker to list the open tunnels"
    setting.stop()
    assert supervisor.reopenLogs() == "told 0 workers to open the log files again"
    assert kinds(1)[-1] == "stop"


def test_stopAsksThenKills(setting: Setting) -> None:
    """It ends when no process is left, and replaces none."""
    setting.begin()
    done = setting.stop()
    assert [each.messages()[-1] for each in setting.transports] == [STOP] * 2
    setting.die(0)
    setting.reactor.advance(STOP_TIMEOUT)
    assert [each.signals for each in setting.transports] == [[], ["KILL"]]
    assert done == []
    setting.die(1)
    assert done == [None]
    assert len(setting.processes) == 2
    assert setting.reactor.getDelayedCalls() == []


def test_stopDoesNotWaitForWhatAWorkerHasStarted(setting: Setting) -> None:
    """A program that a plugin has started may hold the pipes open."""
    setting.begin()
    setting.stop()
    setting.processes[0].processExited(Failure(ProcessDone(0)))
    setting.reactor.advance(1)
    assert setting.transports[0].lost and setting.transports[0].closed
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
    setting.processes[0].processExited(reason)
    setting.reactor.advance(0.25)
    setting.processes[0].channel.dataReceived(READY)
    setting.processes[0].processEnded(reason)
    setting.reactor.advance(START_TIMEOUT)
    assert setting.transports[2].signals == ["KILL"]


@pytest.mark.parametrize("ends", [True, False])
def test_aWorkerThatLosesItsChannelAlone(ends: bool) -> None:
    """[F10] It serves unheard, so it is killed, unless it ends by itself."""
    heard: list[str] = []

    class Transport:
        pid = 7

        def signalProcess(self, name: str) -> None:
            heard.append(name)

        def write(self, data: bytes) -> None:
            pass

        def close(self) -> None:
            pass

    class Owner:
        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    clock = Clock()
    process = WorkerProcess(clock, "worker 1", b"boot\n", CONFIG, Owner())
    process.transport = Transport()  # type: ignore[assignment]
    process.connectChannel(Transport())  # type: ignore[arg-type]
    process.channel.connectionLost(None)
    if ends:
        process.processEnded(Failure(ProcessDone(0)))
    clock.advance(STOP_TIMEOUT)
    assert heard == ([] if ends else ["KILL"])
    assert not clock.getDelayedCalls()
