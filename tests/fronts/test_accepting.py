"""
The guard that pauses ports when descriptors run out, with ports that a test drives.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import Any

import pytest
from rig import Logged, Rig, connect, logging, status
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.unix import Port as UnixPort
from twisted.logger import Logger, formatEvent

from txconnect.fronts.accepting import PLENTY, POLL, AcceptGuard, Room, countFree
from txconnect.values import Cause


class FakePort:
    """
    A port of which clients wait to be accepted.

    @ivar waiting: how many.
    @ivar reading: whether the reactor has it.
    """

    _logger = Logger(namespace="port")

    def __init__(self) -> None:
        self.connected = self.reading = True
        self.disconnecting = False
        self.waiting = self.sessionno = 0
        self.numberAccepts = 100

    def stopReading(self) -> None:
        self.reading = False

    def startReading(self) -> None:
        self.reading = True

    def doRead(self) -> None:
        taken = min(self.waiting, self.numberAccepts)
        self.waiting -= taken
        self.sessionno += taken
        # As Twisted does.
        self.numberAccepts = self.numberAccepts + 20 if taken else 1

    def fail(self, *closed: tuple[Any, ...]) -> None:
        """Be out of descriptors, as Twisted reports it."""
        self._logger.info("EMFILE encountered; releasing reserved file descriptor.")
        for address in closed:
            self._logger.info("Closed socket from {address}", address=address)


class Guarded:
    """A guard of some ports, a clock, and what it has said."""

    def __init__(self, ports: int = 1) -> None:
        self.clock = Clock()
        self.lost: list[Any] = []
        self.free = Room(PLENTY)
        self.limit: int | None = 4096
        self.guard = AcceptGuard(
            self.clock,
            self.lost.append,
            lambda: "3 tunnels",
            lambda most: Room(min(most, self.free.count), self.free.error),
            lambda: self.limit,
        )
        self.ports: list[Any] = [FakePort() for _ in range(ports)]
        for port in self.ports:
            self.guard.watch(port)


def lines(logged: Logged) -> list[str]:
    """The lines of the guard's own."""
    return [
        formatEvent(each)
        for each in logged.events
        if each["log_namespace"] == "txconnect.fronts.accepting"
    ]


def test_aShortagePausesAllPorts() -> None:
    """[F16] Until descriptors are free; nothing is asked of the ports meanwhile."""
    rig = Guarded(ports=2)
    rig.free = Room(0, errno.EMFILE)
    rig.ports[0].waiting = 5
    rig.ports[0].fail(("192.0.2.7", 5000))
    assert [port.reading for port in rig.ports] == [False, False]
    for _ in range(20):
        rig.clock.advance(POLL)
    assert rig.guard.paused
    assert rig.ports[0].waiting == 5
    rig.free = Room(PLENTY)
    rig.clock.advance(POLL)
    assert [port.reading for port in rig.ports] == [True, True]
    assert not rig.guard.paused
    assert not rig.clock.getDelayedCalls()


def test_theWarning() -> None:
    """[F16] One, with the numbers and what to do; and one line when it is over."""
    rig = Guarded()
    with logging() as logged:
        rig.ports[0].fail(("192.0.2.7", 5000), ("192.0.2.8", 5001))
        rig.clock.advance(POLL)
    warning, over = lines(logged)
    assert warning == (
        "out of file descriptors: 4096 of 4096 are open (raise the limit: LimitNOFILE= "
        "of the systemd unit, or ulimit -n); 3 tunnels; new connections wait until "
        "some are free, 2 were closed"
    )
    assert "free again" in over
    # Twisted's own notices are in it.
    assert len(logged.events) == 2


def test_theWarningIsLimited() -> None:
    """[F16] One a minute, and the next has all connections that were lost."""
    rig = Guarded()
    with logging() as logged:
        for _ in range(50):
            rig.ports[0].fail(("192.0.2.7", 5000))
            rig.clock.advance(1)
        assert len(lines(logged)) == 2
        rig.clock.advance(30)
        rig.ports[0].fail(("192.0.2.7", 5000))
        rig.clock.advance(1)
    assert len(lines(logged)) == 4
    assert "50 were closed (and 49 more like it" in lines(logged)[2]
    assert rig.guard.lost == 51


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENFILE, "fs.file-max"), (errno.ENOMEM, "Cannot allocate memory")],
)
def test_otherShortages(number: int, words: str) -> None:
    """[F16] Each in its own words; they pause, too, as they would spin."""
    rig = Guarded()
    with logging() as logged:
        name = errno.errorcode[number]
        rig.ports[0]._logger.info("not accepted ({acceptError})", acceptError=name)
        assert not rig.ports[0].reading
        rig.clock.advance(POLL)
    assert words in lines(logged)[0]
    assert rig.lost == []


def test_otherNoticesPass() -> None:
    """[F16] What has nothing to do with it goes to the log as ever."""
    rig = Guarded()
    log = rig.ports[0]._logger
    with logging() as logged:
        log.info("not accepted ({acceptError})", acceptError="ECONNABORTED")
        log.error("something else")
    assert [formatEvent(each) for each in logged.events] == [
        "not accepted (ECONNABORTED)",
        "something else",
    ]
    assert rig.ports[0].reading


def test_clientsWaitTheirTurn() -> None:
    """[F16] In a shortage so many are accepted as there are descriptors for."""
    rig = Guarded(ports=2)
    rig.free = Room(0, errno.EMFILE)
    rig.ports[0].waiting = 10
    rig.ports[1].waiting = 1
    rig.ports[0].fail()
    rig.clock.advance(POLL)
    assert rig.ports[0].waiting == 10
    rig.free = Room(16, errno.EMFILE)
    rig.clock.advance(POLL)
    assert [port.waiting for port in rig.ports] == [8, 0]
    rig.free = Room(3, errno.EMFILE)
    rig.clock.advance(POLL)
    assert rig.ports[0].waiting == 8


def test_aLowLimit() -> None:
    """[F16] Plenty is less where there are never that many."""
    rig = Guarded()
    rig.limit = 40
    rig.free = Room(5, errno.EMFILE)
    rig.ports[0].fail()
    rig.clock.advance(POLL)
    assert rig.ports[0].reading


def test_portsThatAreClosedMeanwhile() -> None:
    """[F16] [T11] They are left alone; a new one is paused with the others."""
    rig = Guarded(ports=2)
    rig.ports[0].fail()
    rig.ports[0].connected = False
    rig.ports[1].disconnecting = True
    late: Any = FakePort()
    rig.guard.watch(late)
    assert not late.reading
    rig.clock.advance(POLL)
    assert [port.reading for port in (*rig.ports, late)] == [False, False, True]


def test_theStop() -> None:
    """[F16] [T11] No timer is left, and no port that accepts nothing."""
    rig = Guarded()
    rig.ports[0].fail()
    rig.guard.stop()
    assert not rig.clock.getDelayedCalls()
    assert rig.ports[0].reading
    rig.guard.stop()


def test_addresses() -> None:
    """[F16] Whose connections were closed."""
    rig = Guarded()
    rig.ports[0].fail(("192.0.2.7", 5000), ("2001:db8::7", 5001, 0, 0))
    unix: Any = UnixPort("/nowhere/s", None)  # type: ignore[no-untyped-call]
    rig.guard.watch(unix)
    unix._logger.info("Closed socket from {address}", address="")
    assert rig.lost == [
        IPv4Address("TCP", "192.0.2.7", 5000),
        IPv6Address("TCP", "2001:db8::7", 5001),
        UNIXAddress(None),
    ]


def test_dialling() -> None:
    """[F16] A dial that failed for want of a descriptor pauses; another does not."""
    rig = Guarded()
    rig.guard.dialFailed()
    assert rig.ports[0].reading
    rig.free = Room(0, errno.EMFILE)
    rig.guard.dialFailed()
    assert not rig.ports[0].reading
    rig.guard.dialFailed()


def test_counting() -> None:
    """[F16] The real count is that of the descriptors that can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    assert countFree(20) == Room(20)
    opened: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 40, hard))
    try:
        room = countFree(10_000)
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        none = countFree(10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in opened:
            os.close(descriptor)
    assert room == Room(len(opened), errno.EMFILE)
    assert none == Room(0, errno.EMFILE)


def test_countingWithNoneLeft(monkeypatch: pytest.MonkeyPatch) -> None:
    """[F16] The errno says of what there is none."""

    def pipe() -> Any:
        raise OSError(errno.ENFILE, "Too many open files in system")

    monkeypatch.setattr("os.pipe", pipe)
    assert countFree(20) == Room(0, errno.ENFILE)


def test_theProxyTells() -> None:
    """[F16] Lost connections are events, limited in lines; ports are known from their
    first connection."""
    rig = Rig()
    rig.client().close()
    for number in range(30):
        rig.port._logger.info(  # type: ignore[attr-defined]
            "Closed socket from {address}", address=("192.0.2.7", number)
        )
    events = rig.events.refused
    assert len(events) == 30
    assert {each.cause for each in events} == {Cause.NOT_ACCEPTED}
    assert [each.quiet for each in events] == [False] * 10 + [True] * 20
    assert rig.proxy.accepting.paused
    rig.network.advance(POLL)
    assert not rig.proxy.accepting.paused
    rig.serve()
    assert status(rig.client(connect())) == 200


def test_aRequestForWantOfDescriptors() -> None:
    """[F16] Its refusal makes the guard look, and it finds that there are some."""
    rig = Rig()
    rig.serve()
    looked: list[int] = []
    rig.proxy.accepting._countFree = lambda most: looked.append(most) or Room(most)  # type: ignore[func-returns-value]
    rig.network.exhaust()
    assert status(rig.client(connect())) == 503
    assert looked == [2]
    assert not rig.proxy.accepting.paused
