"""
Standard input and output for L{txconnect.client.nc}, of any kind: pipes, files,
terminals, sockets.

A thread reads and a thread writes, and both may block.  Twisted's own
C{StandardIO} was not taken: it makes the descriptors non-blocking, also for the
other processes that share them, and takes an output file for a broken pipe.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from socket import SHUT_WR, socket
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

__all__ = ["StandardStreams", "openMissingStreams", "replaceClosedStreams"]

SIZE = 65536
"""Most octets of one read."""

_T = TypeVar("_T")


class _BlockingThread:
    """
    A thread that runs calls which may block, one after another.

    It is a daemon, and so does not keep the program from ending: a read from a
    terminal may never return.
    """

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._runCalls, daemon=True).start()

    def submitCall(self, function: Callable[[], _T]) -> Deferred[_T]:
        waiting: Deferred[_T] = Deferred()
        self._calls.put(partial(self._runCall, function, waiting))
        return waiting

    def _runCalls(self) -> None:
        while True:
            self._calls.get()()

    def _runCall(self, function: Callable[[], _T], waiting: Deferred[_T]) -> None:
        result: _T | Failure
        try:
            result = function()
        except Exception:
            # Deferred.callback takes a Failure too, as an errback.
            result = Failure()
        self._reactor.callFromThread(waiting.callback, result)


@contextmanager
def _namingErrors(name: str) -> Iterator[None]:
    """Add the stream's name to an L{OSError}."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None


def replaceClosedStreams() -> None:
    """
    Make good for standard streams that the program was started without (C{<&-}), before
    another file gets their numbers: the input is at its end, and messages are dropped.

    @raise ValueError: the output is closed, and what comes would be lost.
    """
    if not openMissingStreams():
        raise ValueError(
            "standard output is closed, so nothing that comes could be written; to drop "
            "it, write >/dev/null"
        )


def openMissingStreams() -> bool:
    """
    Open the null device for each standard stream that is closed.

    @return: true when the output was open.
    """
    if not _isOpen(2):
        _openNothing(2, os.O_WRONLY)
        sys.stderr = open(2, "w", closefd=False)
    if not _isOpen(0):
        _openNothing(0, os.O_RDONLY)
    if _isOpen(1):
        return True
    _openNothing(1, os.O_WRONLY)
    return False


def _isOpen(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _openNothing(descriptor: int, flags: int) -> None:
    opened = os.open(os.devnull, flags)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)


class StandardStreams:
    """
    Two descriptors, one to read from and one to write to.  Call each method
    again only after its last Deferred has fired.
    """

    def __init__(
        self, reactor: IReactorFromThreads, source: int = 0, sink: int = 1
    ) -> None:
        self._source = source
        self._sink = sink
        self._reader = _BlockingThread(reactor)
        self._writer = _BlockingThread(reactor)

    def isInteractive(self) -> bool:
        """Tell whether the input is a terminal, at which a person types."""
        return os.isatty(self._source)

    def read(self) -> Deferred[bytes]:
        """
        Read the next octets.

        @return: C{b""} at the end; fails with L{OSError}.
        """
        return self._reader.submitCall(self._readSource)

    def write(self, data: bytes) -> Deferred[None]:
        """
        Write all of C{data}.

        @return: fails with L{OSError}.
        """
        return self._writer.submitCall(lambda: self._writeSink(data))

    def endOutput(self) -> Deferred[None]:
        """
        End the output, so that its reader sees the end.
        """
        return self._writer.submitCall(self._endSink)

    def _readSource(self) -> bytes:
        with _namingErrors("standard input"):
            while True:
                try:
                    return os.read(self._source, SIZE)
                except BlockingIOError:
                    # Another process that shares the descriptor made it non-blocking.
                    select.select([self._source], [], [])

    def _writeSink(self, data: bytes) -> None:
        left = memoryview(data)
        with _namingErrors("standard output"):
            while left:
                try:
                    left = left[os.write(self._sink, left) :]
                except BlockingIOError:
                    select.select([], [self._sink], [])

    def _endSink(self) -> None:
        if stat.S_ISSOCK(os.fstat(self._sink).st_mode):
            # Closing is not enough: the same socket may be the input too, and stay
            # open.
            with socket(fileno=os.dup(self._sink)) as ended:
                ended.shutdown(SHUT_WR)
        # The descriptor is replaced and not closed, or the next file that the
        # program opens would get its number.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._sink)
        os.close(nothing)
