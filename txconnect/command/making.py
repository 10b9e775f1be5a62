"""
From parsed options to the service that C{twistd} runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.service import IService

from txconnect.command.options import Options
from txconnect.console import Welcome
from txconnect.listening import ListeningService


def makeService(options: Options) -> IService:
    """
    The service that listens and proxies.  Nothing is opened before it starts.

    Called by C{twistd}, before it forks.
    """
    from twisted.internet import reactor

    from txconnect.service import ConnectProxyFactory

    proxy = options["proxy"]
    checkers = [named.name for named in options["checkers"]]
    welcome = Welcome(options.standing(), checkers, type(reactor).__name__)
    return ListeningService(
        proxy,
        ConnectProxyFactory(reactor, proxy),
        options["listeners"],
        options.exit(reactor),
        guarded=bool(checkers or options["open-proxy"]),
        announce=partial(_announce, welcome, options.write()),
    )


def _announce(welcome: Welcome, write: Callable[[str], object], listening: Any) -> None:
    for line in welcome.lines(listening):
        write(line)
