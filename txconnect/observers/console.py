"""
Lines for a person at a terminal: a tunnel opened, closed, refused.

Their form may change between releases; programs read the access log.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.interfaces import IAddress
from zope.interface import implementer

from txconnect.interfaces import ITrafficObserver
from txconnect.observers.lines import cutText, peerText, printable
from txconnect.observers.terminal import Terminal, logLine
from txconnect.values import (
    Attempted,
    Closed,
    Event,
    Request,
    TunnelClosed,
    TunnelEstablished,
    TunnelRefused,
)

__all__ = ["ConsoleLog", "dateText", "octetsText", "secondsText"]

_ENDS = {
    Closed.CLIENT: "client closed",
    Closed.DESTINATION: "destination closed",
    Closed.CLIENT_RESET: "client reset",
    Closed.DESTINATION_RESET: "destination reset",
    Closed.IDLE: "idle too long",
    Closed.LIFETIME: "open too long",
    Closed.OPERATOR: "ended by the operator",
    Closed.SHUTDOWN: "proxy stopped",
    Closed.POLICY: "ended by a policy",
    Closed.TAP_FAILED: "tap failed",
    Closed.PAIR_FAILED: "pair failed",
    Closed.INTERNAL: "internal error",
}


@implementer(ITrafficObserver)
class ConsoleLog:
    """
    An observer that writes one line for each event, with the local date and time::

        2026-11-22 20:01:14 open   7f3a-1 ada@127.0.0.1 -> example.com:443 [93.184.215.14]  look-up 11 ms  connect 24 ms
        2026-11-22 20:01:14 close  7f3a-1 ada@127.0.0.1 -> example.com:443  up 1.1 kB  down 5.6 kB  0.31 s  client closed
        2026-11-22 20:01:20 refuse 7f3a-2 ada@127.0.0.1 -> 10.0.0.1:443  403 networks: 10.0.0.1 is private-use
    """

    def __init__(
        self,
        write: Callable[[str], object] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param write: a function that is called with a whole line, its end
            included; by default it writes on standard output.
        @param now: seconds since the epoch; shown in local time.
        """
        self._write = write
        self._now = now

    @classmethod
    def fromItems(cls) -> ConsoleLog:
        """Make one for an operator, who gives no argument."""
        return cls()

    def useWriter(self, write: Callable[[str], object]) -> None:
        """Write lines by this function, unless another one was given."""
        if self._write is None:
            self._write = write

    def observe(self, event: Event) -> None:
        """Write the event's line, but for a quiet one."""
        if isinstance(event, TunnelRefused) and event.quiet:
            return
        write = self._write
        if write is None:
            write = self._write = Terminal().write
        # The program's log has a date of its own.
        date = "" if write is logLine else f"{dateText(self._now())} "
        write(f"{date}{_eventText(event)}\n")


def dateText(moment: float) -> str:
    """Format a moment as the local date and time, for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def octetsText(octets: int) -> str:
    """Format a number of octets for people: C{5.6 kB}."""
    if octets < 1000:
        return f"{octets} B"
    value, units = octets / 1000, iter(("kB", "MB", "GB", "TB"))
    unit = next(units)
    # 999.95 would be shown as 1000.0 of the smaller unit.
    while value >= 999.95 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{value:.1f} {unit}"


def secondsText(seconds: float) -> str:
    """Format a length of time for people: C{0.31 s}, C{12 min}, C{3 h 5 min}."""
    # The bounds are where rounding begins to show 10.00 s and 120 s.
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return (
        f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
    )


def _eventText(event: Event) -> str:
    if isinstance(event, TunnelEstablished):
        return _establishedText(event)
    if isinstance(event, TunnelClosed):
        return _closedText(event)
    return _refusedText(event)


def _establishedText(event: TunnelEstablished) -> str:
    tunnel = event.tunnel
    parts = [f"open   {_requestText(tunnel.request, tunnel.request.client)}"]
    if tunnel.address is not None:
        parts[0] += f" [{tunnel.address}]"
    if tunnel.route != "direct":
        parts.append(f"by {printable(cutText(tunnel.route, 64))}")
    if tunnel.lookupSeconds:
        parts.append(f"look-up {tunnel.lookupSeconds * 1000:.0f} ms")
    parts.append(f"connect {tunnel.connectSeconds * 1000:.0f} ms")
    return "  ".join(parts)


def _closedText(event: TunnelClosed) -> str:
    request = event.tunnel.request
    end = _ENDS[event.reason]
    if event.rule:
        end += f"  {printable(cutText(event.rule, 64))}: {printable(cutText(event.detail, 300))}"
    return (
        f"close  {_requestText(request, request.client)}  up {octetsText(event.up)}  "
        f"down {octetsText(event.down)}  {secondsText(event.seconds)}  {end}"
    )


def _refusedText(event: TunnelRefused) -> str:
    attempted = event.attempted or Attempted()
    if event.request is None:
        asked = printable(cutText(f"{attempted.method} {attempted.target}", 200))
        request = f"{event.id} {_hostText(event.client)} -> {asked.strip() or '?'}"
    else:
        request = _requestText(event.request, event.client)
    # Without an error no response was sent: the client was gone.
    status = "" if event.cause.error is None else f"{event.cause.status} "
    reason = printable(cutText(event.reason, 300))
    # In quotes and behind: nothing proves that it was this user.
    user = printable(cutText(attempted.user, 100))
    claim = f'  (as "{user}")' if user else ""
    rule = printable(cutText(event.rule, 64))
    return f"refuse {request}  {status}{rule}: {reason}{claim}{_notesText(event)}"


def _notesText(event: TunnelRefused) -> str:
    others = [note for note in event.notes[:8] if not _isRepeated(note, event)]
    notes = "; ".join(cutText(note, 200) for note in others)
    return f"  ({printable(cutText(notes, 300))})" if notes else ""


def _isRepeated(note: str, event: TunnelRefused) -> bool:
    """Tell whether a note is of an address whose refusal the reason tells as well."""
    dropped = note.removeprefix(f"{event.rule}: dropped ")
    address, _, why = dropped.partition(": ")
    return dropped != note and address in event.reason and why in event.reason


def _requestText(request: Request, client: IAddress | None) -> str:
    source = _hostText(client)
    if request.identity is not None:
        source = f"{printable(cutText(request.identity.user, 100))}@{source}"
    return f"{request.id} {source} -> {request.authority}"


def _hostText(client: IAddress | None) -> str:
    host = getattr(client, "host", None)
    # A balancer's PROXY header may have any text in the place of an address.
    return printable(cutText(str(host or peerText(client) or "?"), 64))
