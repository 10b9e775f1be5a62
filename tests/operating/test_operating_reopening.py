"""
Log files opened again: every plugin that has one, whatever becomes of others.
"""

from __future__ import annotations

from typing import Any

import pytest
from rig import ANYTHING, Anything, Rig, logging
from twisted.logger import formatEvent
from zope.interface import implementer

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IReopens, ITrafficObserver, ITrafficTap
from txconnect.operating.requests import OperatedProxy
from txconnect.proxy import ConnectProxy
from txconnect.testing import MemoryNetwork, RecordingObserver
from txconnect.values import Named


@implementer(ITrafficObserver, ITrafficTap, IReopens)
class Filing:
    """Has a file, in words."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.reopened = 0

    def observe(self, event: Any) -> None:
        pass

    def tap(self, tunnel: Any) -> None:
        return None

    def reopen(self) -> None:
        self.reopened += 1
        if self.error is not None:
            raise self.error


@implementer(IReopens)
class FilingPolicy(Anything, Filing):
    """A policy that keeps a file."""


def test_everyPluginWithAFileIsToldOnce() -> None:
    """[F10] Of whatever kind; one that is of two kinds is one object."""
    both, policy = Filing(), FilingPolicy()
    rig = Rig(
        observers=[Named("both", both), RecordingObserver()],
        taps=[both],
        policies=[Named("judge", policy)],
    )
    assert sorted(rig.proxy.reopenLogs()) == ["both", "judge"]
    assert (both.reopened, policy.reopened) == (1, 1)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError(13, "Permission denied", "/var/log/x"),
            "sick: its file cannot be opened again, the old one stays in use: "
            "/var/log/x: Permission denied",
        ),
        (OSError("no"), "sick: its file cannot be opened again, the old one stays"),
        (RuntimeError("no"), "sick failed to open its file again"),
        (SystemExit(3), "sick failed to open its file again"),
    ],
)
def test_oneThatFailsIsLoggedAndNobodyElses(error: BaseException, said: str) -> None:
    """[F10] The others are reopened all the same."""
    first, last = Filing(error), Filing()
    rig = Rig(observers=[Named("sick", first), Named("well", last)])
    with logging() as logged:
        assert rig.proxy.reopenLogs() == ["well"]
    assert (first.reopened, last.reopened) == (1, 1)
    (event,) = [each for each in logged.events if each["log_level"].name != "info"]
    assert (formatEvent(event) or "").startswith(said)
    assert ("log_failure" in event) is not isinstance(error, OSError)


def test_aProxyThatDoesNotRunHasNothingOpen() -> None:
    filing = Filing()
    proxy = ConnectProxy(MemoryNetwork(), policies=ANYTHING, observers=[filing])
    assert proxy.reopenLogs() == []
    assert filing.reopened == 0


def test_whatCannotReopenStopsStartUp() -> None:
    """It says that it can, and a signal would be too late to find out."""

    @implementer(ITrafficObserver, IReopens)
    class Hollow:
        def observe(self, event: Any) -> None:
            pass

    with pytest.raises(ConfigurationError, match="reopen"):
        ConnectProxy(MemoryNetwork(), policies=ANYTHING, observers=[Hollow()])


def test_whatHasBeenDoneIsSaid() -> None:
    """With the names of those that have a new file, and of no other."""
    both = [Named("a", Filing()), Named("b", Filing()), Named("c", Filing(OSError()))]
    for observers, said in (
        (both, "opened the log files again (a, b)"),
        (both[2:], "no log file was opened again"),
        ([], "no log file was opened again"),
    ):
        rig = Rig(observers=observers)
        assert OperatedProxy(rig.network, rig.proxy).reopenLogs() == said
