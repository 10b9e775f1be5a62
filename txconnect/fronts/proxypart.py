"""
The part of the proxy that fronts use, and the report of a connection that never got as
far as a request.
"""

from __future__ import annotations

from typing import Protocol as Shape

from twisted.internet.interfaces import IAddress

from txconnect.admission.rules import Rules
from txconnect.errors import Refused
from txconnect.exchange.resources import Resources
from txconnect.fronts.connections import ClientConnections
from txconnect.fronts.halfclosed import HalfClosedRequests
from txconnect.fronts.ports import Ports

__all__ = ["Proxy", "tellUnserved"]


class Proxy(Shape):
    """
    The part of the proxy that a front uses.

    @ivar rules: the rules for the next request.
    @ivar clients: hears of each front's beginning and end.
    @ivar ports: the properties of the ports that accept.
    @ivar halfClosed: the requests whose client has sent FIN, while they are set up.
    """

    rules: Rules
    resources: Resources
    clients: ClientConnections
    ports: Ports
    halfClosed: HalfClosedRequests


def tellUnserved(
    proxy: Proxy, refused: Refused | None, client: IAddress | None, began: float
) -> None:
    """
    Report a connection that has brought no request, if there is a reason.

    @param began: the time by the clock since which its front has it.
    """
    if refused is not None:
        seconds = proxy.resources.clock.seconds() - began
        proxy.resources.refusals.tellUnserved(proxy.rules, refused, client, seconds)
