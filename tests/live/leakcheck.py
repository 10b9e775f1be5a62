"""
A program that embeds the proxy, as anybody would, and counts what it holds.

It says on which port it listens; from then on each line on its standard input
is answered, as soon as no connection is left, by a line of JSON: the timers,
the tunnels that are swept, its descriptors and every object that the collector
knows, by class.
"""

from __future__ import annotations

import gc
import json
import os
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.interfaces import IDestinationPolicy
from txconnect.policy.hosts import DenyHostsPolicy
from txconnect.policy.networks import NetworksPolicy
from txconnect.policy.ports import PortsPolicy
from txconnect.proxy import ConnectProxy, ConnectProxyFactory
from txconnect.values import Allow, Decision, MaybeAsync, Named, Request
from txconnect.wire.authority import parseAuthority

DENIED = "denied.example"
UNDECIDED = "undecided.example"
TURNS = 5
"""How many turns of the reactor in a row must find the proxy idle."""


@implementer(IDestinationPolicy)
class Slowly:
    """Decides at once, by a coroutine for names, and for one name never."""

    def decide(self, request: Request) -> MaybeAsync[Decision]:
        if request.authority.host == UNDECIDED:
            return Deferred()
        return self._allow() if request.authority.address is None else Allow()

    async def _allow(self) -> Decision:
        return Allow()


def counted(reactor: Any, proxy: ConnectProxy) -> dict[str, Any]:
    """What there is just now, but for the targets that are kept, a bounded number."""
    parseAuthority.cache_clear()
    gc.collect()
    kinds = Counter(
        f"{type(each).__module__}.{type(each).__qualname__}"
        for each in gc.get_objects()
    )
    return {
        "timers": len(reactor.getDelayedCalls()),
        "swept": len(proxy.resources.tunnels),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "objects": kinds,
    }


class Commands(LineOnlyReceiver):
    """Answers each line; the end of the input is the end of the program."""

    delimiter = b"\n"

    def __init__(self, reactor: Any, proxy: ConnectProxy) -> None:
        self._reactor = reactor
        self._proxy = proxy

    def lineReceived(self, line: bytes) -> None:
        self._proxy.whenIdle().addCallback(lambda _: self._quiet(TURNS))

    def _quiet(self, turns: int) -> None:
        """
        The last connection is gone.  Others may still wait to be accepted, and
        calls may wait for the reactor's next turn.
        """
        if turns and self._proxy.whenIdle().called:
            self._reactor.callLater(0, self._quiet, turns - 1)
        elif turns:
            self.lineReceived(b"")
        else:
            said = json.dumps(counted(self._reactor, self._proxy))
            self.sendLine(said.encode())

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._reactor.stop()


def main() -> None:
    from twisted.internet import reactor

    policies = [
        Named("ports", PortsPolicy("any")),
        Named("networks", NetworksPolicy("any")),
        DenyHostsPolicy(DENIED),
        Slowly(),
    ]
    factory = ConnectProxyFactory(reactor, policies=policies)
    listening = serverFromString(reactor, "tcp:0:interface=127.0.0.1:backlog=1024")
    commands = Commands(reactor, factory.proxy)

    def announce(port: Any) -> None:
        StandardIO(commands)
        commands.sendLine(b"%d" % port.getHost().port)

    listening.listen(factory).addCallback(announce)
    reactor.run()


if __name__ == "__main__":
    main()
