"""
The sockets under the memory network, where Twisted's transports do not reach.

The errors are those of Linux, as C{man 2 connect}, C{send} and C{recv} have
them; the ones that a proxy meets are compared with the kernel's in
C{tests/live}.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from txconnect.testing.kernel import Kernel
from txconnect.testing.sockets import ERR, HUP, IN, OUT, SILENCE, MemorySocket

HERE = ("127.0.0.1", 3128)


def pair(windowSize: int = 100) -> tuple[Kernel, MemorySocket, MemorySocket]:
    """Two ends of one connection."""
    kernel = Kernel(None, windowSize, 0, False)
    listener = kernel.socket(socket.AF_INET)
    listener.bind(HERE)
    listener.listen(5)
    client = kernel.socket(socket.AF_INET)
    assert client.connect_ex(HERE) == errno.EINPROGRESS
    accepted, address = listener.accept()
    assert address == client.getsockname()
    return kernel, client, accepted


def fails(number: int, call: Callable[..., Any], *arguments: Any) -> None:
    with pytest.raises(OSError) as raised:
        call(*arguments)
    assert raised.value.errno == number


def reset(end: MemorySocket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def test_notConnected() -> None:
    kernel = Kernel(None, 100, 0, False)
    alone = kernel.socket(socket.AF_INET)
    assert (alone.pollEvents(), alone.wasConnected) == (0, False)
    fails(errno.ENOTCONN, alone.getpeername)
    fails(errno.ENOTCONN, alone.send, b"x")
    fails(errno.ENOTCONN, alone.shutdown, socket.SHUT_WR)
    fails(errno.EWOULDBLOCK, alone.accept)
    alone.close()
    alone.close()
    assert (alone.fileno(), kernel.sockets) == (-1, {})


def test_connectingTwice() -> None:
    kernel, client, _ = pair()
    assert client.connect_ex(HERE) == errno.EISCONN
    waiting = kernel.socket(socket.AF_INET)
    kernel.fates["192.0.2.1", None] = SILENCE
    assert waiting.connect_ex(("192.0.2.1", 443)) == errno.EINPROGRESS
    assert waiting.connect_ex(("192.0.2.1", 443)) == errno.EALREADY
    assert waiting.pollEvents() == 0


def test_events() -> None:
    """What C{epoll} reports, step by step through a connection's life."""
    _, client, accepted = pair(windowSize=3)
    assert client.pollEvents() == OUT
    client.send(b"abcdef")
    assert client.pollEvents() == 0
    assert accepted.pollEvents() == IN | OUT
    assert accepted.recv(2) == b"ab"
    assert client.pollEvents() == OUT
    client.shutdown(socket.SHUT_WR)
    assert accepted.recv(2) == b"c"
    assert accepted.pollEvents() == IN | OUT
    assert accepted.recv(2) == b""
    accepted.shutdown(socket.SHUT_WR)
    assert accepted.pollEvents() == IN | OUT | HUP


def test_eventsOfAReset() -> None:
    _, client, accepted = pair()
    accepted.send(b"abc")
    reset(accepted)
    assert client.pollEvents() == IN | OUT | HUP | ERR
    assert client.recv(10) == b"abc"
    fails(errno.ECONNRESET, client.recv, 10)
    assert client.pollEvents() == IN | OUT | HUP
    assert client.recv(10) == b""
    fails(errno.EPIPE, client.send, b"x")
    fails(errno.ENOTCONN, client.shutdown, socket.SHUT_WR)


def test_resetIsMetByAWriter() -> None:
    _, client, accepted = pair()
    reset(accepted)
    fails(errno.ECONNRESET, client.send, b"x")
    fails(errno.EPIPE, client.send, b"x")


def test_resetBehindTheEnd() -> None:
    """[K9] Who has the FIN reads the end, and a writer meets EPIPE."""
    _, client, accepted = pair()
    accepted.shutdown(socket.SHUT_WR)
    reset(accepted)
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert client.recv(10) == b""


def test_endOfOnesOwn() -> None:
    _, client, accepted = pair()
    client.shutdown(socket.SHUT_WR)
    client.shutdown(socket.SHUT_WR)
    fails(errno.EPIPE, client.send, b"x")
    client.shutdown(socket.SHUT_RD)
    assert client.recv(10) == b""
    assert accepted.send(b"x") == 1


def test_fullWindow() -> None:
    _, client, accepted = pair(windowSize=3)
    assert client.send(b"") == 0
    assert client.send(memoryview(b"abcdef")) == 3
    fails(errno.EWOULDBLOCK, client.send, b"x")
    assert accepted.recv(100) == b"abc"
    fails(errno.EWOULDBLOCK, accepted.recv, 100)


def test_lingeringIsOrderly() -> None:
    """Only C{SO_LINGER} of zero seconds makes a RST of a close."""
    for value in (struct.pack("ii", 1, 5), struct.pack("ii", 0, 0)):
        _, client, accepted = pair()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)
        accepted.close()
        assert (client.finReceived, client.resetReceived) == (True, False)


def test_sentToWhoHasClosed() -> None:
    _, client, accepted = pair()
    accepted.close()
    assert client.send(b"x") == 1
    assert client.resetReceived
    client.close()
    assert not accepted.resetReceived


def test_nothingSentToWhoHasClosed() -> None:
    """Twisted writes nothing before it sends a FIN: neither brings a RST."""
    _, client, accepted = pair()
    accepted.close()
    assert client.send(b"") == 0
    client.shutdown(socket.SHUT_WR)
    assert not client.resetReceived
