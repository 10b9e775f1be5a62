"""
The destinations: one port echoes, one sends for ever, one swallows.

A process of its own: C{python -m benchmarks.target CORES}.  It writes its three
ports as one line of JSON, and ends when its standard input does.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
from collections.abc import Callable

from benchmarks.load import CHUNK, raiseDescriptorLimit

__all__ = ["Target"]

Step = Callable[[socket.socket], None]


class Target:
    """
    Serves three kinds of connection from one epoll.

    @ivar ports: the ports of the echo, the source and the sink.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._open: dict[int, tuple[Step, socket.socket]] = {}
        self._buffer = bytearray(CHUNK)
        self._zeros = bytes(CHUNK)
        self.ports = [
            self._listen(self._echo, select.EPOLLIN),
            self._listen(self._source, select.EPOLLOUT),
            self._listen(self._sink, select.EPOLLIN),
        ]

    def _listen(self, step: Step, events: int) -> int:
        port = socket.create_server(("127.0.0.1", 0), backlog=4096)
        port.setblocking(False)

        def accept(_: socket.socket) -> None:
            try:
                while True:
                    self._add(step, port.accept()[0], events)
            except BlockingIOError:
                return

        self._add(accept, port, select.EPOLLIN)
        return int(port.getsockname()[1])

    def _add(self, step: Step, sock: socket.socket, events: int) -> None:
        sock.setblocking(False)
        self._open[sock.fileno()] = step, sock
        self._epoll.register(sock, events)

    def _echo(self, sock: socket.socket) -> None:
        data = sock.recv(4096)
        if data:
            sock.send(data)
        else:
            self._close(sock)

    def _source(self, sock: socket.socket) -> None:
        sock.send(self._zeros)

    def _sink(self, sock: socket.socket) -> None:
        if not sock.recv_into(self._buffer):
            self._close(sock)

    def _close(self, sock: socket.socket) -> None:
        del self._open[sock.fileno()]
        sock.close()

    def serve(self, until: int) -> None:
        """Serve until the descriptor C{until} has something to read."""
        self._epoll.register(until, select.EPOLLIN)
        while True:
            for fd, _ in self._epoll.poll():
                if fd == until:
                    return
                step, sock = self._open[fd]
                try:
                    step(sock)
                except BlockingIOError:
                    continue
                except ConnectionError:
                    self._close(sock)


def main(arguments: list[str]) -> None:
    """Serve, on the cores that the one argument names."""
    os.sched_setaffinity(0, {int(core) for core in arguments[0].split(",")})
    raiseDescriptorLimit()
    gc.disable()  # nothing here makes cycles
    target = Target()
    print(json.dumps(target.ports), flush=True)
    target.serve(sys.stdin.fileno())


if __name__ == "__main__":
    main(sys.argv[1:])
