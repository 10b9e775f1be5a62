"""
Asking the plugins over one request, and judging what they answer: only
L{Allow} allows, and whatever is no answer at all refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.errors import Refused
from txconnect.maybeasync import CANCELLED, settle, withTimeout
from txconnect.values import Allow, Cause, ConnectRequest, Deny, Named, Route

if TYPE_CHECKING:
    from txconnect.admission.admission import Admission


_PLAIN = frozenset((Allow, Deny, Route, type(None)))
"""Answers that there is nothing to wait for in."""


class Asking:
    """
    One request, and the plugins that are asked about it.

    @ivar request: as the plugins see it.
    """

    _log = Logger()

    def __init__(self, admission: Admission, request: ConnectRequest) -> None:
        self._admission = admission
        self.request = request
        # Decided or given up: nobody is asked any more.
        self._over = False
        self._notes: list[str] = []

    def _ask(self, plugin: Named, hook: Callable[..., Any], *arguments: Any) -> Any:
        """
        Ask a hook.

        @return: its answer, or a Deferred of it that fails with L{Refused}.
        """
        try:
            answer = hook(*arguments)
            if type(answer) not in _PLAIN:
                answer = settle(answer)
        except BaseException:
            answer = self._broken(Failure(), plugin)
        if not isinstance(answer, Deferred):
            if self._over:
                # The hook itself has stopped the proxy: nothing further is asked.
                raise Refused(Cause.SHUTDOWN)
            return answer
        admission = self._admission
        return withTimeout(
            admission.clock,
            admission.settings.hookTimeout,
            answer,
            lambda: self._late(plugin.name),
        ).addErrback(self._broken, plugin)

    def _call(self, plugin: Named, hook: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return hook(*arguments)
        except BaseException:
            # SystemExit and asyncio's CancelledError refuse like any other.
            return self._broken(Failure(), plugin)

    def _broken(self, failure: Failure, plugin: Named) -> Any:
        cancelled = self._over and failure.check(*CANCELLED)
        if cancelled or isinstance(failure.value, _Late):
            failure.raiseException()
        self._log.failure(
            "{name} failed over {id}", failure, name=plugin.name, id=self.request.id
        )
        raise Refused(Cause.PLUGIN_ERROR, told(failure.value), plugin.name)

    def _late(self, name: str) -> Refused:
        seconds = self._admission.settings.hookTimeout
        return _Late(
            Cause.PLUGIN_TIMEOUT, f"no decision within {seconds:g} seconds", name
        )

    def _judged(self, policy: Named, answer: Any) -> None:
        if type(answer) is Allow:
            if answer.reason:
                self._notes.append(f"{policy.name}: {answer.reason}")
            return
        if type(answer) is Deny and self._speakable(answer.cause):
            raise Refused(answer.cause, str(answer.reason), policy.name)
        raise self._wrong(policy, answer, "Allow, or Deny with a cause that fits")

    def _speakable(self, cause: object) -> bool:
        """Whether a plugin may refuse with C{cause}: a client can be told it."""
        if not isinstance(cause, Cause) or cause.error is None:
            return False
        return cause.status != 407 or self._admission.authenticator is not None

    def _routed(self, router: Named, answer: Any) -> Route:
        if type(answer) is not Route:
            raise self._wrong(router, answer, "a Route or None")
        return answer

    def _wrong(self, plugin: Named, answer: Any, wanted: str) -> Refused:
        hint = ""
        if asyncio.isfuture(answer):
            hint = "; wrap an asyncio future with Deferred.fromFuture"
        if iscoroutine(answer):
            # Not left to complain, when it is collected, that nobody awaited it.
            answer.close()
        reason = f"it answered {type(answer).__name__}, not {wanted}{hint}"
        self._log.error(
            "{name} failed over {id}: {reason}",
            name=plugin.name,
            id=self.request.id,
            reason=reason,
        )
        return Refused(Cause.PLUGIN_ERROR, reason, plugin.name)


class _Late(Refused):
    """A hook that did not answer in time."""


def told(error: BaseException | None) -> str:
    """An exception in words, with the hint that one well-known one needs."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, RuntimeError) and "await wasn't used with future" in text:
        text += "; wrap an asyncio future with Deferred.fromFuture before awaiting it"
    return text
