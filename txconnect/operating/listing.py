"""
The tunnels that are open, listed in the log.

The list is bounded, and written in portions: a worker's log goes through a pipe
that takes some hundred lines at once and loses the others, and a terminal that is
slow would hold the reactor.  What is listed is as it was at the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.logger import Logger

from txconnect.observers.lines import cutText, peerText, printable
from txconnect.tunnel.registry import LiveTunnel

_log = Logger()

MOST = 1000
"""Tunnels that are listed; of the others the number is said."""

PORTION = 50
"""Lines at once."""

PAUSE = 0.1
"""Seconds between two portions."""

_CLIENT, _USER, _ROUTE = 64, 100, 64


class Listing:
    """
    Lists the tunnels of one proxy.
    """

    def __init__(self, clock: Any, proxy: Any) -> None:
        """
        @param clock: provides C{IReactorTime}.
        @param proxy: a L{ConnectProxy<txconnect.proxy.ConnectProxy>}.
        """
        self._clock = clock
        self._proxy = proxy
        self._left: list[str] = []

    def begin(self) -> None:
        """Write the list, but not into one that is still being written."""
        if self._left:
            _log.info("the list of tunnels before this one is still being written")
            return
        tunnels = self._proxy.resources.tunnels.live()
        _log.info(
            "open tunnels: {tunnels}; connections of clients: {connections}",
            tunnels=len(tunnels),
            connections=self._proxy.connections,
        )
        self._left = _lines(tunnels)
        self._write()

    def _write(self) -> None:
        portion, self._left = self._left[:PORTION], self._left[PORTION:]
        for line in portion:
            _log.info("{line}", line=line)
        if self._left:
            self._clock.callLater(PAUSE, self._write)


def _lines(tunnels: Sequence[LiveTunnel]) -> list[str]:
    lines = [_line(live) for live in tunnels[:MOST]]
    if len(tunnels) > MOST:
        lines.append(f"open tunnels that are not listed: {len(tunnels) - MOST}")
    return lines


def _line(live: LiveTunnel) -> str:
    tunnel, request = live.info, live.info.request
    client = printable(cutText(peerText(request.client) or "?", _CLIENT))
    if request.identity is not None:
        client = f"{printable(cutText(request.identity.user, _USER))}@{client}"
    address = "" if tunnel.address is None else f" [{tunnel.address}]"
    return (
        f"tunnel {request.id} {client} -> {request.authority}{address}  "
        f"{printable(cutText(tunnel.route, _ROUTE))}  {live.seconds:.1f} s  "
        f"up {live.up} B  down {live.down} B"
    )
