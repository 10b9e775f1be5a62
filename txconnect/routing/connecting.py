"""
Connecting by a route: one of C{--route}'s, or one that a router has made.

A route answers with a connection, or with a client endpoint, which is connected
here.  Whatever an attempt to connect raises is mapped to a row of the refusals table
(L{txconnect.routing.answers}); any other exception is a mistake of the route's, and
goes on to the exchange, which logs it with its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint

from txconnect.client.endpoint import ConnectEndpoint
from txconnect.client.socks import Socks5Endpoint
from txconnect.errors import Refused
from txconnect.maybeasync import Steps, run, settle
from txconnect.routing.answers import refusalForEndpoint
from txconnect.routing.endpointleg import connectLeg
from txconnect.values import IPAddress, Reached, Request, Route

__all__ = ["connectBy"]


def connectBy(
    route: Route, request: Request, addresses: Sequence[IPAddress]
) -> object | Deferred[object]:
    """
    Connect by a route.

    @param addresses: those that every policy allowed.
    @return: the route's answer, which should be L{Reached}, or a Deferred of it.
        Cancelling it gives the attempt up: a connection that comes all the same is
        reset.
    @raise Refused: there is no connection.
    @raise Exception: the route has made a mistake.
    """
    return run(_connectSteps(route, request, addresses))


def _connectSteps(
    route: Route, request: Request, addresses: Sequence[IPAddress]
) -> Steps[object]:
    behindProxy = False
    try:
        answer = settle(route.connect(request, addresses), _dropLate)
        if isinstance(answer, Deferred):
            answer = yield answer
        if not IStreamClientEndpoint.providedBy(answer):
            return answer
        behindProxy = isinstance(answer, (ConnectEndpoint, Socks5Endpoint))
        leg: Any = yield connectLeg(answer)
    except Refused:
        raise
    except Exception as error:
        refused = refusalForEndpoint(route.name, error, behindProxy)
        if refused is None:
            raise
        raise refused from None
    return Reached(leg, _addressOf(leg.transport.getPeer(), addresses))


def _dropLate(result: object) -> None:
    """Reset a connection that comes when its attempt was given up."""
    if type(result) is Reached:
        result.leg.abort()


def _addressOf(peer: object, addresses: Sequence[IPAddress]) -> IPAddress | None:
    """Return the one of C{addresses} that was connected to, where that shows."""
    host = getattr(peer, "host", None)
    return next((each for each in addresses if str(each) == host), None)
