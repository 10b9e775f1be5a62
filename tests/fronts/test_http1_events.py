"""
What the event of a request tells: what was asked for, and what was odd about it.
"""

from __future__ import annotations

import pytest
from rig import Rig, logging, status

from txconnect.observers.lines import LINE, jsonLine, record
from txconnect.policy import HostsPolicy
from txconnect.testing import CHUNKS
from txconnect.values import Attempted

everyChunk = pytest.mark.parametrize("chunk", CHUNKS)

HOSTILE = "evil.example:443"


def test_hostFieldIsANote() -> None:
    """
    [F44] What the Host field names is told in the request's own event, whether it
    is served or refused, and by no line of the program's log.
    """
    request = f"CONNECT example.com:443 HTTP/1.1\r\nHost: {HOSTILE}\r\n\r\n".encode()
    note = f"Host: names {HOSTILE}, not the target"
    rig, refusing = Rig(), Rig(policies=[HostsPolicy("a.example")])
    rig.serve()
    with logging() as logged:
        rig.client(request).end()
        for _ in range(1000):
            refusing.client(request)
    rig.flush()
    (established,) = rig.events.established
    assert established.tunnel.notes == (note,)
    assert all(event.notes == (note,) for event in refusing.events.refused)
    assert len(refusing.events.refused) == 1000
    assert logged.events == []


@pytest.mark.parametrize("host", ["a" * 200 + ".example", "e\u0301vil"])
def test_hostileHostField(host: str) -> None:
    """[F44] The note is bounded and escaped in the log, or the request is refused."""
    rig = Rig(policies=[HostsPolicy("a.example")])
    head = f"CONNECT example.com:443 HTTP/1.1\r\nHost: {host}\r\n\r\n"
    rig.client(head.encode())
    (event,) = rig.events.refused
    line = jsonLine(record(event, 0.0))
    assert len(line) < LINE and line[:-1].isascii()


@everyChunk
@pytest.mark.parametrize(
    ("head", "method", "target"),
    [
        (
            b"GET http://packages.example/x HTTP/1.1\r\n",
            "GET",
            "http://packages.example/x",
        ),
        (b"GET /healthz HTTP/1.1\r\n", "GET", "/healthz"),
        (b"GET /old HTTP/2.0\r\n", "GET", "/old"),
        (b"GET /older HTTQ/1.1\r\n", "GET", "/older"),
        (b"CONNECT a@b:443 HTTP/1.1\r\n", "CONNECT", "...@b:443"),
        (b"CONNECT a.example:443 HTTP/1.1\r\n\x00:\r\n", "CONNECT", "a.example:443"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "", ""),
    ],
)
def test_whatWasAskedFor(chunk: object, head: bytes, method: str, target: str) -> None:
    """[F12] A head that is refused on the way leaves its method and its target."""
    rig = Rig(chunk=chunk)
    rig.client(head)
    (event,) = rig.events.refused
    attempted = event.attempted or Attempted()
    assert (attempted.method, attempted.target) == (method, target)


def test_whatALateHeadAskedFor() -> None:
    """[F12] So does a head that does not come to its end."""
    rig = Rig()
    client = rig.client(b"CONNECT a.example:443 HTTP/1.1\r\nX: ")
    rig.network.advance(11)
    assert status(client) == 408
    (event,) = rig.events.refused
    assert event.attempted == Attempted("", "CONNECT", "a.example:443")
