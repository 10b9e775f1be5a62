"""
Tunnels of live tests: a destination that says back what it hears, and clients
that ask for it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from proxyprocess import DEADLINE


class Echo:
    """
    A destination that says back what it hears.

    @ivar port: where on 127.0.0.1.
    @ivar ends: how connections have ended, in order: C{"end"} or C{"reset"}.
    """

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._server.getsockname()[1]
        self.ends: list[str] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                self.ends.append("reset")
            else:
                self.ends.append("end")

    def stop(self) -> None:
        """Accept no more, and wait for the last connection's end."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._server.close()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def echoing() -> Iterator[Echo]:
    """A destination, until the block ends."""
    echo = Echo()
    try:
        yield echo
    finally:
        echo.stop()


def asked(connection: socket.socket, authority: str, *fields: str) -> bytes:
    """What a CONNECT is answered, head only."""
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", *fields]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    got = b""
    while b"\r\n\r\n" not in got:
        data = connection.recv(65536)
        if not data:
            break
        got += data
    return got


def tunnel(port: int, destination: int) -> socket.socket:
    """An established tunnel."""
    client = socket.create_connection(("127.0.0.1", port), DEADLINE)
    assert asked(client, f"127.0.0.1:{destination}").startswith(b"HTTP/1.1 200 ")
    return client


def alive(client: socket.socket) -> bool:
    """Whether what goes in comes back."""
    try:
        client.sendall(b"x")
        return client.recv(1) == b"x"
    except ConnectionError:
        return False


def end(client: socket.socket) -> str:
    """How a connection ends on which nothing more comes: C{"end"} or C{"reset"}."""
    try:
        rest = client.recv(65536)
    except ConnectionResetError:
        return "reset"
    return "end" if not rest else f"{len(rest)} octets"
