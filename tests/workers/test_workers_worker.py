"""
A worker, as it is started: what it is told, what it answers, what it logs.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import attrs
import pytest
from rig import logging
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher, formatEvent

from txconnect.configuration import Configuration
from txconnect.errors import ConfigurationError
from txconnect.listening import CannotStart
from txconnect.settings import Settings
from txconnect.workers import worker as module
from txconnect.workers.config import LONGEST_LINE, VERSION, WorkerConfig, bootLine
from txconnect.workers.framing import BadMessage, FrameDecoder, encodeFrame
from txconnect.workers.parentlog import ParentLog
from txconnect.workers.worker import Worker

CONFIG = WorkerConfig(
    configuration=Configuration(
        listeners=("3128",),
        checkers=("memory:bob:b=c",),
        pair="./p.py:P",
        settings=Settings(realm="a=b c", idleTimeout=5.5),
        workers=2,
    ),
    directory="/",
    rundir="/",
    foreground=True,
    sockets=(1, 2),
    files=2,
)


# What it is told


def test_configArrivesAsItWas() -> None:
    """[F19] All workers run one configuration: JSON changes nothing of it."""
    data = json.loads(json.dumps(CONFIG.toData()))
    assert WorkerConfig.fromData(data) == CONFIG
    assert list(CONFIG.descriptors) == [4, 5, 6, 7, 8]


def test_configOfAnotherVersionIsNotGuessedAt() -> None:
    """The program was replaced, and its parent goes on running."""
    data = {"version": VERSION - 1, "orders": []}
    with pytest.raises(ConfigurationError, match="restart it"):
        WorkerConfig.fromData(data)


def test_bootIsOneLine() -> None:
    """For an interpreter that knows nothing of us yet, with no secret."""
    line = bootLine("some.reactor")
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert sorted(json.loads(line)) == ["path", "reactor"]


# Its log


class Parent:
    """What comes to the parent, until it does not keep up."""

    def __init__(self) -> None:
        self.hasRoom = True
        self.lines: list[dict[str, Any]] = []
        publisher = LogPublisher(ParentLog(self._send, lambda: self.hasRoom))
        self.log = Logger("name.space", observer=publisher)

    def _send(self, kind: str, **fields: Any) -> None:
        assert kind == "log"
        self.lines.append(fields)


def test_logIsSent() -> None:
    parent = Parent()
    parent.log.warn("{text}", text="a\nb")
    parent.log.info("")
    parent.log.info("{text}", text="x" * (LONGEST_LINE + 1))
    assert parent.lines == [
        {"namespace": "name.space", "level": "warn", "text": "a\nb"},
        {"namespace": "name.space", "level": "info", "text": "x" * LONGEST_LINE},
    ]


def test_logThatIsLostIsCounted() -> None:
    """Nobody waits for a parent that does not keep up."""
    parent = Parent()
    parent.hasRoom = False
    parent.log.info("one")
    parent.log.info("two")
    parent.hasRoom = True
    parent.log.info("three")
    parent.log.info("four")
    told = [line["text"] for line in parent.lines]
    assert told == ["(2 lines of this log are lost) three", "four"]


# Its life


class Reactor(Clock):
    """A clock that can be asked to stop."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


class Tunnels:
    """A proxy that has one log file, and no tunnel."""

    connections = 0

    def __init__(self) -> None:
        self.resources = self.tunnels = self
        self.reopened = 0

    def reopenLogs(self) -> list[str]:
        self.reopened += 1
        return ["accesslog"]

    def live(self) -> list[Any]:
        return []


class Service:
    """The proxy's service, scripted."""

    def __init__(self) -> None:
        self.proxy = Tunnels()
        self.error: Exception | None = None
        self.running = False
        self.stopped: Deferred[None] = Deferred()

    def startService(self) -> None:
        if self.error is not None:
            raise self.error
        self.running = True

    def stopService(self) -> Deferred[None]:
        return self.stopped


class Started:
    """A worker whose proxy is scripted, and what it sends to its parent."""

    def __init__(self) -> None:
        self.reactor, self.service = Reactor(), Service()
        self.data = b""
        self.built: list[Any] = []
        self.inherited: list[tuple[int, bool]] = []
        self.worker = Worker(self.reactor)
        self.worker.channel.makeConnection(self)

    def build(self, reactor: Any, configuration: Any, write: Any, handed: Any) -> Any:
        self.built.append((configuration, len(handed), os.getcwd()))

    def proxyService(self, reactor: Any, built: Any, exit: Any, announce: Any) -> Any:
        self.exit, self.announce = exit, announce
        return self.service

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        """Nobody closes a worker's end."""

    def start(self, config: WorkerConfig = CONFIG) -> None:
        self.hear({"kind": "start", "id": 1, "fields": config.toData()})

    def hear(self, message: dict[str, Any]) -> None:
        self.worker.channel.dataReceived(encodeFrame(message))

    def answers(self) -> list[dict[str, Any]]:
        return list(FrameDecoder().feed(self.data))

    def setInheritable(self, descriptor: int, flag: bool) -> None:
        self.inherited.append((descriptor, flag))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    made = Started()
    monkeypatch.chdir("/")
    monkeypatch.setattr(module, "build", made.build)
    monkeypatch.setattr(module, "proxyService", made.proxyService)
    monkeypatch.setattr(os, "set_inheritable", made.setInheritable)
    return made


def test_workerAnswersWhenItAccepts(started: Started) -> None:
    started.start()
    assert started.service.running and started.answers() == []
    started.announce([])
    assert started.answers() == [{"answer": 1, "fields": {}}]
    assert (started.worker.status, started.reactor.stopped) == (0, 0)


def test_workerBuildsTheParentsConfiguration(started: Started, tmp_path: Path) -> None:
    """
    [F19] All of it, where its relative names count from; but systemd's sockets
    come from the parent.  No other program inherits them.
    """
    listeners = ("1", "systemd:domain=INET:index=0")
    config = attrs.evolve(
        CONFIG,
        configuration=attrs.evolve(CONFIG.configuration, listeners=listeners),
        directory=str(tmp_path),
    )
    started.start(config)
    told = attrs.evolve(config.configuration, listeners=("1", "tcp:0"))
    assert started.built == [(told, 2, str(tmp_path))]
    assert os.getcwd() == "/"
    assert started.inherited == [(number, False) for number in config.descriptors]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CannotStart("a long line", "short"), "short"),
        (ConfigurationError("--policy x: no"), "--policy x: no"),
        (KeyError("x"), "KeyError: 'x' (the log says where)"),
    ],
)
def test_workerThatCannotStartSaysWhy(
    started: Started, error: Exception, reason: str
) -> None:
    """And ends; only what nobody expected has a traceback."""
    started.service.error = error
    with logging() as logged:
        started.start()
    assert started.answers() == [{"answer": 1, "error": reason}]
    assert (started.worker.status, started.reactor.stopped) == (1, 1)
    assert len(logged.errors) == isinstance(error, KeyError)


def test_workerThatCannotListenSaysWhy(started: Started) -> None:
    """Also when its endpoint fails later."""
    started.start()
    started.exit.endRunning(CannotStart("a long line", "short"))
    assert started.answers() == [{"answer": 1, "error": "short"}]
    assert (started.worker.status, started.reactor.stopped) == (1, 1)
    with pytest.raises(CannotStart):
        started.exit.endStartup(CannotStart("a long line", "short"))


def test_workerCannotEnterTheDirectory(started: Started, tmp_path: Path) -> None:
    started.start(attrs.evolve(CONFIG, directory=str(tmp_path / "no")))
    [answer] = started.answers()
    assert re.match("a worker cannot enter .*/no, from which relative", answer["error"])
    assert started.built == []


def test_workerStopsWhenItIsTold(started: Started) -> None:
    """Once, however often it is told."""
    started.start()
    started.hear({"kind": "stop", "fields": {}})
    started.hear({"kind": "stop", "fields": {}})
    assert (started.reactor.stopped, started.worker.status) == (1, 0)


def test_workerDoesWhatItsParentPassesOn(started: Started) -> None:
    """[F10] It opens its log files again and lists its tunnels, and answers that."""
    started.start()
    started.announce([])
    with logging() as logged:
        started.hear({"kind": "reopen", "id": 2, "fields": {}})
        started.hear({"kind": "list", "id": 3, "fields": {}})
    assert started.service.proxy.reopened == 1
    assert [formatEvent(event) for event in logged.events] == [
        "open tunnels: 0; connections of clients: 0"
    ]
    done = {"done": "opened the log files again (accesslog)"}
    assert started.answers()[1:] == [
        {"answer": 2, "fields": done},
        {"answer": 3, "fields": {}},
    ]


def test_workerThatHasNotStartedHasNothingOpen(started: Started) -> None:
    """[F10] A signal of its own comes before its configuration, or it cannot start."""
    with logging() as logged:
        started.hear({"kind": "reopen", "id": 1, "fields": {}})
        started.hear({"kind": "list", "id": 2, "fields": {}})
    assert started.answers() == [
        {"answer": 1, "fields": {"done": "no log file is open yet"}},
        {"answer": 2, "fields": {}},
    ]
    assert [formatEvent(event) for event in logged.events] == [
        "there are no tunnels yet"
    ]


@pytest.mark.parametrize(
    ("reason", "errors"), [(ConnectionError(), 0), (BadMessage("no"), 1)]
)
def test_workerStopsWhenItsParentIsGone(
    started: Started, reason: Exception, errors: int
) -> None:
    started.start()
    with logging() as logged:
        started.worker.channel.connectionLost(reason)
    assert started.reactor.stopped == 1
    assert len(logged.errors) == errors
