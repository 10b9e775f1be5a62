"""
Reaching the destination of a request that was admitted: by dialling the addresses that
were judged, or by a route.

A route is a plugin's.  It may have no time-out of its own, answer with anything, or
answer when nobody waits any more: then its leg is reset here, as no exchange owns it.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txconnect.admission.decision import Admitted, Decision
from txconnect.admission.hooks import inWords
from txconnect.errors import Refused
from txconnect.exchange.resources import Resources
from txconnect.maybeasync import Steps, withTimeout
from txconnect.tunnel.kernel.socketleg import SocketLeg
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Cause, Reached

__all__ = ["reachDestination"]

_log = Logger()


def reachDestination(
    decision: Decision, admitted: Admitted, resources: Resources
) -> Steps[Reached]:
    """
    Connect to the destination, or by a route to it.

    @return: the leg is the caller's from now on.
    @raise Refused: there is no connection.
    """
    if admitted.route is resources.surroundings.direct:
        reached = yield resources.dialer.begin(
            admitted.addresses, admitted.request.authority.port
        )
        return reached  # type: ignore[no-any-return]
    name = admitted.route.name
    try:
        return _checkedLeg((yield _connectBy(decision, admitted, resources)))
    except Refused:
        raise
    except Exception as error:
        _log.failure("{name} failed over {id}", name=name, id=decision.request.id)
        raise Refused(Cause.PLUGIN_ERROR, inWords(error), name) from None


def _checkedLeg(reached: object) -> Reached:
    """
    Return a route's answer.

    @raise TypeError: it has no leg that is connected.
    """
    if type(reached) is not Reached or not isinstance(reached.leg, (Leg, SocketLeg)):
        kind = type(reached).__name__
        raise TypeError(f"it answered {kind}, not Reached or an endpoint")
    if isinstance(reached.leg, Leg) and reached.leg.transport is None:
        raise TypeError("its leg is not connected")
    return reached


def _connectBy(
    decision: Decision, admitted: Admitted, resources: Resources
) -> Deferred[Reached]:
    """Connect by a plugin's route, which may have no time-out of its own."""
    settings, route = decision.rules.settings, admitted.route
    seconds = settings.connectTimeout
    if route.resolves:
        seconds += settings.lookupTimeout
    connecting = resources.connectBy(route, admitted.request, admitted.addresses)
    if not isinstance(connecting, Deferred):
        return succeed(connecting)
    connecting.addCallback(_inTime, decision)
    reason = f"route {route.name}: no answer within {seconds:g} seconds"
    return withTimeout(
        resources.clock,
        seconds,
        connecting,
        lambda: Refused(Cause.CONNECTION_TIMEOUT, reason),
    )


def _inTime(reached: object, decision: Decision) -> object:
    """Reset a leg that comes when the exchange is over."""
    if decision.over and type(reached) is Reached:
        reached.leg.abort()
    return reached
