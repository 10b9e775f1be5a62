"""
Calling the hooks of plugins about one request, and judging their answers.

Only L{Allow} allows.  An exception, a time-out and an answer of another type refuse.
A hook's time-out is the proxy's own timer; at its end the request is refused first,
and only then is the hook cancelled: a coroutine may swallow its cancellation, and an
answer that it gives later is dropped.

A plugin that blocks shows elsewhere only as a proxy that is slow.  So the time of each
call of its hooks is taken.  The proxy's own plugins do not block; under load they would
be blamed for the time that other programs of the machine take.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from inspect import iscoroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.admission.rules import Rules
from txconnect.errors import EndTunnel, Refused
from txconnect.maybeasync import CANCELLED, settle, withTimeout
from txconnect.roles import describedValue
from txconnect.values import (
    Allow,
    Cause,
    Deny,
    Event,
    Named,
    Request,
    Route,
    TunnelRefused,
)

_PLAIN = frozenset((Allow, Deny, Route, type(None)))
"""Types of answers that are never waited for."""

SLOW = 0.25
"""Seconds that a hook may keep the reactor before the log says so."""

# The reactor's time is that of the wall, and may be set while a hook runs.
stopwatch = time.monotonic

ASYNC_CALLABLE = (
    "it answered with an async def, and nobody awaits it: a tap's callable is a plain "
    "def, which may start a task"
)

_log = Logger()
_T = TypeVar("_T")


class HookFailed(Refused):
    """
    A plugin failed, took too long, or gave no answer that counts.

    @ivar error: the exception that it has raised, where it did.
    """

    error: BaseException | None = None


class HookCaller:
    """
    The part of a decision that calls plugins; the decision sets its attributes.

    @ivar clock: provides C{IReactorTime}.
    @ivar request: as the plugins see it.
    @ivar notes: the reasons of the policies that allowed, C{"rule: reason"}.
    @ivar over: whether the request is decided, or given up: no plugin is
        called any more.
    """

    rules: Rules
    clock: IReactorTime
    request: Request
    notes: list[str]
    over: bool

    def askHook(
        self, plugin: Named, hook: Callable[..., object], *arguments: object
    ) -> Any:
        """
        Call a hook that may answer later.

        @return: its answer, or a Deferred of it that fails with L{Refused}.
        @raise Refused: it has failed already.
        """
        if plugin.name in self.rules.watched:
            # The part of a coroutine up to where it first waits is run by settling.
            hook = self._timed(plugin.name, partial(_settledCall, hook))
        try:
            answer = hook(*arguments)
            # Nearly every answer is plain, and needs no settling.
            if type(answer) not in _PLAIN:
                answer = settle(answer)
        except BaseException:
            answer = self._hookFailed(Failure(), plugin)
        if not isinstance(answer, Deferred):
            if self.over:
                # The hook itself has stopped the proxy: no further hook is called.
                raise Refused(Cause.SHUTDOWN)
            return answer
        return self.inTime(answer, plugin.name).addErrback(self._hookFailed, plugin)

    def callHook(
        self, plugin: Named, hook: Callable[..., object], *arguments: object
    ) -> Any:
        """
        Call a hook that answers at once.

        @raise Refused: it has failed, or refuses.
        """
        if plugin.name in self.rules.watched:
            hook = self._timed(plugin.name, hook)
        try:
            answer = hook(*arguments)
        except EndTunnel as ended:
            raise Refused(Cause.POLICY, ended.reason, plugin.name) from None
        except BaseException:
            # SystemExit and asyncio's CancelledError refuse like any other.
            answer = self._hookFailed(Failure(), plugin)
        if self.over:
            raise Refused(Cause.SHUTDOWN)
        return answer

    def _timed(self, name: str, hook: Callable[..., object]) -> Callable[..., object]:
        return partial(callTimed, name, self.request.id, hook)

    def inTime(self, answer: Deferred[_T], name: str) -> Deferred[_T]:
        """
        Give a hook's answer the time that a hook has.

        @param name: the rule of the refusal.
        """
        seconds = self.rules.settings.hookTimeout

        def makeTimeout() -> Refused:
            reason = f"no decision within {seconds:g} seconds"
            # A program that embeds the proxy may have no observer that tells.
            self._logFailed(name, reason)
            return _HookTimeout(Cause.PLUGIN_TIMEOUT, reason, name)

        return withTimeout(self.clock, seconds, answer, makeTimeout)

    def judgeAnswer(self, policy: Named, answer: object) -> None:
        """
        Go on if a policy has allowed.

        @raise Refused: it has not.
        """
        if type(answer) is Allow:
            if answer.reason:
                self.noteAllowed(policy, answer.reason)
            return
        if type(answer) is not Deny:
            raise self.wrongAnswer(policy, answer, "Allow or Deny")
        if self.isTellable(answer.cause):
            raise Refused(answer.cause, str(answer.reason), policy.name)
        raise self.pluginFailed(policy, f"it answered Deny, but {_wrongCause(answer)}")

    def noteAllowed(self, policy: Named, reason: str) -> None:
        """Keep a policy's reason to allow."""
        self.notes.append(f"{policy.name}: {reason}")

    def isTellable(self, cause: object) -> bool:
        """Tell whether a client can be sent this cause of a refusal here."""
        if not isinstance(cause, Cause) or cause.error is None:
            return False
        return cause.status != 407 or self.rules.authenticator is not None

    def refusalFor(self, failure: Failure) -> Refused:
        """Return the refusal of a request that ends by an exception."""
        refused = failure.value
        if not isinstance(refused, Refused):
            _log.failure("{id} failed", failure, id=self.request.id)
            return Refused(Cause.INTERNAL, inWords(refused))
        if not self.isTellable(refused.cause):
            # A plugin's Refused may bear any cause, such as one for the log alone.
            reason = f"{refused.cause!r} is nothing that a client can be told here"
            return Refused(Cause.PLUGIN_ERROR, reason, refused.rule)
        return refused

    def wrongAnswer(self, plugin: Named, answer: object, wanted: str) -> Refused:
        """
        Make the refusal for an answer of a wrong type, which is logged.

        @param wanted: the right type, in words.
        """
        hint = _answerHint(answer)
        if iscoroutine(answer):
            # Closed, as it would warn when it is collected that it was never awaited.
            answer.close()
        reason = f"it answered {describedValue(answer)}, not {wanted}{hint}"
        return self.pluginFailed(plugin, reason)

    def pluginFailed(self, plugin: Named, reason: str) -> Refused:
        """Make the refusal for what a plugin did wrong, which is logged."""
        self._logFailed(plugin.name, reason)
        return HookFailed(Cause.PLUGIN_ERROR, reason, plugin.name)

    def _logFailed(self, name: str, reason: str) -> None:
        _log.error(
            "{name} failed over {id}: {reason}",
            name=name,
            id=self.request.id,
            reason=reason,
        )

    def _hookFailed(self, failure: Failure, plugin: Named) -> Any:
        cancelled = self.over and failure.check(*CANCELLED)
        if cancelled or isinstance(failure.value, _HookTimeout):
            failure.raiseException()
        _log.failure(
            "{name} failed over {id}", failure, name=plugin.name, id=self.request.id
        )
        failed = HookFailed(Cause.PLUGIN_ERROR, inWords(failure.value), plugin.name)
        failed.error = failure.value
        raise failed


def _answerHint(answer: object) -> str:
    """Return the remedy for an answer of a wrong type, where one is probable."""
    if answer is None:
        return ": one of its ways ends without a return"
    if asyncio.isfuture(answer):
        return "; wrap an asyncio future with Deferred.fromFuture"
    for made in (Allow, Deny, Route):
        if answer is made:
            return f": write {made.__name__}(...)"
    return ""


class _HookTimeout(HookFailed):
    """A hook did not answer in time."""


def callTimed(
    name: str,
    id: str,
    hook: Callable[..., object],
    *arguments: object,
) -> object:
    """
    Call a hook, and log it if it has kept the reactor for more than L{SLOW}.

    @param name: the plugin's name.
    @param id: the request's.
    """
    began = stopwatch()
    try:
        return hook(*arguments)
    finally:
        seconds = stopwatch() - began
        if seconds > SLOW:
            _log.warn(
                "{name} kept the reactor for {seconds:.2f} s over {id}: it blocks all "
                "tunnels meanwhile",
                name=name,
                seconds=seconds,
                id=id,
            )


def _settledCall(hook: Callable[..., object], *arguments: object) -> object:
    return settle(hook(*arguments))


def tellObservers(rules: Rules, event: Event) -> None:
    """Tell every observer of an event, in order."""
    for observer in rules.observers:
        observe = observer.plugin.observe
        if observer.name in rules.watched:
            observe = partial(callTimed, observer.name, idOf(event), observe)
        try:
            answer = observe(event)
        except BaseException:
            # A SystemExit, raised on, would leave the other tunnels unreset.
            _log.failure("observer {name} failed", name=observer.name)
        else:
            if answer is not None and iscoroutine(answer):
                _dropCoroutine(observer, answer)


def _dropCoroutine(observer: Named, answer: Coroutine[Any, Any, Any]) -> None:
    # Closed, as it would warn when it is collected that it was never awaited.
    answer.close()
    _log.error(
        "observer {name} failed: it answered with a coroutine, which nobody awaits, so "
        "it has heard nothing; observe() is a plain def, which may start a task",
        name=observer.name,
    )


def _wrongCause(answer: Deny) -> str:
    """Return the mistake in the cause of a refusal."""
    cause: object = answer.cause
    if not isinstance(cause, Cause):
        fitting = [each for each in Cause if each.status == cause and each.error]
        near = fitting[0] if fitting else Cause.POLICY
        return (
            f"the cause {cause!r} is no Cause: write such as Cause.{near.name}, which "
            f"is a {near.status}"
        )
    if cause.error is None:
        return f"Cause.{cause.name} is for the log alone: no client is ever sent it"
    return (
        f"Cause.{cause.name} is a {cause.status}, and this proxy asks for no "
        "credentials"
    )


def idOf(event: Event) -> str:
    """Return the id of the request that an event is about."""
    return event.id if isinstance(event, TunnelRefused) else event.tunnel.request.id


def inWords(error: BaseException | None) -> str:
    """Return an exception in words, with the hint that one well-known one needs."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, RuntimeError):
        text += next((hint for words, hint in _HINTS.items() if words in text), "")
    return text


_HINTS = {
    "await wasn't used with future": "; wrap an asyncio future with Deferred.fromFuture "
    "before awaiting it",
    "no running event loop": "; what uses asyncio needs its reactor: twistd "
    "--reactor=asyncio",
}
"""The remedies, by the words of exceptions that name none."""
