"""
The one reactor of the process, turned by hand until a test's coroutine is done.

Nothing else will do for clients: Twisted's TLS, and treq, take the global one.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from proxyprocess import DEADLINE
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Turning:
    """
    Runs coroutines.

    @ivar reactor: which they use.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor

    def __call__(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """What the coroutine returns, or raises; it has a minute."""
        results: list[T | Failure] = []
        running = Deferred.fromCoroutine(work).addBoth(results.append)
        end = time.monotonic() + DEADLINE
        while not results:
            if time.monotonic() > end:
                running.cancel()
                raise AssertionError("it never came to its end")
            # Threads, as look-ups are done in, wake it.
            self.reactor.iterate(0.1)
        (result,) = results
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def settle(self) -> None:
        """A turn for what the last test has left behind, as closing sockets."""
        self.reactor.iterate(0)


@contextmanager
def turning() -> Iterator[Turning]:
    """The reactor, started; it can be started but once in a process."""
    from twisted.internet import reactor

    turned: Any = reactor
    turned.startRunning(installSignalHandlers=False)
    yield Turning(turned)
    # Threads that look names up end with it.
    turned.fireSystemEvent("shutdown")
    turned.iterate(0)
