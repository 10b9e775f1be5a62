"""
The events of refusals: those that strangers can cause by a connection alone are marked
here, so that logs stay readable and observers that count still hear of all.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IAddress, IReactorTime

from txconnect.admission.hooks import tellObservers
from txconnect.admission.rules import Rules
from txconnect.errors import Refused
from txconnect.linelimit import LineLimit
from txconnect.naming import RequestIds
from txconnect.values import Cause, TunnelRefused


class RefusalEvents:
    """
    Sees the events of one process's refusals, and marks those beyond the limit.

    @ivar shortage: called at a refusal for want of descriptors or the like; or
        L{None}.
    """

    def __init__(self, clock: IReactorTime, ids: RequestIds) -> None:
        self._ids = ids
        self._lines = LineLimit(clock)
        self.shortage: Callable[[], object] | None = None

    def mark(self, event: TunnelRefused) -> TunnelRefused:
        """Return the event of a refusal as the observers get it."""
        cause = event.cause
        if cause is Cause.EXHAUSTED and self.shortage is not None:
            self.shortage()
        # A policy may refuse a request with such a cause, too: that is no stranger's
        # connection alone.
        limited = cause.limited and event.request is None
        return self._limit(event) if limited else event

    def tellUnserved(
        self,
        rules: Rules,
        refused: Refused,
        client: IAddress | None,
        seconds: float = 0.0,
    ) -> None:
        """
        Tell the observers of a connection that ends before a request could be read
        from it, so that there is no exchange.
        """
        event = TunnelRefused(
            refused.cause,
            refused.rule,
            refused.reason,
            self._ids.nextId(),
            None,
            client,
            seconds,
        )
        tellObservers(rules, self.mark(event))

    def _limit(self, event: TunnelRefused) -> TunnelRefused:
        left = self._lines.admit(event.cause)
        if left is None:
            return attrs.evolve(event, quiet=True)
        if not left.count:
            return event
        reason = event.reason + left.words
        return attrs.evolve(event, reason=reason, leftOut=left.count)
