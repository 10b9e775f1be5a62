"""
The service that C{twistd} runs, made from parsed options.

C{twistd} makes it before it forks, and starts it after: a port or a thread that
was opened here would belong to the process that ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorCore
from twisted.internet.protocol import Factory

from txconnect.command.daemonstart import DaemonStart
from txconnect.command.options import Options
from txconnect.command.startup import Welcome, welcome
from txconnect.configuration import Configuration, proxyService
from txconnect.configuration.running import Listening
from txconnect.listening import Exit, ListeningService
from txconnect.naming import freshName
from txconnect.observers.outputs import drainOutputs
from txconnect.operating.requests import Operated, OperatedProxy, signalHandlers
from txconnect.operating.signals import SignalService
from txconnect.operating.stopping import StopOnce


def makeService(options: Options) -> SignalService:
    """
    Make the service that listens and proxies.  Nothing is opened before it starts.

    Called by C{twistd}, before it forks.
    """
    # Importing a reactor installs one: twistd has chosen it by now.
    from twisted.internet import reactor as installed

    # One object of many interfaces, of which its module shows some.
    reactor: Any = installed
    # twistd ends by a signal to itself: nothing of the interpreter's own end is run.
    reactor.addSystemEventTrigger("after", "shutdown", drainOutputs)
    lines = welcome(options["built"], type(reactor).__name__)
    announce = partial(_writeLines, lines, options.write())
    exit = _exit(reactor, options)
    operated: Operated
    if options["held"] is not None:
        service = _supervisorService(reactor, options, exit, announce)
        operated = service.proxy
    else:
        service = proxyService(reactor, options["built"], exit, announce)
        operated = OperatedProxy(reactor, service.proxy)
    # Once it runs: the reactor installs its own handlers when it starts.
    reactor.callWhenRunning(StopOnce(reactor, operated.tellStop).install)
    return SignalService(service, signalHandlers(reactor, operated, os.getpid))


def _exit(reactor: Any, options: Options) -> Exit:
    if not options.becomesDaemon:
        return options.exit(reactor)
    start = DaemonStart()
    # twistd has told its parent by then that the program runs.
    reactor.callWhenRunning(start.over)
    return options.exit(reactor, start.failed)


def _supervisorService(
    reactor: IReactorCore,
    options: Options,
    exit: Exit,
    announce: Callable[[Listening], object],
) -> ListeningService:
    """Make the parent's service: it binds and judges the ports, and starts the workers."""
    # Late: without workers nothing of theirs is loaded.
    from txconnect.workers.supervisor import Supervisor

    built = options["built"]
    supervisor = Supervisor(
        reactor,
        _withName(built.configuration),
        options["held"],
        exit,
        foreground=options.foreground,
    )
    return ListeningService(
        supervisor,
        _NoConnections(),
        built.listeners,
        exit,
        guarded=built.pluginSet.guarded,
        # The ports listen before the workers accept: announced then, the proxy
        # would not answer yet.
        announce=lambda listening: supervisor.announce(partial(announce, listening)),
    )


def _withName(configuration: Configuration) -> Configuration:
    """
    Return the configuration with a name, one for all workers: a request that
    one of them has forwarded has been through this proxy (Via).
    """
    settings = configuration.settings
    named = attrs.evolve(settings, name=settings.name or freshName())
    return attrs.evolve(configuration, settings=named)


class _NoConnections(Factory):
    """A factory that is never asked: the parent of workers accepts nothing."""

    noisy = False


def _writeLines(
    welcome: Welcome, write: Callable[[str], object], listening: Listening
) -> None:
    for line in welcome.lines(listening):
        write(line)
