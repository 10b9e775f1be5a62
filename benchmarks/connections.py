"""
One connection of the load: how it asks for a tunnel, and what it does in it.
L{benchmarks.load} serves many of them.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import time
from array import array
from collections.abc import Callable
from typing import Protocol

__all__ = [
    "WORKLOADS",
    "Connection",
    "Holder",
    "OneShot",
    "Refusals",
    "Trips",
    "isComplete",
    "statusOf",
]

MESSAGE = bytes(64)
_LENGTH = re.compile(rb"(?i)\ncontent-length: *(\d+)")


class Holder(Protocol):
    """
    The load that holds a connection, as the connection sees it.

    @ivar proxy: the address to dial.
    @ivar request: the head that asks for a tunnel.
    @ivar steps: by descriptor, the callable for its next event.
    @ivar times: seconds that each finished unit of work took.
    @ivar buffer: the bulk to send, or the place for what is received.
    @ivar octets: bulk that was moved.
    @ivar open: tunnels that stand.
    """

    proxy: tuple[str, int]
    request: bytes
    steps: dict[int, Callable[[], None]]
    times: array[float]
    buffer: bytearray
    octets: int
    open: int

    @property
    def register(self) -> Callable[[int, int], None]:
        """Watch a new descriptor for events."""

    @property
    def modify(self) -> Callable[[int, int], None]:
        """Watch a known descriptor for other events."""

    def beginNext(self) -> None:
        """Open one more, if one is left to open."""

    def again(self, connection: Connection) -> None:
        """Let a connection that has finished a unit of work do the next."""

    def failed(self, why: str) -> None:
        """Count an error."""


def statusOf(answer: bytes) -> str:
    """The status code of an answer."""
    return answer.split(b" ", 2)[1].decode("latin-1")


def isComplete(answer: bytes) -> bool:
    """True once an answer has its head and the content that it announces."""
    head, end, content = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(end) and len(content) >= (int(length[1]) if length else 0)


class Connection:
    """
    One tunnel after the other, or one for good: C{opened} says which.

    @cvar message: the octets that are echoed.
    """

    message = MESSAGE

    def __init__(self, load: Holder) -> None:
        self.load = load
        self.began = 0.0
        self.head = b""

    def begin(self) -> None:
        """Dial the proxy and ask it for a tunnel."""
        self.began = time.perf_counter()
        self.head = b""
        self.sock = sock = socket.socket(
            socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        )
        self.fd = sock.fileno()
        result = sock.connect_ex(self.load.proxy)
        if result not in (0, errno.EINPROGRESS):
            self.fail(OSError(result, os.strerror(result)))
            return
        # On loopback the connection stands by now, and a wait is saved.
        try:
            sock.send(self.load.request)
        except BlockingIOError:
            self.watch(self.ask, select.EPOLLOUT)
        except OSError as error:
            self.fail(error)
        else:
            self.watch(self.answered, select.EPOLLIN)

    def watch(self, step: Callable[[], None], events: int) -> None:
        """Have C{step} called when there are C{events}; for the first time."""
        self.load.steps[self.fd] = step
        self.load.register(self.fd, events)

    def then(self, step: Callable[[], None]) -> None:
        """Have C{step} called from now on."""
        self.load.steps[self.fd] = step

    def ask(self) -> None:
        """The proxy has accepted late: send the request."""
        self.sock.send(self.load.request)
        self.then(self.answered)
        self.load.modify(self.fd, select.EPOLLIN)

    def answered(self) -> None:
        """Some of the answer is here."""
        data = self.sock.recv(4096)
        if not data:
            raise ConnectionError("closed before an answer")
        self.head += data
        if b"\r\n\r\n" not in self.head:
            return
        status = statusOf(self.head)
        if status[:1] != "2":
            raise ConnectionError(f"answered {status}")
        self.opened()

    def opened(self) -> None:
        """The tunnel stands; its events go to C{load.steps} from here."""
        raise NotImplementedError

    def repeat(self) -> None:
        """Do one more unit of work."""
        raise NotImplementedError

    def finished(self) -> None:
        """Note the time that a unit of work took."""
        self.load.times.append(time.perf_counter() - self.began)

    def close(self) -> None:
        """End the tunnel."""
        self.load.steps.pop(self.fd, None)
        self.sock.close()

    def fail(self, error: OSError) -> None:
        """What was an error on this connection ends it."""
        self.close()
        self.load.failed(str(error))


class OneShot(Connection):
    """Open, echo 64 octets, close; over and over."""

    steady = False

    def opened(self) -> None:
        self.got = 0
        self.then(self.echoed)
        self.sock.send(self.message)

    def echoed(self) -> None:
        data = self.sock.recv(4096)
        self.got += len(data)
        if not data:
            raise ConnectionError("closed in the middle")
        if self.got >= len(self.message):
            self.finished()
            self.close()
            self.load.again(self)

    def repeat(self) -> None:
        self.begin()

    def fail(self, error: OSError) -> None:
        super().fail(error)
        self.begin()


class Refusals(OneShot):
    """Ask for a tunnel that is refused, read the whole answer, close; again."""

    def answered(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed in the middle")
        self.head += data
        if not isComplete(self.head):
            return
        status = statusOf(self.head)
        if status != "403":
            raise ConnectionError(f"answered {status} in place of 403")
        self.finished()
        self.close()
        self.load.again(self)


class Steady(Connection):
    """A tunnel that stays: opening it opens the next one, until all are."""

    steady = True

    def opened(self) -> None:
        self.load.open += 1
        self.load.beginNext()
        self.use()

    def use(self) -> None:
        """All that is left of an idle tunnel is to notice its end."""
        self.then(self.ended)

    def ended(self) -> None:
        if not self.sock.recv(4096):
            raise ConnectionError("an idle tunnel was closed")


class Trips(Steady):
    """64 octets there and back, over and over."""

    def use(self) -> None:
        self.then(self.echoed)
        self.send()

    def send(self) -> None:
        self.got = 0
        self.began = time.perf_counter()
        self.sock.send(self.message)

    def echoed(self) -> None:
        data = self.sock.recv(4096)
        if not data:
            raise ConnectionError("closed in the middle")
        self.got += len(data)
        if self.got >= len(self.message):
            self.finished()
            self.load.again(self)

    def repeat(self) -> None:
        self.send()


class Down(Steady):
    """Read as fast as it comes."""

    def use(self) -> None:
        self.then(self.read)

    def read(self) -> None:
        count = self.sock.recv_into(self.load.buffer)
        if not count:
            raise ConnectionError("closed in the middle")
        self.load.octets += count


class Up(Steady):
    """Write as fast as it goes."""

    def use(self) -> None:
        self.then(self.write)
        self.load.modify(self.fd, select.EPOLLOUT)

    def write(self) -> None:
        self.load.octets += self.sock.send(self.load.buffer)


WORKLOADS: dict[str, tuple[type[OneShot] | type[Steady], int]] = {
    "tunnel": (OneShot, 0),
    "alone": (OneShot, 0),
    "trip": (Trips, 0),
    "down": (Down, 1),
    "up": (Up, 2),
    "idle": (Steady, 0),
}
"""The connections of each workload, and which of the target's ports they want."""
