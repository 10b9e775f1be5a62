"""
The log of C{txconnect}.
"""

from __future__ import annotations

import io

import pytest
from twisted.logger import ILogObserver, Logger, LogPublisher
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txconnect.command.terminallog import logObserver, makeLogObserver


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
