"""
The destination's leg between the dialler and the tunnel: nothing is lost.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from txconnect.tunnel.transport.leg import Leg

LOST = Failure(ConnectionDone())


class Transport:
    """Says what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.asked.append(name)


class Told:
    """A side that remembers."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def readConnectionLost(self) -> None:
        self.told.append("ended")

    def writeConnectionLost(self) -> None:
        self.told.append("our end")

    def connectionLost(self, reason: Failure) -> None:
        self.told.append(reason)


@pytest.fixture
def leg() -> Leg:
    one = Leg()
    one.transport = Transport()
    return one


def test_whatCameEarlyIsToldAndReadingGoesOn(leg: Leg) -> None:
    """[T3] Held, paused, told, resumed."""
    side = Told()
    leg.dataReceived(b"banner")
    assert leg.transport.asked == ["pauseProducing"]
    leg.adopt(side)
    assert side.told == [b"banner"]
    assert leg.transport.asked == ["pauseProducing", "resumeProducing"]


def test_nothingCame(leg: Leg) -> None:
    """A leg that was not paused is not resumed."""
    leg.adopt(Told())
    assert leg.transport.asked == []


def test_theEndThatCameEarly(leg: Leg) -> None:
    """[T3] Behind what was held; there is nothing to resume."""
    side = Told()
    leg.dataReceived(b"all")
    leg.readConnectionLost()
    assert leg.ended
    leg.adopt(side)
    assert side.told == [b"all", "ended"]
    assert leg.transport.asked == ["pauseProducing"]


def test_theLossThatCameEarly(leg: Leg) -> None:
    """[T3] Behind what was held, and in the place of the end."""
    side = Told()
    leg.dataReceived(b"all")
    leg.readConnectionLost()
    leg.writeConnectionLost()
    leg.connectionLost(LOST)
    assert leg.lost
    leg.adopt(side)
    assert side.told == [b"all", LOST]


def test_whoRemembersTheMethodIsHeard(leg: Leg) -> None:
    """An endpoint that hands a connection on has asked for the method before."""
    side, remembered = Told(), leg.dataReceived
    leg.adopt(side)
    remembered(b"late")
    leg.dataReceived(b"later")
    leg.writeConnectionLost()
    leg.readConnectionLost()
    leg.connectionLost(LOST)
    assert side.told == [b"late", b"later", "our end", "ended", LOST]


def test_itIsHandedOver(leg: Leg) -> None:
    """[UP-03] What is held goes to who reads it now, and so does what is told late."""
    late: list[bytes] = []
    remembered = leg.dataReceived
    leg.dataReceived(b"banner")
    assert leg.handOver(late.append) == [b"banner"]
    remembered(b"late")
    leg.dataReceived(b"later")
    assert late == [b"late", b"later"]
    leg.readConnectionLost()
    leg.writeConnectionLost()
    leg.connectionLost(LOST)
    assert leg.transport.asked == ["pauseProducing"]


def test_abort(leg: Leg) -> None:
    """Resets a connection that there is, once it is there, and no other."""
    Leg().abort()
    leg.abort()
    leg.connectionLost(LOST)
    leg.abort()
    assert leg.transport.asked == ["abortConnection"]
