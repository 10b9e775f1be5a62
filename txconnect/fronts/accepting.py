"""
Accepting when file descriptors run out.

Twisted keeps one descriptor in reserve.  When C{accept} fails for want of another, it
gives that one up, accepts what waits, closes it at once, and reports each in its
logger; it then goes on in the next turn, and closes whoever comes.  Without its reserve
the port stays readable, and the reactor spins.

So at the first such failure L{AcceptGuard} takes the ports out of the reactor.  New
clients wait in the system's queue, where most of them live until it is their turn:
ten times a second the guard counts the descriptors that are free, and accepts a
quarter as many clients, as a tunnel takes two and a look-up or a parent one more.
When there are plenty, and nobody waits, the reactor has the ports again.

The port's own logger is the hook: it costs nothing until there is something to report,
and touches no other port of the process.  A failure to dial for want of a descriptor
pauses the ports as well.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import attrs
from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from zope.interface import implementer

from txconnect.errors import EXHAUSTION
from txconnect.linelimit import LineLimit

POLL = 0.1
"""Seconds between looks at the descriptors that are free."""

PLENTY = 64
"""As many free descriptors end a shortage; less where the limit is low."""

COUNTED = 256
"""Free descriptors are counted up to here."""

A_CLIENT = 4
"""The free descriptors for each client that is accepted in a shortage."""

_log = Logger()


@attrs.frozen
class Room:
    """
    The descriptors that are free.

    @ivar count: how many, as far as was counted.
    @ivar error: the errno that ended the count, or 0.
    """

    count: int
    error: int = 0


def countFree(most: int) -> Room:
    """
    Count the descriptors that this process can still open.

    It takes two for a moment, and not all that are free: another thread may need one
    meanwhile, such as a look-up.

    @param most: count no further.
    """
    try:
        # This system may have none left, too; a duplicate would not show that.
        reading, writing = os.pipe()
    except OSError as error:
        return Room(0, error.errno or 0)
    os.close(writing)
    try:
        return _countNumbers(reading, most)
    finally:
        os.close(reading)


def _countNumbers(descriptor: int, most: int) -> Room:
    """Count the numbers that are free for duplicates of a descriptor, one by one."""
    count, number = 1, 0
    while count < most:
        try:
            number = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, number)
        except OSError:
            # EMFILE, or EINVAL for a number beyond the limit.
            return Room(count, errno.EMFILE)
        os.close(number)
        count, number = count + 1, number + 1
    return Room(most)


def descriptorLimit() -> int | None:
    """Return how many descriptors this process may have; L{None}: not known."""
    try:
        import resource
    except ImportError:  # not on this system
        return None
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


class AcceptGuard:
    """
    Pauses the ports of one proxy while there are no descriptors for clients.

    @ivar lost: the number of connections that were closed as they came.
    """

    def __init__(
        self,
        clock: IReactorTime,
        tellLost: Callable[[IAddress], object],
        inUse: Callable[[], str],
        countFree: Callable[[int], Room] = countFree,
        limit: Callable[[], int | None] = descriptorLimit,
    ) -> None:
        """
        @param tellLost: called with the address of each client whose connection was
            closed as it came.
        @param inUse: says what the descriptors are used for, for the log.
        """
        self.lost = 0
        self._clock = clock
        self._tellLost = tellLost
        self._inUse = inUse
        self._countFree = countFree
        self._limit = limit
        self._lines = LineLimit(clock, lines=1)
        self._ports: WeakSet[tcp.Port] = WeakSet()
        self._timer: IDelayedCall | None = None
        self._error = 0
        self._said: str | None = None
        self._lostSaid = 0

    @property
    def paused(self) -> bool:
        """True while the reactor does not have the ports."""
        return self._timer is not None

    def watch(self, port: tcp.Port) -> None:
        """Guard a port; one that is guarded already stays so."""
        if port in self._ports:
            return
        self._ports.add(port)
        # Any: it is of Twisted's own, and the only word about what accept() does.
        hooked: Any = port
        before: Any = hooked._logger
        hooked._logger = Logger(
            before.namespace, observer=_PortLog(self, port, before.observer)
        )
        if self.paused:
            port.stopReading()

    def dialFailed(self) -> None:
        """Something was refused for want of a resource: see whether of this one."""
        if not self.paused:
            room = self._countFree(2)
            if room.count < 2 and room.error in EXHAUSTION:
                self.beginShortage(room.error)

    def beginShortage(self, error: int) -> None:
        """
        Accept no more until there are descriptors.

        @param error: the errno that says what there is none of.
        """
        if not self.paused:
            self._error = error
            self._said = None
            for port in self._livePorts():
                port.stopReading()
            self._timer = self._clock.callLater(POLL, self._tryAgain)

    def connectionLost(self, client: IAddress) -> None:
        """A client's connection was closed as it came."""
        self.lost += 1
        self._tellLost(client)

    def stop(self) -> None:
        """Guard no longer: give the ports back as they are."""
        timer, self._timer = self._timer, None
        if timer is not None:
            if timer.active():
                timer.cancel()
            self._resumePorts()

    def _tryAgain(self) -> None:
        # Told only now: the connections that were lost at first are counted by now.
        if self._said is None:
            self._tellShortage()
        limit = self._limit()
        plenty = PLENTY if limit is None else min(PLENTY, max(A_CLIENT, limit // 16))
        room = self._countFree(COUNTED)
        # A port that fails in here finds the ports paused.
        drained = self._acceptSome(room.count // A_CLIENT)
        if drained and room.count >= plenty:
            self._endShortage()
        elif self.paused:
            self._timer = self._clock.callLater(POLL, self._tryAgain)

    def _acceptSome(self, clients: int) -> bool:
        """
        Accept some of the clients that wait.

        @return: whether none is left.  The reactor would accept the others all at
            once, and run out of descriptors in the middle of them.
        """
        ports = self._livePorts()
        share = -(-clients // max(1, len(ports)))
        # A list first: each port has its share, also behind one that has more.
        drained = [self._acceptFrom(port, share) for port in ports]
        return all(drained)

    def _acceptFrom(self, port: tcp.Port, clients: int) -> bool:
        for _ in range(clients):
            before = port.sessionno
            # One at a time: after a whole batch it raises the number itself.
            port.numberAccepts = 1
            port.doRead()
            if port.sessionno == before:
                return True
        return False

    def _endShortage(self) -> None:
        self._timer = None
        self._resumePorts()
        if self._said:
            _log.info("file descriptors are free again; clients are accepted as ever")

    def _tellShortage(self) -> None:
        left = self._lines.admit("shortage")
        self._said = "" if left is None else self._shortageText()
        if left is None:
            return
        lost, self._lostSaid = self.lost - self._lostSaid, self.lost
        _log.warn(
            "{shortage}; {use}; new connections wait until some are free, "
            "{lost} were closed{left}",
            shortage=self._said,
            use=self._inUse(),
            lost=lost,
            left=left.words,
        )

    def _shortageText(self) -> str:
        if self._error == errno.ENFILE:
            return (
                "out of file descriptors: this system has none left (raise the sysctl "
                "fs.file-max)"
            )
        if self._error == errno.EMFILE:
            limit = self._limit()
            return (
                f"out of file descriptors: {limit} of {limit} are open (raise the "
                "limit: LimitNOFILE= of the systemd unit, or ulimit -n)"
            )
        return f"connections cannot be accepted: {os.strerror(self._error)}"

    def _resumePorts(self) -> None:
        for port in self._livePorts():
            port.startReading()

    def _livePorts(self) -> list[tcp.Port]:
        return [
            port for port in self._ports if port.connected and not port.disconnecting
        ]


@implementer(ILogObserver)
class _PortLog:
    """The observer of one port's logger."""

    def __init__(
        self, guard: AcceptGuard, port: tcp.Port, forward: Callable[[LogEvent], object]
    ) -> None:
        self._guard = guard
        # The port has this one: no circle.
        self._isUnix = isinstance(port, unix.Port)
        self._forward = forward

    def __call__(self, event: LogEvent) -> None:
        error = event.get("acceptError")
        number = getattr(errno, str(error), 0) if error else errno.EMFILE
        # Of interest are its notices about accept(); the address is that of a client
        # whose connection it has closed.
        if event.get("log_level") is not LogLevel.info or number not in EXHAUSTION:
            self._forward(event)
            return
        self._guard.beginShortage(number)
        if "address" in event:
            self._guard.connectionLost(self._clientAddress(event["address"]))

    def _clientAddress(self, address: Any) -> IAddress:
        if self._isUnix:
            return UNIXAddress(None)
        host, port = address[:2]
        kind = IPv6Address if ":" in host else IPv4Address
        return kind("TCP", host, port)
