"""
A list of the open tunnels, in the log.

The list is bounded, and written in portions: a worker's log goes through a pipe
that takes some hundred lines at once and loses the others, and a terminal that is
slow would hold the reactor.  The tunnels and their figures are those of the
beginning of the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txconnect.exchange.resources import Resources
from txconnect.observers.lines import cutText, peerText, printable
from txconnect.tunnel.registry import LiveTunnel

_log = Logger()

MOST = 1000
"""The most tunnels that are listed; the last line has the number of the others."""

PORTION = 50
"""Lines written at once."""

PAUSE = 0.1
"""Seconds between two portions."""

_CLIENT, _USER, _ROUTE = 64, 100, 64


class ListedProxy(Protocol):
    """
    The part of a L{ConnectProxy<txconnect.proxy.ConnectProxy>} that a list needs.

    A protocol, because this room may not import the proxy, which is built on it.
    """

    @property
    def resources(self) -> Resources:
        """The resources, among them the registry of live tunnels."""

    @property
    def connections(self) -> int:
        """The number of clients' connections, with or without a tunnel."""


class Listing:
    """
    The list of one proxy's tunnels.
    """

    def __init__(self, clock: IReactorTime, proxy: ListedProxy) -> None:
        """
        @param clock: the time of the pauses between portions.
        @param proxy: the proxy whose tunnels are listed.
        """
        self._clock = clock
        self._proxy = proxy
        self._left: list[str] = []

    def beginList(self) -> None:
        """Write the list, unless one is still being written."""
        # Two at once would mix their lines, and take twice the pipe's room.
        if self._left:
            _log.info("the list of tunnels before this one is still being written")
            return
        tunnels = self._proxy.resources.tunnels.live()
        _log.info(
            "open tunnels: {tunnels}; connections of clients: {connections}",
            tunnels=len(tunnels),
            connections=self._proxy.connections,
        )
        self._left = _listLines(tunnels)
        self._writePortion()

    def _writePortion(self) -> None:
        portion, self._left = self._left[:PORTION], self._left[PORTION:]
        for line in portion:
            _log.info("{line}", line=line)
        if self._left:
            self._clock.callLater(PAUSE, self._writePortion)


def _listLines(tunnels: Sequence[LiveTunnel]) -> list[str]:
    lines = [_tunnelLine(live) for live in tunnels[:MOST]]
    if len(tunnels) > MOST:
        lines.append(f"open tunnels that are not listed: {len(tunnels) - MOST}")
    return lines


def _tunnelLine(live: LiveTunnel) -> str:
    # Text of clients and plugins: cut and escaped, as in the access log.
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
