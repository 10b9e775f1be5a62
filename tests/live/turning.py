"""
The one reactor of the process, run until a test's coroutine is done.

Nothing else will do for clients: Twisted's TLS, and treq, take the global one.
It is run and crashed as trial does it, because there are trial's tests too.
"""

from __future__ import annotations

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
        running.addTimeout(DEADLINE, self.reactor)
        # In a turn of its own, as connections that are aborted take one.
        running.addBoth(lambda _: self.reactor.callLater(0, self.reactor.crash))
        self.reactor.run(installSignalHandlers=False)
        (result,) = results
        if isinstance(result, Failure):
            result.raiseException()
        return result


@contextmanager
def turning() -> Iterator[Turning]:
    """The reactor; behind it, its threads are ended."""
    from twisted.internet import reactor

    turned: Any = reactor
    yield Turning(turned)
    # Look-ups are done in threads, which would keep the process.
    turned.fireSystemEvent("shutdown")
