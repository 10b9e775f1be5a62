"""
Two proxies, one behind the other: connect to the near one, through it to the far
one, and through both to a web server, with TLS from end to end.

    export FAR_USER=alice FAR_PASSWORD=secret
    python examples/nested_proxies.py near:3128 far.example.org:3128 example.com:443

A tunnel is an endpoint, and goes wherever an endpoint goes: there may be any
number of them.
"""

import os
import sys
from typing import Any

from twisted.internet import endpoints, task
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure

from txconnect.client import Basic, ConnectEndpoint


class Head(Protocol):
    """Asks for the front page's head."""

    transport: Any

    def __init__(self, host: str) -> None:
        self.host = host
        self.heard = b""
        self.over: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(f"HEAD / HTTP/1.0\r\nHost: {self.host}\r\n\r\n".encode())

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(self.heard)


def place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def main(reactor: Any, near: str, far: str, destination: str) -> None:
    host, port = place(destination)
    credentials = Basic(os.environ["FAR_USER"], os.environ["FAR_PASSWORD"])
    toNear = endpoints.HostnameEndpoint(reactor, *place(near))
    toFar = ConnectEndpoint(toNear, *place(far))
    toServer = ConnectEndpoint(toFar, host, port, credentials=credentials)
    secure = endpoints.wrapClientTLS(optionsForClientTLS(host), toServer)
    try:
        asking = await endpoints.connectProtocol(secure, Head(host))
    except ConnectError as error:
        raise SystemExit(str(error)) from None
    print((await asking.over).decode("iso-8859-1").strip())


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
