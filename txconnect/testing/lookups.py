"""
Stand-ins for the resolver: thread pools without threads, and a C{getaddrinfo}
whose answers a test scripts.

The proxy's own L{Lookups<txconnect.dialing.lookups.Lookups>} runs on them, so
that its queue, its deadline and its memory are under test too.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, ParamSpec

from twisted.python.failure import Failure

from txconnect.testing.addressing import SocketAddress

Answer = Sequence[str] | BaseException | Callable[[], "Sequence[str]"]
"""The answer for a name: addresses, an exception, or the result of a call."""

# What getaddrinfo returns: family, type, protocol, canonical name, address.
_Entry = tuple[int, int, int, str, SocketAddress]

_P = ParamSpec("_P")

# Called with True and the result, or with False and a Failure.
_OnResult = Callable[[bool, Any], object]
_Work = tuple[_OnResult | None, Callable[[], object]]


def _runWork(onResult: _OnResult | None, work: Callable[[], object]) -> None:
    result: object
    try:
        success, result = True, work()
    except Exception:
        success, result = False, Failure()
    if onResult is not None:
        onResult(success, result)
    elif isinstance(result, Failure) and not success:
        # The real pool logs it; here the test fails.
        result.raiseException()


class ManualPool:
    """
    A thread pool that keeps its work until L{run}, with the methods of
    L{twisted.python.threadpool.ThreadPool} that matter.

    @ivar started: true between L{start} and L{stop}.
    """

    def __init__(self) -> None:
        self.started = False
        self._joined = False
        self._work: list[_Work] = []

    @property
    def waiting(self) -> int:
        """Return the number of calls that were given and have not been run."""
        return len(self._work)

    def start(self) -> None:
        """Begin to take work."""
        self.started = True
        self._joined = False

    def stop(self) -> None:
        """End: later work is dropped, as the real pool drops it."""
        self.started = False
        self._joined = True

    def callInThread(
        self, func: Callable[_P, object], *args: _P.args, **kw: _P.kwargs
    ) -> None:
        """Give the pool work without a callback."""
        self.callInThreadWithCallback(None, func, *args, **kw)

    def callInThreadWithCallback(
        self,
        onResult: _OnResult | None,
        func: Callable[_P, object],
        *args: _P.args,
        **kw: _P.kwargs,
    ) -> None:
        """
        Give the pool work.

        @param onResult: called with C{True} and the result, or with C{False}
            and a L{Failure<twisted.python.failure.Failure>}.
        """
        if not self._joined:
            work = partial(func, *args, **kw)
            self._work.append((onResult, work))
            self._workAdded()

    def run(self, number: int | None = None) -> None:
        """
        Do the oldest work now, in this thread.

        @param number: the most calls to run; L{None} for all that wait now.
        """
        # Taken first: a call may add work, which waits for the next run.
        now = self._work[:number]
        del self._work[: len(now)]
        for onResult, work in now:
            _runWork(onResult, work)

    def _workAdded(self) -> None:
        """Keep the work until L{run}."""


class ImmediatePool(ManualPool):
    """
    A thread pool that does all work at once, in the calling thread.

    Like the real pool it does none before L{start}, and keeps it until then.
    """

    def start(self) -> None:
        """Begin, with the work that was given before."""
        super().start()
        self.run()

    def _workAdded(self) -> None:
        if self.started:
            self.run()


class ScriptedLookup:
    """
    A stand-in for L{socket.getaddrinfo}.

    A name is found with or without its trailing dot, in any case.  A name
    that is not in C{answers} does not exist (C{EAI_NONAME}).

    @ivar answers: the answer for each name; may be changed at any time, so
        that a name can move between two look-ups.
    @ivar calls: the names that were looked up, as they were written.
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
    ) -> list[_Entry]:
        """
        Look a name up.

        @raise socket.gaierror: when it does not exist, or has no address of
            the family.
        """
        # The proxy gives bytes: getaddrinfo would apply IDNA to text.
        name = host.decode("ascii") if isinstance(host, bytes) else host
        self.calls.append(name)
        addresses = self._answerFor(name)
        kind = type or socket.SOCK_STREAM
        number = int(port or 0)
        found = [_makeEntry(each, number, kind) for each in addresses]
        found = [each for each in found if family in (0, each[0])]
        # A name that exists without an address of the family is another error
        # than one that does not exist.
        if not found:
            raise socket.gaierror(socket.EAI_NODATA, "No address for the name")
        return found

    def _answerFor(self, name: str) -> Sequence[str]:
        answer = self.answers.get(name.removesuffix(".").lower())
        if answer is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer


def scriptedLookup(answers: Mapping[str, Answer]) -> ScriptedLookup:
    """Make a L{ScriptedLookup}: C{scriptedLookup({"a.example": ["192.0.2.1"]})}."""
    return ScriptedLookup(answers)


def answersOf(hosts: Mapping[str, str | Answer]) -> dict[str, Answer]:
    """
    Return the answers of a look-up for names with their addresses.

    @param hosts: for each name its address, a list of them, or another answer.
    @raise TypeError: they are no mapping.
    @raise ValueError: one is no address.
    """
    given: object = hosts
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        raise TypeError(f"hosts: give {{NAME: ADDRESS}}, not a value of type {kind}")
    return {
        name.removesuffix(".").lower(): _checkedAnswer(name, answer)
        for name, answer in hosts.items()
    }


def _checkedAnswer(name: str, answer: str | Answer) -> Answer:
    given = [answer] if isinstance(answer, str) else answer
    if isinstance(given, Sequence):
        for each in given:
            try:
                ip_address(each)
            except ValueError:
                raise ValueError(f"hosts: {each!r} of {name} is no address") from None
    return given


def _makeEntry(address: str, port: int, kind: int) -> _Entry:
    if ip_address(address).version == 4:
        return socket.AF_INET, kind, socket.IPPROTO_TCP, "", (address, port)
    return socket.AF_INET6, kind, socket.IPPROTO_TCP, "", (address, port, 0, 0)
