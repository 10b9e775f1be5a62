"""
Twisted's epoll reactor, whose one epoll also serves the sockets of tunnels.

Under any other reactor the kernel relay's epoll is nested: its descriptor is one
reader of the reactor's, so that every batch costs the reactor's own turn first.  With
many clients a batch is large, and that turn costs nothing; a lone client pays it for
each of its events.  Here the events of tunnels come from the same C{epoll_wait}, and
go straight to the relay.

C{txconnect} takes it where there is epoll; C{twistd --reactor=txconnect} asks for it.
It is C{EPollReactor} in everything else.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from select import epoll
from typing import Any, Protocol

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.python.log import callWithLogger

EVENTS = 128
"""The most events of one turn, or as many as the reactor has descriptors."""

Events = list[tuple[int, int]]
"""Pairs of a descriptor and its events."""


class SharesEpoll(Protocol):
    """The part of the proxy that shares the reactor's epoll."""

    def serveBatch(self, batch: Events) -> Events:
        """Serve the descriptors of its own, and return the others."""

    def connectionLost(self, reason: object) -> object:
        """The reactor stops."""


class TxconnectReactor(EPollReactor):
    """
    An C{EPollReactor} that shares its epoll with one L{SharesEpoll}.
    """

    _sharing: SharesEpoll | None = None

    def shareEpoll(self, sharing: SharesEpoll) -> epoll | None:
        """
        Have C{sharing} served from the reactor's epoll.

        @return: the epoll, in which it registers descriptors of its own; L{None} if
            another shares it already.
        """
        if self._sharing is not None:
            return None
        self._sharing = sharing
        poller: epoll = self._poller
        return poller

    def leaveEpoll(self) -> None:
        """Serve it no more; it has none of its descriptors left in the epoll."""
        self._sharing = None

    def removeAll(self) -> list[Any]:
        """See C{IReactorFDSet}: what is to be told that the reactor stops."""
        removed: list[Any] = super().removeAll()  # type: ignore[no-untyped-call]
        return removed if self._sharing is None else [*removed, self._sharing]

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events, and serve them."""
        selectables = self._selectables
        try:
            batch = self._poller.poll(
                -1 if timeout is None else timeout, max(EVENTS, len(selectables))
            )
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        if self._sharing is not None:
            batch = self._sharing.serveBatch(batch)
        serve: Callable[..., object] = self._doReadOrWrite
        for descriptor, events in batch:
            selectable = selectables.get(descriptor)
            if selectable is not None:
                callWithLogger(selectable, serve, selectable, descriptor, events)

    doIteration = doPoll


def install() -> None:
    """Install it as C{twisted.internet.reactor}."""
    installReactor(TxconnectReactor())  # type: ignore[no-untyped-call]
