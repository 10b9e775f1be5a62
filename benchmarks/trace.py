"""
C{python -m benchmarks.trace}: the way of one tunnel through the code.

A proxy, an echoing destination and, for C{parent}, another proxy run in this
process, on loopback.  Three tunnels warm it up; of the fourth, every call of a
function of the package is counted, from the accept to the end, and so is each time
that one call is in another file than the call before it: how often a reader has to
turn to another page.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["KINDS", "Trace", "main"]

PACKAGE = "txconnect"
KINDS = {
    "direct": "a tunnel straight to its destination, by the kernel relay",
    "parent": "one through a parent proxy, by the kernel relay",
    "transport": "one straight to its destination, by the transport relay",
}
WARMING = 3
PAYLOAD = b"x" * 64


@dataclass
class Trace:
    """
    What was called, in order.

    @ivar calls: C{(depth, file, function)} of each; the file is relative to the
        package.
    """

    calls: list[tuple[int, str, str]] = field(default_factory=list)
    _depth: int = 0
    _root: str = ""

    def follow(self, root: Path) -> None:
        """Note the calls of functions below C{root}, in this thread, from now on."""
        self._root = f"{root}/"
        sys.setprofile(self._profile)

    def leave(self) -> None:
        """Note no more."""
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if not name.startswith(self._root):
            return
        if event == "call":
            where = name.removeprefix(self._root).removesuffix(".py")
            self.calls.append((self._depth, where, frame.f_code.co_qualname))
            self._depth += 1
        elif event == "return":
            self._depth = max(0, self._depth - 1)

    @property
    def files(self) -> int:
        """How many files they are in."""
        return len({where for _, where, _ in self.calls})

    @property
    def changes(self) -> int:
        """How often a call is in another file than the one before it."""
        places = [where for _, where, _ in self.calls]
        return sum(a != b for a, b in zip(places, places[1:], strict=False))

    def lines(self) -> list[str]:
        """The calls as an indented list."""
        return [
            f"{'  ' * depth}{where}: {function}"
            for depth, where, function in self.calls
        ]


def tunnel(proxy: int, destination: int) -> None:
    """Be a client: one tunnel, one round trip, an end in both directions."""
    target = f"127.0.0.1:{destination}"
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode("ascii")
    with socket.create_connection(("127.0.0.1", proxy)) as client:
        client.sendall(head)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += _some(client)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"no tunnel: {answer!r}")
        client.sendall(PAYLOAD)
        echoed = b""
        while len(echoed) < len(PAYLOAD):
            echoed += _some(client)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass


def _some(client: socket.socket) -> bytes:
    data = client.recv(65536)
    if not data:
        raise RuntimeError("the proxy has ended the connection")
    return data


class Servers:
    """The other ends, in an event loop and a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self, parent: bool) -> tuple[int, int]:
        """Start them; the ports of the destination and of the parent."""
        starting = self._start(parent)
        return asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)

    def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self, parent: bool) -> tuple[int, int]:
        echo = await asyncio.start_server(_copy, "127.0.0.1", 0)
        destination = int(echo.sockets[0].getsockname()[1])
        if not parent:
            return destination, 0
        proxy = await asyncio.start_server(_tunnel, "127.0.0.1", 0)
        return destination, int(proxy.sockets[0].getsockname()[1])


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A parent proxy that knows CONNECT, and no more."""
    head = await reader.readuntil(b"\r\n\r\n")
    host, _, port = head.split()[1].decode("ascii").rpartition(":")
    onward, back = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await asyncio.gather(_half(reader, back), _half(onward, writer))
    back.close()
    writer.close()


async def _half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def traceOf(kind: str) -> Trace:
    """Run one tunnel of a kind, and note its calls.  Once a process."""
    from twisted.internet import epollreactor

    epollreactor.install()
    from twisted.internet import endpoints, reactor, threads
    from twisted.internet.defer import Deferred

    import txconnect
    from txconnect.policy.networks import NetworksPolicy
    from txconnect.policy.ports import PortsPolicy
    from txconnect.proxy import ConnectProxyFactory
    from txconnect.settings import Settings

    trace, servers = Trace(), Servers()
    destination, parent = servers.start(kind == "parent")
    factory = ConnectProxyFactory(
        reactor,
        policies=[PortsPolicy("any"), NetworksPolicy("any")],
        routes=[f"http://127.0.0.1:{parent}"] if parent else [],
        settings=Settings(relay="transport" if kind == "transport" else "auto"),
    )

    async def run() -> None:
        endpoint = endpoints.serverFromString(reactor, "tcp:0:interface=127.0.0.1")
        port = (await endpoint.listen(factory)).getHost().port
        for _ in range(WARMING):
            await threads.deferToThread(tunnel, port, destination)
            await factory.proxy.whenIdle()
        trace.follow(Path(str(txconnect.__file__)).parent)
        await threads.deferToThread(tunnel, port, destination)
        await factory.proxy.whenIdle()
        trace.leave()

    failures: list[Any] = []
    running: Deferred[None] = Deferred()
    run_ = reactor.callWhenRunning
    run_(lambda: Deferred.fromCoroutine(run()).chainDeferred(running))
    running.addErrback(failures.append)
    running.addBoth(lambda _: reactor.stop())
    reactor.run()
    servers.stop()
    if failures:
        failures[0].raiseException()
    return trace


def main(arguments: Sequence[str]) -> int:
    """Show the trace of one tunnel."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trace",
        description="Follow one tunnel through the code.",
        epilog="; ".join(f"{kind}: {what}" for kind, what in KINDS.items()),
    )
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("--calls", action="store_true", help="show each call, too")
    chosen = parser.parse_args(arguments)
    trace = traceOf(chosen.kind)
    if chosen.calls:
        print("\n".join(trace.lines()))
    print(
        f"{chosen.kind}: {len(trace.calls)} calls, {trace.files} modules, "
        f"{trace.changes} changes of file"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
