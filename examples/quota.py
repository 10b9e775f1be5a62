"""
A policy and an observer in one: so many tunnels at once for each user, and so many
octets a day.

Loaded once, in both roles::

    txconnect --plugin ./quota.py:Quota:2,octets=1000000000

or in a program ``ConnectProxy(reactor, plugins=[quota])``.

As a policy it takes a slot for a request that it allows, and marks the request.  As an
observer it hears of the end of every request, and frees the slot of one that is marked:
whether another policy refused it, the destination could not be reached, the client left,
or its tunnel has ended.  Several worker processes have a quota each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime

from zope.interface import implementer

from txconnect import (
    Allow,
    Cause,
    Decision,
    Deny,
    Event,
    Request,
    TunnelClosed,
    TunnelRefused,
)
from txconnect.interfaces import IDestinationPolicy, ITrafficObserver


def todayUTC() -> date:
    return datetime.now(UTC).date()


def userOf(request: Request) -> str:
    """Where nobody authenticates, each client's address is a user."""
    if request.identity is not None:
        return request.identity.user
    return f"address {getattr(request.client, 'host', 'unknown')}"


@implementer(IDestinationPolicy, ITrafficObserver)
class Quota:
    """
    @param tunnels: the most tunnels of a user at once.
    @param octets: the most octets of a user's ended tunnels in a day, after which it
        gets no further tunnel until midnight, UTC; without it there is no such limit.
    @ivar open: how many slots each user has taken.
    @ivar moved: how many octets each user has moved today.
    """

    def __init__(
        self,
        tunnels: str,
        octets: str | None = None,
        today: Callable[[], date] = todayUTC,
    ) -> None:
        self._tunnels = _positive("tunnels", tunnels)
        self._octets = None if octets is None else _positive("octets", octets)
        self._today, self._day = today, today()
        self.open: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    def decide(self, request: Request) -> Decision:
        user = userOf(request)
        self._startDay()
        if self._octets is not None and self.moved[user] >= self._octets:
            return Deny(f"{user} has moved {self.moved[user]} octets today")
        if self.open[user] >= self._tunnels:
            return Deny(f"{user} has {self.open[user]} tunnels already", Cause.LIMIT)
        self.open[user] += 1
        # The key is this very object: no other plugin, nor another quota, has it.
        request.state[self] = user
        return Allow()

    def observe(self, event: Event) -> None:
        if isinstance(event, TunnelRefused):
            self._freeSlot(event.request)
        elif isinstance(event, TunnelClosed):
            user = self._freeSlot(event.tunnel.request)
            if user is not None:
                self._startDay()
                self.moved[user] += event.up + event.down

    def _freeSlot(self, request: Request | None) -> str | None:
        # A request that another policy, or this one, has refused first has no slot.
        user: str | None = None if request is None else request.state.pop(self, None)
        if user is not None:
            self.open[user] -= 1
            if not self.open[user]:
                del self.open[user]
        return user

    def _startDay(self) -> None:
        if self._today() != self._day:
            self._day = self._today()
            self.moved.clear()


def _positive(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise ValueError(f"{name}: {text!r} is no number above 0")
    return int(text)
