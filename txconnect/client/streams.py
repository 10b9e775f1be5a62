"""
Standard input and output for L{txconnect.client.nc}, whatever they are: pipes,
files, terminals, sockets.

A thread reads and a thread writes, and both may block.  Twisted's own
C{StandardIO} would make the descriptors non-blocking, which other processes
share them feel, and takes a file as its output for a broken pipe.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from socket import SHUT_WR, socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

__all__ = ["StandardStreams"]

SIZE = 65536
"""Octets that are read at once."""


class _Thread:
    """
    Makes one call after another that may block.

    It does not keep the program from ending: a read from a terminal ends when
    somebody types, or never.
    """

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._calls: SimpleQueue[tuple[Deferred[Any], Callable[[], Any]]]
        self._calls = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def call(self, function: Callable[[], Any]) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()
        self._calls.put((waiting, function))
        return waiting

    def _work(self) -> None:
        while True:
            waiting, function = self._calls.get()
            try:
                result = function()
            except Exception:
                # A Deferred takes it for a failure.
                result = Failure()
            self._reactor.callFromThread(waiting.callback, result)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Have an L{OSError} say where it comes from."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None


class StandardStreams:
    """
    Two descriptors, to read from one and to write to the other.  Each method
    is called again only when its last Deferred has fired.
    """

    def __init__(
        self, reactor: IReactorFromThreads, source: int = 0, sink: int = 1
    ) -> None:
        self._source = source
        self._sink = sink
        self._reader = _Thread(reactor)
        self._writer = _Thread(reactor)

    def isInteractive(self) -> bool:
        """Whether a person types what is read."""
        return os.isatty(self._source)

    def read(self) -> Deferred[bytes]:
        """
        Read what there is.

        @return: C{b""} at the end; fails with L{OSError}.
        """
        return self._reader.call(self._read)

    def write(self, data: bytes) -> Deferred[None]:
        """
        Write all of it.

        @return: fails with L{OSError}.
        """
        return self._writer.call(lambda: self._write(data))

    def end(self) -> Deferred[None]:
        """
        Let whoever reads the output see its end.
        """
        return self._writer.call(self._end)

    def _read(self) -> bytes:
        with _naming("standard input"):
            while True:
                try:
                    return os.read(self._source, SIZE)
                except BlockingIOError:
                    # Whoever shares the descriptor has made it so.
                    select.select([self._source], [], [])

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        with _naming("standard output"):
            while left:
                try:
                    left = left[os.write(self._sink, left) :]
                except BlockingIOError:
                    select.select([], [self._sink], [])

    def _end(self) -> None:
        if stat.S_ISSOCK(os.fstat(self._sink).st_mode):
            # The same socket may be the input, and keep it open.
            with socket(fileno=os.dup(self._sink)) as ended:
                ended.shutdown(SHUT_WR)
        # The number stays taken, or the next file to be opened would get it.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._sink)
        os.close(nothing)
