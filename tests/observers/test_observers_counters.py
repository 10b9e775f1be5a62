"""Counters: figures that add up."""

from __future__ import annotations

from typing import Any

import attrs
from test_observers_lines import CLOSED, REFUSED, TUNNEL, UNPARSED
from twisted.application.service import IService
from twisted.logger import globalLogPublisher
from zope.interface.verify import verifyObject

from txconnect.interfaces import ITrafficObserver
from txconnect.observers.counters import Counters
from txconnect.values import TunnelEstablished


def test_counts() -> None:
    """Totals, active, refusals by cause, and bytes exactly. [T16]"""
    counters = Counters()
    for event in (
        TunnelEstablished(TUNNEL),
        TunnelEstablished(TUNNEL),
        TunnelEstablished(TUNNEL),
        REFUSED,
        UNPARSED,
        REFUSED,
        CLOSED,
        attrs.evolve(CLOSED, up=1, down=2),
    ):
        counters.observe(event)
    assert counters.snapshot() == {
        "tunnels": 3,
        "active": 1,
        "refused": 3,
        "refusals": {"address-prohibited": 2, "malformed-request": 1},
        "up": 1101,
        "down": 5602,
    }


def test_snapshotIsACopy() -> None:
    """What was read does not change under the reader's hands."""
    counters = Counters()
    counters.observe(REFUSED)
    taken = counters.snapshot()
    counters.observe(REFUSED)
    assert taken["refusals"] == {"address-prohibited": 1}


def test_figuresAtTheEnd() -> None:
    """When the proxy stops, its log has the figures."""
    lines: list[str] = []

    def hear(event: Any) -> None:
        if "tunnels" in event:
            lines.append(event["log_format"].format(**event))

    counters = Counters()
    globalLogPublisher.addObserver(hear)
    try:
        counters.startService()
        counters.stopService()
        counters.observe(REFUSED)
        counters.stopService()
    finally:
        globalLogPublisher.removeObserver(hear)
    assert lines == [
        "tunnels: 0, still active: 0; octets up: 0, down: 0; refused: 0",
        "tunnels: 0, still active: 0; octets up: 0, down: 0; refused: 1 "
        "(1 address-prohibited)",
    ]


def test_interfaces() -> None:
    """It keeps its interfaces' contracts; several may be in one proxy."""
    counters = Counters()
    assert verifyObject(ITrafficObserver, counters)
    assert verifyObject(IService, counters)
    assert counters.name is None


def test_everyEventHasItsRequest() -> None:
    """An observer that keeps something for each request needs no case for its key."""
    for event in (TunnelEstablished(TUNNEL), CLOSED, REFUSED):
        assert event.request is not None
        assert event.id == event.request.id
    assert UNPARSED.request is None and UNPARSED.id
