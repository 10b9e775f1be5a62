"""
Through a proxy to any server: print the first line that it says, as SSH and mail
servers do.

    python examples/tunnel_client.py tcp:127.0.0.1:3128 git.example.org 22
"""

import sys
from typing import Any

from twisted.internet import endpoints, task
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.protocols.basic import LineOnlyReceiver

from txconnect.client import ConnectEndpoint


class FirstLine(LineOnlyReceiver):
    delimiter = b"\n"
    transport: Any

    def __init__(self) -> None:
        self.heard: Deferred[bytes] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        self.transport.loseConnection()
        self.heard.callback(line.strip())


async def main(reactor: Any, proxy: str, host: str, port: str) -> None:
    way = endpoints.clientFromString(reactor, proxy)
    endpoint = ConnectEndpoint(way, host, int(port), timeout=10.0)
    try:
        greeting = await endpoints.connectProtocol(endpoint, FirstLine())
    except ConnectError as error:
        raise SystemExit(str(error)) from None
    print((await greeting.heard).decode("utf-8", "replace"))


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
