"""
Tunnels through a parent, from our client's head to its last byte.
"""

from __future__ import annotations

from typing import Any

import pytest
from rig import body, connect, logging, status
from scripted import OK, through
from setuppromises import Gives
from twisted.logger import LogLevel

from txconnect.testing import CHUNKS
from txconnect.values import Named


@pytest.mark.parametrize("chunk", CHUNKS)
def test_tunnel(chunk: Any) -> None:
    """
    [UP-01] [UP-03] [UP-10] [T2] [T3] The parent is asked for host:port and is
    sent nothing more before its 200; what comes with that belongs to the tunnel.
    """
    rig, parent = through(chunk)
    client = rig.client(connect("Example.com:443") + b"early")
    asked = parent.peer.take()
    assert asked.startswith(
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n"
    )
    assert asked.endswith(b"\r\n\r\n")
    assert client.received == b""
    parent.peer.send(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nbanner")
    rig.flush()
    assert body(client) == b"banner"
    assert parent.peer.take() == b"early"
    client.send(b"up")
    client.end()
    rig.flush()
    assert parent.peer.take() == b"up"
    assert parent.peer.ended
    parent.peer.send(b"down")
    parent.peer.end()
    rig.flush()
    assert body(client) == b"bannerdown"
    assert client.ended
    closed = rig.events.closed[0]
    assert (closed.up, closed.down) == (7, 10)
    assert closed.tunnel.route == "http://parent:3128"
    assert closed.tunnel.address is None
    assert rig.lookup.calls == ["parent"]
    rig.assertOver()


@pytest.mark.parametrize("chunk", CHUNKS)
def test_fields(chunk: Any) -> None:
    """[UP-05] [UP-06] [UP-07] What is for this proxy stays here."""
    rig, parent = through(chunk, settings={"name": "here"})
    rig.client(
        connect(
            "example.com:443",
            "User-Agent: curl",
            "Proxy-Authorization: Basic eDp5",
            "Proxy-Connection: Keep-Alive",
            "Connection: X-Hop",
            "X-Hop: 1",
            "Via: 1.1 there",
            "X-On: \xe9",
        )
    )
    assert parent.peer.received == (
        b"CONNECT example.com:443 HTTP/1.1\r\n"
        b"Host: example.com:443\r\n"
        b"user-agent: curl\r\n"
        b"via: 1.1 there\r\n"
        b"x-on: \xe9\r\n"
        b"via: 1.1 here\r\n"
        b"\r\n"
    )


def test_oldRequest() -> None:
    """[UP-07] Via says what came, and what goes on is HTTP/1.1."""
    rig, parent = through(settings={"name": "here"})
    rig.client(connect("example.com:443", version="1.0"))
    assert parent.peer.received == (
        b"CONNECT example.com:443 HTTP/1.1\r\n"
        b"Host: example.com:443\r\n"
        b"via: 1.0 here\r\n"
        b"\r\n"
    )


@pytest.mark.parametrize("role", ["taps", "pairFactory"])
def test_aTapOrPairThatFails(role: str) -> None:
    """[F05] Through a parent, too, it is a 500 and one line of the log."""
    plugin = Named("mine", Gives(lambda: 7))
    given: dict[str, Any] = {role: [plugin] if role == "taps" else plugin}
    rig, parent = through(**given)
    client = rig.client(connect("example.com:443"))
    with logging() as logged:
        parent.peer.send(OK + b"banner")
        rig.flush()
    assert status(client) == 500
    assert parent.peer.reset
    wrong = [each for each in logged.events if each["log_level"] >= LogLevel.warn]
    assert [each["name"] for each in wrong] == ["mine"]


def test_patterns() -> None:
    """The first that matches counts; where none does, the tunnel is direct."""
    rig, parent = through(
        None,
        "hosts:*.corp.example=http://parent:3128",
        "ports:8443=direct",
    )
    rig.serve("192.0.2.1", 443)
    rig.client(connect("a.corp.example:443"))
    assert len(parent.peers) == 1
    assert status(rig.client(connect("example.com:443"))) == 200
    assert rig.events.established[0].tunnel.route == "direct"
    assert len(parent.peers) == 1


def test_literalsGoOnAsLiterals() -> None:
    """[UP-01] An IPv6 address stays in its brackets."""
    rig, parent = through()
    rig.client(connect("[2001:DB8::1]:443"))
    assert parent.peer.received.startswith(
        b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n"
    )


@pytest.mark.parametrize("chunk", [None, 4096, "random"])
def test_backPressure(chunk: Any) -> None:
    """[T10] A client that does not read stops the parent."""
    rig, parent = through(chunk)
    client = rig.client(connect())
    parent.peer.send(OK)
    rig.flush()
    client.pause()
    parent.peer.send(b"x" * rig.unread * 3)
    rig.flush()
    assert rig.events.closed == []
    client.resume()
    rig.flush()
    assert len(body(client)) == rig.unread * 3


def test_resetsGoThrough() -> None:
    """[TU-04] What a parent cuts off does not look complete."""
    rig, parent = through()
    client = rig.client(connect())
    parent.peer.send(OK)
    rig.flush()
    parent.peer.abort()
    rig.flush()
    assert client.reset
    rig.assertOver()
