"""
The service that runs a built proxy in one process.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IAddress

from txconnect.configuration.builder import BuiltProxy
from txconnect.listening import Exit, Listener, ListeningService
from txconnect.proxy import ConnectProxyFactory

Listening = Sequence[tuple[Listener, IAddress]]
"""The listeners, each with the address that it got."""

_COLLECT_AFTER = 20_000
"""New objects after which the collector looks for circles among them."""


def proxyService(
    reactor: Any, built: BuiltProxy, exit: Exit, announce: Callable[[Listening], object]
) -> ListeningService:
    """
    Make the service that listens and proxies, for a process of its own.

    @param exit: called when it cannot listen.
    @param announce: called once it does.
    """

    def running(listening: Listening) -> None:
        _tuneCollector()
        announce(listening)

    return ListeningService(
        built.proxy,
        ConnectProxyFactory(reactor, built.proxy),
        built.listeners,
        exit,
        guarded=built.pluginSet.guarded,
        announce=running,
    )


def _tuneCollector() -> None:
    """
    Have the garbage collector come seldom, and look at tunnels alone.

    What the program is made of stays for good; looking through it again and
    again holds every tunnel up for tens of milliseconds.  A tunnel leaves no
    circle behind: the collector is for what plugins leave.  Only a process of
    our own is tuned so, never a program that embeds the proxy.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)
