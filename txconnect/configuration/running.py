"""
The service that runs a built proxy in one process.

A process of our own also has its garbage collector tuned.  Everything that the
program is made of stays until the end; looking through it again and again
delays every tunnel by tens of milliseconds.  A closed tunnel leaves no
reference cycle, so the collector is needed only for cycles that plugins make.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IAddress, IReactorTime

from txconnect.configuration.builder import BuiltProxy
from txconnect.listening import Exit, Listener, ListeningService
from txconnect.proxy import ConnectProxyFactory

Listening = Sequence[tuple[Listener, IAddress]]
"""The listeners, each with the address that it got."""

_COLLECT_AFTER = 20_000
"""New objects after which the collector looks for cycles among them."""


def proxyService(
    reactor: IReactorTime,
    built: BuiltProxy,
    exit: Exit,
    announce: Callable[[Listening], object],
) -> ListeningService:
    """
    Make the service that listens and proxies, for a process that does only this.

    @param exit: called when the service cannot listen.
    @param announce: called once it listens.
    """

    def tuneAndAnnounce(listening: Listening) -> None:
        # Not earlier: a program that only makes the service keeps its collector
        # as it is.
        _tuneCollector()
        announce(listening)

    return ListeningService(
        built.proxy,
        ConnectProxyFactory(reactor, built.proxy),
        built.listeners,
        exit,
        guarded=built.pluginSet.guarded,
        announce=tuneAndAnnounce,
    )


def _tuneCollector() -> None:
    """
    Make the garbage collector run seldom, and examine only new objects.

    Only a process of our own is tuned so, never a program that embeds the proxy.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)
