"""
From parsed options to the service that C{twistd} runs.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from txconnect.command.options import Options
from txconnect.command.startup import Welcome
from txconnect.listening import Exit, Listener, ListeningService

_Listening = Sequence[tuple[Listener, IAddress]]

_COLLECT_AFTER = 20_000
"""New objects after which the collector looks for circles among them."""


def makeService(options: Options) -> IService:
    """
    The service that listens and proxies.  Nothing is opened before it starts.

    Called by C{twistd}, before it forks.
    """
    from twisted.internet import reactor

    announce = partial(_announce, _welcome(options, reactor), options.write())
    if options["workers"] > 1:
        return _crewService(options, announce)
    return listeningService(options, options.exit(reactor), announce)


def listeningService(
    options: Options, exit: Exit, announce: Callable[[_Listening], object]
) -> IService:
    """
    The service of one process.

    @param exit: what to do when it cannot listen.
    @param announce: called once it does.
    """
    from twisted.internet import reactor

    from txconnect.proxy import ConnectProxyFactory

    def running(listening: _Listening) -> None:
        _tuneCollector()
        announce(listening)

    proxy = options["proxy"]
    return ListeningService(
        proxy,
        ConnectProxyFactory(reactor, proxy),
        options["listeners"],
        exit,
        guarded=_guarded(options),
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


def _crewService(
    options: Options, announce: Callable[[_Listening], object]
) -> IService:
    """The parent's: it binds and judges the ports, and starts the workers."""
    from twisted.internet import reactor

    from txconnect.naming import freshName
    from txconnect.workers.crew import Crew
    from txconnect.workers.files import RootFiles

    exit = options.exit(reactor)
    # What has been through one of them has been through this proxy (Via).
    options["name"] = options["name"] or freshName()
    crew = Crew(
        reactor,
        options["workers"],
        options["held"],
        RootFiles(options.restated()),
        exit,
        foreground=options.foreground,
    )
    return ListeningService(
        crew,
        _Nobody(),
        options["listeners"],
        exit,
        guarded=_guarded(options),
        announce=lambda listening: crew.announce(partial(announce, listening)),
    )


class _Nobody(Factory):
    """Accepts nothing: the parent of workers never does."""

    noisy = False


def _guarded(options: Options) -> bool:
    return bool(options["checkers"] or options["open-proxy"])


def _welcome(options: Options, reactor: Any) -> Welcome:
    rules = options["routes"]
    judges = options["proxy"].admission.plugins.address
    return Welcome(
        options.standing(),
        [named.name for named in options["checkers"]],
        type(reactor).__name__,
        options["workers"],
        [(rule.text.pattern, rule.text.shown) for rule in rules],
        [named.name for named in judges if any(rule.text.resolves for rule in rules)],
    )


def _announce(
    welcome: Welcome, write: Callable[[str], object], listening: _Listening
) -> None:
    for line in welcome.lines(listening):
        write(line)
