"""
From parsed options to the service that C{twistd} runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.application.service import IService
from twisted.internet.protocol import Factory

from txconnect.command.options import Options
from txconnect.command.startup import Welcome, welcome
from txconnect.configuration import Configuration, proxyService
from txconnect.configuration.running import Listening
from txconnect.listening import ListeningService, StopOnce
from txconnect.naming import freshName


def makeService(options: Options) -> IService:
    """
    The service that listens and proxies.  Nothing is opened before it starts.

    Called by C{twistd}, before it forks.
    """
    from twisted.internet import reactor as imported

    reactor: Any = imported
    reactor.callWhenRunning(StopOnce(reactor).install)
    lines = welcome(options["built"], type(reactor).__name__)
    announce = partial(_announce, lines, options.write())
    if options["held"] is not None:
        return _supervisorService(reactor, options, announce)
    return proxyService(reactor, options["built"], options.exit(reactor), announce)


def _supervisorService(
    reactor: Any, options: Options, announce: Callable[[Listening], object]
) -> IService:
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
