"""
Preparing a tunnel: its taps, its pair, and the further fields of its 200.

That is done after the connect and before the 200, so that a tap or a pair that raises is
still a 500 to the client, and not a tunnel that breaks.
"""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IProtocol

from txconnect.admission.answering import fieldsFor
from txconnect.admission.decision import Decision
from txconnect.admission.hooks import ASYNC_CALLABLE
from txconnect.roles import isCoroutineFunction
from txconnect.tunnel.kernel.socketleg import SocketLeg
from txconnect.tunnel.pair import join
from txconnect.tunnel.taps import NamedTap, TapGate
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Named, TunnelInfo
from txconnect.wire.answerfields import Fields

__all__ = ["Prepared", "prepareTunnel"]


@attrs.define
class Prepared:
    """
    A destination that has answered, and the gate and the pair of its tunnel.

    @ivar gate: where the taps stand, or L{None} without any.
    @ivar pair: the two halves, or L{None} for the stock ones.
    @ivar fields: further fields of the 200.
    """

    info: TunnelInfo
    leg: Leg | SocketLeg
    gate: TapGate | None
    pair: tuple[IProtocol, IProtocol] | None
    fields: Fields = ()


def prepareTunnel(
    decision: Decision, info: TunnelInfo, leg: Leg | SocketLeg
) -> Prepared:
    """
    Make the taps and the pair, before the client is sent anything.

    @raise Refused: a plugin has failed, or refuses.
    """
    rules = decision.rules
    gate = _makeGate(decision, info) if rules.taps else None
    pair = None
    if rules.pairFactory is not None:
        pair = _makePair(decision, rules.pairFactory, info)
    fields = fieldsFor(decision, info) if rules.tunnelFields else ()
    return Prepared(info, leg, gate, pair, fields)


def _makeGate(decision: Decision, info: TunnelInfo) -> TapGate | None:
    taps: list[NamedTap] = []
    for plugin in decision.rules.taps:
        tap = decision.callHook(plugin, plugin.plugin.tap, info)
        if tap is not None:
            if not callable(tap):
                raise decision.wrongAnswer(plugin, tap, "a callable or None")
            if isCoroutineFunction(tap):
                raise decision.pluginFailed(plugin, ASYNC_CALLABLE)
            taps.append((plugin.name, tap))
    if not taps:
        return None
    limit = decision.rules.settings.tapHoldLimit
    return TapGate(taps, decision.request.id, limit, decision.clock)


def _makePair(
    decision: Decision, factory: Named, info: TunnelInfo
) -> tuple[IProtocol, IProtocol]:
    pair = decision.callHook(factory, factory.plugin.buildPair, info)
    if not (
        isinstance(pair, tuple)
        and len(pair) == 2
        and all(IProtocol.providedBy(half) for half in pair)
    ):
        raise decision.wrongAnswer(factory, pair, "a pair of protocols")
    decision.callHook(factory, join, *pair)
    return pair
