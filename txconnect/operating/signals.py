"""
Signals: none but SIGINT and SIGTERM ends the program.

By default some forty signals end a process at once: no tunnel is reset, so what
was cut short looks complete, and no log has a line of it.  And they are sent:
by logrotate, by C{ExecReload=}, by a terminal that is closed, by a typing error.
So each of them gets a handler here.

  - A handler only passes the signal on to the reactor.  It may run between any
    two instructions of the program, and C{callFromThread} is what Twisted
    allows there.  A signal that waits already is not queued twice: the kernel
    does the same with those that it has not delivered.
  - Nothing is set to C{SIG_IGN}, which programs that a plugin starts would
    inherit; a handler is gone after C{exec}.
  - A handler that is there already belongs to a plugin, a debugger or C{twistd}
    (which rotates its log on SIGUSR1).  It is called too where the signal has a
    meaning here, and stays alone where it has none.
  - What is ignored already stays so where it has no meaning here.  Python
    ignores SIGPIPE and SIGXFSZ so: the write fails instead.  A line for every
    SIGXFSZ would go, among others, to the log that cannot be written.

Faults of the program (SIGSEGV and the like) are not touched.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, maybeDeferred

Action = Callable[[str], object]
"""Called in the reactor with the name of a signal."""

_KEPT = """
    SIGINT SIGTERM
    SIGKILL SIGSTOP
    SIGSEGV SIGBUS SIGFPE SIGILL SIGABRT SIGSYS SIGTRAP SIGEMT
    SIGCHLD SIGCONT SIGURG SIGWINCH SIGINFO
    SIGTSTP SIGTTIN SIGTTOU
""".split()
"""
The signals that are left alone: the reactor's, those that nobody can catch, the
program's faults, those that are ignored by default, and those that a terminal
stops a program with.
"""


def endingSignals() -> list[int]:
    """
    Every signal of this system that would end the program by default, but for
    those that are meant to, and for the program's faults.
    """
    kept = {getattr(signal, name, None) for name in _KEPT}
    return sorted(number for number in signal.valid_signals() if number not in kept)


def signalName(number: int) -> str:
    """C{SIGHUP}, C{SIGRTMIN+2}."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


class SignalHandlers:
    """
    The handlers of this process, for L{endingSignals}.
    """

    def __init__(
        self,
        reactor: Any,
        actions: Mapping[int, Action],
        otherwise: Action,
        system: Any = signal,
    ) -> None:
        """
        @param reactor: provides C{IReactorFromThreads}.
        @param actions: what a signal asks for, by its number.
        @param otherwise: called for every other one.
        @param system: the module C{signal}, or what a test has in its place.
        """
        self._reactor = reactor
        self._actions = actions
        self._otherwise = otherwise
        self._system = system
        self._before: dict[int, Any] = {}
        self._waiting: set[int] = set()

    def install(self) -> None:
        """Catch the signals; called in the main thread."""
        for number in endingSignals():
            if number not in self._before and self._isCaught(number):
                self._before[number] = self._system.signal(number, self._caught)
                # A read or a write of a plugin's own goes on behind the signal.
                self._system.siginterrupt(number, False)

    def remove(self) -> None:
        """Put back what was there, but where somebody else has come since."""
        for number, before in self._before.items():
            if self._system.getsignal(number) == self._caught:
                self._system.signal(number, before)
        self._before.clear()

    def _isCaught(self, number: int) -> bool:
        before = self._system.getsignal(number)
        if number in self._actions:
            # None is a handler that was not set by Python: it cannot be put back.
            return before is not None
        return bool(before == signal.SIG_DFL)

    def _caught(self, number: int, frame: Any) -> None:
        before = self._before.get(number)
        try:
            # First, so that our line comes into the log that twistd opens.
            if callable(before):
                before(number, frame)
        finally:
            if number not in self._waiting:
                self._waiting.add(number)
                self._reactor.callFromThread(self._act, number)

    def _act(self, number: int) -> None:
        self._waiting.discard(number)
        self._actions.get(number, self._otherwise)(signalName(number))


class SignalService(MultiService):
    """
    A service during whose life signals are caught.

    @ivar service: that one.
    """

    def __init__(self, service: IService, handlers: SignalHandlers) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.service: Any = service
        self._handlers = handlers
        self.service.setServiceParent(self)

    def startService(self) -> None:
        """Catch the signals, then start the service."""
        self._handlers.install()
        try:
            super().startService()  # type: ignore[no-untyped-call]
        except BaseException:
            self._handlers.remove()
            raise

    def stopService(self) -> Deferred[Any]:
        """Stop the service, and catch the signals until it has stopped."""
        stopping = super().stopService()  # type: ignore[no-untyped-call]
        return maybeDeferred(lambda: stopping).addBoth(self._stopped)

    def _stopped(self, result: Any) -> Any:
        self._handlers.remove()
        return result


@contextmanager
def signalsHeld() -> Iterator[None]:
    """
    Have signals wait, SIGINT and SIGTERM too, in this thread and in every process
    that is started here, until that calls L{releaseSignals}: a new interpreter has
    no handlers.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _held())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def releaseSignals() -> None:
    """Deliver the signals that wait, and those that come."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _held())


def _held() -> list[int]:
    return [*endingSignals(), signal.SIGINT, signal.SIGTERM]
