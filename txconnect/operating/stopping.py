"""
SIGINT and SIGTERM, which stop the program: once.

Twisted's handlers call C{reactor.stop}, which raises for a reactor that is
stopping already, and that is logged as a critical error.  But a second signal
is common: C{systemd} and C{timeout} send SIGTERM to every process of a group,
so a worker gets it from them and is told to stop by its parent as well.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.error import ReactorNotRunning

Handler = Callable[[int, Any], object]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnce:
    """
    Stops a reactor, however often and by whomever it is asked to.
    """

    def __init__(self, reactor: Any, system: Any = signal) -> None:
        """
        @param reactor: installs its handlers when it starts, after the services.
        @param system: the module C{signal}, or what a test has in its place.
        """
        self._reactor = reactor
        self._system = system
        self._stopping = False

    def install(self) -> None:
        """
        Have the reactor's handlers called for the first signal only; called in the
        main thread, once the reactor runs and has installed them.
        """
        self._reactor.addSystemEventTrigger("before", "shutdown", self._begin)
        for number in _SIGNALS:
            before = self._system.getsignal(number)
            # Another one, such as a debugger's, does not stop the reactor.
            if getattr(before, "__self__", None) is self._reactor:
                self._system.signal(number, partial(self._caught, before))

    def stop(self) -> None:
        """Stop the reactor, unless it is stopping."""
        if self._stopping:
            return
        self._stopping = True
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            pass  # Somebody else has stopped it in this turn.

    def _begin(self) -> None:
        self._stopping = True

    def _caught(self, before: Handler, number: int, frame: Any) -> None:
        # It may run between any two instructions, those of stop() included.
        if not self._stopping:
            self._stopping = True
            before(number, frame)
