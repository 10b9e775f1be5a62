"""
The log of C{txconnect}.
"""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import TextIO

import pytest
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txconnect.command.logrates import BURST, INTERVAL, LogRates
from txconnect.command.terminallog import MOST, logObserver, makeLogObserver
from txconnect.observers.outputs import drainOutputs

NOW = 1763848874.0625


def logged(namespace: str, level: str) -> str:
    """What becomes of one event."""
    stream = io.StringIO()
    log = Logger(namespace, observer=LogPublisher(makeLogObserver(stream)))
    getattr(log, level)("the {what}", what="words")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("namespace", "level", "shown"),
    [
        pytest.param("twisted.application.app.AppLogger", "info", False, id="boiler"),
        pytest.param("log_legacy", "info", False, id="Received SIGTERM"),
        pytest.param("txconnect.observers.counters", "info", True, id="our notices"),
        pytest.param("mypolicy", "info", True, id="a plugin's notices"),
        pytest.param("stdout", "info", True, id="a plugin's print"),
        pytest.param("mypolicy", "debug", False, id="details"),
        pytest.param("twisted.internet", "warn", True, id="warnings"),
        pytest.param("log_legacy", "critical", True, id="errors"),
    ],
)
def test_logKeepsBoilerplateAwayAndTroubleIn(
    namespace: str, level: str, shown: bool
) -> None:
    text = logged(namespace, level)
    assert ("the words\n" in text) is shown
    if level in ("warn", "critical"):
        assert f" {level} the words" in text


def test_logShowsTracebacks() -> None:
    stream = io.StringIO()
    log = Logger("x", observer=LogPublisher(makeLogObserver(stream)))
    log.failure("it broke", Failure(ValueError("because")))
    assert "critical it broke" in stream.getvalue()
    assert "ValueError: because" in stream.getvalue()


def test_logObserverIsWhatTwistdWants() -> None:
    assert verifyObject(ILogObserver, logObserver())


def makeLog(
    stream: TextIO, now: list[float], namespace: str = "txconnect.admission.hooks"
) -> Logger:
    observer = makeLogObserver(stream, lambda: now[0])
    return Logger(namespace, observer=LogPublisher(observer))


def test_linesHaveDates() -> None:
    """[F28] A line from last week can be told from one of today."""
    stream = io.StringIO()
    observer = makeLogObserver(stream)
    observer(
        {
            "log_namespace": "x",
            "log_time": NOW,
            "log_level": LogLevel.warn,
            "log_format": "words",
        }
    )
    date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOW))
    assert stream.getvalue() == f"{date} warn words\n"


def test_rateOfOneKindIsLimited() -> None:
    """
    [F44] A request at which a plugin fails, sent again and again, does not flood the
    terminal; how many were left out is said.
    """
    stream, now = io.StringIO(), [0.0]
    log = makeLog(stream, now)
    for number in range(BURST + 7):
        log.warn("{name} failed over {id}", name="hosts", id=number)
    lines = stream.getvalue().splitlines()
    assert len(lines) == BURST
    assert lines[-1].endswith(f"hosts failed over {BURST - 1}")
    log.warn("another kind")
    assert stream.getvalue().endswith("another kind\n")
    now[0] = INTERVAL
    for number in range(2):
        log.warn("{name} failed over {id}", name="hosts", id=number)
    last = stream.getvalue().splitlines()[-1]
    assert "(messages of this kind left out before: 7) hosts failed over 0" in last
    now[0] = INTERVAL * BURST * 9
    for number in range(BURST + 7):
        log.warn("{name} failed over {id}", name="hosts", id=number)
    lines = stream.getvalue().splitlines()
    assert len(lines) == BURST + 2 + BURST
    assert "left out before: 1)" in lines[BURST + 2]


def test_whatAnOperatorAsksForIsNotLimited() -> None:
    """The list of tunnels of SIGUSR2 has a line for each."""
    stream = io.StringIO()
    log = makeLog(stream, [0.0], "txconnect.operating.listing")
    for number in range(1000):
        log.info("{line}", line=number)
    assert stream.getvalue().count("\n") == 1000


def test_kindsAreBounded() -> None:
    """A plugin that makes a format of every message takes no memory by it."""
    rates = LogRates(lambda: 0.0)
    passed = [
        rates.admit({"log_namespace": "x", "log_format": f"{number}"})
        for number in range(1000)
    ]
    assert passed.count(None) == 1000 - 256 - BURST
    assert rates.admit({"log_namespace": "x", "log_format": "0"}) == 0


def test_longMessagesAreCut() -> None:
    """A plugin's exception may hold anything, and one line must fit the queue."""
    stream = io.StringIO()
    makeLog(stream, [0.0]).warn("{text}", text="x" * 10**6)
    assert len(stream.getvalue()) < MOST + 100
    assert stream.getvalue().endswith("\n... (cut)\n")


def test_aReaderThatStallsHoldsNothing() -> None:
    """[F22] A standard error that nobody reads: the program goes on."""
    reading, writing = os.pipe()
    with open(writing, "w") as stream, open(reading, "rb") as reader:
        log = makeLog(stream, [0.0], "txconnect.operating")
        for _ in range(40):
            log.warn("{text}", text="x" * MOST)
        log.warn("last")
        first = reader.readline()
        assert first.endswith(b"x" * MOST + b"\n")
        reader.close()
        drainOutputs()


def test_unwritableTextIsEscaped(tmp_path: Path) -> None:
    """A name that has no UTF-8 is written all the same."""
    with open(tmp_path / "log", "w") as stream:
        makeLog(stream, [0.0]).warn("{name}", name="\udcff")
    assert (tmp_path / "log").read_text().endswith("\\udcff\n")
