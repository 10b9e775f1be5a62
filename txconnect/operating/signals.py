"""
Signals: none but SIGINT and SIGTERM ends the program.

By default some forty signals end a process at once: no tunnel is reset, so a
truncated stream looks complete, and no log has a line of it.  And they are sent:
by logrotate, by C{ExecReload=}, by a terminal that is closed, by a typing error.
So each of them gets a handler here.

  - A handler only passes the signal on to the reactor.  It may run between any
    two instructions of the program, and C{callFromThread} is what Twisted
    allows there.  A signal that waits already is not queued twice: the kernel
    treats a signal that it has not delivered in the same way.
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
from types import FrameType
from typing import Protocol

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorFromThreads

SignalHandler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None
"""A handler as the module C{signal} has it; L{None}: one not set by Python."""

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
The signals that are left alone: the reactor's, those that cannot be caught, the
program's faults, those that are ignored by default, and those by which a terminal
stops a program.
"""


class SignalModule(Protocol):
    """The functions of the module C{signal} that the handlers need."""

    def signal(self, number: int, handler: SignalHandler, /) -> SignalHandler:
        """Set the handler of a signal; return the one before."""

    def getsignal(self, number: int, /) -> SignalHandler:
        """Return the handler of a signal."""

    def siginterrupt(self, number: int, flag: bool, /) -> None:
        """Set whether the signal interrupts system calls."""


def endingSignals() -> list[int]:
    """
    Return every signal of this system that would end the program by default, but
    for those that are meant to, and for the program's faults.
    """
    # Not every system has every name: SIGEMT and SIGINFO are of BSD.
    kept = {getattr(signal, name, None) for name in _KEPT}
    return sorted(number for number in signal.valid_signals() if number not in kept)


def signalName(number: int) -> str:
    """Return the name of a signal: C{SIGHUP}, C{SIGRTMIN+2}."""
    try:
        return signal.Signals(number).name
    except ValueError:
        # Of the real-time signals Python names the first and the last only.
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


class SignalHandlers:
    """
    The handlers of this process, for L{endingSignals}.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        actions: Mapping[int, Action],
        otherwise: Action,
        system: SignalModule = signal,
    ) -> None:
        """
        @param reactor: the reactor in which the actions run.
        @param actions: the action of each signal that has a meaning, by number.
        @param otherwise: the action of every other signal.
        @param system: the module C{signal}, or a test's replacement.
        """
        self._reactor = reactor
        self._actions = actions
        self._otherwise = otherwise
        self._system = system
        self._before: dict[int, SignalHandler] = {}
        self._waiting: set[int] = set()

    def install(self) -> None:
        """Catch the signals; call it in the main thread."""
        for number in endingSignals():
            if number not in self._before and self._mayCatch(number):
                self._before[number] = self._system.signal(number, self._signalCaught)
                # So a system call of a plugin's C library goes on after the
                # signal: it may not expect EINTR.
                self._system.siginterrupt(number, False)

    def remove(self) -> None:
        """Put the handlers before back, except where one was set since."""
        # One that was set since may call ours: it stays, and ours with it.
        for number, before in self._before.items():
            if self._system.getsignal(number) == self._signalCaught:
                self._system.signal(number, before)
        self._before.clear()

    def _mayCatch(self, number: int) -> bool:
        before = self._system.getsignal(number)
        if number in self._actions:
            # None is a handler that was not set by Python, and which Python cannot
            # put back.
            return before is not None
        # Neither a handler nor SIG_IGN is touched where there is nothing to do.
        return bool(before == signal.SIG_DFL)

    def _signalCaught(self, number: int, frame: FrameType | None) -> None:
        before = self._before.get(number)
        try:
            # First, so that our line goes to the log file that twistd opens anew.
            if callable(before):
                before(number, frame)
        finally:
            if number not in self._waiting:
                self._waiting.add(number)
                self._reactor.callFromThread(self._runAction, number)

    def _runAction(self, number: int) -> None:
        # Before the action: a signal that comes during it is another request.
        self._waiting.discard(number)
        self._actions.get(number, self._otherwise)(signalName(number))


class SignalService(MultiService):
    """
    A service that catches signals from the start of another to its end.

    @ivar service: the other service.
    """

    def __init__(self, service: IService, handlers: SignalHandlers) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.service = service
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

    def stopService(self) -> Deferred[object]:
        """Stop the service, and catch the signals until it has stopped."""
        stopping = super().stopService()  # type: ignore[no-untyped-call]
        return maybeDeferred(lambda: stopping).addBoth(self._removeHandlers)

    def _removeHandlers(self, result: object) -> object:
        self._handlers.remove()
        return result


@contextmanager
def signalsHeld() -> Iterator[None]:
    """
    Make signals wait, SIGINT and SIGTERM too, in this thread and in every process
    that is started here, until that calls L{releaseSignals}: a new interpreter has
    no handlers.
    """
    # Blocked, not ignored: a blocked signal is delivered later, and SIG_IGN would
    # be inherited by each program that a worker starts.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _heldSignals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def releaseSignals() -> None:
    """Deliver the signals that wait, and those that come."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _heldSignals())


def _heldSignals() -> list[int]:
    return [*endingSignals(), signal.SIGINT, signal.SIGTERM]
