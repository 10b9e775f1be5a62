"""
C{counters}: the number of tunnels, open and in all, of refusals by cause, and of
octets.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger
from zope.interface import implementer

from txconnect.interfaces import ITrafficObserver
from txconnect.values import Event, TunnelEstablished, TunnelRefused

__all__ = ["Counters"]


@implementer(ITrafficObserver)
class Counters(Service):
    """
    Figures as plain numbers, for a program to read at any time; when the proxy
    stops, they are written to its log.

    @ivar tunnels: tunnels established since the start.
    @ivar active: tunnels that are up now.
    @ivar refusals: refusals by the label of their cause
        (L{Cause<txconnect.values.Cause>}).
    @ivar up: octets from clients, of the tunnels that have ended.
    @ivar down: octets from destinations, of the tunnels that have ended.
    """

    _log = Logger()

    def __init__(self) -> None:
        self.tunnels = 0
        self.active = 0
        self.refusals: Counter[str] = Counter()
        self.up = 0
        self.down = 0

    @property
    def refused(self) -> int:
        """The number of requests that became no tunnel, of all causes."""
        return self.refusals.total()

    def observe(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, TunnelEstablished):
            self.tunnels += 1
            self.active += 1
        elif isinstance(event, TunnelRefused):
            self.refusals[event.cause.label] += 1
        else:
            # Octets only now: a figure that grew with every chunk would be a
            # call for every chunk.
            self.active -= 1
            self.up += event.up
            self.down += event.down

    def snapshot(self) -> dict[str, Any]:
        """Return all figures of this moment, as a copy."""
        return {
            "tunnels": self.tunnels,
            "active": self.active,
            "refused": self.refused,
            "refusals": dict(self.refusals),
            "up": self.up,
            "down": self.down,
        }

    def stopService(self) -> None:
        """Write the figures to the log."""
        Service.stopService(self)
        causes = ", ".join(f"{n} {label}" for label, n in self.refusals.most_common())
        self._log.info(
            "tunnels: {tunnels}, still active: {active}; octets up: {up}, down: "
            "{down}; refused: {refused}{causes}",
            causes=f" ({causes})" if causes else "",
            **{k: v for k, v in self.snapshot().items() if k != "refusals"},
        )
