"""
The events of refusals, made in one place: here those that strangers can cause by a
connection alone are marked, so that logs stay readable and observers that count still
hear of all.
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
from txconnect.values import Cause, Request, TunnelRefused


class RefusalEvents:
    """
    Makes the events of one process's refusals.

    @ivar shortage: called at a refusal for want of descriptors or the like; or
        L{None}.
    """

    def __init__(self, clock: IReactorTime, ids: RequestIds) -> None:
        self._clock = clock
        self._ids = ids
        self._limit = LineLimit(clock)
        self.shortage: Callable[[], object] | None = None

    def makeEvent(
        self,
        refused: Refused,
        id: str,
        request: Request | None,
        client: IAddress | None,
        seconds: float,
        notes: tuple[str, ...] = (),
    ) -> TunnelRefused:
        """
        Make the event of a refusal.

        @param client: the address from which the connection came.
        @param seconds: the time since the head's last octet.
        @param notes: what else was found, C{"rule: reason"}.
        """
        cause = refused.cause
        event = TunnelRefused(
            cause,
            refused.rule,
            refused.reason,
            id,
            request,
            client,
            seconds,
            refused.attempted,
            notes,
        )
        if cause is Cause.EXHAUSTED and self.shortage is not None:
            self.shortage()
        # A policy may refuse a request with such a cause, too: that is no stranger's
        # connection alone.
        return self._limited(event) if cause.limited and request is None else event

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
        event = self.makeEvent(refused, self._ids.nextId(), None, client, seconds)
        tellObservers(rules, self._clock, event)

    def _limited(self, event: TunnelRefused) -> TunnelRefused:
        left = self._limit.admit(event.cause)
        if left is None:
            return attrs.evolve(event, quiet=True)
        if not left.count:
            return event
        reason = event.reason + left.words
        return attrs.evolve(event, reason=reason, leftOut=left.count)
