"""
Destinations on loopback for live tests, each connection in a thread of its own.
"""

from __future__ import annotations

import hashlib
import queue
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from certificates import Issued
from proxyprocess import DEADLINE

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
BANNER = b"220 I speak first\r\n"
PAGE = "a page of the loopback server\n"
MEGABYTES = 100

# An odd size, so that no chunk begins where a buffer does.
_BLOCK = 1_000_003


def reset(connection: socket.socket) -> None:
    """Close it with RST."""
    linger = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


def readAll(connection: socket.socket) -> bytes:
    """Everything up to the end."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def readExactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or what there is when the other side ends before."""
    got = b""
    while len(got) < size and (data := connection.recv(size - len(got))):
        got += data
    return got


def digestOfAll(connection: socket.socket) -> tuple[int, str]:
    """How many bytes come until the end, and their checksum."""
    count, digest = 0, hashlib.sha256()
    while data := connection.recv(262144):
        count += len(data)
        digest.update(data)
    return count, digest.hexdigest()


class Load:
    """
    100 MB of which no two blocks are the same, so that a block that is lost,
    doubled or moved shows in the checksum.
    """

    def __init__(self, seed: bytes, megabytes: int = MEGABYTES) -> None:
        self._block = hashlib.shake_256(seed).digest(_BLOCK)
        self.size = megabytes * 1_000_000
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        self.digest = digest.hexdigest()

    def blocks(self) -> Any:
        """All of it, block by block."""
        left, number = self.size, 0
        while left:
            block = (number.to_bytes(8, "big") + self._block)[: min(_BLOCK, left)]
            yield block
            left -= len(block)
            number += 1

    def send(self, connection: socket.socket) -> None:
        """Send it, and FIN behind it."""
        for block in self.blocks():
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)

    def write(self, path: Path) -> Path:
        """Make a file of it."""
        with path.open("wb") as file:
            file.writelines(self.blocks())
        return path


class Server:
    """
    Listens on loopback and serves each connection by a function.

    What it raises is raised again at the end of the C{with} block.
    """

    def __init__(
        self, serve: Callable[[socket.socket], object], host: str = "127.0.0.1"
    ) -> None:
        self._serve = serve
        self._listener = socket.create_server((host, 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.authority = f"{host}:{self.port}"
        self._results: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Server:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Wakes the thread that accepts; close() alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive(), "a destination hangs"
        self._listener.close()
        if error is None and self._errors:
            raise self._errors[0]

    def result(self) -> object:
        """What the function has returned for the next connection that is over."""
        return self._results.get(timeout=DEADLINE)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(
                target=self._connected, args=(connection,), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _connected(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(DEADLINE)
            try:
                self._results.put(self._serve(connection))
            except BaseException as error:
                self._errors.append(error)


class Deaf:
    """
    Listens on 127.0.0.1 and takes no connection: whoever comes waits.

    @ivar port: where.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port: int = self._listener.getsockname()[1]
        # The kernel takes one more than the backlog, and answers no other.
        self._first = socket.create_connection(("127.0.0.1", self.port), DEADLINE)

    def __enter__(self) -> Deaf:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._first.close()
        self._listener.close()


def echo(connection: socket.socket) -> None:
    """Say back what is heard, until the end of it."""
    while data := connection.recv(65536):
        connection.sendall(data)


def bannerThenEcho(connection: socket.socket) -> None:
    """Speak first, as SSH and SMTP do."""
    connection.sendall(BANNER)
    echo(connection)


def pageThenEnd(connection: socket.socket) -> None:
    """Speak first, and end at once."""
    connection.sendall(PAGE.encode())


def afterTheEnd(connection: socket.socket) -> None:
    """Answer only when the other side has ended."""
    said = readAll(connection)
    connection.sendall(b"you said " + said)


def endThenListen(connection: socket.socket) -> bytes:
    """End first, and hear the other side out."""
    connection.sendall(b"that is all")
    connection.shutdown(socket.SHUT_WR)
    return readAll(connection)


def exchange(load: Load) -> Callable[[socket.socket], object]:
    """Send a load and take one at the same time."""

    def serve(connection: socket.socket) -> object:
        sending = threading.Thread(target=load.send, args=(connection,), daemon=True)
        sending.start()
        taken = digestOfAll(connection)
        sending.join(DEADLINE)
        return taken

    return serve


class _Handler(SimpleHTTPRequestHandler):
    """Files, and a place to put some."""

    def log_message(self, format: str, *arguments: Any) -> None:
        """The proxy's log is the one that is looked at."""

    def do_PUT(self) -> None:
        """Keep what is put, and answer with its checksum."""
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        if self.headers["Expect"]:
            self.send_response_only(100)
            self.end_headers()
        with open(self.translate_path(self.path), "wb") as file:
            while left and (data := self.rfile.read(min(left, 262144))):
                left -= len(data)
                digest.update(data)
                file.write(data)
        body = digest.hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Site(ThreadingHTTPServer):
    """An https server of a directory's files, at C{localhost}."""

    def __init__(self, directory: Path, issued: Issued) -> None:
        self.issued = issued
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(issued.certificate, issued.key)
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=directory))
        self.port: int = self.server_address[1]
        self.authority = f"localhost:{self.port}"
        self.url = f"https://{self.authority}"
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        connection.settimeout(DEADLINE)
        # The handshake is left to the connection's own thread.
        return self._tls.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        ), address

    def shutdown_request(self, request: Any) -> None:
        # TLS has an end of its own; without it a client may cry truncation.
        try:
            request.unwrap().close()
        except OSError:
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may leave in the middle; nothing else may go wrong."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.errors.append(error)

    def end(self) -> None:
        """Stop serving."""
        self.shutdown()
        self._thread.join(DEADLINE)
        self.server_close()
        assert not self.errors, self.errors
