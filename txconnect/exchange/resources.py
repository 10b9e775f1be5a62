"""
The resources that all exchanges of a proxy share.

They are apart from the rules (L{txconnect.admission.rules}): those can be replaced as a
whole, while timers, look-ups, live tunnels and sockets live as long as the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime

from txconnect.admission.decision import Surroundings
from txconnect.admission.events import RefusalEvents
from txconnect.dialing.dialer import Dialer
from txconnect.naming import RequestIds
from txconnect.timers import Timeouts
from txconnect.tunnel.kernel.leaving import LeaveWatch
from txconnect.tunnel.kernel.relay import KernelResources
from txconnect.tunnel.registry import LiveTunnels
from txconnect.values import IPAddress, Request, Route

__all__ = ["Resources"]


@attrs.frozen
class Resources:
    """
    The objects that live as long as the process; the rules may change meanwhile.

    @ivar clock: provides C{IReactorTime}.
    @ivar surroundings: the part of them that decisions use.
    @ivar dialer: reaches the addresses of the direct route.
    @ivar refusals: sees the event of every refusal.
    @ivar kernel: the resources of kernel relays, or L{None} where there are none.
    @ivar leaving: watches clients whose transport is paused.
    @ivar connectBy: connects by a router's route:
        L{txconnect.routing.connecting.connectBy}.
    """

    clock: IReactorTime
    surroundings: Surroundings
    dialer: Dialer
    ids: RequestIds
    refusals: RefusalEvents
    timeouts: Timeouts
    tunnels: LiveTunnels
    kernel: KernelResources | None
    leaving: LeaveWatch
    connectBy: Callable[[Route, Request, Sequence[IPAddress]], Any]
