"""
SIGINT and SIGTERM, which stop the program once.

Twisted's handlers call C{reactor.stop}, which raises for a reactor that is
stopping already, and that is logged as a critical error.  But a second signal
is common: C{systemd} and C{timeout} send SIGTERM to every process of a group,
so a worker gets it from them, and its parent orders it to stop as well.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from types import FrameType

from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads

from txconnect.operating.signals import SignalModule, signalName

Handler = Callable[[int, FrameType | None], object]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedReactor(IReactorCore, IReactorFromThreads):
    """The interfaces of a reactor that is stopped by a signal."""


class StopOnce:
    """
    A stop of the reactor that may be requested any number of times.
    """

    def __init__(
        self,
        reactor: StoppedReactor,
        tell: Callable[[str], object] | None = None,
        system: SignalModule = signal,
    ) -> None:
        """
        @param reactor: installs its handlers when it starts, after the services.
        @param tell: called in the reactor with the signal's name, before the stop.
        @param system: the module C{signal}, or a test's replacement.
        """
        self._reactor = reactor
        self._tell = tell
        self._system = system
        self._stopping = False

    def install(self) -> None:
        """
        Let only the first signal through to the reactor's handlers; call it in the
        main thread, once the reactor runs and has installed them.
        """
        self._reactor.addSystemEventTrigger("before", "shutdown", self._shutdownBegins)
        for number in _SIGNALS:
            before = self._system.getsignal(number)
            # Another one, such as a debugger's, does not stop the reactor.
            if callable(before) and getattr(before, "__self__", None) is self._reactor:
                self._system.signal(number, partial(self._stopSignalCaught, before))

    def stop(self) -> None:
        """Stop the reactor, unless it is stopping."""
        if self._stopping:
            return
        self._stopping = True
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            # Other code has stopped it in this turn, before its shutdown began.
            pass

    def _shutdownBegins(self) -> None:
        self._stopping = True

    def _stopSignalCaught(
        self, before: Handler, number: int, frame: FrameType | None
    ) -> None:
        # It may run between any two instructions, those of stop() included.
        if not self._stopping:
            self._stopping = True
            if self._tell is not None:
                # The reactor's handler has it stop in the same way, after this.
                self._reactor.callFromThread(self._tell, signalName(number))
            before(number, frame)
