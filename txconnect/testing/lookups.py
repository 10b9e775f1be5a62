"""
Stand-ins for what looks names up: thread pools without threads, and a
C{getaddrinfo} that answers what a test says.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from twisted.python.failure import Failure

Answer = Sequence[str] | BaseException | Callable[[], "Sequence[str]"]
"""What becomes of a name: addresses, an exception, or whatever a call gives."""

_Outcome = Callable[[bool, Any], object]
_Work = tuple[_Outcome | None, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def _run(work: _Work) -> None:
    outcome, function, arguments, keywords = work
    try:
        success, result = True, function(*arguments, **keywords)
    except Exception:
        success, result = False, Failure()
    if outcome is not None:
        outcome(success, result)
    elif not success:
        result.raiseException()


class ManualPool:
    """
    A thread pool that keeps its work until L{run}, with the methods of
    L{twisted.python.threadpool.ThreadPool} that matter.

    @ivar started: between L{start} and L{stop}.
    @ivar waiting: how many calls have been handed in and not been run.
    """

    def __init__(self) -> None:
        self.started = False
        self._joined = False
        self._work: list[_Work] = []

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._work)

    def start(self) -> None:
        """Begin."""
        self.started = True
        self._joined = False

    def stop(self) -> None:
        """End: later work is dropped, as the real one drops it."""
        self.started = False
        self._joined = True

    def callInThread(self, func: Callable[..., Any], *args: Any, **kw: Any) -> None:
        """Hand work in whose result nobody waits for."""
        self.callInThreadWithCallback(None, func, *args, **kw)

    def callInThreadWithCallback(
        self,
        onResult: _Outcome | None,
        func: Callable[..., Any],
        *args: Any,
        **kw: Any,
    ) -> None:
        """
        Hand work in.

        @param onResult: called with C{True} and the result, or with C{False}
            and a L{Failure<twisted.python.failure.Failure>}.
        """
        if not self._joined:
            self._work.append((onResult, func, args, kw))
            self._handedIn()

    def run(self, number: int | None = None) -> None:
        """
        Do the oldest work now, in this thread.

        @param number: how many calls; L{None} for those that wait now.
        """
        now = self._work[:number]
        del self._work[: len(now)]
        for work in now:
            _run(work)

    def _handedIn(self) -> None:
        """It stays until L{run}."""


class ImmediatePool(ManualPool):
    """
    A thread pool that does all work at once, in the calling thread.

    Like the real one it does none before L{start}: that is kept until then.
    """

    def start(self) -> None:
        """Begin, with what has been handed in already."""
        super().start()
        self.run()

    def _handedIn(self) -> None:
        if self.started:
            self.run()


class ScriptedLookup:
    """
    A stand-in for L{socket.getaddrinfo}.

    A name is found with or without its trailing dot, in any case.  A name
    that is not in C{answers} does not exist (C{EAI_NONAME}).

    @ivar answers: what becomes of each name; may be changed at any time, so
        that a name can move between two look-ups.
    @ivar calls: the names that were asked for, as they were asked for.
    """

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers: dict[str, Answer] = dict(answers)
        self.calls: list[str] = []

    def __call__(
        self,
        host: bytes | str,
        port: int | str | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[int, int, int, str, Any]]:
        """
        Look a name up.

        @raise socket.gaierror: when it does not exist, or has no address of
            the family.
        """
        name = host.decode("ascii") if isinstance(host, bytes) else host
        self.calls.append(name)
        addresses = self._addresses(name)
        kind = type or socket.SOCK_STREAM
        number = int(port or 0)
        found = [_entry(each, number, kind) for each in addresses]
        found = [each for each in found if family in (0, each[0])]
        if not found:
            raise socket.gaierror(socket.EAI_NODATA, "No address for the name")
        return found

    def _addresses(self, name: str) -> Sequence[str]:
        answer = self.answers.get(name.removesuffix(".").lower())
        if answer is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer


def scriptedLookup(answers: Mapping[str, Answer]) -> ScriptedLookup:
    """Make a L{ScriptedLookup}: C{scriptedLookup({"a.example": ["192.0.2.1"]})}."""
    return ScriptedLookup(answers)


def _entry(
    address: str, port: int, kind: int
) -> tuple[int, int, int, str, tuple[Any, ...]]:
    if ip_address(address).version == 4:
        return socket.AF_INET, kind, socket.IPPROTO_TCP, "", (address, port)
    return socket.AF_INET6, kind, socket.IPPROTO_TCP, "", (address, port, 0, 0)
