"""
A proxy inside a Twisted program: it listens beside whatever else the program
does, with policies that are plain objects.

    python examples/embedding.py 3128
"""

import sys
from typing import Any

from twisted.internet import endpoints, task
from twisted.internet.defer import Deferred

from txconnect import (
    ConnectProxyFactory,
    Event,
    Settings,
    TunnelRefused,
    observerPlugin,
)
from txconnect.policy import HostsPolicy


@observerPlugin("refusals", "Print refusals.")
def printRefusals(event: Event) -> None:
    if isinstance(event, TunnelRefused):
        print(f"refused: {event.rule}: {event.reason!r}", flush=True)


async def main(reactor: Any, port: str) -> None:
    factory = ConnectProxyFactory(
        reactor,
        policies=[HostsPolicy("example.org", "*.example.org")],
        observers=[printRefusals],
        settings=Settings(idleTimeout=60.0),
    )
    endpoint = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1")
    listening = await endpoint.listen(factory)
    print(f"listening on {listening.getHost().port}", flush=True)
    await Deferred()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
