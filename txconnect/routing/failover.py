"""
A route through parents: one after the other, until one has given an answer.

A refusal is an answer: a request that one parent forbids must not reach its
destination by way of a more lenient one.  The list is for parents that fail,
not for parents that refuse.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txconnect.errors import Refused
from txconnect.routing.answers import ParentAnswered, ParentFailed
from txconnect.routing.health import Health
from txconnect.routing.parent import Parent
from txconnect.routing.speakers import Fields
from txconnect.values import Cause, IPAddress, Reached, Request, Route
from txconnect.wire.forwarding import forwardedFields


class Failover:
    """
    Parents that stand in for each other, in the order in which they are tried.

    A parent's answer is final.  A parent that cannot be reached, is silent,
    breaks off or talks nonsense has given none.
    """

    def __init__(
        self,
        parents: Sequence[Parent],
        health: Health,
        clock: IReactorTime,
        seconds: float,
    ) -> None:
        """
        @param seconds: the time for all parents together: the rest of it is
            shared equally among the parents that have not been tried yet.
        """
        self._parents = parents
        self._health = health
        self._clock = clock
        self._seconds = seconds
        self.name = "|".join(parent.name for parent in parents)

    def makeRoute(self, pseudonym: str) -> Route:
        """
        Make the route, which leaves the look-up to the parents.

        @param pseudonym: this proxy's in C{Via}.
        """

        def connectThrough(
            request: Request, addresses: Sequence[IPAddress]
        ) -> Deferred[Reached]:
            fields = forwardedFields(request.headers, request.httpVersion, pseudonym)
            return Deferred.fromCoroutine(self._tryParents(request, fields))

        return Route(self.name, connectThrough, resolves=True)

    async def _tryParents(self, request: Request, fields: Fields) -> Reached:
        began = self._clock.seconds()
        end = began + self._seconds
        waiting = self._health.inOrder(self._parents)
        story: list[str] = []
        while True:
            parent, *waiting = waiting
            # A parent that hangs costs its share; one that fails at once
            # leaves its time to the next.
            share = (end - began) / (len(waiting) + 1)
            try:
                return await self._tryParent(parent, request, fields, share)
            except ParentFailed as failed:
                refused = failed.refused
            why = refused.reason.removeprefix(f"{parent.name}: ")
            reached = refused.cause is not Cause.PARENT_UNREACHABLE
            self._health.markFailed(parent, why, began, reached)
            story.append(refused.reason)
            # The same reading of the clock decides whether to go on and how
            # long the next parent has: so its share is above 0.
            began = self._clock.seconds()
            if not waiting or began >= end:
                raise Refused(refused.cause, "; ".join(story))

    async def _tryParent(
        self, parent: Parent, request: Request, fields: Fields, share: float
    ) -> Reached:
        try:
            leg = await parent.openTunnel(request.authority, fields, share)
        except ParentAnswered as answer:
            self._health.markAnswered(parent)
            raise answer.refused from None
        self._health.markAnswered(parent)
        return Reached(leg, route=parent.name)
