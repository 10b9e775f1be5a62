"""
Looking names up: once a request.

C{getaddrinfo} is called in threads of a pool for look-ups alone, because a slow name
in the reactor's pool of ten would delay everything that uses that pool.  There is one
flight a name, a deadline for each request that waits, a short memory, and never an
unbounded queue (L{txconnect.dialing.flights}).  The error code of C{getaddrinfo} is kept: C{GAIResolver} turns a
failed look-up into an empty list.

The threads are daemons: C{getaddrinfo} cannot be interrupted, and a stop should not
wait half a minute for a resolver.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import ip_address
from typing import Any, Protocol as Shape, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from txconnect.dialing.flights import Addresses, Flight, Flights
from txconnect.errors import EXHAUSTION, Refused
from txconnect.settings import Settings
from txconnect.values import Cause, IPAddress

MAX_ADDRESSES = 32
"""The most addresses of one answer that are judged and dialled."""

MAX_REMEMBERED = 4096
"""The most answers that are kept."""

_EAI = ("EAI_NONAME", "EAI_NODATA", "EAI_AGAIN", "EAI_FAIL", "EAI_MEMORY")

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""One item of the answer of L{socket.getaddrinfo}."""

_R = TypeVar("_R")


class Pool(Shape):
    """The part of a thread pool that look-ups use."""

    def start(self) -> object:
        """Begin to take work, perhaps again after L{stop}."""

    def stop(self) -> object:
        """Take no more; must not block."""

    def callInThreadWithCallback(
        self,
        onResult: Callable[[bool, Any], object],
        func: Callable[..., Any],
        *args: object,
    ) -> object:
        """Call C{func}, then C{onResult(success, result or Failure)}."""


class _DaemonPool(ThreadPool):
    """A pool whose threads do not keep the process alive."""

    threadFactory = staticmethod(partial(threading.Thread, daemon=True))  # type: ignore[assignment]


def _takeDescriptor() -> None:
    """
    Take a file descriptor, and give it back.

    @raise OSError: none is free.
    """
    os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))


class Lookups:
    """
    Looks names up.

    @param reactor: provides C{IReactorTime} and C{IReactorFromThreads}.
    @param getaddrinfo: as L{socket.getaddrinfo}; called in a thread, with the
        name in bytes (as a string it would be changed by IDNA first).
    @param pool: the threads; made here when not given.  Its results come by
        C{callFromThread}.
    @param takeDescriptor: raises an C{OSError} when no file descriptor is free; called
        in a thread, after a look-up that has failed.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        getaddrinfo: Callable[..., Iterable[AddressInfo]] = socket.getaddrinfo,
        pool: Pool | None = None,
        takeDescriptor: Callable[[], object] = _takeDescriptor,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._getaddrinfo = getaddrinfo
        self._takeDescriptor = takeDescriptor
        self._given = pool
        self._pool: Pool | None = None
        self._flights = Flights(reactor, settings, self._launchFlight)
        self._answers: dict[str, tuple[float, Addresses]] = {}

    def start(self) -> None:
        """Begin to take look-ups."""
        # A Twisted pool that was stopped cannot be started again.
        settings = self._settings
        most = settings.lookupThreads + settings.lookupSpareThreads
        self._pool = self._given or _DaemonPool(0, most, "txconnect-lookups")
        self._pool.start()

    def stop(self) -> None:
        """
        Take no more.  Threads that still wait for a resolver are not waited
        for: C{getaddrinfo} cannot be interrupted, and may take half a minute.
        """
        self._answers.clear()
        flights = self._flights.clear()
        pool, self._pool = self._pool, None
        if pool is not None and pool is self._given:
            pool.stop()
        elif pool is not None:
            threading.Thread(target=pool.stop, daemon=True).start()
        for flight in flights:
            _landFlight(
                flight, Failure(Refused(Cause.SHUTDOWN, "the look-ups are stopped"))
            )

    def lookup(self, name: str) -> Addresses | Deferred[Addresses]:
        """
        Look a name up.

        @return: its addresses, at least one, in the resolver's order; at once
            when they are remembered.
        @raise Refused: C{EXHAUSTED} when too many look-ups wait.  The
            Deferred fails with L{Refused} too: C{DNS_ERROR}, C{DNS_TIMEOUT}.
        """
        remembered = self._answers.get(name)
        if remembered is not None:
            if self._reactor.seconds() < remembered[0]:
                return remembered[1]
            del self._answers[name]
        return self._waitForFlight(name)

    def _waitForFlight(self, name: str) -> Deferred[Addresses]:
        if self._pool is None:
            raise Refused(Cause.INTERNAL, "the look-ups are stopped")

        def leaveFlight(waiter: Deferred[Addresses]) -> None:
            self._flights.leave(flight, waiter)

        def expireWaiter() -> None:
            leaveFlight(waiter)
            seconds = self._settings.lookupTimeout
            waiter.errback(
                Refused(Cause.DNS_TIMEOUT, f"no answer within {seconds:g} seconds")
            )

        def stopTimer(result: _R) -> _R:
            if timer.active():
                timer.cancel()
            return result

        waiter: Deferred[Addresses] = Deferred(leaveFlight)
        timer = self._reactor.callLater(self._settings.lookupTimeout, expireWaiter)
        waiter.addBoth(stopTimer)
        try:
            # It may be launched in here, and a pool without threads answers at once.
            flight = self._flights.join(name, waiter)
        except Refused:
            timer.cancel()
            raise
        return waiter

    def _launchFlight(self, flight: Flight) -> None:
        if self._pool is not None:
            self._pool.callInThreadWithCallback(
                partial(self._reactor.callFromThread, self._flightLanded, flight),
                self._lookInThread,
                flight,
            )

    def _lookInThread(self, flight: Flight) -> Addresses | None:
        """
        Look up, in a thread.

        @return: L{None} when all waiting requests have left before its turn came:
            clients that come and go must not keep the threads busy.
        """
        if not flight.waiting:
            return None
        # In bytes: a string would be changed by IDNA, which makes an address of
        # some names, as of a full-width digit.
        host = flight.name.encode("ascii")
        try:
            infos = self._getaddrinfo(host, None, 0, socket.SOCK_STREAM)
        except socket.gaierror:
            # Without a descriptor it can open neither /etc/hosts nor a socket to a
            # server, and then says that there is no such name.
            self._takeDescriptor()
            raise
        return _uniqueAddresses(infos)

    def _flightLanded(self, flight: Flight, success: bool, result: Any) -> None:
        if not self._flights.isUnderWay(flight):
            # Stopped, and perhaps started again, since it took off.
            return
        if success and result is None and flight.waiting:
            # A request has come while the thread returned without looking.
            self._launchFlight(flight)
            return
        self._flights.finish(flight)
        if not success:
            _landFlight(flight, Failure(self._refusalFor(flight.name, result)))
        elif result:
            self._rememberAnswer(flight.name, result)
            _landFlight(flight, result)
        elif flight.waiting:
            empty = Refused(Cause.DNS_ERROR, "the name has no address")
            _landFlight(flight, Failure(empty))

    def _refusalFor(self, name: str, failure: Failure) -> Refused:
        error = failure.value
        if isinstance(error, socket.gaierror):
            code = _eaiName(error.errno)
            cause = Cause.EXHAUSTED if code == "EAI_MEMORY" else Cause.DNS_ERROR
            return Refused(cause, f"{code}: {error.strerror}")
        if isinstance(error, OSError):
            cause = Cause.EXHAUSTED if error.errno in EXHAUSTION else Cause.DNS_ERROR
            return Refused(cause, f"the resolver failed: {error.strerror or error}")
        self._log.failure("getaddrinfo failed for {name!r}", failure, name=name)
        return Refused(Cause.INTERNAL, f"the resolver failed: {failure.type.__name__}")  # type: ignore[union-attr]

    def _rememberAnswer(self, name: str, addresses: Addresses) -> None:
        if not self._settings.lookupCache:
            return
        if len(self._answers) >= MAX_REMEMBERED:
            # Oldest first: dicts keep their order, and all live equally long.
            del self._answers[next(iter(self._answers))]
        until = self._reactor.seconds() + self._settings.lookupCache
        self._answers[name] = (until, addresses)


def _landFlight(flight: Flight, outcome: Addresses | Failure) -> None:
    # One by one: the callbacks of one may make others leave.
    while flight.waiting:
        flight.waiting.popleft().callback(outcome)


def _uniqueAddresses(infos: Iterable[AddressInfo]) -> Addresses:
    """Return the addresses of C{getaddrinfo}'s answer, each once, in order."""
    unique: dict[IPAddress, None] = {}
    for info in infos:
        if len(unique) == MAX_ADDRESSES:
            break
        if info[0] in (socket.AF_INET, socket.AF_INET6):
            unique[ip_address(info[4][0])] = None
    return tuple(unique)


def _eaiName(code: int | None) -> str:
    for name in _EAI:
        if getattr(socket, name, None) == code:
            return name
    return f"EAI {code}"
