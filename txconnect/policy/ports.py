"""
C{ports}: the ports to which tunnels may lead (RFC 9110, 9.3.6: "a limited set of
known ports"; H1-25).
"""

from __future__ import annotations

import re

from zope.interface import implementer

from txconnect.interfaces import IDestinationPolicy, IListPolicy
from txconnect.policy.itemlists import shownItem
from txconnect.values import Allow, BadAuthority, Decision, Deny, Request
from txconnect.wire.authority import parsePort

__all__ = ["PortsPolicy"]

_ALLOW = Allow()
_RANGE = re.compile(r"([0-9]+)(?::|\.\.+|–)([0-9]+)", re.ASCII)


@implementer(IDestinationPolicy, IListPolicy)
class PortsPolicy:
    """
    A policy that allows a set of ports, and refuses all others.
    """

    name = "ports"

    def __init__(self, *items: str | int) -> None:
        """
        @param items: ports (C{443}), ranges (C{"8000-8999"}), or C{"any"}
            alone; none at all is C{443}.
        @raise ValueError: an item is none of these.
        """
        texts = list(dict.fromkeys(str(item).strip() for item in items)) or ["443"]
        if "any" in texts and len(texts) > 1:
            raise ValueError("'any' allows every port already: give it alone")
        # An octet a port: judging is one look-up, however many ranges there are.
        self._allowed = bytearray(65536)
        for text in texts:
            ports = _parsePorts(text)
            self._allowed[ports.start : ports.stop] = b"\1" * len(ports)
        self._items = texts
        self._listed = ", ".join(texts)

    def joinedWith(self, other: PortsPolicy) -> PortsPolicy:
        """See L{IListPolicy.joinedWith}."""
        return type(self)(*self._items, *other._items)

    def decide(self, request: Request) -> Decision:
        """Judge the port of a request."""
        port = request.authority.port
        if self._allowed[port]:
            return _ALLOW
        return Deny(f"port {port} is not among the allowed ports ({self._listed})")


def _parsePorts(text: str) -> range:
    if text == "any":
        return range(1, 65536)
    first, dash, last = text.partition("-")
    try:
        ports = range(parsePort(first), parsePort(last if dash else first) + 1)
    except BadAuthority:
        raise ValueError(
            f"{shownItem(text)} is not a port: {_rightForm(text)}"
        ) from None
    if not ports:
        raise ValueError(f"{text!r} runs backwards: write {last}-{first}")
    return ports


def _rightForm(text: str) -> str:
    if text == "*":
        return "write any for every port"
    near = _RANGE.fullmatch(text)
    if near is not None:
        return f"write {near[1]}-{near[2]} for a range"
    return "write a number from 1 to 65535, a range such as 8000-8999, or 'any'"
