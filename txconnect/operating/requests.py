"""
The requests that signals stand for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from txconnect.operating.signals import SignalHandlers

_log = Logger()


def signalHandlers(reactor: Any, program: Callable[[], int]) -> SignalHandlers:
    """
    Make the handlers of one process.

    @param program: returns the process that SIGTERM ends the program by; asked
        when a signal has come, as twistd forks.
    """

    def ignored(name: str) -> None:
        _log.info(
            "{signal} has no meaning here and is ignored; SIGTERM to process {program} "
            "ends the program",
            signal=name,
            program=program(),
        )

    return SignalHandlers(reactor, {}, ignored)
