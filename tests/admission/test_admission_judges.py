"""
An observer that judges as well: an access log without which nothing goes.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from rig import ESTABLISHED, Rig, connect, status
from zope.interface import implementer

from txconnect.interfaces import IDestinationPolicy, ITrafficObserver
from txconnect.observers import AccessLog, RequiredAccessLog
from txconnect.values import Allow, Cause, Decision, Deny, Event, Named, Request


@implementer(ITrafficObserver, IDestinationPolicy)
class Both:
    """Judges and observes; counts what it is asked."""

    def __init__(self, name: str = "both") -> None:
        self.name = name
        self.asked = 0
        self.heard: list[Event] = []

    def decide(self, request: Request) -> Decision:
        self.asked += 1
        return Allow() if self.asked > 1 else Deny("not the first")

    def observe(self, event: Event) -> None:
        self.heard.append(event)


def test_observerThatJudges() -> None:
    """It is asked once a request, and ahead of the policies."""
    both, policy = Both(), Both("behind")
    rig = Rig(observers=[both], policies=[policy])
    first = rig.client(connect())
    assert status(first) == 403
    assert (both.asked, policy.asked) == (1, 0)
    (refused,) = rig.events.refused
    assert (refused.rule, refused.reason) == ("both", "not the first")
    assert both.heard == [refused]


def test_policyThatObserves() -> None:
    """An object that was given as both is asked once, in the policies' order."""
    both, behind = Both(), Both("behind")
    rig = Rig(observers=[behind, both], policies=[both])
    assert [p.plugin for p in rig.proxy.policies][0] is behind
    assert [p.plugin for p in rig.proxy.policies].count(both) == 1


def test_observerReplacesNoDefault() -> None:
    """One that has the name of a default policy takes no rule away."""
    rig = Rig()
    rules = rig.proxy.makeRules(observers=[Named("ports", Both())])
    names = [(p.name, type(p.plugin).__name__) for p in rules.policies]
    assert names == [
        ("ports", "Both"),
        ("ports", "DefaultPortsPolicy"),
        ("networks", "NetworksPolicy"),
    ]


class FullDisk:
    """A disk that fills."""

    full = False

    def write(self, descriptor: int, data: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, data)


@pytest.fixture
def disk() -> FullDisk:
    return FullDisk()


def requests(log: AccessLog, disk: FullDisk) -> list[int]:
    """The statuses of requests before, while and after the disk is full."""
    rig = Rig(observers=[log])
    destination = rig.serve()
    statuses = []
    for full in (False, True, True, False, False):
        disk.full = full
        client = rig.client(connect())
        statuses.append(status(client))
        client.end()
        if statuses[-1] == 200:
            destination.peers[-1].end()
        rig.network.advance(6)
    rig.proxy.stopService()
    return statuses


def test_requiredLog(tmp_path: Path, disk: FullDisk) -> None:
    """
    With C{required=yes} what cannot be logged is refused with a 503, and a log that
    can be written again serves again; the log says how many lines are missing.
    """
    made = RequiredAccessLog(str(tmp_path / "log"), write=disk.write)
    # The line of the second tunnel's end is the first that is lost.
    assert requests(made, disk) == [200, 200, 503, 200, 200]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["closed", "lost", "closed", "closed"]
    assert lines[1]["lost"] == 2


def test_logThatIsNotRequired(tmp_path: Path, disk: FullDisk) -> None:
    """Without it no request is refused for the log's sake."""
    made = AccessLog(str(tmp_path / "log"), write=disk.write)
    assert requests(made, disk) == [200] * 5


def test_refusalsRow(tmp_path: Path, disk: FullDisk) -> None:
    """The client is told that the log is the reason, and no path of the proxy's."""
    made: Any = RequiredAccessLog(str(tmp_path / "log"), write=disk.write)
    rig = Rig(observers=[made])
    disk.full = True
    rig.client(b"GET / HTTP/1.1\r\n\r\n")
    client = rig.client(connect())
    assert status(client) == 503
    assert str(tmp_path).encode() not in client.received
    assert b"cannot log this request" in client.received
    refused = rig.events.refused[-1]
    assert refused.cause is Cause.UNLOGGED
    assert "No space left on device" in refused.reason
    disk.full = False
    rig.serve()
    assert rig.client(connect()).received == ESTABLISHED
