"""
C{sni}: whom a client asks for by TLS is whom its tunnel leads to.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from clienthellos import ECH, hello, hostName, message, realHello, records
from rig import DESTINATION, Rig, body, connect, logging

from twisted.plugins import txconnect_taps
from txconnect.errors import EndTunnel
from txconnect.plugins import TAP, loadPlugin
from txconnect.taps import SniTap
from txconnect.testing import CHUNKS, checkPlugin, checkTap, makeRequest, makeTunnel
from txconnect.values import Closed, Direction, TapVerdict

UP, DOWN = Direction.UP, Direction.DOWN
everyChunk = pytest.mark.parametrize("chunk", CHUNKS)
HTTP = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"


def ended(
    data: bytes, target: str = "example.com:443", items: tuple[str, ...] = ()
) -> str | None:
    """The reason for which a client's octets end a tunnel, or none."""
    see = SniTap(*items).tap(makeTunnel(makeRequest(target)))
    try:
        verdict = see(UP, data)
    except EndTunnel as end:
        return end.reason
    assert verdict is TapVerdict.LET_GO
    return None


def test_itIsAPlugin() -> None:
    """[F50] A stock one, by name, with and without a list."""
    checkTap(SniTap())
    checkPlugin(txconnect_taps.sni)
    checkPlugin(txconnect_taps.sni, "*.example.com,cdn.example")
    named = loadPlugin(TAP, "sni:cdn.example")
    assert (named.name, type(named.plugin)) == ("sni", SniTap)


def test_aBadListStopsTheStart() -> None:
    with pytest.raises(ValueError, match="is not a host"):
        loadPlugin(TAP, "sni:*example.com")


@pytest.mark.parametrize(
    ("data", "target", "items"),
    [
        (hello(b"example.com"), "example.com:443", ()),
        (hello(b"EXAMPLE.com."), "example.com:443", ()),
        (hello(b"example.com"), "Example.COM.:8443", ()),
        (hello(b"example.com"), "example.com:443", ("cdn.example",)),
        (hello(b"cdn.example"), "example.com:443", ("cdn.example",)),
        (hello(b"a.b.cdn.example"), "example.com:443", ("x.example", "*.cdn.example")),
        (records(message()), "192.0.2.1:443", ()),
        (records(message()), "[2001:db8::1]:443", ()),
        (hello(b"192.0.2.1"), "192.0.2.1:443", ()),
        (hello(b"cdn.example"), "192.0.2.1:443", ("cdn.example",)),
        (hello(b"example.com", (ECH, bytes(100))), "example.com:443", ()),
        (hello(b"front.example", (ECH, b"")), "example.com:443", ("front.example",)),
    ],
)
def test_itLetsGo(data: bytes, target: str, items: tuple[str, ...]) -> None:
    """[F54] The request's own host, one of the list, or no name for an address."""
    assert ended(data, target, items) is None


@pytest.mark.parametrize(
    ("data", "target", "items", "reason"),
    [
        (
            hello(b"other.example"),
            "example.com:443",
            (),
            "the ClientHello names other.example, not example.com",
        ),
        (
            hello(b"cdn.example"),
            "example.com:443",
            ("*.cdn.example",),
            "the ClientHello names cdn.example, not example.com",
        ),
        (
            hello(b"example.com"),
            "192.0.2.1:443",
            (),
            "the ClientHello names example.com, not 192.0.2.1",
        ),
        (
            hello(b"front.example", (ECH, b"")),
            "example.com:443",
            (),
            "the ClientHello names front.example, not example.com, outside of an"
            " encrypted one",
        ),
        (
            records(message()),
            "example.com:443",
            ("cdn.example",),
            "the ClientHello names no server",
        ),
        (
            records(message((ECH, b""))),
            "example.com:443",
            (),
            "the ClientHello names no server",
        ),
        (HTTP, "example.com:443", (), "the client sends no TLS"),
        (
            b"\x15\x03\x01\x00\x02\x02\x28",
            "example.com:443",
            (),
            "the client sends a TLS alert in place of a ClientHello",
        ),
        (
            records(message(hostName(b"example.com"), hostName(b"evil.example"))),
            "example.com:443",
            (),
            "the ClientHello has an extension twice",
        ),
    ],
)
def test_itEnds(data: bytes, target: str, items: tuple[str, ...], reason: str) -> None:
    """[F54] Each with its reason."""
    assert ended(data, target, items) == reason


@everyChunk
def test_nothingOfAForeignHelloPasses(chunk: Any) -> None:
    """[F54] The destination gets no octet of it, and the log has the story."""
    rig = Rig(chunk=chunk, taps=[SniTap()])
    with logging() as logged:
        client, destination = rig.tunnel()
        client.send(realHello("other.example"))
        rig.flush()
        assert client.reset
        assert (destination.received, destination.reset) == (b"", True)
        rig.assertOver()
    assert logged.errors == []
    (closed,) = rig.events.closed
    assert (closed.reason, closed.rule) == (Closed.POLICY, "sni")
    assert closed.detail == "the ClientHello names other.example, not example.com"


@everyChunk
@pytest.mark.parametrize("early", [True, False], ids=["early", "late"])
def test_itsOwnHelloPassesWhole(chunk: Any, early: bool) -> None:
    """[F54] However it is split, over records too, and what follows it."""
    data = records(realHello("example.com")[5:], (1, 2, 3, 100))
    data += b"\x14\x03\x03\x00\x01\x01" + random.Random(1).randbytes(500)
    rig = Rig(chunk=chunk, taps=[SniTap()])
    client, destination = rig.tunnel(early=data if early else b"")
    if not early:
        client.send(data)
    rig.flush()
    assert destination.received == data
    destination.send(b"ServerHello")
    rig.flush()
    assert body(client) == b"ServerHello"
    client.abort()
    rig.assertOver()


@everyChunk
def test_aServerThatSpeaksFirst(chunk: Any) -> None:
    """[F54] Its octets pass, and its client's do not, unless they are TLS."""
    rig = Rig(chunk=chunk, taps=[SniTap()])
    client, destination = rig.tunnel(banner=b"220 mail.example ESMTP\r\n")
    assert body(client) == b"220 mail.example ESMTP\r\n"
    client.send(b"EHLO me.example\r\n")
    rig.flush()
    assert (destination.received, destination.reset) == (b"", True)
    rig.assertOver()
    assert rig.events.closed[0].detail == "the client sends no TLS"


@everyChunk
def test_anEndInTheMiddleOfTheHello(chunk: Any) -> None:
    """[F54] Nothing of it passes."""
    rig = Rig(chunk=chunk, taps=[SniTap()])
    client, destination = rig.tunnel()
    client.send(realHello("example.com")[:100])
    client.end()
    rig.flush()
    assert (destination.received, destination.reset) == (b"", True)
    rig.assertOver()
    (closed,) = rig.events.closed
    assert (closed.reason, closed.rule) == (Closed.POLICY, "sni")
    assert closed.detail == "the client has ended in the middle of its ClientHello"


def test_aClientThatSaysNothing() -> None:
    """[F54] It may end as any other."""
    rig = Rig(taps=[SniTap()])
    client, destination = rig.tunnel()
    client.end()
    rig.flush()
    assert destination.ended
    destination.end()
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.CLIENT


def test_aHelloThatDribbles() -> None:
    """[F54] It has ten seconds to be whole."""
    rig = Rig(taps=[SniTap()])
    client, destination = rig.tunnel()
    for octet in realHello("example.com")[:20]:
        client.send(bytes([octet]))
        rig.network.advance(1)
    assert (client.reset, destination.received) == (True, b"")
    rig.assertOver()
    (closed,) = rig.events.closed
    assert (closed.rule, closed.detail) == ("sni", "no verdict within 10 seconds")


def test_itKnowsNothingOfOtherTunnels() -> None:
    """[F54] One object, many tunnels, each with a message of its own."""
    rig = Rig(
        taps=[SniTap()],
        names={"a.example": [DESTINATION], "b.example": [DESTINATION]},
    )
    server = rig.serve()
    one, two = (rig.client(connect(f"{name}.example:443")) for name in "ab")
    data = [realHello("a.example"), realHello("b.example")]
    for at in range(0, 700, 50):
        for client, octets in zip((one, two), data, strict=True):
            client.send(octets[at : at + 50])
        rig.flush()
    assert [peer.received for peer in server.peers] == data
