"""
From parsed options to the service that C{twistd} runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.internet.protocol import Factory

from txconnect.command.options import Options
from txconnect.command.startup import Welcome, welcome
from txconnect.configuration import Configuration, proxyService
from txconnect.configuration.running import Listening
from txconnect.listening import ListeningService
from txconnect.naming import freshName
from txconnect.operating.requests import Operated, OperatedProxy, signalHandlers
from txconnect.operating.signals import SignalService
from txconnect.operating.stopping import StopOnce


def makeService(options: Options) -> SignalService:
    """
    The service that listens and proxies.  Nothing is opened before it starts.

    Called by C{twistd}, before it forks.
    """
    from twisted.internet import reactor as imported

    reactor: Any = imported
    reactor.callWhenRunning(StopOnce(reactor).install)
    lines = welcome(options["built"], type(reactor).__name__)
    announce = partial(_announce, lines, options.write())
    operated: Operated
    if options["held"] is not None:
        service = _supervisorService(reactor, options, announce)
        operated = service.proxy
    else:
        exit = options.exit(reactor)
        service = proxyService(reactor, options["built"], exit, announce)
        operated = OperatedProxy(reactor, service.proxy)
    return SignalService(service, signalHandlers(reactor, operated, os.getpid))


def _supervisorService(
    reactor: Any, options: Options, announce: Callable[[Listening], object]
) -> ListeningService:
    """The parent's: it binds and judges the ports, and starts the workers."""
    from txconnect.workers.supervisor import Supervisor

    built, exit = options["built"], options.exit(reactor)
    supervisor = Supervisor(
        reactor,
        _named(built.configuration),
        options["held"],
        exit,
        foreground=options.foreground,
    )
    return ListeningService(
        supervisor,
        _Nobody(),
        built.listeners,
        exit,
        guarded=built.pluginSet.guarded,
        announce=lambda listening: supervisor.announce(partial(announce, listening)),
    )


def _named(configuration: Configuration) -> Configuration:
    """One name for all workers: a request that one of them forwarded has been
    through this proxy (Via)."""
    settings = configuration.settings
    named = attrs.evolve(settings, name=settings.name or freshName())
    return attrs.evolve(configuration, settings=named)


class _Nobody(Factory):
    """Accepts nothing: the parent of workers never does."""

    noisy = False


def _announce(
    welcome: Welcome, write: Callable[[str], object], listening: Listening
) -> None:
    for line in welcome.lines(listening):
        write(line)
