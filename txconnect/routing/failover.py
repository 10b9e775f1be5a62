"""
A route through parents: one after the other, until one has given an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from txconnect.errors import Refused
from txconnect.routing.answers import Answered, Failed
from txconnect.routing.health import Health
from txconnect.routing.parent import Fields, Parent
from txconnect.values import Cause, ConnectRequest, IPAddress, Reached, Route
from txconnect.wire.forwarding import forwardedFields


class Failover:
    """
    Parents that stand in for each other, in the order in which they are asked.

    Whatever a parent answers is the answer.  One that cannot be reached, is
    silent, breaks off or talks nonsense has given none.
    """

    def __init__(
        self, parents: Sequence[Parent], health: Health, clock: Any, seconds: float
    ) -> None:
        """
        @param seconds: how long all of them have, together: what is left is
            shared equally among those that have not been asked yet.
        """
        self._parents = parents
        self._health = health
        self._clock = clock
        self._seconds = seconds
        self.name = "|".join(parent.name for parent in parents)

    def route(self, pseudonym: str) -> Route:
        """
        The route, which looks no name up.

        @param pseudonym: this proxy's in C{Via}.
        """

        def connect(
            request: ConnectRequest, addresses: Sequence[IPAddress]
        ) -> Deferred[Reached]:
            fields = forwardedFields(request.headers, request.httpVersion, pseudonym)
            return Deferred.fromCoroutine(self._connect(request, fields))

        return Route(self.name, connect, resolves=True)

    async def _connect(self, request: ConnectRequest, fields: Fields) -> Reached:
        began = self._clock.seconds()
        end = began + self._seconds
        waiting = self._health.inOrder(self._parents)
        story: list[str] = []
        while True:
            parent, *waiting = waiting
            share = (end - began) / (len(waiting) + 1)
            try:
                return await self._ask(parent, request, fields, share)
            except Failed as failed:
                refused = failed.refused
            why = refused.reason.removeprefix(f"{parent.name}: ")
            reached = refused.cause is not Cause.PARENT_UNREACHABLE
            self._health.failed(parent, why, began, reached)
            story.append(refused.reason)
            # Looked at once: whoever is asked next has some time left.
            began = self._clock.seconds()
            if not waiting or began >= end:
                raise Refused(refused.cause, "; ".join(story))

    async def _ask(
        self, parent: Parent, request: ConnectRequest, fields: Fields, share: float
    ) -> Reached:
        try:
            leg = await parent.connect(request.authority, fields, share)
        except Answered as answer:
            self._health.answered(parent)
            raise answer.refused from None
        self._health.answered(parent)
        return Reached(leg, route=parent.name)
